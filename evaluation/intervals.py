"""How sure a mean is: 95 % intervals for items that err together.

    mean of values in 0..1    Wilson's score interval, for as many trials as the clusters are worth
    mean of values in -1..1   the share above 0 minus the share below 0, each with such an interval

Items that share a picture or a question share a cluster: counted one by one they would look like more evidence than
they are. Independent items are a cluster each.
"""

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from math import fsum, inf, sqrt

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
Clustered = Iterable[tuple[float, str]]
"""Values, each with the name of its cluster."""

_Z = 1.959963984540054
"""Normal quantile of the upper tail, 2.5 %."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Estimate:
    """A value and its 95 % interval."""

    value: float
    low: float
    high: float


@dataclass(frozen=True, kw_only=True, slots=True)
class _Totals:
    """Sums over the values of each of C clusters, in the order of their names."""

    above_C: Array
    """Of what is above 0."""
    below_C: Array
    """Of what is below 0, as positive numbers."""
    sizes_C: Array


def wilson(share: float, *, num_trials: float) -> Estimate:
    """Wilson's score interval, which stays inside 0..1 and has a width even at 0 and at 1.

    Raises:
        ValueError: The share is none, or there are no trials.
    """
    if not (0 <= share <= 1 and num_trials > 0):
        raise ValueError(f"expected a share in 0..1 of some trials, got {share} of {num_trials}")
    shrink = 1.0 + _Z**2 / num_trials
    centre = (share + _Z**2 / (2 * num_trials)) / shrink
    half = _Z * sqrt(share * (1.0 - share) / num_trials + (_Z / (2 * num_trials)) ** 2) / shrink
    # At 0 and at 1 one bound is the share itself; rounding would put it a hair beside.
    low, high = max(0.0, min(share, centre - half)), min(1.0, max(share, centre + half))
    return Estimate(value=share, low=low, high=high)


def mean_share(values: Clustered) -> Estimate:
    """The mean of values in 0..1: accuracies, chances, votes of which a tie is half.

    The number of trials is the effective sample size (Dean and Pagano, 2015): that of independent trials whose share
    would vary as much as the mean over clusters does. At 0 and at 1 nothing varies, nor tells how alike the items of
    a cluster are: every cluster is one trial.

    Raises:
        ValueError: There are no values, or one is outside 0..1.
    """
    totals = _totals(values, lowest=0.0)
    return _share(totals.above_C, totals.sizes_C)


def mean_difference(values: Clustered) -> Estimate:
    """The mean of values in -1..1: two judges on the same items, errors towards either side.

    The halves of both shares' intervals add up as squares, minus what their correlation over clusters takes away
    (MOVER, Zou 2007; of independent shares Newcombe's method 10). Where all values are 0 it has a width as well.

    Raises:
        ValueError: There are no values, or one is outside -1..1.
    """
    totals = _totals(values, lowest=-1.0)
    above, below = _share(totals.above_C, totals.sizes_C), _share(totals.below_C, totals.sizes_C)
    correlation = _correlation(_residuals(totals.above_C, totals.sizes_C), _residuals(totals.below_C, totals.sizes_C))
    gap = above.value - below.value
    down = _hypotenuse(above.value - above.low, below.high - below.value, correlation=correlation)
    up = _hypotenuse(above.high - above.value, below.value - below.low, correlation=correlation)
    return Estimate(value=gap, low=gap - down, high=gap + up)


def mean_of_independent(estimates: Iterable[Estimate]) -> Estimate:
    """The mean of estimates from different items, each interval's halves adding up as squares (MOVER).

    Raises:
        ValueError: There are none.
    """
    known = list(estimates)
    if not known:
        raise ValueError("a mean needs estimates, got none")
    value = fsum(one.value for one in known) / len(known)
    below = sqrt(fsum((one.value - one.low) ** 2 for one in known)) / len(known)
    above = sqrt(fsum((one.high - one.value) ** 2 for one in known)) / len(known)
    return Estimate(value=value, low=value - below, high=value + above)


def _totals(values: Clustered, *, lowest: float) -> _Totals:
    members: defaultdict[str, list[float]] = defaultdict(list)
    for value, cluster in values:
        if not lowest <= value <= 1.0:
            raise ValueError(f"expected values in {lowest:g}..1, got {value} in {cluster!r}")
        members[cluster].append(value)
    if not members:
        raise ValueError("a mean needs values, got none")
    # Exactly rounded sums: the order of the items changes nothing.
    clusters = [members[name] for name in sorted(members)]
    return _Totals(
        above_C=np.array([fsum(max(value, 0.0) for value in one) for one in clusters]),
        below_C=np.array([fsum(max(-value, 0.0) for value in one) for one in clusters]),
        sizes_C=np.array([float(len(one)) for one in clusters]),
    )


def _share(parts_C: Array, sizes_C: Array) -> Estimate:
    share, num_items = float(parts_C.sum() / sizes_C.sum()), float(sizes_C.sum())
    spread = float(np.sum(_residuals(parts_C, sizes_C) ** 2))
    if share in (0.0, 1.0) or len(sizes_C) == 1:
        num_trials = float(len(sizes_C))
    else:
        num_trials = share * (1.0 - share) * num_items**2 / spread if spread else inf
    return wilson(share, num_trials=num_trials)


def _residuals(parts_C: Array, sizes_C: Array) -> Array:
    """What each cluster is above or below its share of the whole."""
    return np.asarray(parts_C - sizes_C * (parts_C.sum() / sizes_C.sum()), dtype=np.float64)


def _correlation(one_C: Array, other_C: Array) -> float:
    """0 where either does not vary."""
    scale = sqrt(float(one_C @ one_C) * float(other_C @ other_C))
    return float(one_C @ other_C) / scale if scale else 0.0


def _hypotenuse(one: float, other: float, *, correlation: float) -> float:
    return sqrt(max(one**2 + other**2 - 2.0 * correlation * one * other, 0.0))
