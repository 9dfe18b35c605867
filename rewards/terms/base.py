"""The one promise a reward term makes."""

from collections.abc import Sequence
from typing import Protocol

from rollout.types import RolloutGroup


class RewardTerm(Protocol):
    """Scores a whole step, so a term may compare completions, siblings or prompts.

    Permuting groups or completions permutes the scores and changes nothing else.
    """

    async def score(self, groups: Sequence[RolloutGroup]) -> list[list[float | None]]:
        """Return one finite score per completion, ``[group][completion]``; None abstains."""
        ...
