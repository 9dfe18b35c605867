"""How near is the score to the mean opinion score?"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from conf.reward_terms import OpinionTermConfig
from rewards.tags import parse_group
from rollout.types import RolloutGroup, Scale


def opinion_rewards(scores_K: NDArray[np.float64], *, opinion: float, sigma: float) -> NDArray[np.float64]:
    """``exp(-0.5 ((score - opinion) / sigma)^2)``, ``[K]`` in 0..1; NaN (unparsed) earns 0.

    The error reward of Aes-R1 (RAPO), without the 1e-5 it adds.
    """
    rewards_K = np.exp(-0.5 * ((scores_K - opinion) / sigma) ** 2)
    return np.where(np.isnan(scores_K), 0.0, rewards_K)


class OpinionTerm:
    """Rewards a score for being right, not only for being in the right order.

    An unparsed answer earns 0. An out-of-range score is judged by its distance like any other: it is
    further from every label than the end of the scale it overshoots. Sigma is a share of the scale of
    the label, so the term works on 0..1 and 1..5 alike.
    """

    def __init__(self, config: OpinionTermConfig) -> None:
        """Keep sigma's share of the scale."""
        self._sigma_fraction = config.sigma_fraction

    async def score(self, groups: Sequence[RolloutGroup]) -> list[list[float | None]]:
        """Return a reward in 0..1 per completion; never abstains."""
        return [self._score_group(group) for group in groups]

    def _score_group(self, group: RolloutGroup) -> list[float | None]:
        label = group.prompt.opinion
        scores_K = np.array([np.nan if a.score is None else a.score for a in parse_group(group)])
        return list(opinion_rewards(scores_K, opinion=label.score, sigma=self._sigma(label.scale)).tolist())

    def _sigma(self, scale: Scale) -> float:
        return self._sigma_fraction * (scale.maximum - scale.minimum)
