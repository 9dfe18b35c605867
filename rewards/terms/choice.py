"""Did the completion choose the right one of two answers?"""

from collections.abc import Sequence

from conf.reward_terms import ChoiceTermConfig
from rewards.lenient import grade_leniently
from rewards.tags import parse_group
from rewards.types import Noted, Score
from rollout.types import RolloutGroup


class ChoiceTerm:
    """1.0 for the right choice, else 0.0; a hedged or unreadable answer is no right choice.

    An answer on which the lenient grader fails earns 0.0 with the note "grader_error", never 1.
    """

    def __init__(self, config: ChoiceTermConfig) -> None:
        self._is_strict = config.mode == "strict"

    async def score(self, groups: Sequence[RolloutGroup]) -> list[list[Score]]:
        """Return 1.0 or 0.0 per completion; never abstains.

        Raises:
            ValueError: A prompt asks for a score, not for a choice.
        """
        return [_strict(group) if self._is_strict else _lenient(group) for group in groups]


def _strict(group: RolloutGroup) -> list[Score]:
    better = group.prompt.preference.better
    return [float(answer.choice == better) for answer in parse_group(group)]


def _lenient(group: RolloutGroup) -> list[Score]:
    better = group.prompt.preference.better
    scores: list[Score] = []
    for completion in group.completions:
        try:
            scores.append(float(grade_leniently(completion.text, better=better)))
        except ZeroDivisionError:
            scores.append(Noted(score=0.0, note="grader_error"))
    return scores
