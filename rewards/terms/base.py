"""The promises a reward term makes."""

from collections.abc import Sequence
from typing import Protocol, runtime_checkable

from rewards.types import Score
from rollout.types import Prompt, RolloutGroup


class RewardTerm(Protocol):
    """Scores a whole step, so a term may compare completions, siblings or prompts.

    Permuting groups or completions permutes the scores and changes nothing else.
    """

    async def score(self, groups: Sequence[RolloutGroup]) -> Sequence[Sequence[Score]]:
        """Return one score per completion, ``[group][completion]``."""
        ...


@runtime_checkable
class EagerTerm(RewardTerm, Protocol):
    """A slow term that can begin with a completion while its siblings are still being generated."""

    def begin(self, prompt: Prompt, text: str) -> None:
        """Start scoring in the background; the next ``score`` picks up the result or raises what went wrong."""
        ...

    async def close(self) -> None:
        """End what runs in the background and close connections."""
        ...
