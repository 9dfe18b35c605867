"""How much of an answer about a picture's defect is right?"""

from collections.abc import Sequence

from conf.reward_terms import PerceptionTermConfig
from rewards.findings import credit
from rewards.tags import parse_group
from rewards.types import Noted, Score
from rollout.types import RolloutGroup


class PerceptionTerm:
    """The credit of ``rewards.findings``, 0..1; an unreadable answer earns 0.0 and its status as a note."""

    def __init__(self, config: PerceptionTermConfig) -> None:
        self._severity = config.severity

    async def score(self, groups: Sequence[RolloutGroup]) -> list[list[Score]]:
        """Return the credit per completion; never abstains.

        Raises:
            ValueError: A prompt is of another task.
        """
        return [self._score_group(group) for group in groups]

    def _score_group(self, group: RolloutGroup) -> list[Score]:
        defect = group.prompt.defect
        return [
            Noted(score=0.0, note=answer.status)
            if answer.finding is None
            else credit(answer.finding, defect=defect, severity=self._severity)
            for answer in parse_group(group)
        ]
