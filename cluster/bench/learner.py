"""What does sharing a prompt save the learner? ``make bench-learner``.

Forward and backward passes over the completions of one prompt with a picture, once with the prompt computed once for
all of them and once with a row per completion, which brings its prompt and its picture; taking turns in one run. The
rows are equally long, so that nothing is padded, and go one to a pass, which is as fast here as several. The picture
is encoded and the model loaded before the clock starts. Peak memory is that of a process of its own for each side.
"""

import argparse
import json
import statistics
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from rich.console import Console

from cluster.bench.crops import crops
from cluster.bench.processes import MIB, alone, peak_bytes
from conf.machine import ModelConfig
from evaluation.tables import aligned
from rollout.families import build_family
from rollout.types import Media, Message, Prompt, Unlabelled

if TYPE_CHECKING:
    from learner.rows import Row  # loads torch

FOLDER = Path("runs/bench/learner")
SIDE_PX = 448
"""Of the picture: 256 tokens."""
NUM_CROPS = 48
"""As few as the data set makes."""
ORDINARY_TOKENS = 200
"""Ids below are letters, never media."""
Side = Literal["shared", "padded"]
SIDES: tuple[Side, Side] = ("shared", "padded")


@dataclass(frozen=True, kw_only=True, slots=True)
class Case:
    """What is computed: completions of one length to one prompt."""

    num_prompt_tokens: int
    num_tokens: int
    num_completions: int

    @classmethod
    def read(cls, text: str) -> "Case":
        """From PROMPT/COMPLETION/G."""
        prompt, tokens, completions = (int(part) for part in text.split("/"))
        return cls(num_prompt_tokens=prompt, num_tokens=tokens, num_completions=completions)

    @property
    def saved(self) -> float:
        """How many times as many tokens rows have."""
        answers = self.num_completions * self.num_tokens
        return (self.num_completions * self.num_prompt_tokens + answers) / (self.num_prompt_tokens + answers)

    def __str__(self) -> str:
        """As it is read."""
        return f"{self.num_prompt_tokens}/{self.num_tokens}/{self.num_completions}"


@dataclass(frozen=True, kw_only=True, slots=True)
class Cost:
    """Medians of one side."""

    seconds: float
    processor_s: float
    peak_mib: float


@dataclass(frozen=True, kw_only=True, slots=True)
class Comparison:
    """Both sides of a case."""

    case: Case
    shared: Cost
    rows: Cost
    difference: float
    """Of the gradients, in relation to their size."""

    @property
    def ratio(self) -> float:
        """How many times as fast sharing is."""
        return self.rows.seconds / self.shared.seconds

    @property
    def processor_ratio(self) -> float:
        """The same in processor time, which other work on the machine disturbs less."""
        return self.rows.processor_s / self.shared.processor_s


DEFAULT_CASES = ("1024/128/8", "2048/128/16", "1024/128/4", "1024/512/8", "512/128/8", "300/32/8")
"""The first two are what the learner is held to."""


def main(arguments: Sequence[str] | None = None) -> None:
    """Time both sides of every case; print the table, and as last line one JSON object."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=5, help="passes of each side, whose median counts")
    parser.add_argument("cases", nargs="*", default=DEFAULT_CASES, help="PROMPT/COMPLETION/G in tokens, G completions")
    given = parser.parse_args(arguments)
    console = Console(highlight=False, markup=False)
    _make_model(FOLDER / "model")
    picture = min(crops(FOLDER / "crops", count=NUM_CROPS).iterdir())
    benches = {side: Bench(side, picture=picture) for side in SIDES}
    found = []
    for case in map(Case.read, given.cases):
        found.append(_compare(case, benches, repeats=given.repeats))
        console.print(f"{case}: {found[-1].ratio:.2f}")
    console.print("\n".join(aligned([_HEADER, *map(_row, found)])), soft_wrap=True)
    console.print(json.dumps(_result(found, benches["shared"], repeats=given.repeats)), soft_wrap=True)


def _make_model(folder: Path) -> None:
    from rollout.families.tiny_qwen_vl import TinyModelSize, create_tiny_qwen_vl  # noqa: PLC0415 - loads torch

    if not folder.exists():
        size = TinyModelSize(
            vision_layers=4, vision_hidden=256, vision_heads=4, vision_mlp=512,
            text_layers=4, text_hidden=256, text_heads=4, text_kv_heads=2, text_mlp=1024,
            image_pixels_max=SIDE_PX**2, max_positions=8192,
        )  # fmt: skip
        create_tiny_qwen_vl(folder, size=size, seed=0)


class Bench:
    """One side: its model, and the prompts it is asked."""

    def __init__(self, side: Side, *, picture: Path) -> None:
        from learner.plain_passes import PlainPasses  # noqa: PLC0415 - loads torch

        folder = str(FOLDER / "model")
        config = ModelConfig(
            family="qwen2_5_vl", path=folder, size=None, min_pixels=28**2, max_pixels=SIDE_PX**2, add_vision_id=False
        )
        self.side: Side = side
        self.picture = picture
        self._family = build_family(config, folder=folder)
        self.passes = PlainPasses(self._family, layout=side)

    def rows(self, case: Case) -> "list[Row]":
        """Completions of random tokens to a prompt of the right length."""
        from learner.rows import Row  # noqa: PLC0415 - loads torch

        short = self._family.count_tokens(self._prompt(num_words=0))
        prompt = self._family.encode(self._prompt(num_words=case.num_prompt_tokens - short))
        if len(prompt.token_ids) != case.num_prompt_tokens:
            raise ValueError(f"{case}: the shortest prompt with the picture has {short} tokens")
        draws = np.random.default_rng(0).integers(0, ORDINARY_TOKENS, (case.num_completions, case.num_tokens))
        return [Row(prompt=prompt, completion=one.astype(np.int32)) for one in draws]

    def gradient(self, rows: "list[Row]") -> "NDArray[np.float32]":
        """All completions in one pass, or one after the other."""
        return self.passes.gradient(rows, per_pass=len(rows) if self.side == "shared" else 1)

    def _prompt(self, *, num_words: int) -> Prompt:
        with Image.open(self.picture) as crop:
            file = BytesIO()
            crop.resize((SIDE_PX, SIDE_PX), Image.Resampling.BICUBIC).save(file, format="PNG")
        shown = Media(kind="image", data=file.getvalue())
        return Prompt(
            prompt_id="bench",
            messages=(Message(role="user", content=(shown, "Which?" + " blur" * num_words)),),
            reference=Unlabelled(),
            source="bench",
            content_id="bench",
        )


def _compare(case: Case, benches: Mapping[Side, Bench], *, repeats: int) -> Comparison:
    rows = {side: bench.rows(case) for side, bench in benches.items()}
    gradients = {side: bench.gradient(rows[side]) for side, bench in benches.items()}
    difference = np.linalg.norm(gradients["shared"] - gradients["padded"]) / np.linalg.norm(gradients["padded"])
    seconds: dict[Side, list[tuple[float, float]]] = {side: [] for side in SIDES}
    for _ in range(repeats):
        for side, bench in benches.items():
            started = time.perf_counter(), time.process_time()
            bench.gradient(rows[side])
            seconds[side].append((time.perf_counter() - started[0], time.process_time() - started[1]))
    costs = {
        side: Cost(
            seconds=statistics.median(one[0] for one in seconds[side]),
            processor_s=statistics.median(one[1] for one in seconds[side]),
            peak_mib=alone(_peak_mib, case, side, benches[side].picture),
        )
        for side in SIDES
    }
    return Comparison(case=case, shared=costs["shared"], rows=costs["padded"], difference=float(difference))


def _peak_mib(case: Case, side: Side, picture: Path) -> float:
    bench = Bench(side, picture=picture)
    rows = bench.rows(case)
    return peak_bytes(lambda: bench.gradient(rows)) / MIB


_HEADER = (
    "prompt", "completion", "G", "tokens x", "rows, s", "shared, s", "ratio", "processor", "rows, MiB", "shared, MiB",
    "difference",
)  # fmt: skip


def _row(one: Comparison) -> tuple[str, ...]:
    case = one.case
    return (
        str(case.num_prompt_tokens), str(case.num_tokens), str(case.num_completions), f"{case.saved:.2f}",
        f"{one.rows.seconds:.2f}", f"{one.shared.seconds:.2f}", f"{one.ratio:.2f}", f"{one.processor_ratio:.2f}",
        f"{one.rows.peak_mib:.0f}", f"{one.shared.peak_mib:.0f}", f"{one.difference:.0e}",
    )  # fmt: skip


def _result(found: Sequence[Comparison], bench: Bench, *, repeats: int) -> dict[str, object]:
    return {
        "name": f"seconds forward and backward at {found[0].case}, a row per completion over a shared prompt",
        "ratio": round(found[0].ratio, 2),
        "inputs": {
            "repeats": repeats,
            "parameters": bench.passes.num_parameters,
            "threads": bench.passes.num_threads,
            "picture_px": SIDE_PX,
            "cases": [
                {
                    "case": str(one.case),
                    "ratio": round(one.ratio, 2),
                    "processor_ratio": round(one.processor_ratio, 2),
                    "tokens_ratio": round(one.case.saved, 2),
                    "rows_s": round(one.rows.seconds, 3),
                    "shared_s": round(one.shared.seconds, 3),
                    "rows_peak_mib": round(one.rows.peak_mib),
                    "shared_peak_mib": round(one.shared.peak_mib),
                    "gradients_differ_by": one.difference,
                }
                for one in found
            ],
        },
    }


if __name__ == "__main__":
    main()
