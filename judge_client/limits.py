"""How fast requests may leave and how long to wait between attempts."""

import asyncio
import math
import random
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

FIRST_WAIT_S = 0.25
LONGEST_WAIT_S = 8.0


class Pacer:
    """Spaces requests evenly to a rate."""

    def __init__(self, requests_per_second: float | None) -> None:
        self._interval_s = 0.0 if requests_per_second is None else 1.0 / requests_per_second
        self._next_s = 0.0

    async def wait(self) -> None:
        """Return when the next request may leave."""
        now_s = asyncio.get_running_loop().time()
        # The turn is taken before waiting, so that many may wait side by side and leave one by one.
        turn_s = max(now_s, self._next_s)
        self._next_s = turn_s + self._interval_s
        if turn_s > now_s:
            await asyncio.sleep(turn_s - now_s)


def backoff_s(num_failures: int, *, randomness: random.Random) -> float:
    """Wait before the next attempt, in seconds: doubles from a quarter up to eight, half of it at random.

    The random half keeps requests that failed together from coming back together.
    """
    longest_s = min(FIRST_WAIT_S * 2.0 ** (num_failures - 1), LONGEST_WAIT_S)
    return longest_s * (0.5 + 0.5 * randomness.random())


def retry_after_s(header: str | None, *, now: datetime | None = None) -> float | None:
    """Seconds a ``Retry-After`` header asks for, as a number or as a date; None when it says nothing readable."""
    if header is None:
        return None
    try:
        wanted_s = float(header)
    except ValueError:
        wanted_s = _seconds_until(header, now=now or datetime.now(UTC))
    return max(wanted_s, 0.0) if math.isfinite(wanted_s) else None


def _seconds_until(date: str, *, now: datetime) -> float:
    """Seconds from ``now`` until an HTTP date; NaN when it is none."""
    try:
        when = parsedate_to_datetime(date)
    except ValueError:
        return math.nan
    return (when.replace(tzinfo=when.tzinfo or UTC) - now).total_seconds()
