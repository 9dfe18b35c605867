"""Does the probability of yes mean what it says? A proper scoring rule as a reward of sampled answers.

    P(yes), P(no) of the first token --> q, the probability of the truth --> right: 1 + (1 - q)^2, wrong: q^2

All completions of a prompt share q, so that Brier's score itself, 1 - (1 - q)^2, would tell none of them from its
siblings. This reward has that score for its mean under q, and the slope of that score for its policy gradient:
right - wrong = 2 (1 - q). A judge that is sure already gains little by being surer, and among pictures it cannot tell
apart the gains balance where p is the share of yes; rewards of 1 and 0 would make it say whichever is the likelier.
"""

import math
from collections.abc import Sequence

from conf.reward_terms import CalibrationTermConfig
from rewards.checklist.answers import NO_WORD, YES_WORD, read_probabilities
from rewards.tags import parse_group
from rewards.types import Noted, Score, TokenForcer
from rollout.types import RolloutGroup
from rollout.worker_types import ForcedToken


def calibration_reward(*, q_truth: float, is_right: bool) -> float:
    """What an answer earns where the truth had the probability ``q_truth``."""
    return 1.0 + (1.0 - q_truth) ** 2 if is_right else q_truth**2


class CalibrationTerm:
    """The reward above, 0..2; what is neither word earns 0.0 and its status as a note.

    The probability is P(yes) / (P(yes) + P(no)), by the engines' weights at the time of asking.
    """

    def __init__(self, config: CalibrationTermConfig, *, forcer: TokenForcer) -> None:
        """Keep whom to ask; there are no options."""
        del config
        self._forcer = forcer

    async def score(self, groups: Sequence[RolloutGroup]) -> list[list[Score]]:
        """Return the reward per completion; never abstains.

        Raises:
            ValueError: A prompt is of another task, or the policy gives neither word any probability.
        """
        tokens = [
            ForcedToken(prompt=group.prompt, before="", token=word) for group in groups for word in (YES_WORD, NO_WORD)
        ]
        known = [math.exp(one) for one in await self._forcer.forced_logprobs(tokens)]
        both = zip(known[::2], known[1::2], strict=True)
        return [_score_group(group, p_yes=p_yes, p_no=p_no) for group, (p_yes, p_no) in zip(groups, both, strict=True)]


def _score_group(group: RolloutGroup, *, p_yes: float, p_no: float) -> list[Score]:
    truth = group.prompt.check
    p = read_probabilities(p_yes=p_yes, p_no=p_no, min_mass=0.0).p_yes
    if p is None:
        raise ValueError(f"prompt {group.prompt.prompt_id!r}: the policy gives neither yes nor no any probability")
    q_truth = p if truth.is_yes else 1.0 - p
    return [
        Noted(score=0.0, note=answer.status)
        if answer.is_yes is None
        else calibration_reward(q_truth=q_truth, is_right=answer.is_yes == truth.is_yes)
        for answer in parse_group(group)
    ]
