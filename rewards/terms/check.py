"""Is the answer to a yes/no question right?"""

from collections.abc import Sequence

from conf.reward_terms import CheckTermConfig
from rewards.tags import parse_group
from rewards.types import Noted, Score
from rollout.types import RolloutGroup


class CheckTerm:
    """1.0 for the right word, 0.0 for the other one; what is neither earns 0.0 and its status as a note."""

    def __init__(self, config: CheckTermConfig) -> None:
        """Nothing to keep: there are no options."""
        del config

    async def score(self, groups: Sequence[RolloutGroup]) -> list[list[Score]]:
        """Return 1.0 or 0.0 per completion; never abstains.

        Raises:
            ValueError: A prompt is of another task.
        """
        return [self._score_group(group) for group in groups]

    def _score_group(self, group: RolloutGroup) -> list[Score]:
        truth = group.prompt.check
        return [
            Noted(score=0.0, note=answer.status) if answer.is_yes is None else float(answer.is_yes == truth.is_yes)
            for answer in parse_group(group)
        ]
