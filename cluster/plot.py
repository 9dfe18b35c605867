"""The learning curve of a run as one picture: what the supervised phases did, and what RL added."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from evaluation.reports import tasks_of
from rollout.types import Task

Row = Mapping[str, float | str]
REWARD, SUPERVISED_LOSS = "rewards/total/mean", "supervised/loss"
VALIDATION_LOSS = "supervised/validation_loss"


@dataclass(frozen=True, kw_only=True, slots=True)
class Curve:
    """One held-out figure over RL steps."""

    key: str
    label: str
    color: str
    marker: str
    interval: tuple[str, str] | None = None
    """Keys of the ends of its 95 % interval."""


def _with_interval(thing: str, *, label: str, color: str, marker: str) -> Curve:
    ends = (f"evaluation/{thing}/low", f"evaluation/{thing}/high")
    return Curve(key=f"evaluation/{thing}/value", label=label, color=color, marker=marker, interval=ends)


SCORE_CURVES = (
    Curve(key="evaluation/agreement/srcc", label="held-out SRCC", color="tab:green", marker="o"),
    Curve(key="evaluation/agreement/plcc", label="held-out PLCC", color="tab:orange", marker="s"),
)
PAIR_CURVES = (
    _with_interval("accuracy", label="held-out accuracy", color="tab:green", marker="o"),
    _with_interval("consistency", label="reasoning and answer agree", color="tab:orange", marker="s"),
)
DEFECT_CURVES = (
    _with_interval("credit", label="held-out credit", color="tab:green", marker="o"),
    Curve(key="evaluation/type/value", label="type", color="tab:blue", marker="."),
    Curve(key="evaluation/severity/value", label="severity", color="tab:orange", marker="."),
    Curve(key="evaluation/type_and_severity/value", label="type and severity", color="tab:purple", marker="."),
    Curve(key="evaluation/region/value", label="region", color="tab:brown", marker="."),
    Curve(key="evaluation/area/value", label="area, overlap", color="tab:red", marker="."),
)
CHECK_CURVES = (
    _with_interval("balanced", label="held-out balanced accuracy", color="tab:green", marker="o"),
    Curve(key="evaluation/brier/value", label="Brier's score, lower is better", color="tab:red", marker="s"),
)


@dataclass(frozen=True, kw_only=True, slots=True)
class HeldOutPanel:
    """How the held-out figures of one task are drawn."""

    curves: tuple[Curve, ...]
    title: str
    unit: str
    floor: float
    """Lower end of the axis; the upper one is 1."""
    chance: float | None
    """Where a line shows what guessing is worth; None without one such number."""


_PANELS: dict[Task, HeldOutPanel] = {
    "score": HeldOutPanel(
        curves=SCORE_CURVES, title="agreement with opinions", unit="correlation", floor=-0.5, chance=0.0
    ),
    "choice": HeldOutPanel(
        curves=PAIR_CURVES, title="choices between two answers", unit="share", floor=0.0, chance=0.5
    ),
    "defect": HeldOutPanel(curves=DEFECT_CURVES, title="answers about defects", unit="credit", floor=0.0, chance=None),
    "check": HeldOutPanel(curves=CHECK_CURVES, title="yes/no answers", unit="share", floor=0.0, chance=0.5),
}


def plot_learning_curve(rows: Sequence[Row], evaluations: Sequence[Row], path: Path, *, title: str) -> None:
    """Draw supervised loss by step, and reward and held-out figures by RL step, 0 being the cold start."""
    tasks = tuple(dict.fromkeys(task for row in evaluations for task in tasks_of(row))) or ("score",)
    figure = Figure(figsize=(8 + 4 * len(tasks), 4), layout="constrained")
    FigureCanvasAgg(figure)
    figure.suptitle(title)
    loss, reward, *held_out = figure.subplots(1, 2 + len(tasks))
    first_rl = min((float(row["global_step"]) for row in rows if row["phase"] == "rl"), default=float("inf"))
    _draw_loss(loss, [row for row in rows if row["phase"] != "rl"])
    _draw(reward, rows, REWARD, origin=first_rl, color="tab:blue")
    reward.set(title="reward", xlabel="RL step", ylabel="mean reward of a step")
    rl = [row for row in evaluations if float(row["global_step"]) >= first_rl]
    for task, axes in zip(tasks, held_out, strict=True):
        _draw_held_out(axes, rl, panel=_PANELS[task], origin=first_rl)
    figure.savefig(path, dpi=120)


def _draw_held_out(axes: Axes, rows: Sequence[Row], *, panel: HeldOutPanel, origin: float) -> None:
    for curve in panel.curves:
        _draw(axes, rows, curve.key, origin=origin, color=curve.color, marker=curve.marker, label=curve.label)
        known = [row for row in rows if curve.interval is not None and curve.interval[0] in row]
        if curve.interval is not None and known:
            steps = [float(row["global_step"]) - origin for row in known]
            low, high = ([float(row[key]) for row in known] for key in curve.interval)
            axes.fill_between(steps, low, high, color=curve.color, alpha=0.15, linewidth=0)
    if panel.chance is not None:
        axes.axhline(panel.chance, color="black", linewidth=0.5)
    axes.set(title=panel.title, xlabel="RL step (0: cold start)", ylabel=panel.unit)
    axes.set_ylim(panel.floor, 1.0)
    if axes.get_legend_handles_labels()[0]:
        axes.legend(loc="lower right", frameon=False)


def _draw_loss(axes: Axes, rows: Sequence[Row]) -> None:
    _draw(axes, rows, SUPERVISED_LOSS, origin=0.0, color="tab:gray", label="learned from")
    if any(VALIDATION_LOSS in row for row in rows):
        _draw(axes, rows, VALIDATION_LOSS, origin=0.0, color="tab:orange", marker="o", label="held out")
        axes.legend(loc="lower left", frameon=False)
    axes.set(title="supervised loss", xlabel="optimizer step", ylabel="nats per token")
    if not axes.lines:
        return
    axes.set_yscale("log")
    starts: dict[str, float] = {}
    for row in rows:
        starts.setdefault(str(row["phase"]), float(row["global_step"]))
    for phase, step in starts.items():
        axes.axvline(step, color="black", linewidth=0.5, linestyle=":")
        where = (step, 0.98)
        axes.annotate(f" {phase.replace('_', ' ')}", where, xycoords=("data", "axes fraction"), va="top", fontsize=8)


def _draw(
    axes: Axes, rows: Sequence[Row], key: str, *, origin: float, color: str, marker: str = "", label: str = ""
) -> None:
    points = [(float(row["global_step"]) - origin, float(row[key])) for row in rows if key in row]
    if points:
        axes.plot(*zip(*points, strict=True), label=label, color=color, marker=marker, linewidth=1.2)
