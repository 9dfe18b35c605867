"""Two judges on the same questions: how often they decide alike, and who is right more often."""

import json
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from pydantic import BaseModel, ConfigDict, ValidationError

from evaluation.intervals import Estimate, mean_difference, mean_share
from evaluation.tables import aligned, percent_interval
from rollout.types import Choice


class Decision(BaseModel):
    """What a line of ``judgements.jsonl`` says of one question; its other fields mean nothing here."""

    model_config = ConfigDict(frozen=True, strict=True)

    key: str
    row_id: str
    category: str
    better: Choice
    decision: Choice | None
    """As shown; None without a readable vote."""

    @property
    def is_right(self) -> bool:
        """Whether the better answer was chosen."""
        return self.decision == self.better


@dataclass(frozen=True, kw_only=True, slots=True)
class JudgeAgreement:
    """Over questions on which both judges decided."""

    num_questions: int
    num_decided: int
    """By both."""
    rate: Estimate | None
    """Share decided alike; None without decisions."""
    kappa: float | None
    """Cohen's: agreement beyond what each judge's share of "1" would give by chance; None where that is everything."""


@dataclass(frozen=True, kw_only=True, slots=True)
class JudgeComparison:
    """Two judges, side by side."""

    overall: JudgeAgreement
    by_category: Mapping[str, JudgeAgreement]
    first_right: Estimate
    second_right: Estimate
    """Over all questions; without a decision a judge is wrong."""
    advantage: Estimate
    """Share right of the first judge above that of the second, paired by question."""
    disagreements: tuple[tuple[Decision, Decision], ...]
    """Questions on which both decided, differently."""


def read_decisions(path: Path) -> tuple[Decision, ...]:
    """The decisions of a ``judgements.jsonl``.

    Raises:
        ValueError: A line is not of such a file; names the line.
    """
    # Not splitlines(), which also breaks at characters that JSON leaves as they are, U+2028 for one.
    lines = path.read_text(encoding="utf-8").removesuffix("\n").split("\n")
    return tuple(_decision(line, where=f"{path}:{number}") for number, line in enumerate(lines, start=1))


def compare_judges(first: Sequence[Decision], *, second: Sequence[Decision]) -> JudgeComparison:
    """Match the decisions of two judges by question.

    Raises:
        ValueError: They were not asked the same questions.
    """
    others = {decision.key: decision for decision in second}
    missing = {decision.key for decision in first} ^ set(others)
    if missing or not first or any(one.better != others[one.key].better for one in first):
        raise ValueError(
            f"expected two judges of the same questions; {len(missing)} were asked of one judge only"
            + (f", such as {min(missing)!r}" if missing else "")
        )
    both = [(one, others[one.key]) for one in first]
    by_category: defaultdict[str, list[tuple[Decision, Decision]]] = defaultdict(list)
    for one, other in both:
        by_category[one.category].append((one, other))
    return JudgeComparison(
        overall=_agreement(both),
        by_category={name: _agreement(members) for name, members in by_category.items()},
        first_right=mean_share((float(one.is_right), one.row_id) for one, _ in both),
        second_right=mean_share((float(other.is_right), other.row_id) for _, other in both),
        advantage=mean_difference((float(one.is_right) - float(other.is_right), one.row_id) for one, other in both),
        disagreements=tuple((one, other) for one, other in _decided(both) if one.decision != other.decision),
    )


def comparison_text(comparison: JudgeComparison) -> str:
    """For a terminal."""
    named = {"overall": comparison.overall, **comparison.by_category}
    header = ("", "questions", "both decided", "agree %", "kappa")
    rows = [
        (
            name,
            str(one.num_questions),
            str(one.num_decided),
            percent_interval(one.rate),
            "-" if one.kappa is None else f"{one.kappa:.3f}",
        )
        for name, one in named.items()
    ]
    lines = [
        *aligned([header, *rows]),
        "",
        f"first judge right   {percent_interval(comparison.first_right)} %",
        f"second judge right  {percent_interval(comparison.second_right)} %",
        f"advantage of first  {percent_interval(comparison.advantage)} points",
        f"disagreements       {len(comparison.disagreements)}",
    ]
    return "\n".join(lines)


def _decision(line: str, *, where: str) -> Decision:
    try:
        return Decision.model_validate(json.loads(line)["judgement"])
    except (json.JSONDecodeError, KeyError, TypeError, ValidationError) as error:
        raise ValueError(f"{where}: expected a line of a judgements.jsonl: {error}") from error


def _decided(both: Sequence[tuple[Decision, Decision]]) -> list[tuple[Decision, Decision]]:
    return [(one, other) for one, other in both if one.decision is not None and other.decision is not None]


def _agreement(both: Sequence[tuple[Decision, Decision]]) -> JudgeAgreement:
    decided = _decided(both)
    rate = (
        mean_share((float(one.decision == other.decision), one.row_id) for one, other in decided) if decided else None
    )
    return JudgeAgreement(
        num_questions=len(both),
        num_decided=len(decided),
        rate=rate,
        kappa=None if rate is None else _kappa(rate.value, decided),
    )


def _kappa(observed: float, decided: Sequence[tuple[Decision, Decision]]) -> float | None:
    firsts, seconds = (Counter(pair[judge].decision for pair in decided) for judge in (0, 1))
    by_chance = sum(firsts[choice] * seconds[choice] for choice in (1, 2)) / len(decided) ** 2
    return None if by_chance == 1 else (observed - by_chance) / (1 - by_chance)
