"""How sure a share is: 95 % intervals for proportions, for means over clusters, and for differences.

    one proportion, independent items               wilson
    two proportions on different items              difference_of_proportions
    anything averaged over items, or over clusters  bootstrap_mean (Acc; vote@k; two judges on the same items)
    share of clusters right in every item           bootstrap_all_right (Acc+)

What has no interval (a share of nothing, one cluster to resample) is None.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from math import sqrt

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

_TAILS = (0.025, 0.975)
_Z = 1.959963984540054
"""Normal quantile of the upper tail."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Estimate:
    """A value and its 95 % interval."""

    value: float
    low: float
    high: float


def wilson(num_right: int, *, num_items: int) -> Estimate | None:
    """A proportion with Wilson's score interval, which stays inside 0..1 and has a width even at 0 and at 1.

    Raises:
        ValueError: There are more right items than items, or a negative number.
    """
    if not 0 <= num_right <= num_items:
        raise ValueError(f"expected 0 <= num_right <= num_items, got {num_right} of {num_items}")
    if num_items == 0:
        return None
    share = num_right / num_items
    shrink = 1.0 + _Z**2 / num_items
    centre = (share + _Z**2 / (2 * num_items)) / shrink
    half = _Z * sqrt(share * (1.0 - share) / num_items + (_Z / (2 * num_items)) ** 2) / shrink
    # At 0 and at 1 one bound is the share itself; rounding would put it a hair beside.
    low, high = max(0.0, min(share, centre - half)), min(1.0, max(share, centre + half))
    return Estimate(value=share, low=low, high=high)


def difference_of_proportions(first: Estimate | None, *, second: Estimate | None) -> Estimate | None:
    """``first - second`` of two ``wilson`` estimates on different items: Newcombe's score interval (1998, method 10).

    For two judges on the same items use ``bootstrap_mean`` on the differences, which is far narrower.
    """
    if first is None or second is None:
        return None
    gap = first.value - second.value
    below = sqrt((first.value - first.low) ** 2 + (second.high - second.value) ** 2)
    above = sqrt((first.high - first.value) ** 2 + (second.value - second.low) ** 2)
    return Estimate(value=gap, low=gap - below, high=gap + above)


def bootstrap_mean(values_N: Array, *, cluster_ids: Sequence[str], num_resamples: int, seed: int) -> Estimate | None:
    """The mean over items with a percentile interval from resampling whole clusters.

    Items that share a picture or a question share a cluster: they err together, and resampled one by one they
    would look like more evidence than they are. Independent items have one id each. ``values_N`` may be 0 and 1
    (accuracy), chances (vote@k), or differences of two judges on the same items. Where all clusters agree the
    interval has no width; ``wilson`` has one.

    Raises:
        ValueError: A value is not finite, values and ids differ in number, or ``num_resamples`` is not positive.
    """
    cluster_N = _clusters(values_N, cluster_ids)
    sums_C, sizes_C = _sums(values_N, cluster_N), _sums(np.ones(len(cluster_N)), cluster_N)
    return _bootstrap_ratio(sums_C, sizes_C, num_resamples=num_resamples, seed=seed)


def bootstrap_all_right(
    is_right_N: NDArray[np.bool_], *, cluster_ids: Sequence[str], num_resamples: int, seed: int
) -> Estimate | None:
    """The share of clusters whose every item is right (Acc+), with a percentile interval over clusters.

    Raises:
        ValueError: Items and ids differ in number, or ``num_resamples`` is not positive.
    """
    cluster_N = _clusters(is_right_N, cluster_ids)
    num_wrong_C = _sums(np.logical_not(is_right_N).astype(np.float64), cluster_N)
    all_right_C = (num_wrong_C == 0).astype(np.float64)
    return _bootstrap_ratio(all_right_C, np.ones_like(all_right_C), num_resamples=num_resamples, seed=seed)


def _clusters(values_N: NDArray[np.generic], cluster_ids: Sequence[str]) -> NDArray[np.intp]:
    """Each item's cluster, counted from 0 in the order of the ids."""
    if values_N.shape != (len(cluster_ids),):
        raise ValueError(f"expected one cluster id per item, got shape {values_N.shape} and {len(cluster_ids)} ids")
    return np.unique(np.asarray(cluster_ids, dtype=np.str_), return_inverse=True)[1]


def _sums(values_N: Array, cluster_N: NDArray[np.intp]) -> Array:
    return np.bincount(cluster_N, weights=values_N).astype(np.float64)


def _bootstrap_ratio(parts_C: Array, wholes_C: Array, *, num_resamples: int, seed: int) -> Estimate | None:
    """``sum(parts) / sum(wholes)`` over clusters drawn with replacement; one draw at a time keeps memory flat."""
    if not np.isfinite(parts_C).all():
        raise ValueError("the bootstrap needs finite values; leave items without one out and count them")
    if num_resamples < 1:
        raise ValueError(f"num_resamples must be at least 1, got {num_resamples}; some thousands steady the ends")
    num_clusters = len(parts_C)
    if num_clusters < 2:
        return None
    random = np.random.default_rng(seed)
    draws_RC = (random.integers(num_clusters, size=num_clusters) for _ in range(num_resamples))
    ratios_R = np.array([parts_C[draw_C].sum() / wholes_C[draw_C].sum() for draw_C in draws_RC])
    low, high = np.quantile(ratios_R, _TAILS)
    return Estimate(value=float(parts_C.sum() / wholes_C.sum()), low=float(low), high=float(high))
