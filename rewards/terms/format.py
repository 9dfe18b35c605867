"""Did the completion use the tags the prompt asks for?"""

from collections.abc import Sequence

from conf.reward_terms import FormatTermConfig
from rewards.tags import matches_format
from rollout.types import RolloutGroup


class FormatTerm:
    """1.0 for a completion of the configured shape (``rewards.tags.matches_format``), else 0.0."""

    def __init__(self, config: FormatTermConfig) -> None:
        """Keep the shape to check for."""
        self._mode = config.mode

    async def score(self, groups: Sequence[RolloutGroup]) -> list[list[float | None]]:
        """Return 1.0 or 0.0 per completion; never abstains."""
        return [[float(matches_format(c.text, mode=self._mode)) for c in g.completions] for g in groups]
