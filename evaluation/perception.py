"""How well does the policy see what is wrong with a picture? Completions on a test split in, a report out.

    groups -> parse -> findings -> credit and right or wrong, by task -> intervals over pictures

Credit is ``rewards.findings.credit`` with graded severities, so it means accuracy for type and region and mean
intersection over union for areas. A completion without a finding earns nothing. All questions about one picture are
one cluster.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import chain

from evaluation.intervals import Estimate, mean_share
from evaluation.journal import journal_estimate, journal_values
from evaluation.tables import aligned, percent, percent_interval
from rewards.findings import credit, is_right
from rewards.tags import STATUSES, ParsedAnswer, Status, parse_group
from rollout.types import DefectTask, RolloutGroup

TASK_TITLES: dict[DefectTask, str] = {
    "type": "type",
    "severity": "severity",
    "type_and_severity": "type and severity",
    "region": "region",
    "area": "area",
}
"""What tables call the tasks, in their order."""


@dataclass(frozen=True, kw_only=True, slots=True)
class QuestionRow:
    """One question, and what every completion answered."""

    prompt_id: str
    picture_id: str
    source: str
    task: DefectTask
    shows_reference: bool
    truth: str
    answers: tuple[str | None, ...]
    """In completion order; None where it cannot be read."""
    statuses: tuple[Status, ...]
    credits: tuple[float, ...]
    are_right: tuple[bool, ...]
    """Wholly right, or a box with at least half of the overlap."""

    @property
    def credit(self) -> float:
        """Mean over the completions."""
        return sum(self.credits) / len(self.credits)

    @property
    def share_right(self) -> float:
        """Share of right completions."""
        return sum(self.are_right) / len(self.are_right)

    @property
    def cluster(self) -> str:
        """The picture, told apart from equal names in another source."""
        return f"{self.source}/{self.picture_id}"


@dataclass(frozen=True, kw_only=True, slots=True)
class TaskFigures:
    """One kind of question in numbers."""

    num_questions: int
    num_unparsed: int
    """Completions without a finding."""
    credit: Estimate
    """Mean over questions."""
    right: Estimate
    """Share of right completions; for areas of those with an intersection over union of at least one half."""


@dataclass(frozen=True, kw_only=True, slots=True)
class PerceptionReport:
    """What one evaluation found. Rates are shares of completions; intervals hold 95 % and are resampled by picture."""

    num_prompts: int
    num_pictures: int
    num_completions: int
    num_by_status: Mapping[Status, int]
    """Completions by parser status, every status named."""
    credit: Estimate
    """Over all questions alike."""
    by_task: Mapping[DefectTask, TaskFigures]
    """Those that were asked."""
    alone: Estimate | None
    """Credit of questions about one picture alone; None without one."""
    with_reference: Estimate | None
    """Credit of questions that show the undistorted picture too; None without one."""
    format_rate: float
    truncated_rate: float
    rows: tuple[QuestionRow, ...]

    @property
    def num_unparsed(self) -> int:
        """Completions without a finding."""
        return self.num_completions - self.num_by_status["ok"]

    def to_dict(self) -> dict[str, object]:
        """Plain values for JSON; undefined numbers are None."""
        return asdict(self)

    def metrics(self) -> dict[str, float]:
        """Journal values as ``evaluation/thing/statistic``; undefined ones have no key."""
        values = {**journal_values("credit", self.credit)}
        for task, figures in self.by_task.items():
            values |= journal_values(task, figures.credit)
            values[f"evaluation/{task}/right"] = figures.right.value
        return values | {
            **journal_values("alone", self.alone),
            **journal_values("with_reference", self.with_reference),
            "evaluation/format/fraction": self.format_rate,
            "evaluation/truncated/fraction": self.truncated_rate,
            "evaluation/unparsed/fraction": self.num_unparsed / self.num_completions,
        }


def evaluate_perception(groups: Sequence[RolloutGroup]) -> PerceptionReport:
    """Judge the answers to questions about defects.

    Raises:
        ValueError: There is no group, or one without completions or of another task.
    """
    answers = [parse_group(group) for group in groups]
    rows = tuple(_row(group, row) for group, row in zip(groups, answers, strict=True))
    if not rows:
        raise ValueError("an evaluation needs completions, got no groups")
    parsed = list(chain.from_iterable(answers))
    return PerceptionReport(
        num_prompts=len(rows),
        num_pictures=len({row.cluster for row in rows}),
        num_completions=len(parsed),
        num_by_status={status: sum(answer.status == status for answer in parsed) for status in STATUSES},
        credit=_mean(rows, lambda row: row.credit),
        by_task={task: _figures(chosen) for task in TASK_TITLES if (chosen := [r for r in rows if r.task == task])},
        alone=_credit_where([row for row in rows if not row.shows_reference]),
        with_reference=_credit_where([row for row in rows if row.shows_reference]),
        format_rate=sum(answer.has_format for answer in parsed) / len(parsed),
        truncated_rate=sum(c.is_truncated for group in groups for c in group.completions) / len(parsed),
        rows=rows,
    )


def one_line(report: PerceptionReport) -> str:
    """An evaluation in one line."""
    tasks = " ".join(f"{TASK_TITLES[task]} {percent(one.credit.value)}" for task, one in report.by_task.items())
    return (
        f"credit {percent_interval(report.credit)} % ({tasks}) format {percent(report.format_rate)} % "
        f"unparsed {report.num_unparsed}/{report.num_completions}"
    )


def format_perception_table(evaluations: Mapping[str, Mapping[str, float]]) -> str:
    """A fixed-width table for a terminal, one row per named ``PerceptionReport.metrics()``; "-" where undefined.

    Columns are credit in per cent, over all questions with its 95 % interval and then by task; ``found`` is the share
    of areas with an intersection over union of at least one half.
    """
    header = ("", "credit %", *TASK_TITLES.values(), "found", "format %", "unparsed %")
    return "\n".join(aligned([header, *(_table_row(name, values) for name, values in evaluations.items())]))


def _row(group: RolloutGroup, answers: Sequence[ParsedAnswer]) -> QuestionRow:
    prompt, defect = group.prompt, group.prompt.defect
    if not answers:
        raise ValueError(f"prompt {prompt.prompt_id!r} has no completions; an evaluation needs one at least")
    findings = [answer.finding for answer in answers]
    return QuestionRow(
        prompt_id=prompt.prompt_id,
        picture_id=defect.picture_id,
        source=prompt.source,
        task=defect.task,
        shows_reference=defect.shows_reference,
        truth=defect.finding.words,
        answers=tuple(None if finding is None else finding.words for finding in findings),
        statuses=tuple(answer.status for answer in answers),
        credits=tuple(credit(finding, defect=defect, severity="graded") for finding in findings),
        are_right=tuple(is_right(finding, defect=defect) for finding in findings),
    )


def _figures(rows: Sequence[QuestionRow]) -> TaskFigures:
    return TaskFigures(
        num_questions=len(rows),
        num_unparsed=sum(answer is None for row in rows for answer in row.answers),
        credit=_mean(rows, lambda row: row.credit),
        right=_mean(rows, lambda row: row.share_right),
    )


def _credit_where(rows: Sequence[QuestionRow]) -> Estimate | None:
    return _mean(rows, lambda row: row.credit) if rows else None


def _mean(rows: Sequence[QuestionRow], value: Callable[[QuestionRow], float]) -> Estimate:
    return mean_share((value(row), row.cluster) for row in rows)


def _table_row(name: str, values: Mapping[str, float]) -> tuple[str, ...]:
    return (
        name,
        percent_interval(journal_estimate(values, "credit")),
        *(percent(values.get(f"evaluation/{task}/value")) for task in TASK_TITLES),
        percent(values.get("evaluation/area/right")),
        percent(values["evaluation/format/fraction"]),
        percent(values["evaluation/unparsed/fraction"]),
    )
