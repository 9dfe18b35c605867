"""Dynamic sampling (DAPO, arXiv 2503.14476): groups that teach nothing are replaced by groups of other prompts.

A group whose rewards are all equal has no advantages. After ``max_rounds`` what is still missing is filled with such
groups, so that every step has the same size.
"""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass

from rewards.types import ScoredGroup

Sample = Callable[[int, int], Awaitable[list[ScoredGroup]]]
"""Round and number of prompts -> as many scored groups."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Refilled:
    """A step's groups after dynamic sampling."""

    scored: list[ScoredGroup]
    num_replaced: int
    """Groups that were sampled and thrown away."""


async def refill(
    scored: Sequence[ScoredGroup],
    *,
    is_informative: Callable[[ScoredGroup], bool],
    max_rounds: int,
    sample: Sample,
) -> Refilled:
    """Replace what teaches nothing, in at most ``max_rounds`` rounds of which ``scored`` is the first."""
    size = len(scored)
    kept = [one for one in scored if is_informative(one)]
    idle = [one for one in scored if not is_informative(one)]
    for round_number in range(1, max_rounds):
        missing = size - len(kept)
        if not missing:
            break
        for one in await sample(round_number, missing):
            (kept if is_informative(one) else idle).append(one)
    num_filled = size - len(kept)
    return Refilled(scored=kept + idle[:num_filled], num_replaced=len(idle) - num_filled)
