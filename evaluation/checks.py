"""How well does the policy answer yes/no questions? Completions on a test split in, a report out.

    groups -> yes, no or neither -> right or wrong, by question -> balanced over yes and no and over questions
           -> probability of yes, where it was watched -> Brier's score, calibration error

A completion that is neither word is wrong. The balanced accuracy counts every question alike, and in a question the
pictures whose answer is yes as much as those whose answer is no, so that one word for everything gives 50 %. All
questions about one picture are one cluster.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import chain

import numpy as np
from numpy.typing import NDArray

from evaluation.bootstrap import bootstrap_statistic
from evaluation.intervals import Estimate, mean_share
from evaluation.journal import journal_estimate, journal_values
from evaluation.tables import aligned, decimals, percent, percent_interval
from rewards.checklist.answers import NO_WORD, YES_WORD, read_logprobs
from rewards.tags import STATUSES, ParsedAnswer, Status, parse_group
from rollout.types import RolloutGroup

Array = NDArray[np.float64]

WATCHED = (YES_WORD, NO_WORD)
"""What the engines watch, so that probabilities are known."""
NUM_BINS = 10
"""Of equal width, which the calibration error compares the probability and the share of yes in."""
_NUM_RESAMPLES = 1000
_SEED = 0
_QUESTION = "evaluation/question."
"""Journal keys of single questions begin so."""


@dataclass(frozen=True, kw_only=True, slots=True)
class CheckRow:
    """One question, and what every completion answered."""

    prompt_id: str
    picture_id: str
    source: str
    question_id: str
    is_yes: bool
    """The truth."""
    answers: tuple[bool | None, ...]
    """In completion order; None for neither word."""
    p_yes: float | None
    """P(yes) / (P(yes) + P(no)) of the first token, as sampled from; None where it was not watched."""

    @property
    def share_right(self) -> float:
        """Share of right completions."""
        return sum(answer == self.is_yes for answer in self.answers) / len(self.answers)

    @property
    def brier(self) -> float | None:
        """Squared error of the probability."""
        return None if self.p_yes is None else (self.p_yes - self.is_yes) ** 2

    @property
    def cluster(self) -> str:
        """The picture, told apart from equal names in another source."""
        return f"{self.source}/{self.picture_id}"


@dataclass(frozen=True, kw_only=True, slots=True)
class QuestionFigures:
    """One question in numbers."""

    num_yes: int
    """Prompts whose answer is yes."""
    num_no: int
    num_unparsed: int
    """Completions that are neither word."""
    right: Estimate
    """Share of right completions."""
    brier: float | None
    """Mean squared error of the probability of yes; None where it was not watched."""
    calibration_error: float | None


@dataclass(frozen=True, kw_only=True, slots=True)
class CheckReport:
    """What one evaluation found. Rates are shares of completions; intervals hold 95 % and are resampled by picture."""

    num_prompts: int
    num_pictures: int
    num_completions: int
    num_by_status: Mapping[Status, int]
    """Completions by parser status, every status named."""
    balanced: Estimate
    """Mean over questions of the mean accuracy on yes and on no."""
    right: Estimate
    """Share of right completions, over all prompts alike."""
    yes_rate: float
    """Share of completions that say yes."""
    brier: Estimate | None
    """Mean squared error of the probability of yes, 0.25 for always saying a half; None where it was not watched."""
    calibration_error: float | None
    """Mean distance of the probability from the share of yes, by bins (ECE); it is above 0 by chance alone where bins
    hold few prompts."""
    by_question: Mapping[str, QuestionFigures]
    format_rate: float
    truncated_rate: float
    rows: tuple[CheckRow, ...]

    @property
    def num_unparsed(self) -> int:
        """Completions that are neither word."""
        return self.num_completions - self.num_by_status["ok"]

    def to_dict(self) -> dict[str, object]:
        """Plain values for JSON; undefined numbers are None."""
        return asdict(self)

    def metrics(self) -> dict[str, float]:
        """Journal values as ``evaluation/thing/statistic``; undefined ones have no key."""
        values = journal_values("balanced", self.balanced) | journal_values("right", self.right)
        values |= journal_values("brier", self.brier)
        for name, one in self.by_question.items():
            values |= journal_values(f"question.{name}", one.right)
            errors = {"brier": one.brier, "ece": one.calibration_error}
            values |= {f"{_QUESTION}{name}/{key}": error for key, error in errors.items() if error is not None}
        if self.calibration_error is not None:
            values["evaluation/ece/value"] = self.calibration_error
        return values | {
            "evaluation/yes/fraction": self.yes_rate,
            "evaluation/format/fraction": self.format_rate,
            "evaluation/truncated/fraction": self.truncated_rate,
            "evaluation/unparsed/fraction": self.num_unparsed / self.num_completions,
        }


def evaluate_checks(groups: Sequence[RolloutGroup]) -> CheckReport:
    """Judge the answers to yes/no questions.

    Raises:
        ValueError: There is no group, or one without completions or of another task.
    """
    answers = [parse_group(group) for group in groups]
    rows = tuple(_row(group, row) for group, row in zip(groups, answers, strict=True))
    if not rows:
        raise ValueError("an evaluation needs completions, got no groups")
    parsed = list(chain.from_iterable(answers))
    squared = [(brier, row.cluster) for row in rows if (brier := row.brier) is not None]
    by_question: dict[str, list[CheckRow]] = {}
    for row in rows:
        by_question.setdefault(row.question_id, []).append(row)
    return CheckReport(
        num_prompts=len(rows),
        num_pictures=len({row.cluster for row in rows}),
        num_completions=len(parsed),
        num_by_status={status: sum(answer.status == status for answer in parsed) for status in STATUSES},
        balanced=_balanced(rows),
        right=mean_share((row.share_right, row.cluster) for row in rows),
        yes_rate=sum(answer.is_yes is True for answer in parsed) / len(parsed),
        brier=mean_share(squared) if squared else None,
        calibration_error=_calibration_error(rows),
        by_question={name: _figures(own) for name, own in sorted(by_question.items())},
        format_rate=sum(answer.has_format for answer in parsed) / len(parsed),
        truncated_rate=sum(c.is_truncated for group in groups for c in group.completions) / len(parsed),
        rows=rows,
    )


def one_line(report: CheckReport) -> str:
    """An evaluation in one line."""
    brier = decimals(None if report.brier is None else report.brier.value, num_digits=3)
    return (
        f"balanced accuracy {percent_interval(report.balanced)} % Brier {brier} yes {percent(report.yes_rate)} % "
        f"unparsed {report.num_unparsed}/{report.num_completions}"
    )


def format_check_table(evaluations: Mapping[str, Mapping[str, float]]) -> str:
    """Fixed-width tables for a terminal, of named ``CheckReport.metrics()``; "-" where undefined.

    The first has a row for each name, the second one for each question: its share of right answers.
    """
    header = ("", "balanced %", "right %", "yes %", "Brier", "ECE", "unparsed %")
    overall = aligned([header, *(_table_row(name, values) for name, values in evaluations.items())])
    known = [questions(values) for values in evaluations.values()]
    rows = [
        (name, *(percent_interval(Estimate(**one[name]["right"])) if name in one else "-" for one in known))
        for name in sorted({name for one in known for name in one})
    ]
    return "\n".join([*overall, *aligned([("right %", *evaluations), *rows])])


def questions(metrics: Mapping[str, float]) -> dict[str, dict[str, dict[str, float]]]:
    """What the metrics say of single questions, by question: ``right`` with its interval, and ``errors``."""
    found: dict[str, dict[str, dict[str, float]]] = {}
    for key, value in metrics.items():
        if key.startswith(_QUESTION):
            name, _, statistic = key.removeprefix(_QUESTION).rpartition("/")
            kind = "errors" if statistic in ("brier", "ece") else "right"
            found.setdefault(name, {"right": {}, "errors": {}})[kind][statistic] = value
    return found


def balanced_accuracy(right_N: Array, cells_N: Array) -> float:
    """The mean over questions of the mean over yes and no, as far as either was asked; cells are ``_cell``."""
    cells, at_N = np.unique(cells_N, return_inverse=True)
    means = np.bincount(at_N, weights=right_N) / np.bincount(at_N)
    _, question_of = np.unique(cells // 2, return_inverse=True)
    return float(np.mean(np.bincount(question_of, weights=means) / np.bincount(question_of)))


def _balanced(rows: Sequence[CheckRow]) -> Estimate:
    numbers = {name: number for number, name in enumerate(sorted({row.question_id for row in rows}))}
    right_N = np.array([row.share_right for row in rows])
    cells_N = np.array([2.0 * numbers[row.question_id] + row.is_yes for row in rows])
    found = bootstrap_statistic(
        balanced_accuracy,
        arrays=(right_N, cells_N),
        cluster_ids=[row.cluster for row in rows],
        num_resamples=_NUM_RESAMPLES,
        seed=_SEED,
    )
    # One picture says nothing of others.
    return Estimate(value=balanced_accuracy(right_N, cells_N), low=0.0, high=1.0) if found is None else found


def _calibration_error(rows: Sequence[CheckRow]) -> float | None:
    known = [(row.p_yes, float(row.is_yes)) for row in rows if row.p_yes is not None]
    if not known:
        return None
    p_N, yes_N = np.array(known).T
    bins_N = np.minimum((p_N * NUM_BINS).astype(np.intp), NUM_BINS - 1)
    gaps = np.bincount(bins_N, weights=p_N - yes_N, minlength=NUM_BINS)
    return float(np.abs(gaps).sum() / len(known))


def _row(group: RolloutGroup, answers: Sequence[ParsedAnswer]) -> CheckRow:
    prompt, check = group.prompt, group.prompt.check
    if not answers:
        raise ValueError(f"prompt {prompt.prompt_id!r} has no completions; an evaluation needs one at least")
    return CheckRow(
        prompt_id=prompt.prompt_id,
        picture_id=check.picture_id,
        source=prompt.source,
        question_id=check.question_id,
        is_yes=check.is_yes,
        answers=tuple(answer.is_yes for answer in answers),
        p_yes=_p_yes(group),
    )


def _p_yes(group: RolloutGroup) -> float | None:
    """Of the first token, before which all completions of a prompt are alike."""
    watched = group.completions[0].watched
    if watched is None or len(watched.token_ids) != len(WATCHED):
        return None
    first = dict(zip(WATCHED, watched.logprobs[0].tolist(), strict=True))
    return read_logprobs(first, min_mass=0.0).p_yes


def _figures(rows: Sequence[CheckRow]) -> QuestionFigures:
    squared = [brier for row in rows if (brier := row.brier) is not None]
    return QuestionFigures(
        num_yes=sum(row.is_yes for row in rows),
        num_no=sum(not row.is_yes for row in rows),
        num_unparsed=sum(answer is None for row in rows for answer in row.answers),
        right=mean_share((row.share_right, row.cluster) for row in rows),
        brier=float(np.mean(squared)) if squared else None,
        calibration_error=_calibration_error(rows),
    )


def _table_row(name: str, values: Mapping[str, float]) -> tuple[str, ...]:
    errors = (values.get(f"evaluation/{thing}/value") for thing in ("brier", "ece"))
    return (
        name,
        percent_interval(journal_estimate(values, "balanced")),
        percent(values["evaluation/right/value"]),
        percent(values["evaluation/yes/fraction"]),
        *(decimals(error, num_digits=3) for error in errors),
        percent(values["evaluation/unparsed/fraction"]),
    )
