"""Credit as arithmetic: rewards and returns to advantages. Pure numpy, no torch, no config objects."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]

STD_EPSILON = 1e-4
"""Added to the standard deviation, as the published RL2R trainer does (arXiv 2505.14460, code)."""
FAILURE_PENALTY = 0.2
"""Advantage that all completions of a failed group lose when their rewards are equal (arXiv 2508.03763, code)."""
MIN_VARIANCE = 1e-8
"""Floor of the variance returns are divided by (arXiv 2505.02835, code)."""
Z_EPSILON = 1e-8
"""Added to z itself, not to the deviation (arXiv 2505.02835, code)."""
MAX_KEPT_Z = 3.0
"""The three sigma of StableReinforce's advantage filter."""
MAX_PLAUSIBLE_Z = 10.0
"""Larger z are never kept by StableReinforce, whatever its filter."""


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


def positive_only(rewards_G: Floats, *, success_reward: float) -> Floats:
    """``scale_by_std`` where a reward reaches ``success_reward``, with 0 for what is negative (arXiv 2508.03763, code).

    In a group without success all lose 0.2e-4 before division by deviation + 1e-4: -0.2 each when their rewards are
    equal, next to nothing when they differ. A single reward has nothing beside it and becomes 0.
    """
    if len(rewards_G) < 2:
        return np.zeros_like(rewards_G)
    centered_G = center(rewards_G)
    divisor = float(np.sqrt((centered_G**2).sum() / (len(rewards_G) - 1))) + STD_EPSILON
    scaled_G: Floats = centered_G / divisor
    if (rewards_G >= success_reward).any():
        return np.maximum(scaled_G, 0.0)
    penalised_G: Floats = scaled_G - FAILURE_PENALTY * (STD_EPSILON / divisor)
    return penalised_G


def leave_one_out(rewards_G: Floats) -> Floats:
    """Subtract the mean of the others (RLOO); a single reward has no others and becomes 0."""
    size = len(rewards_G)
    return center(rewards_G) * (size / max(size - 1, 1))


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


def spread(totals: Sequence[float | None]) -> float:
    """Largest minus smallest reward; 0 with fewer than two."""
    rewards = [total for total in totals if total is not None]
    return max(rewards) - min(rewards) if rewards else 0.0


def returns_to_go(reward: float, penalties_T: Floats) -> Floats:
    """What is still to come at each token, undiscounted: the reward at the end, less the penalties from there on."""
    remaining_T: Floats = reward - np.cumsum(penalties_T[::-1])[::-1]
    return remaining_T


@dataclass(frozen=True, kw_only=True, slots=True)
class Moments:
    """Weighted mean and population variance."""

    mean: float
    variance: float

    def z_scores(self, values: Floats) -> Floats:
        """Deviations from the mean over the standard deviation, whose floor is 1e-4."""
        z: Floats = (values - self.mean) / np.sqrt(max(self.variance, MIN_VARIANCE))
        return z


def moments(values: Floats, weights: Floats) -> Moments:
    """Two passes, so that a mean far from 0 costs no digits.

    Raises:
        ValueError: No value weighs anything.
    """
    total = weights.sum()
    if not total > 0.0:
        raise ValueError("the moments of nothing are undefined; at least one weight must be positive")
    mean = float((weights * values).sum() / total)
    return Moments(mean=mean, variance=float((weights * (values - mean) ** 2).sum() / total))


def within_three_sigma(z: Floats) -> Bools:
    """StableReinforce's filter as the paper states it."""
    kept: Bools = np.abs(z) <= MAX_KEPT_Z
    return kept


def within_three_of(z: Floats, *, raw_mean: float) -> Bools:
    """StableReinforce's filter as its authors' code runs it: bounds around the mean of the raw returns, on z."""
    kept: Bools = (z >= raw_mean - MAX_KEPT_Z) & (z <= raw_mean + MAX_KEPT_Z)
    return kept


def is_plausible(z: Floats) -> Bools:
    """Finite, and at most 10 in size."""
    plausible: Bools = np.isfinite(z) & (np.abs(z) <= MAX_PLAUSIBLE_Z)
    return plausible
