"""What do log-probs and entropies cost without ever holding all logits? ``make bench-logprob``.

The same hidden states, output layer and tokens, once in tiles (``learner/fused.py``) and once through all logits,
forward and backward, in float32, the output layer learned or frozen. For time the two take turns in one process. For
memory each has a fresh process: its largest resident size during its first pass, less what it held before, less the
gradients, which either has to hand over.
"""

import argparse
import json
import os
import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from rich.console import Console

from cluster.bench.processes import MIB, alone, peak_bytes
from evaluation.tables import aligned

if TYPE_CHECKING:  # loads torch
    from learner.plain_logprobs import Comparison

Side = Literal["fused", "full"]
SIDES: tuple[Side, ...] = ("fused", "full")
VOCABULARY, MEDIA_TOKENS = 151936, (151652, 151653, 151654, 151655, 151656)
"""Of Qwen2.5-VL."""
_HEADER = ("hidden size, output layer", "tiles, s", "all logits, s", "ratio", "tiles, MiB", "all logits, MiB", "ratio")


@dataclass(frozen=True, kw_only=True, slots=True)
class Shape:
    """What is scored."""

    num_tokens: int
    width: int
    """Of the hidden states."""
    is_frozen: bool
    """Whether the output layer has no gradient."""

    @property
    def output_layer(self) -> str:
        """In a word."""
        return "frozen" if self.is_frozen else "learned"

    def build(self) -> "Comparison":
        """In this process."""
        from learner.plain_logprobs import Comparison  # noqa: PLC0415 - loads torch

        return Comparison(
            num_tokens=self.num_tokens,
            vocabulary=VOCABULARY,
            width=self.width,
            banned_token_ids=MEDIA_TOKENS,
            is_frozen=self.is_frozen,
        )


@dataclass(frozen=True, kw_only=True, slots=True)
class Times:
    """Of each pass."""

    fused_s: Sequence[float]
    full_s: Sequence[float]
    difference: float
    """Largest of a log-prob or an entropy, in nats."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Cost:
    """Medians of one side."""

    seconds: float
    num_bytes: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Row:
    """Both sides of one shape."""

    shape: Shape
    fused: Cost
    full: Cost
    difference: float
    """Largest of a log-prob or an entropy, in nats."""

    def cells(self) -> tuple[str, ...]:
        """For the table."""
        ratios = (self.fused.seconds / self.full.seconds, self.fused.num_bytes / self.full.num_bytes)
        return (
            f"{self.shape.width}, {self.shape.output_layer}",
            *(f"{one:.2f}" for one in (self.fused.seconds, self.full.seconds, ratios[0])),
            *(f"{one.num_bytes / MIB:,.0f}" for one in (self.fused, self.full)),
            f"{ratios[1]:.1%}",
        )

    def report(self) -> dict[str, object]:
        """For the last line."""
        return {
            "width": self.shape.width,
            "output_layer": self.shape.output_layer,
            "time_ratio": round(self.fused.seconds / self.full.seconds, 2),
            "memory_ratio": round(self.fused.num_bytes / self.full.num_bytes, 3),
            "fused_s": round(self.fused.seconds, 2),
            "full_s": round(self.full.seconds, 2),
            "fused_mib": round(self.fused.num_bytes / MIB),
            "full_mib": round(self.full.num_bytes / MIB),
            "largest_difference": float(f"{self.difference:.1e}"),
        }


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure every shape; print the table, and as last line one JSON object."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--widths", type=int, nargs="+", default=[64, 512, 2048], help="of the hidden states")
    parser.add_argument("--tokens", type=int, default=2048)
    parser.add_argument("--repeats", type=int, default=5, help="passes of each side, of which the median counts")
    given = parser.parse_args(arguments)
    console = Console(highlight=False, markup=False)
    # Of the processes below. On cores that others use too, waiting threads would otherwise spin.
    os.environ.setdefault("OMP_WAIT_POLICY", "passive")
    shapes = [
        Shape(num_tokens=given.tokens, width=width, is_frozen=is_frozen)
        for width in given.widths
        for is_frozen in (False, True)
    ]
    rows = [_measure(shape, num_repeats=given.repeats) for shape in shapes]
    console.print("\n".join(aligned([_HEADER, *(row.cells() for row in rows)])), soft_wrap=True)
    console.print(json.dumps(_result(rows, given)), soft_wrap=True)


def _measure(shape: Shape, *, num_repeats: int) -> Row:
    fused_bytes, full_bytes = (alone(_num_bytes, shape, side) for side in SIDES)
    times = alone(_times, shape, num_repeats)
    return Row(
        shape=shape,
        fused=Cost(seconds=statistics.median(times.fused_s), num_bytes=fused_bytes),
        full=Cost(seconds=statistics.median(times.full_s), num_bytes=full_bytes),
        difference=times.difference,
    )


def _times(shape: Shape, num_repeats: int) -> Times:
    comparison = shape.build()
    difference = comparison.largest_difference()  # warms up as well
    pairs = [[comparison.seconds(side) for side in SIDES] for _ in range(num_repeats)]
    fused_s, full_s = zip(*pairs, strict=True)
    return Times(fused_s=fused_s, full_s=full_s, difference=difference)


def _num_bytes(shape: Shape, side: Side) -> int:
    comparison = shape.build()
    return peak_bytes(lambda: comparison.seconds(side)) - comparison.num_gradient_bytes


def _result(rows: Sequence[Row], given: argparse.Namespace) -> dict[str, object]:
    worst = max(rows, key=lambda row: row.fused.seconds / row.full.seconds)
    return {
        "name": "seconds of log-probs and entropies forward and backward, in tiles over through all logits",
        "ratio": worst.report()["time_ratio"],
        "inputs": {
            "vocabulary": VOCABULARY,
            "tokens": given.tokens,
            "repeats": given.repeats,
            "ratio_is": "the worst of the rows",
            "worst_memory_ratio": round(max(row.fused.num_bytes / row.full.num_bytes for row in rows), 3),
            "rows": [row.report() for row in rows],
        },
    }


if __name__ == "__main__":
    main()
