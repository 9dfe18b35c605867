"""The learning curve of a run as one picture: what the supervised phases did, and what RL added."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

Row = Mapping[str, float | str]
REWARD, SUPERVISED_LOSS = "rewards/total/mean", "supervised/loss"
CORRELATIONS = {
    "evaluation/agreement/srcc": ("held-out SRCC", "tab:green", "o"),
    "evaluation/agreement/plcc": ("held-out PLCC", "tab:orange", "s"),
}


def plot_learning_curve(rows: Sequence[Row], evaluations: Sequence[Row], path: Path, *, title: str) -> None:
    """Draw supervised loss by step, and reward and held-out correlations by RL step, 0 being the cold start."""
    figure = Figure(figsize=(12, 4), layout="constrained")
    FigureCanvasAgg(figure)
    figure.suptitle(title)
    loss, reward, correlation = figure.subplots(1, 3)
    first_rl = min((float(row["global_step"]) for row in rows if row["phase"] == "rl"), default=float("inf"))
    _draw_loss(loss, [row for row in rows if row["phase"] != "rl"])
    _draw(reward, rows, REWARD, origin=first_rl, color="tab:blue")
    reward.set(title="reward", xlabel="RL step", ylabel="mean reward of a step")
    for key, (label, color, marker) in CORRELATIONS.items():
        after = [row for row in evaluations if float(row["global_step"]) >= first_rl]
        _draw(correlation, after, key, origin=first_rl, color=color, marker=marker, label=label)
    correlation.axhline(0.0, color="black", linewidth=0.5)
    correlation.set(title="agreement with opinions", xlabel="RL step (0: cold start)", ylabel="correlation")
    correlation.set_ylim(-0.5, 1.0)
    if correlation.get_legend_handles_labels()[0]:
        correlation.legend(loc="lower right", frameon=False)
    figure.savefig(path, dpi=120)


def _draw_loss(axes: Axes, rows: Sequence[Row]) -> None:
    _draw(axes, rows, SUPERVISED_LOSS, origin=0.0, color="tab:gray")
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
