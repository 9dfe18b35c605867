"""The learning curve of a run as one picture."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

Row = Mapping[str, float | str]
REWARD, SUPERVISED_LOSS = "rewards/total/mean", "supervised/loss"


def plot_learning_curve(rows: Sequence[Row], evaluations: Sequence[Row], path: Path, *, title: str) -> None:
    """Draw supervised loss, RL reward and held-out correlations over the run's optimizer steps."""
    figure = Figure(figsize=(9, 6.5), layout="constrained")
    FigureCanvasAgg(figure)
    upper, lower = figure.subplots(2, 1, sharex=True)
    upper.set_title(title)
    _line(upper, rows, SUPERVISED_LOSS, "supervised loss (nats per token)", color="tab:gray")
    upper.set_ylabel("supervised loss")
    reward = upper.twinx()
    _line(reward, rows, REWARD, "mean reward", color="tab:blue")
    reward.set_ylabel("reward", color="tab:blue")
    for key, color in (
        ("evaluation/agreement/srcc", "tab:green"),
        ("evaluation/agreement/plcc", "tab:olive"),
    ):
        _line(lower, evaluations, key, f"held-out {key.rsplit('/', 1)[1].upper()}", color=color, marker="o")
    lower.axhline(0.0, color="black", linewidth=0.5)
    lower.set(ylim=(-1.05, 1.05), ylabel="correlation", xlabel="optimizer step")
    _mark_phases((upper, lower), rows)
    if lower.get_legend_handles_labels()[0]:
        lower.legend(loc="lower right", frameon=False)
    figure.savefig(path, dpi=120)


def _line(axes: Axes, rows: Sequence[Row], key: str, label: str, *, color: str, marker: str = "") -> None:
    points = [(row["global_step"], row[key]) for row in rows if row.get(key) is not None]
    if points:
        axes.plot(*zip(*points, strict=True), label=label, color=color, marker=marker, linewidth=1.2)


def _mark_phases(axes: Sequence[Axes], rows: Sequence[Row]) -> None:
    starts: dict[str, float] = {}
    for row in rows:
        starts.setdefault(str(row["phase"]), float(row["global_step"]))
    for phase, step in starts.items():
        for one in axes:
            one.axvline(step, color="black", linewidth=0.5, linestyle=":")
        axes[0].annotate(
            phase.replace("_", " "), (step, 1.0), xycoords=("data", "axes fraction"), va="bottom", fontsize=8
        )
