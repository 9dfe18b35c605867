"""What every held-out evaluation offers, whatever the judge was asked for: numbers, a line, a table.

Which task it was is read from the metrics, so that the files of a finished run can be shown without its data.
"""

from collections.abc import Callable, Mapping
from dataclasses import asdict

from evaluation import checks, judge, pairs, perception
from evaluation.journal import journal_estimate
from evaluation.mixed import MixedReport, TaskReport, metrics_of_task
from rollout.types import Task

Metrics = Mapping[str, float]
Report = TaskReport | MixedReport

SCORE_FIGURES = {
    "srcc": "evaluation/agreement/srcc",
    "srcc_low": "evaluation/agreement/srcc_low",
    "srcc_high": "evaluation/agreement/srcc_high",
    "plcc": "evaluation/agreement/plcc",
    "plcc_logistic": "evaluation/agreement/plcc_logistic",
    "krcc": "evaluation/agreement/krcc",
    "rmse": "evaluation/agreement/rmse",
    "content_mean_srcc": "evaluation/content_mean/srcc",
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

DEFECT_ESTIMATES = dict.fromkeys(("credit", *perception.TASK_TITLES, "alone", "with_reference"), "value")
"""The same of a judge of defects."""
DEFECT_FIGURES = {
    **{f"{task}_right": f"evaluation/{task}/right" for task in perception.TASK_TITLES},
    "format_rate": "evaluation/format/fraction",
}
"""Its other figures, by journal key."""

CHECK_ESTIMATES = dict.fromkeys(("balanced", "right", "brier"), "value")
"""The same of a judge that answers yes/no questions."""
CHECK_FIGURES = {
    "ece": "evaluation/ece/value",
    "yes_rate": "evaluation/yes/fraction",
    "format_rate": "evaluation/format/fraction",
}
"""Its other figures, by journal key; those of single questions come with them."""

_TELLING_KEYS: Mapping[Task, str] = {
    "score": "evaluation/collapsed/",
    "choice": "evaluation/accuracy/",
    "defect": "evaluation/credit/",
    "check": "evaluation/balanced/",
}
"""Beginnings of journal keys that a report has when and only when it is of a task."""
_ESTIMATES: Mapping[Task, Mapping[str, str]] = {
    "score": {},
    "choice": PAIR_ESTIMATES,
    "defect": DEFECT_ESTIMATES,
    "check": CHECK_ESTIMATES,
}
_FIGURES: Mapping[Task, Mapping[str, str]] = {
    "score": SCORE_FIGURES,
    "choice": PAIR_FIGURES,
    "defect": DEFECT_FIGURES,
    "check": CHECK_FIGURES,
}
_HEADLINES: Mapping[Task, tuple[str, str]] = {
    "score": ("SRCC", SCORE_FIGURES["srcc"]),
    "choice": ("accuracy", "evaluation/accuracy/value"),
    "defect": ("credit", "evaluation/credit/value"),
    "check": ("balanced accuracy", "evaluation/balanced/value"),
}
_TABLES: Mapping[Task, Callable[[Mapping[str, Metrics]], str]] = {
    "score": judge.format_table,
    "choice": pairs.format_pair_table,
    "defect": perception.format_perception_table,
    "check": checks.format_check_table,
}


def tasks_of(metrics: Mapping[str, object]) -> tuple[Task, ...]:
    """What the judge was asked for."""
    return tuple(task for task, keys in _TELLING_KEYS.items() if any(key.startswith(keys) for key in metrics))


def format_table(evaluations: Mapping[str, Metrics]) -> str:
    """Fixed-width tables for a terminal, one row per named evaluation, a table per task."""
    tasks = tuple(dict.fromkeys(task for metrics in evaluations.values() for task in tasks_of(metrics)))
    return "\n\n".join(
        _TABLES[task]({name: metrics_of_task(metrics, task=task) for name, metrics in evaluations.items()})
        for task in tasks
    )


def one_line(report: Report) -> str:
    """The figures that matter, in one line; "-" where one is undefined."""
    if isinstance(report, MixedReport):
        return "; ".join(f"{task}: {one_line(one)}" for task, one in report.by_task.items())
    if isinstance(report, perception.PerceptionReport):
        return perception.one_line(report)
    if isinstance(report, checks.CheckReport):
        return checks.one_line(report)
    return judge.one_line(report) if isinstance(report, judge.EvaluationReport) else pairs.one_line(report)


def headline(metrics: Metrics) -> dict[str, float]:
    """The one figure per task a progress display shows, by the word it shows it under; undefined ones are left out."""
    shown = (_HEADLINES[task] for task in tasks_of(metrics))
    return {word: metrics[key] for word, key in shown if key in metrics}


def figures(metrics: Metrics) -> dict[str, object]:
    """What a summary keeps of one evaluation; undefined figures are None."""
    by_task = {task: _figures(metrics_of_task(metrics, task=task), task=task) for task in tasks_of(metrics)}
    if len(by_task) > 1:
        for task, found in by_task.items():
            found[f"{task}_format_rate"] = found.pop("format_rate")
    return {name: value for found in by_task.values() for name, value in found.items()}


def _figures(metrics: Metrics, *, task: Task) -> dict[str, object]:
    estimates: dict[str, object] = {
        name: None if (found := journal_estimate(metrics, name, statistic=statistic)) is None else asdict(found)
        for name, statistic in _ESTIMATES[task].items()
    }
    of_questions: dict[str, object] = {"by_question": checks.questions(metrics)} if task == "check" else {}
    return estimates | {name: metrics.get(key) for name, key in _FIGURES[task].items()} | of_questions
