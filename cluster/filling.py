"""What scoring and asking share: a judge is started if there is anything to ask, and its rows fill a sheet."""

import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from cluster.progress import ProgressDisplay, format_number
from evaluation.scoring.items import Listing
from evaluation.scoring.results import Row, ScoreSheet
from evaluation.scoring.rows import RowStatus
from evaluation.scoring.run import Progress, Scorer, score_items


@dataclass(frozen=True, kw_only=True, slots=True)
class Filling:
    """How it went."""

    progress: Progress
    startup_s: float
    """Until the judge could be asked; not part of the progress."""

    def speed(self, done: str) -> str:
        """In a line that begins with what was done."""
        progress = self.progress
        return (
            f"{done} {progress.num_scored} in {progress.seconds:.1f} s, {format_number(progress.items_per_s)} per s; "
            f"{progress.num_done - progress.num_scored} were done before; judge ready after {self.startup_s:.1f} s"
        )


@dataclass(frozen=True, kw_only=True, slots=True)
class Bar:
    """What the progress display shows of it."""

    phase: str
    num_items: int
    good: tuple[RowStatus, ...]
    """Statuses of rows that need no attention."""
    others: str
    """What the rows of other statuses are counted as."""


async def fill_sheet(
    sheet: ScoreSheet,
    listing: Listing,
    *,
    scorer: Scorer[Row],
    start: Callable[[], Awaitable[object]],
    display: ProgressDisplay,
    bar: Bar,
) -> Filling:
    """Ask about every item that has no row yet."""
    started = time.monotonic()
    if any(item.item_id not in sheet for item in listing):
        await start()
    startup_s = time.monotonic() - started

    def show(progress: Progress) -> None:
        num_others = sheet.num_by_status.total() - sum(sheet.num_by_status[status] for status in bar.good)
        numbers = {"per s": progress.items_per_s, bar.others: float(num_others)}
        display.step(bar.phase, done=progress.num_done, total=bar.num_items, numbers=numbers)

    with display:
        progress = await score_items(listing, scorer=scorer, sheet=sheet, on_progress=show)
    return Filling(progress=progress, startup_s=startup_s)
