"""How sure a figure without a formula is, such as a rank correlation: resampling of whole clusters."""

from collections.abc import Callable, Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from evaluation.intervals import Estimate

Array = NDArray[np.float64]

_TAILS = (0.025, 0.975)
_MAX_UNDEFINED = 0.05
"""With a larger share of draws that leave a figure undefined, what the others say is no interval of it."""


def bootstrap_statistic(
    statistic: Callable[[Array, Array], float | None],
    *,
    arrays: tuple[Array, Array],
    cluster_ids: Sequence[str],
    num_resamples: int,
    seed: int,
) -> Estimate | None:
    """A figure of two values per item, such as a correlation, with a percentile interval over whole clusters.

    None where the figure is undefined (``statistic`` gives None), where there is one cluster, and where more than one
    draw in twenty leaves it undefined; fewer are left out.

    Raises:
        ValueError: Items and ids differ in number, or ``num_resamples`` is not positive.
    """
    first_N, second_N = arrays
    if first_N.shape != (len(cluster_ids),):
        raise ValueError(f"expected one cluster id per item, got shape {first_N.shape} and {len(cluster_ids)} ids")
    value = statistic(first_N, second_N)
    if value is None or len(set(cluster_ids)) < 2:
        return None
    draws = drawn_items(cluster_ids, num_resamples=_at_least_one(num_resamples), seed=seed)
    drawn = [statistic(first_N[items], second_N[items]) for items in draws]
    known_R = np.array([one for one in drawn if one is not None], dtype=np.float64)
    if not are_enough(len(known_R), num_resamples=num_resamples):
        return None
    low, high = percentiles(known_R)
    return Estimate(value=value, low=float(low), high=float(high))


def are_enough(num_defined: int, *, num_resamples: int) -> bool:
    """Whether draws that leave a figure undefined are few enough for the others to make an interval."""
    return num_defined >= (1.0 - _MAX_UNDEFINED) * num_resamples


def percentiles(values_R: Array) -> tuple[Array, Array]:
    """Both ends of 95 % of the values, along the first axis."""
    low, high = np.quantile(values_R, _TAILS, axis=0)
    return low, high


def drawn_items(cluster_ids: Sequence[str], *, num_resamples: int, seed: int) -> Iterator[NDArray[np.intp]]:
    """Items of clusters drawn with replacement, as many clusters as there are, once for each resample."""
    cluster_N = clusters(cluster_ids)
    by_cluster_N = np.argsort(cluster_N, kind="stable")
    sizes_C = np.bincount(cluster_N)
    starts_C = np.cumsum(sizes_C) - sizes_C
    random = np.random.default_rng(seed)
    for _ in range(num_resamples):
        draw_C = random.integers(len(sizes_C), size=len(sizes_C))
        drawn_C = sizes_C[draw_C]
        # Where each drawn item stands within its own cluster, counted on from where the cluster starts.
        offsets = np.arange(drawn_C.sum()) - np.repeat(np.cumsum(drawn_C) - drawn_C, drawn_C)
        yield by_cluster_N[np.repeat(starts_C[draw_C], drawn_C) + offsets]


def clusters(cluster_ids: Sequence[str]) -> NDArray[np.intp]:
    """Each item's cluster, counted from 0 in the order of the ids."""
    return np.unique(np.asarray(cluster_ids, dtype=np.str_), return_inverse=True)[1]


def _at_least_one(num_resamples: int) -> int:
    if num_resamples < 1:
        raise ValueError(f"num_resamples must be at least 1, got {num_resamples}; some thousands steady the ends")
    return num_resamples
