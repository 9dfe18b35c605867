"""How near is the score to the mean opinion score?"""

from collections.abc import Sequence
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from conf.reward_terms import OpinionTermConfig
from rewards.readings import Scores, read_scores
from rollout.types import RolloutGroup

Form = Literal["released", "paper"]

RELEASED_OFFSET = 1e-5
"""Added by Aes-R1's code, so that no answer earns 0; its paper names no value."""
RELEASED_DECIMALS = 4
"""What Aes-R1's code rounds its rewards to."""


def opinion_rewards(scores_K: NDArray[np.float64], *, opinion: float, sigma: float, form: Form) -> NDArray[np.float64]:
    """The error reward of Aes-R1 (RAPO), ``exp(-0.5 ((score - opinion) / sigma)^2)``, ``[K]``; NaN (unparsed) earns 0.

    "paper" is in 0..1; "released" adds 1e-5 and rounds to four decimals, so 1e-5 itself becomes 0.
    """
    rewards_K = np.exp(-0.5 * ((scores_K - opinion) / sigma) ** 2)
    if form == "released":
        rewards_K = np.round(rewards_K + RELEASED_OFFSET, RELEASED_DECIMALS)
    return np.where(np.isnan(scores_K), 0.0, rewards_K)


class OpinionTerm:
    """Rewards a score for being right, not only for being in the right order.

    An unparsed answer earns 0. An out-of-range score is judged by its distance like any other: it is
    further from every label than the end of the scale it overshoots. Sigma is a share of the scale of
    the label, so the term works on 0..1 and 1..5 alike.
    """

    def __init__(self, config: OpinionTermConfig) -> None:
        """Keep sigma's share of the scale, and the form, which decides how scores are read."""
        self._sigma_fraction = config.sigma_fraction
        self._form: Form = config.form
        self._scores: Scores = "released" if config.form == "released" else "all"

    async def score(self, groups: Sequence[RolloutGroup]) -> list[list[float | None]]:
        """Return a reward in 0..1 per completion; never abstains."""
        return [self._score_group(group) for group in groups]

    def _score_group(self, group: RolloutGroup) -> list[float | None]:
        label = group.prompt.opinion
        sigma = self._sigma_fraction * (label.scale.maximum - label.scale.minimum)
        scores_K = read_scores(group, scores=self._scores)
        return list(opinion_rewards(scores_K, opinion=label.score, sigma=sigma, form=self._form).tolist())
