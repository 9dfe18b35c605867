"""How good is the policy at choosing between two answers? Completions on a test split in, a report out.

    groups -> parse -> choices -> right or wrong, by prompt -> intervals over pairs
                         +-> the two orders of a pair next to each other -> position bias, swap consistency

A completion without a choice counts as wrong. Both orders of a pair are one cluster: they show the same picture.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import chain

from evaluation.intervals import Estimate, mean_difference, mean_share
from evaluation.journal import journal_estimate, journal_values
from evaluation.tables import aligned, percent, percent_interval, points
from evaluation.voting import PositionReport, Vote, position_report
from rewards.tags import STATUSES, ParsedAnswer, Status, parse_group
from rollout.types import Choice, RolloutGroup

Verdicts = Sequence[Sequence[bool | None]]
"""By prompt and completion: whether the judge found reasoning and answer to agree; None where it abstained."""


@dataclass(frozen=True, kw_only=True, slots=True)
class PairRow:
    """One prompt, which is one pair in one order, and every completion's choice."""

    prompt_id: str
    pair_id: str
    source: str
    better: Choice
    choices: tuple[Vote, ...]
    statuses: tuple[Status, ...]
    verdicts: tuple[bool | None, ...]
    """Of the consistency judge; empty when none was asked."""
    texts: tuple[str, ...]

    @property
    def accuracy(self) -> float:
        """Share of right completions."""
        return self.choices.count(self.better) / len(self.choices)

    @property
    def vote(self) -> float:
        """1 when the majority chose the better answer, 1/2 for a tie."""
        return majority_value(self.choices, better=self.better)

    @property
    def cluster(self) -> str:
        """The pair, told apart from equal names in another source."""
        return f"{self.source}/{self.pair_id}"


@dataclass(frozen=True, kw_only=True, slots=True)
class PairReport:
    """What one evaluation found. Rates are shares of completions; intervals hold 95 %, clustered by pair."""

    num_prompts: int
    num_pairs: int
    num_completions: int
    num_by_status: Mapping[Status, int]
    """Completions by parser status, every status named."""
    accuracy: Estimate
    """Over prompts, each the share of its completions that chose the better answer."""
    vote: Estimate | None
    """Share of prompts whose majority is right, a tie being half; None with one completion each."""
    consistency: Estimate | None
    """Share of completions whose reasoning and answer agree, of those with a verdict; None without one."""
    num_verdicts: int
    num_abstained: int
    """Completions the consistency judge was asked about and gave no verdict on."""
    position_bias: Estimate | None
    """Share of "1" among the choices made, above the share of "1" among their labels, in percentage points. With
    both orders of each pair the latter is one half."""
    swap: PositionReport
    """Completions of the two orders of a pair, matched in order."""
    format_rate: float
    truncated_rate: float
    rows: tuple[PairRow, ...]

    @property
    def num_unparsed(self) -> int:
        """Completions without a choice."""
        return self.num_completions - self.num_by_status["ok"]

    def to_dict(self) -> dict[str, object]:
        """Plain values for JSON; undefined numbers are None."""
        return asdict(self)

    def metrics(self) -> dict[str, float]:
        """Journal values as ``evaluation/thing/statistic``; undefined ones have no key."""
        num_asked = self.num_verdicts + self.num_abstained
        values: dict[str, float | None] = {
            **journal_values("accuracy", self.accuracy),
            **journal_values("vote", self.vote),
            **journal_values("consistency", self.consistency),
            "evaluation/consistency/abstained": self.num_abstained / num_asked if num_asked else None,
            **journal_values("position_bias", self.position_bias, statistic="points"),
            "evaluation/swap/consistency": self.swap.consistency,
            "evaluation/format/fraction": self.format_rate,
            "evaluation/truncated/fraction": self.truncated_rate,
            "evaluation/unparsed/fraction": self.num_unparsed / self.num_completions,
        }
        return {name: value for name, value in values.items() if value is not None}


def evaluate_pairs(groups: Sequence[RolloutGroup], *, verdicts: Verdicts | None) -> PairReport:
    """Judge the judge; ``verdicts`` has one row per group and one entry per completion, None when nobody was asked.

    Raises:
        ValueError: A group has no completions, verdicts do not match them, or a pair is asked twice in one order.
    """
    answers = [parse_group(group) for group in groups]
    rows = _rows(groups, answers, verdicts=verdicts)
    parsed = list(chain.from_iterable(answers))
    given = [verdict for row in rows for verdict in row.verdicts]
    num_abstained = given.count(None)
    return PairReport(
        num_prompts=len(rows),
        num_pairs=len({row.cluster for row in rows}),
        num_completions=len(parsed),
        num_by_status={status: sum(answer.status == status for answer in parsed) for status in STATUSES},
        accuracy=mean_share((row.accuracy, row.cluster) for row in rows),
        vote=(
            mean_share((row.vote, row.cluster) for row in rows) if any(len(row.choices) > 1 for row in rows) else None
        ),
        consistency=_share_consistent(rows),
        num_verdicts=len(given) - num_abstained,
        num_abstained=num_abstained,
        position_bias=position_bias((choice, row.better, row.cluster) for row in rows for choice in row.choices),
        swap=position_report(_both_orders(rows)),
        format_rate=sum(answer.has_format for answer in parsed) / len(parsed),
        truncated_rate=sum(c.is_truncated for group in groups for c in group.completions) / len(parsed),
        rows=rows,
    )


def majority_value(votes: tuple[Vote, ...], *, better: Choice) -> float:
    """1 when most of the choices made are right, 1/2 when as many are wrong, 0 without a choice."""
    num_right = votes.count(better)
    num_wrong = len(votes) - num_right - votes.count(None)
    if num_right == num_wrong:
        return 0.5 if num_right else 0.0
    return float(num_right > num_wrong)


def position_bias(choices: Iterable[tuple[Vote, Choice, str]]) -> Estimate | None:
    """Choices with their labels and clusters -> how much oftener "1" is chosen than right, in percentage points.

    A wrong "1" counts +100, a wrong "2" -100 and a right choice 0, so that a perfect judge has no bias whichever
    answers could not be parsed. A judge that always says 1 has +50 where labels are balanced.
    """
    errors = [(float(better - choice), cluster) for choice, better, cluster in choices if choice is not None]
    if not errors:
        return None
    share = mean_difference(errors)
    return Estimate(value=100.0 * share.value, low=100.0 * share.low, high=100.0 * share.high)


def one_line(report: PairReport) -> str:
    """An evaluation in one line; "-" where a number is undefined."""
    return (
        f"accuracy {percent_interval(report.accuracy)} % vote {percent_interval(report.vote)} % "
        f"consistency {percent_interval(report.consistency)} % position bias {points(report.position_bias)} "
        f"format {percent(report.format_rate)} % unparsed {report.num_unparsed}/{report.num_completions}"
    )


def format_pair_table(evaluations: Mapping[str, Mapping[str, float]]) -> str:
    """A fixed-width table for a terminal, one row per named ``PairReport.metrics()``; "-" where undefined.

    Square brackets hold 95 % intervals; ``bias`` is in percentage points towards the first answer; ``swap`` is the
    share of pairs with the same winner in both orders.
    """
    header = ("", "accuracy %", "vote %", "consistent %", "bias", "swap %", "format %", "unparsed %")
    return "\n".join(aligned([header, *(_table_row(name, values) for name, values in evaluations.items())]))


def _rows(
    groups: Sequence[RolloutGroup], answers: Sequence[Sequence[ParsedAnswer]], *, verdicts: Verdicts | None
) -> tuple[PairRow, ...]:
    given: Verdicts = [()] * len(groups) if verdicts is None else verdicts
    if len(given) != len(groups):
        raise ValueError(f"expected verdicts on {len(groups)} groups, got {len(given)}")
    return tuple(_row(group, row, verdicts=tuple(v)) for group, row, v in zip(groups, answers, given, strict=True))


def _row(group: RolloutGroup, answers: Sequence[ParsedAnswer], *, verdicts: tuple[bool | None, ...]) -> PairRow:
    prompt = group.prompt
    if not answers or (verdicts and len(verdicts) != len(answers)):
        raise ValueError(
            f"prompt {prompt.prompt_id!r} has {len(answers)} completions and {len(verdicts)} verdicts; "
            "expected one completion at least, and a verdict on each or on none"
        )
    return PairRow(
        prompt_id=prompt.prompt_id,
        pair_id=prompt.preference.pair_id,
        source=prompt.source,
        better=prompt.preference.better,
        choices=tuple(answer.choice for answer in answers),
        statuses=tuple(answer.status for answer in answers),
        verdicts=verdicts,
        texts=tuple(completion.text for completion in group.completions),
    )


def _share_consistent(rows: Sequence[PairRow]) -> Estimate | None:
    known = [(float(verdict), row.cluster) for row in rows for verdict in row.verdicts if verdict is not None]
    return mean_share(known) if known else None


def _both_orders(rows: Sequence[PairRow]) -> list[tuple[Vote, Vote]]:
    """Choices in the two orders of each pair, completion by completion; pairs asked in one order have none."""
    by_order: dict[tuple[str, Choice], PairRow] = {}
    for row in rows:
        first = by_order.setdefault((row.cluster, row.better), row)
        if first is not row:
            raise ValueError(
                f"pair {row.pair_id!r} of {row.source!r} is asked twice with {row.better} as the better one"
            )
    matched = [(row, by_order.get((cluster, 2))) for (cluster, better), row in by_order.items() if better == 1]
    return [
        votes for one, other in matched if other is not None for votes in zip(one.choices, other.choices, strict=True)
    ]


def _table_row(name: str, values: Mapping[str, float]) -> tuple[str, ...]:
    return (
        name,
        percent_interval(journal_estimate(values, "accuracy")),
        percent_interval(journal_estimate(values, "vote")),
        percent_interval(journal_estimate(values, "consistency")),
        points(journal_estimate(values, "position_bias", statistic="points")),
        percent(values.get("evaluation/swap/consistency")),
        percent(values["evaluation/format/fraction"]),
        percent(values["evaluation/unparsed/fraction"]),
    )
