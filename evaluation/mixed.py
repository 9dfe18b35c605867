"""A policy that is asked for several things: one report for each task, and what they have in common.

The figures of a task keep their names. Formats, truncations and unreadable answers are given over all completions, and
for each task under the task's name.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from evaluation.checks import CheckReport
from evaluation.judge import EvaluationReport
from evaluation.pairs import PairReport
from evaluation.perception import PerceptionReport
from rollout.types import Task

TaskReport = EvaluationReport | PairReport | PerceptionReport | CheckReport
SHARED = ("format", "truncated", "unparsed")
"""Things every report has the fraction of completions for."""


@dataclass(frozen=True, kw_only=True, slots=True)
class MixedReport:
    """What one evaluation found, by what was asked for."""

    by_task: Mapping[Task, TaskReport]
    """Two tasks at least."""

    def to_dict(self) -> dict[str, object]:
        """Plain values for JSON; undefined numbers are None."""
        return {task: report.to_dict() for task, report in self.by_task.items()}

    def metrics(self) -> dict[str, float]:
        """Journal values as ``evaluation/thing/statistic``; undefined ones have no key."""
        by_task = {task: report.metrics() for task, report in self.by_task.items()}
        values = {key: value for metrics in by_task.values() for key, value in metrics.items()}
        sizes = {task: report.num_completions for task, report in self.by_task.items()}
        for thing in SHARED:
            shares = {task: metrics[fraction_key(thing)] for task, metrics in by_task.items()}
            values[fraction_key(thing)] = sum(sizes[task] * shares[task] for task in sizes) / sum(sizes.values())
            values |= {fraction_key(thing, task=task): share for task, share in shares.items()}
        return values


def fraction_key(thing: str, *, task: Task | None = None) -> str:
    """Where the journal keeps a share of completions: of all, or of those of one task."""
    return f"evaluation/{thing}/{'fraction' if task is None else task}"


def metrics_of_task(metrics: Mapping[str, float], *, task: Task) -> dict[str, float]:
    """The metrics as if nothing but ``task`` had been asked for."""
    own = {fraction_key(thing): fraction_key(thing, task=task) for thing in SHARED}
    return {**metrics, **{key: metrics[mine] for key, mine in own.items() if mine in metrics}}
