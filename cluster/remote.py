"""Waiting for remote calls with a deadline: a hang becomes an error that says who was waited for."""

import asyncio
from collections.abc import Sequence
from typing import Any


class DeadlineExceeded(RuntimeError):
    """A remote call did not return in time."""


async def within(refs: Sequence[Any], timeout_s: float, what: str) -> list[Any]:
    """Return every result in order; the first failure is raised at once, without waiting for the others.

    Raises:
        DeadlineExceeded: After ``timeout_s`` seconds.
    """
    try:
        return list(await asyncio.wait_for(asyncio.gather(*refs), timeout_s))
    except TimeoutError:
        raise DeadlineExceeded(
            f"no answer within {timeout_s:g} s from {what}; if it is only slow, raise cluster.step_timeout_s "
            "(or cluster.start_timeout_s at the start)"
        ) from None
