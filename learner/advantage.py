"""Credit: rewards to advantages. Pure numpy, no torch, no config objects."""

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

STD_EPSILON = 1e-4
"""Added to the standard deviation, as the published RL2R trainer does (arXiv 2505.14460, code)."""


def center(rewards_G: Floats) -> Floats:
    """Subtract the group mean; equal rewards become exactly 0, whatever the rounding of their mean."""
    if not rewards_G.size or np.ptp(rewards_G) == 0.0:
        return np.zeros_like(rewards_G)
    centered_G: Floats = rewards_G - rewards_G.mean()
    return centered_G


def scale_by_std(rewards_G: Floats) -> Floats:
    """Centred rewards over their unbiased standard deviation + 1e-4; equal rewards become exactly 0."""
    centered_G = center(rewards_G)
    if not centered_G.any():
        return centered_G
    scaled_G: Floats = centered_G / (rewards_G.std(ddof=1) + STD_EPSILON)
    return scaled_G


def over_rewarded(totals: Sequence[float | None], *, credit: Callable[[Floats], Floats]) -> Floats:
    """``credit`` of the completions that have a reward; the others get 0 and do not enter its statistics.

    A missing reward is not a reward of 0: as a number it would move the mean of the whole group.

    Raises:
        ValueError: A reward is not finite.
    """
    has_reward_G = np.array([total is not None for total in totals], dtype=np.bool_)
    rewards = np.array([total for total in totals if total is not None], dtype=np.float64)
    if not np.isfinite(rewards).all():
        raise ValueError(f"expected finite rewards or None, got {list(totals)}; fix the reward term that made them")
    advantages_G = np.zeros(len(totals), dtype=np.float64)
    advantages_G[has_reward_G] = credit(rewards)
    return advantages_G
