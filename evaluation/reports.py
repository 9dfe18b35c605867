"""What every held-out evaluation offers, whatever the judge was asked for: numbers, a line, a table.

Which task it was is read from the metrics, so that the files of a finished run can be shown without its data.
"""

from collections.abc import Mapping

from evaluation import judge, pairs

Metrics = Mapping[str, float]


Report = judge.EvaluationReport | pairs.PairReport

SCORE_FIGURES = {
    "srcc": "evaluation/agreement/srcc",
    "plcc": "evaluation/agreement/plcc",
    "format_rate": "evaluation/format/fraction",
    "spread_across": "evaluation/spread/across",
}
"""What a summary keeps of a scoring judge, by journal key."""

PAIR_ESTIMATES = {"accuracy": "value", "vote": "value", "consistency": "value", "position_bias": "points"}
"""Figures of a pairwise judge that come with an interval, and the statistic that is their value."""
PAIR_FIGURES = {
    "swap_consistency": "evaluation/swap/consistency",
    "format_rate": "evaluation/format/fraction",
}
"""Its other figures, by journal key."""


def is_of_pairs(metrics: Metrics) -> bool:
    """Whether the judge was asked to choose between two answers."""
    return any(key.startswith("evaluation/accuracy/") for key in metrics)


def format_table(evaluations: Mapping[str, Metrics]) -> str:
    """A fixed-width table for a terminal, one row per named evaluation of one task."""
    of_pairs = any(is_of_pairs(metrics) for metrics in evaluations.values())
    return (pairs.format_pair_table if of_pairs else judge.format_table)(evaluations)


def one_line(report: Report) -> str:
    """The figures that matter, in one line; "-" where one is undefined."""
    return judge.one_line(report) if isinstance(report, judge.EvaluationReport) else pairs.one_line(report)


def headline(metrics: Metrics) -> dict[str, float]:
    """The one figure a progress display shows, by the word it shows it under; empty when undefined."""
    key, word = ("evaluation/accuracy/value", "accuracy") if is_of_pairs(metrics) else (SCORE_FIGURES["srcc"], "SRCC")
    return {word: metrics[key]} if key in metrics else {}


def figures(metrics: Metrics) -> dict[str, object]:
    """What a summary keeps of one evaluation; undefined figures are None."""
    if not is_of_pairs(metrics):
        return {name: metrics.get(key) for name, key in SCORE_FIGURES.items()}
    estimates = {name: _estimate(metrics, name, value) for name, value in PAIR_ESTIMATES.items()}
    return estimates | {name: metrics.get(key) for name, key in PAIR_FIGURES.items()}


def _estimate(metrics: Metrics, thing: str, statistic: str) -> dict[str, float] | None:
    keys = {"value": statistic, "low": "low", "high": "high"}
    known = {name: metrics[key] for name, last in keys.items() if (key := f"evaluation/{thing}/{last}") in metrics}
    return known or None
