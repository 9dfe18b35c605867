"""Waiting for remote calls with a deadline: a hang becomes an error that says who was waited for."""

import asyncio
from collections.abc import Sequence
from typing import Any


class DeadlineExceeded(RuntimeError):
    """A remote call did not return in time."""

    def __init__(self, timeout_s: float, what: str) -> None:
        super().__init__(
            f"no answer within {timeout_s:g} s from {what}; if it is only slow, raise cluster.step_timeout_s "
            "(or cluster.start_timeout_s at the start)"
        )


async def within(refs: Sequence[Any], timeout_s: float, what: str) -> list[Any]:
    """Return every result in order; the first failure is raised at once, without waiting for the others.

    Raises:
        DeadlineExceeded: After ``timeout_s`` seconds.
    """
    calls = [asyncio.ensure_future(ref) for ref in refs]
    for call in calls:
        call.add_done_callback(_note)
    if not calls:
        return []
    done, pending = await asyncio.wait(calls, timeout=timeout_s, return_when=asyncio.FIRST_EXCEPTION)
    for call in calls:
        if call in done:
            call.result()  # raises what it failed with
    if pending:
        raise DeadlineExceeded(timeout_s, what)
    return [call.result() for call in calls]


def _note(call: asyncio.Future[Any]) -> None:
    """Look at the failure of a call nobody waits for any more, so that asyncio does not report it a second time."""
    if not call.cancelled():
        call.exception()
