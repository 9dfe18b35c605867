"""Judge's scores against opinions as one picture, with the fitted logistic curve."""

from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from evaluation.judge import EvaluationReport, PictureRow
from evaluation.tables import decimals

MOST_COLOURS = 10
"""Data sets told apart by colour; more share one."""


def draw_scatter(report: EvaluationReport, path: Path, *, title: str) -> None:
    """Draw every picture that has a score."""
    figure = Figure(figsize=(6.4, 5.6), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots()
    _draw_points(axes, [picture for picture in report.pictures if picture.score is not None])
    _draw_curve(axes, report)
    axes.set(title=f"{title}\n{_figures(report)}", xlabel="judge's score", ylabel="opinion score")
    if axes.get_legend_handles_labels()[0]:
        axes.legend(frameon=False, fontsize=8)
    figure.savefig(path, dpi=120)


def _draw_points(axes: Axes, scored: list[PictureRow]) -> None:
    sources = sorted({picture.source for picture in scored})
    size = float(np.clip(4000 / max(len(scored), 1), 4, 24))
    for number, source in enumerate(sources):
        shown = [(picture.score, picture.opinion) for picture in scored if picture.source == source]
        scores_N, opinions_N = np.array(shown, dtype=np.float64).T
        axes.scatter(
            scores_N,
            opinions_N,
            s=size,
            alpha=0.5,
            linewidths=0,
            color=f"C{number % MOST_COLOURS}",
            label=f"{source} ({len(shown)})",
        )


def _draw_curve(axes: Axes, report: EvaluationReport) -> None:
    scores = [picture.score for picture in report.pictures if picture.score is not None]
    if report.logistic.curve is None or not scores:
        axes.plot([], [], color="black", label=f"no logistic curve: {report.logistic.status}")
        return
    along_N = np.linspace(min(scores), max(scores), 200)
    axes.plot(along_N, report.logistic.curve.at(along_N), color="black", linewidth=1.2, label="logistic fit")


def _figures(report: EvaluationReport) -> str:
    fitted = decimals(report.agreement.plcc_logistic, num_digits=3)
    return (
        f"SRCC {decimals(report.srcc, num_digits=3)}  PLCC {decimals(report.plcc, num_digits=3)} "
        f"({fitted} after the fit)  {report.num_without_score} of {report.num_prompts} without a score"
    )
