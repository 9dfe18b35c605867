"""Scoring: what has no row yet is scored, and every row is on disk before the next is waited for."""

import time
from collections.abc import AsyncGenerator, Callable, Iterable, Iterator, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from typing import Protocol, TypeVar

from evaluation.scoring.items import Item
from evaluation.scoring.results import Row, ScoreSheet

MAX_FAILED_IN_A_ROW = 20


R_co = TypeVar("R_co", bound=Row, covariant=True)


class Scorer(Protocol[R_co]):
    """A judge of items; takes them as it needs them."""

    def score(self, items: Iterable[Item]) -> AsyncGenerator[Sequence[R_co], None]:
        """Yield one row per item, several at a time."""
        ...


@dataclass(frozen=True, kw_only=True, slots=True)
class Progress:
    """How far a run is."""

    num_done: int
    """Items with a row, those of earlier runs included."""
    num_scored: int
    """Rows of this run."""
    seconds: float
    """Since this run began to score."""

    @property
    def items_per_s(self) -> float:
        """Speed of this run."""
        return self.num_scored / self.seconds if self.seconds > 0 else 0.0


class JudgeGone(ConnectionError):
    """One item after the other failed; rows written before stay, and the same command goes on."""


async def score_items(
    items: Iterable[Item], *, scorer: Scorer[Row], sheet: ScoreSheet, on_progress: Callable[[Progress], None]
) -> Progress:
    """Score what the sheet does not have; how it went.

    Raises:
        JudgeGone: ``MAX_FAILED_IN_A_ROW`` items failed one after the other.
    """
    unscored, started = _Unscored(items, sheet=sheet), time.monotonic()
    num_scored = num_failed_in_a_row = 0

    def progress() -> Progress:
        return Progress(
            num_done=unscored.num_skipped + num_scored, num_scored=num_scored, seconds=time.monotonic() - started
        )

    async with aclosing(scorer.score(unscored)) as parts:
        async for rows in parts:
            sheet.add(rows)
            num_scored += len(rows)
            on_progress(progress())
            for row in rows:
                num_failed_in_a_row = num_failed_in_a_row + 1 if row.status == "failed" else 0
                if num_failed_in_a_row == MAX_FAILED_IN_A_ROW:
                    raise JudgeGone(f"{MAX_FAILED_IN_A_ROW} failed one after the other, the last with: {row.error}")
    return progress()


class _Unscored:
    """The items without a row; counts the others as it passes them."""

    def __init__(self, items: Iterable[Item], *, sheet: ScoreSheet) -> None:
        self._items, self._sheet = items, sheet
        self.num_skipped = 0

    def __iter__(self) -> Iterator[Item]:
        # Decided as an item comes up, and each id comes up once, so rows written meanwhile change nothing.
        for item in self._items:
            if item.item_id in self._sheet:
                self.num_skipped += 1
            else:
                yield item
