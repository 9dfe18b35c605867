"""The tables of ``make results`` as a page, and as a picture. Text and drawing only; no run is started here."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from evaluation.tables import decimals, markdown, percent


@dataclass(frozen=True, kw_only=True, slots=True)
class Figures:
    """What one judge reaches on the held-out crops; None where undefined."""

    srcc: float | None
    plcc: float | None
    format: float | None
    """Share of answers in the form asked for."""
    credit: float | None = None
    """Of a judge that answers questions about defects."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Tables:
    """Figures by run and seed; None where a run is missing."""

    figures: Mapping[str, Sequence[Figures | None]]

    def srccs(self, key: str) -> list[float]:
        """The defined ones, by seed."""
        return [one.srcc for one in self.figures[key] if one is not None and one.srcc is not None]

    def means(self) -> dict[str, float]:
        """Mean SRCC over the seeds, of what has one."""
        return {key: round(float(np.mean(self.srccs(key))), 3) for key in self.figures if self.srccs(key)}


@dataclass(frozen=True, kw_only=True, slots=True)
class _Section:
    title: str
    says: str
    rows: tuple[tuple[str, str], ...]
    """Key and name of each row."""


SECTIONS = (
    _Section(
        title="Recipes",
        says="One cold start per seed, which teaches the form of the answer with random scores. From it, supervised "
        "fine-tuning on true scores and RL with the same compute. Refine-IQA's two stages start from nothing.",
        rows=(
            ("start", "cold start"),
            ("sft", "SFT only"),
            ("rl2r", "RL2R"),
            ("rapo", "RAPO"),
            ("stage2", "Refine-IQA, stage 1 then 2"),
        ),
    ),
    _Section(
        title="Rewards",
        says="The same cold start and steps; beside the format, the reward is",
        rows=(("binary", "binary"), ("error", "error"), ("rl2r", "rank"), ("rapo", "rank + error")),
    ),
    _Section(
        title="Thinking",
        says="Rank + error, with a think block that names the defect and without one.",
        rows=(("rapo", "thinking"), ("rapo-brief", "no thinking")),
    ),
    _Section(
        title="Reading the answer",
        says="One judge (rank + error), one answer to each crop, by `arbiter score`; the first row is the mean of "
        "eight sampled answers, as in the tables above.",
        rows=(
            ("rapo", "mean of eight samples"),
            ("greedy", "numeric, greedy"),
            ("expectation", "expectation over the integer digit"),
            ("tenths", "expectation over two digits"),
        ),
    ),
)
_HEADER = ("", "SRCC, mean", "lowest to highest", "by seed", "PLCC, mean", "format %, mean")


def page(tables: Tables, *, num_steps: int, sft_steps: int, remarks: str) -> str:
    """The page, whole."""
    parts = [_INTRODUCTION.format(num_steps=num_steps, sft_steps=sft_steps)]
    for section in SECTIONS:
        rows = [_row(name, tables.figures[key]) for key, name in section.rows]
        parts.append("\n".join([f"## {section.title}", "", section.says, "", *markdown([_HEADER, *rows])]))
    earned = [one.credit for one in tables.figures["stage1"] if one is not None and one.credit is not None]
    told = ", ".join(percent(credit) for credit in earned) or "-"
    parts.append(f"Credit of stage 1 for its questions about defects, in per cent by seed: {told}.")
    return "\n\n".join([*parts, remarks.strip()]).rstrip() + "\n"


def _row(name: str, seeds: Sequence[Figures | None]) -> tuple[str, ...]:
    known = [one for one in seeds if one is not None]
    srccs = [one.srcc for one in known if one.srcc is not None]
    ends = f"{min(srccs):.3f} to {max(srccs):.3f}" if srccs else "-"
    return (
        name,
        decimals(_mean(srccs), num_digits=3),
        ends,
        " ".join(decimals(None if one is None else one.srcc, num_digits=3) for one in seeds),
        decimals(_mean([one.plcc for one in known if one.plcc is not None]), num_digits=3),
        percent(_mean([one.format for one in known if one.format is not None])),
    )


def _mean(values: Sequence[float]) -> float | None:
    return float(np.mean(values)) if values else None


_INTRODUCTION = """\
# Results

What each way to train a scoring judge is worth on the demo's task, made by `make results`: a judge of 1.5 million
parameters, 56-pixel crops of photographs with real distortions and synthetic opinion scores, {num_steps} RL steps of 24
pictures x 8 completions. All judges score the same 192 crops of four photographs that no training showed; a score is
the mean of eight sampled answers, those off the scale left out. "SFT only" takes {sft_steps} steps of 32: the sequences
RL learns from times 5/3, since RL also samples them and scores them under the reference. These are tiny judges and
synthetic labels: the table compares recipes, it does not foretell figures of a 7B model.

![SRCC by recipe](results.png)"""


def draw(tables: Tables, path: Path) -> None:
    """One panel per section: a dot per seed, a line at the mean."""
    figure = Figure(figsize=(13, 3.4), layout="constrained")
    FigureCanvasAgg(figure)
    widths = [len(section.rows) for section in SECTIONS]
    for axes, section in zip(
        figure.subplots(1, len(SECTIONS), sharey=True, width_ratios=widths), SECTIONS, strict=True
    ):
        for place, (key, _) in enumerate(section.rows):
            srccs = tables.srccs(key)
            axes.plot([place] * len(srccs), srccs, "o", color="tab:blue", alpha=0.7)
            if srccs:
                axes.hlines(np.mean(srccs), place - 0.3, place + 0.3, color="tab:blue")
        axes.axhline(0.0, color="black", linewidth=0.5)
        axes.set_xticks(
            range(len(section.rows)), [name for _, name in section.rows], rotation=25, ha="right", fontsize=8
        )
        axes.set_title(section.title, fontsize=10)
        axes.set_xlim(-0.6, len(section.rows) - 0.4)
    figure.axes[0].set_ylabel("held-out SRCC")
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=120)
