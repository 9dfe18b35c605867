"""The health of a data set for people: a summary for the terminal, and a Markdown page with a picture."""

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from rollout.datasets.health import Finding, Health, Labels
from rollout.datasets.lookalikes import MAX_BITS

PAGE, PICTURE = "health.md", "labels.png"
MOST_LISTED = 50
"""Findings of each kind on the page; the others are counted."""
_NUM_BARS = 16
_BARS = " ▁▂▃▄▅▆▇█"
_MEANINGS = {"equal": "equal pixels", "alike": "look alike, different scenes", "scene": "one scene in two splits"}


def health_summary(health: Health) -> str:
    """Some lines: labels by split and data set, sizes, and how much is the same."""
    header = (
        f"{'split':<10} {'data set':<16} {'rows':>7} {'scenes':>7} {'lowest':>8} {'mean':>8} {'highest':>8}  labels"
    )
    rows = [
        f"{one.split:<10} {one.dataset_name:<16} {len(one.values):>7} {one.num_scenes:>7} "
        f"{min(one.values):>8.3f} {np.mean(one.values):>8.3f} {max(one.values):>8.3f}  {_bars(one.values)}"
        for one in health.labels
    ]
    return "\n".join([header, *rows, *(f"{name}: {value}" for name, value in _facts(health))])


def write_health_page(health: Health, *, folder: Path) -> Path:
    """Write the page and its picture into ``folder``; returns the page."""
    folder.mkdir(parents=True, exist_ok=True)
    _draw(health.labels, folder / PICTURE)
    page = folder / PAGE
    page.write_text("\n".join(_page(health)) + "\n", encoding="utf-8")
    return page


def _facts(health: Health) -> Iterator[tuple[str, str]]:
    sizes = [f"{width}x{height} ({count})" for (width, height), count in health.sizes.most_common(5)]
    others = len(health.sizes) - len(sizes)
    yield "sizes", ", ".join(sizes) + (f", {others} others" if others else "") if sizes else "none"
    yield "unreadable", str(len(health.problems))
    for kind in ("equal", "alike"):
        within, across = health.count(kind, across=False), health.count(kind, across=True)
        yield _MEANINGS[kind], f"{within} within a split, {across} across splits"
    yield _MEANINGS["scene"], str(health.count("scene", across=True))


def _page(health: Health) -> Iterator[str]:
    yield from ("# Data health", "", f"![labels]({PICTURE})", "")
    yield from (
        "| split | data set | rows | scenes | lowest | mean | highest | spread | with std |",
        "|---|---|---|---|---|---|---|---|---|",
    )
    for one in health.labels:
        numbers = (min(one.values), np.mean(one.values), max(one.values), np.std(one.values))
        cells = [one.split, one.dataset_name, str(len(one.values)), str(one.num_scenes)]
        yield f"| {' | '.join([*cells, *(f'{number:.4g}' for number in numbers), str(one.num_with_std)])} |"
    yield from ("", *(f"* {name}: {value}" for name, value in _facts(health)), "")
    yield f"Look-alikes differ in at most {MAX_BITS} of 64 places of a difference hash and little in a small grey copy."
    for kind, meaning in _MEANINGS.items():
        findings = [one for one in health.findings if one.kind == kind]
        yield from _listed(meaning, [_line(one) for one in sorted(findings, key=lambda one: not one.crosses_splits)])
    yield from _listed("unreadable", [f"{problem.where}: {problem.what}" for problem in health.problems])


def _listed(title: str, lines: Sequence[str]) -> Iterator[str]:
    if not lines:
        return
    yield from ("", f"## {title} ({len(lines)})", "", *(f"* {line}" for line in lines[:MOST_LISTED]))
    if len(lines) > MOST_LISTED:
        yield f"* ... and {len(lines) - MOST_LISTED} more"


def _line(finding: Finding) -> str:
    first, second = (
        f"{one.split}: {one.row.dataset_name}/{one.row.media} ({one.row.label:g})"
        for one in (finding.first, finding.second)
    )
    return f"{'**leaks** ' if finding.crosses_splits else ''}{first} and {second}"


def _bars(values: Sequence[float]) -> str:
    counts, _ = np.histogram(values, bins=_NUM_BARS)
    tops = np.ceil(counts / max(counts.max(), 1) * (len(_BARS) - 1)).astype(int)
    return "".join(_BARS[top] for top in tops)


def _draw(labels: Sequence[Labels], path: Path) -> None:
    """A histogram of labels for each split and data set, on one axis per data set."""
    names = list(dict.fromkeys(one.dataset_name for one in labels))
    figure = Figure(figsize=(4 * len(names), 3), layout="constrained")
    FigureCanvasAgg(figure)
    for name, axes in zip(names, figure.subplots(1, len(names), squeeze=False)[0], strict=True):
        for one in labels:
            if one.dataset_name == name:
                axes.hist(one.values, bins=40, density=True, histtype="step", label=f"{one.split} ({len(one.values)})")
        axes.set(title=name, xlabel="label", ylabel="density")
        axes.legend(frameon=False, fontsize=8)
    figure.savefig(path, dpi=120)
