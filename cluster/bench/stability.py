"""Which algorithm stands an aggressive learning rate? ``make bench-stability``.

    demo_pairs up to the cold start, per seed --> model --> RL by every variant --> accuracy over steps, table, picture

Every variant starts from the same cold start of its seed and takes four optimizer steps per batch at two and a half
times the demo's learning rate, so that the ratios of new to old probabilities leave 1, which the guards are about.
"""

import argparse
import json
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from rich.console import Console

from cluster.bench.runs import has_failed, is_finished, side_by_side, train_into
from cluster.journal import METRICS_FILE, read_rows
from cluster.records import RunRecords
from evaluation.tables import aligned

FOLDER = Path("runs/bench/stability")
AGGRESSIVE = (
    "learner.learning_rate=5.0e-4", "algorithm.num_minibatches=4", "loop.num_steps=24", "loop.evaluate_every=6",
    "loop.checkpoint_every=0", "warm_up.num_steps=0", "cold_start.num_steps=0", "model.size=null",
    "evaluation.num_prompts=256", "evaluation.num_completions=1", "cluster.cpu_threads_per_actor=1",
)  # fmt: skip
NO_PRE_CLIP = "algorithm.max_log_ratio=20.0"
NO_FILTER = "algorithm.filter=none"
VARIANTS: Mapping[str, Sequence[str]] = {
    "reinforce_pp": ("algorithm=reinforce_pp", NO_PRE_CLIP),
    "grpo": ("algorithm=grpo", NO_PRE_CLIP),
    "stable_reinforce": ("algorithm=stable_reinforce",),
    "stable_reinforce without pre-clip": ("algorithm=stable_reinforce", NO_PRE_CLIP),
    "stable_reinforce without filter": ("algorithm=stable_reinforce", NO_FILTER),
    "stable_reinforce without both": ("algorithm=stable_reinforce", NO_PRE_CLIP, NO_FILTER),
}


def main(arguments: Sequence[str] | None = None) -> None:
    """Run what is missing, then print the table and draw the picture."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=3, help="seeds 0 to N - 1")
    parser.add_argument("--starts", type=Path, nargs="+", help="cold-started models by seed; made where not given")
    parser.add_argument("--jobs", type=int, default=1, help="runs side by side, each on one core per actor")
    parser.add_argument("--picture", type=Path, default=FOLDER / "stability.png", help="where the curves are drawn")
    given = parser.parse_args(arguments)
    console = Console(highlight=False, markup=False)
    starts = given.starts or [
        _finished(FOLDER / f"start-{seed}", ["loop.num_steps=0"], seed=seed, console=console) / "model"
        for seed in range(given.seeds)
    ]
    side_by_side(
        [
            partial(
                _finished,
                _folder(name, seed),
                [*variant, *AGGRESSIVE, f"model.path={start}"],
                seed=seed,
                console=console,
            )
            for seed, start in enumerate(starts)
            for name, variant in VARIANTS.items()
        ],
        num_jobs=given.jobs,
    )
    curves = {name: [_accuracies(_folder(name, seed)) for seed in range(len(starts))] for name in VARIANTS}
    console.print("\n".join(aligned([_HEADER, *(_row(name, curves[name]) for name in VARIANTS)])), soft_wrap=True)
    draw(curves, given.picture)
    console.print(f"picture {given.picture}", soft_wrap=True)


_HEADER = (
    "variant", "last accuracy %, by seed", "mean", "best, mean", "worst drop", "pre-clipped %", "filtered %", "failed",
)  # fmt: skip


def _folder(name: str, seed: int) -> Path:
    return FOLDER / f"{name.replace(' ', '-')}-{seed}"


def _finished(folder: Path, overrides: Sequence[str], *, seed: int, console: Console) -> Path:
    """Run the recipe into ``folder`` unless it was run before; a run that fails has its curve up to there."""
    if not is_finished(folder) and not has_failed(folder):
        console.print(f"running {folder.name}")
        train_into(folder, overrides, recipe="demo_pairs", seed=seed)
    return folder


def _accuracies(folder: Path) -> dict[int, float]:
    """Held-out accuracy by RL step; 0 is the cold start."""
    rows = [row for row in read_rows(folder / METRICS_FILE) if row["phase"] == "rl"]
    if not rows:
        return {}
    first = float(rows[0]["global_step"])
    key = "evaluation/accuracy/value"
    return {
        int(float(row["global_step"]) - first): float(row[key])
        for row in RunRecords(folder).evaluations()
        if key in row and float(row["global_step"]) >= first
    }


_GUARDS = ("learner/clip/clamped_fraction", "learner/filter/token_fraction")
"""Shares of tokens that the pre-clip and the filter took."""


def _mean_over_steps(name: str, key: str, *, num_seeds: int) -> float:
    rows = [row for seed in range(num_seeds) for row in read_rows(_folder(name, seed) / METRICS_FILE)]
    return float(np.mean([float(row[key]) for row in rows if key in row] or [0.0]))


def _row(name: str, curves: Sequence[Mapping[int, float]]) -> tuple[str, ...]:
    known = [list(curve.values()) for curve in curves if curve]
    if not known:
        return (name, *["-"] * (len(_HEADER) - 2), str(len(curves)))
    lasts = [values[-1] for values in known]
    num_failed = sum(has_failed(_folder(name, seed)) for seed in range(len(curves)))
    return (
        name,
        " ".join(f"{100 * value:.1f}" for value in lasts),
        f"{100 * np.mean(lasts):.1f}",
        f"{100 * np.mean([max(values) for values in known]):.1f}",
        f"{100 * max(max(values) - values[-1] for values in known):.1f}",
        *(f"{100 * _mean_over_steps(name, key, num_seeds=len(curves)):.3f}" for key in _GUARDS),
        str(num_failed),
    )


def draw(curves: Mapping[str, Sequence[Mapping[int, float]]], path: Path) -> None:
    """One panel per variant, one line per seed."""
    figure = Figure(figsize=(15, 3.2), layout="constrained")
    FigureCanvasAgg(figure)
    panels = figure.subplots(1, len(curves), sharey=True)
    for axes, (name, seeds) in zip(np.atleast_1d(panels), curves.items(), strict=True):
        for seed, curve in enumerate(seeds):
            axes.plot(list(curve), list(curve.values()), marker="o", markersize=3, linewidth=1.2, label=f"seed {seed}")
        axes.axhline(0.5, color="black", linewidth=0.5)
        axes.set_title(name.replace(" without", "\nwithout"), fontsize=9)
        axes.set(xlabel="RL step", ylim=(0.4, 1.0))
    panels[0].set_ylabel("held-out accuracy")
    panels[-1].legend(loc="upper right", frameon=False, fontsize=8)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=120)
    (path.parent / "stability.json").write_text(json.dumps(curves, indent=2))


if __name__ == "__main__":
    main()
