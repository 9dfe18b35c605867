"""Is the score near enough to the mean opinion score? All or nothing, or all, half or nothing."""

from collections.abc import Sequence
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from conf.reward_terms import ThresholdTermConfig
from rewards.readings import read_scores
from rollout.types import RolloutGroup

Mode = Literal["inclusive", "released"]

EDGE = 1e-9
"""Errors this close to a threshold are exactly on it: 4.40 - 3.90 is 0.5000000000000004 in floating point."""


def is_within(errors: NDArray[np.float64], *, threshold: float) -> NDArray[np.bool_]:
    """Whether errors are at most the threshold; NaN is not."""
    within: NDArray[np.bool_] = errors <= threshold + EDGE
    return within


def threshold_rewards(
    scores_K: NDArray[np.float64], *, opinion: float, full_within: float, half_within: float | None, mode: Mode
) -> NDArray[np.float64]:
    """1 up to the one distance, 1/2 up to the other, else 0, ``[K]``; NaN (unparsed) earns 0.

    Released, an error of exactly a distance is beyond it.
    """
    errors_K = np.abs(scores_K - opinion)

    def within(threshold: float) -> NDArray[np.bool_]:
        inside: NDArray[np.bool_] = errors_K < threshold
        return inside if mode == "released" else is_within(errors_K, threshold=threshold)

    rewards_K = np.where(within(full_within), 1.0, 0.0)
    if half_within is not None:
        rewards_K = np.maximum(rewards_K, np.where(within(half_within), 0.5, 0.0))
    return rewards_K


class ThresholdTerm:
    """The binary reward: what is near enough is right, and how near does not matter.

    Distances are shares of the scale of the label, so the term works on 0..1 and 1..5 alike.
    """

    def __init__(self, config: ThresholdTermConfig) -> None:
        """Keep the distances and what becomes of their edges."""
        self._full_fraction, self._half_fraction = config.full_fraction, config.half_fraction
        self._mode: Mode = config.mode

    async def score(self, groups: Sequence[RolloutGroup]) -> list[list[float | None]]:
        """Return 1.0, 0.5 or 0.0 per completion; never abstains."""
        return [self._score_group(group) for group in groups]

    def _score_group(self, group: RolloutGroup) -> list[float | None]:
        label = group.prompt.opinion
        span = label.scale.maximum - label.scale.minimum
        rewards_K = threshold_rewards(
            read_scores(group, scores="released" if self._mode == "released" else "all"),
            opinion=label.score,
            full_within=span * self._full_fraction,
            half_within=None if self._half_fraction is None else span * self._half_fraction,
            mode=self._mode,
        )
        return list(rewards_K.tolist())
