"""A weighted sum of yes, on four scales, with what every question and dimension adds to it.

    paper    R = sum of w p                       0 .. sum of w; the scale of dimensions, dominance and gaps
    signed   S = sum of w (2p - 1)                the released image score; p itself for "share" questions
    mean     S / number of questions              the released video score
    share    R / sum of w of the questions that were open      0 .. 1, a reward

With p the probability of yes, 0 or 1 for hard answers. A closed question adds 0 to all of them.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from math import fsum
from typing import Literal

from rewards.checklist.answers import Answer
from rewards.checklist.readings import Reading, ReadingStatus, read_answers
from rewards.checklist.weights import Weights, check_weights
from rollout.checklist.questions import Checklist

ScoreScale = Literal["paper", "signed", "mean", "share"]
Unusable = Literal["no_score", "leave_out"]
"""What a question with a weight and without a usable answer means: no score, or a score of the other questions."""
Winner = Literal["first", "second", "tie"]
Ties = Literal["tie", "second"]
"""The released code calls the second video better when both score the same."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Contribution:
    """What one question adds."""

    question_id: str
    dimension: str
    sub_dimension: str
    weight: float
    status: ReadingStatus
    p_yes: float | None
    paper: float | None
    """w p; 0 where closed, None where unusable."""
    signed: float | None
    """w (2p - 1)."""


@dataclass(frozen=True, kw_only=True, slots=True)
class PartScore:
    """A dimension or sub-dimension on the paper's scale."""

    score: float | None
    """None where an answer that counts is unusable and no answer may be left out."""
    maximum: float
    """The score of a yes to every question of it."""
    num_unusable: int


@dataclass(frozen=True, kw_only=True, slots=True)
class ItemScore:
    """One picture or video. Scores are None where an answer that counts is unusable and none may be left out."""

    paper: float | None
    signed: float | None
    mean: float | None
    share: float | None
    """None as well where no open question has a weight."""
    dimensions: Mapping[str, PartScore]
    sub_dimensions: Mapping[str, PartScore]
    contributions: tuple[Contribution, ...]
    num_counted: int
    num_closed: int
    num_unusable: int
    is_complete: bool
    """Whether every question with a weight was counted or closed."""

    def on(self, scale: ScoreScale) -> float | None:
        """The score on one scale."""
        scores = {"paper": self.paper, "signed": self.signed, "mean": self.mean, "share": self.share}
        return scores[scale]

    def to_dict(self) -> dict[str, object]:
        """Plain values for JSON."""
        return asdict(self)


@dataclass(frozen=True, kw_only=True, slots=True)
class Comparison:
    """Two items next to each other."""

    gap: float
    """Score of the first minus score of the second."""
    winner: Winner


def score_answers(
    answers: Mapping[str, Answer],
    *,
    checklist: Checklist,
    weights: Weights,
    applies_gates: bool = True,
    unusable: Unusable = "no_score",
) -> ItemScore:
    """Score one picture or video by the answers to the questions, by id.

    Raises:
        ValueError: Answers or weights are those of another checklist.
    """
    check_weights(weights, checklist=checklist)
    readings = read_answers(answers, checklist=checklist, applies_gates=applies_gates)
    contributions = tuple(_contribution(one, weight=weights.by_id[one.placed.question.id]) for one in readings)
    counted = [one for one in contributions if one.status == "counted"]
    open_weight = fsum(one.weight for one in counted)
    num_missed = sum(_is_missed(one) for one in contributions)
    paper = _total(contributions, scale="paper", unusable=unusable)
    signed = _total(contributions, scale="signed", unusable=unusable)
    return ItemScore(
        paper=paper,
        signed=signed,
        mean=None if signed is None else signed / (len(contributions) - num_missed),
        share=None if paper is None or open_weight == 0.0 else paper / open_weight,
        dimensions=_parts(contributions, key="dimension", unusable=unusable),
        sub_dimensions=_parts(contributions, key="sub_dimension", unusable=unusable),
        contributions=contributions,
        num_counted=len(counted),
        num_closed=sum(one.status == "closed" for one in contributions),
        num_unusable=sum(one.paper is None for one in contributions),
        is_complete=not num_missed,
    )


def compare(
    first: ItemScore, second: ItemScore, *, scale: ScoreScale = "signed", ties: Ties = "tie"
) -> Comparison | None:
    """Which of two is better; None where one has no score."""
    scores = first.on(scale), second.on(scale)
    if scores[0] is None or scores[1] is None:
        return None
    gap = scores[0] - scores[1]
    if gap == 0.0:
        return Comparison(gap=gap, winner=ties)
    return Comparison(gap=gap, winner="first" if gap > 0 else "second")


def mean_of_paper(paper: float, *, weights: Weights) -> float:
    """The released code's mean of a score R of the paper, where no question is closed or a share."""
    return (2.0 * paper - weights.total) / len(weights.by_id)


def paper_of_mean(mean: float, *, weights: Weights) -> float:
    """The reverse of ``mean_of_paper``."""
    return (mean * len(weights.by_id) + weights.total) / 2.0


def _contribution(reading: Reading, *, weight: float) -> Contribution:
    return Contribution(
        question_id=reading.placed.question.id,
        dimension=reading.placed.dimension,
        sub_dimension=reading.placed.sub_dimension,
        weight=weight,
        status=reading.status,
        p_yes=reading.p_yes,
        paper=weight * reading.value("zero_one") if reading.is_usable else None,
        signed=weight * reading.value("signed") if reading.is_usable else None,
    )


def _is_missed(one: Contribution) -> bool:
    """Whether a score lacks something: an unusable answer to a question without a weight is no loss."""
    return one.paper is None and one.weight > 0.0


def _total(
    contributions: Sequence[Contribution], *, scale: Literal["paper", "signed"], unusable: Unusable
) -> float | None:
    """Exactly rounded, so that the order of the questions changes nothing and equal answers score the same."""
    is_missing = any(map(_is_missed, contributions))
    is_answered = any(one.status == "counted" and one.weight > 0.0 for one in contributions)
    if is_missing and (unusable == "no_score" or not is_answered):
        return None
    known = [one.paper if scale == "paper" else one.signed for one in contributions]
    return fsum(points for points in known if points is not None)


def _parts(
    contributions: Sequence[Contribution], *, key: Literal["dimension", "sub_dimension"], unusable: Unusable
) -> dict[str, PartScore]:
    members: dict[str, list[Contribution]] = {}
    for one in contributions:
        members.setdefault(one.dimension if key == "dimension" else one.sub_dimension, []).append(one)
    return {
        name: PartScore(
            score=_total(part, scale="paper", unusable=unusable),
            maximum=fsum(one.weight for one in part),
            num_unusable=sum(one.paper is None for one in part),
        )
        for name, part in members.items()
    }
