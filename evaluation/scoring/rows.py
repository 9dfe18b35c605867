"""One row per picture or video: what was answered, what that means, and why there is no score where there is none."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, get_args

from evaluation.scoring.items import Item
from rewards.tags import OutOfRange, Status, counted_score, parse
from rollout.types import Failure, FailureKind, Scale

RowStatus = Literal[
    "ok", "out_of_range", "truncated", "no_tag", "no_number", "no_distribution",
    "unreadable_image", "unreadable_video", "unusable_text", "too_long", "failed",
]  # fmt: skip
"""ok, no_tag, no_number, out_of_range: as ``rewards.tags`` reads the answer. truncated: the token limit cut it before a
whole answer block. no_distribution: a number without an integer digit to take an expectation at. unreadable_image,
unreadable_video: cannot be shown. unusable_text: the question holds the model's own markup. too_long: the question
leaves no room for an answer. failed: the server did not answer; asked again by the next run."""
STATUSES: tuple[RowStatus, ...] = get_args(RowStatus)
_AS_READ: dict[Status, RowStatus] = {
    "ok": "ok", "out_of_range": "out_of_range", "no_tag": "no_tag", "no_number": "no_number",
}  # fmt: skip
"""What the parser can say of a score."""
OFF_SCALE = "the number is off the scale, so its digits say nothing of the numbers on it"
ROUNDED_TO = 9
"""Decimals of means, so that equal ones tie: in the last bit 2.9+3.1 differs from 3.0+3.0, and ranks would see it."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Sample:
    """One answer."""

    score: float | None
    status: RowStatus
    seed: int | None
    """Of its random numbers; None where nothing is drawn."""
    reasoning: str | None
    """Its think block; None without one."""
    text: str | None
    """All of it where it has no score; None where it has, which the other fields tell."""
    error: str | None = None
    """Why it has no score, where the status does not say all."""


@dataclass(frozen=True, kw_only=True, slots=True)
class ScoreRow:
    """One line of the results."""

    id: str
    path: str
    score: float | None
    """With several samples, the mean of those that have one."""
    status: RowStatus
    std: float | None
    """Spread of the samples (n - 1); None below two scores."""
    reasoning: str | None
    text: str | None
    error: str | None
    seed: int | None
    samples: tuple[Sample, ...] | None
    """Every one of several answers; None for one."""
    model: str
    prompt: str


@dataclass(frozen=True, kw_only=True, slots=True)
class RowWriter:
    """Makes rows; holds what they have in common."""

    model: str
    prompt: str
    scale: Scale
    out_of_range: OutOfRange
    """Whether a score outside the scale is given, or only said to be outside."""

    def read(self, text: str, *, is_truncated: bool, seed: int | None) -> Sample:
        """An answer, with the number in it for its score."""
        parsed = parse(text, scale=self.scale)
        status = "truncated" if parsed.status == "no_tag" and is_truncated else _AS_READ[parsed.status]
        score = counted_score(parsed, out_of_range=self.out_of_range)
        return Sample(
            score=score, status=status, seed=seed, reasoning=parsed.think, text=text if score is None else None
        )

    def row(self, item: Item, samples: Sequence[Sample]) -> ScoreRow:
        """The row of an item that was answered."""
        best = min(samples, key=lambda sample: STATUSES.index(sample.status))
        # One absurd number among answers on the scale would decide the mean, under the status of the others.
        alike = [sample for sample in samples if sample.status == best.status]
        scores = [sample.score for sample in alike if sample.score is not None]
        mean = round(math.fsum(scores) / len(scores), ROUNDED_TO) if len(samples) > 1 and scores else best.score
        return ScoreRow(
            id=item.item_id,
            path=item.path,
            score=mean,
            status=best.status,
            std=spread(scores),
            reasoning=best.reasoning,
            text=best.text,
            error=best.error,
            seed=samples[0].seed,
            samples=tuple(samples) if len(samples) > 1 else None,
            model=self.model,
            prompt=self.prompt,
        )

    def without_answer(self, item: Item, failure: Failure) -> ScoreRow:
        """The row of an item that was not asked about."""
        return self.row(item, [unanswered(status_of(failure.kind, item=item), error=failure.detail)])


def unanswered(status: RowStatus, *, error: str) -> Sample:
    """What stands for an answer where there is none."""
    return Sample(score=None, status=status, seed=None, reasoning=None, text=None, error=error)


def status_of(kind: FailureKind, *, item: Item) -> RowStatus:
    """What a row says of an item that could not be asked about."""
    if kind == "unreadable_media":
        return "unreadable_image" if item.kind == "image" else "unreadable_video"
    return kind


def spread(scores: Sequence[float]) -> float | None:
    """Standard deviation (n - 1); None below two scores."""
    if len(scores) < 2:
        return None
    mean = math.fsum(scores) / len(scores)
    return round(math.sqrt(math.fsum((score - mean) ** 2 for score in scores) / (len(scores) - 1)), ROUNDED_TO)
