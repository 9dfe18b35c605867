"""Intervals of figures without a formula, against SciPy and in limit cases."""

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.stats import bootstrap

from evaluation.bootstrap import bootstrap_statistic

Array = NDArray[np.float64]


def correlation(first: Array, second: Array) -> float | None:
    return None if np.ptp(first) == 0 or np.ptp(second) == 0 else float(np.corrcoef(first, second)[0, 1])


def test_the_interval_of_any_figure_is_that_of_scipy() -> None:
    random = np.random.default_rng(3)
    first = random.normal(size=60)
    second = first + random.normal(size=60)
    items = [str(index) for index in range(60)]
    ours = bootstrap_statistic(correlation, arrays=(first, second), cluster_ids=items, num_resamples=4000, seed=0)
    theirs = bootstrap(
        (first, second), lambda a, b: np.corrcoef(a, b)[0, 1], paired=True, vectorized=False, n_resamples=4000,
        method="percentile", rng=np.random.default_rng(1),
    ).confidence_interval  # fmt: skip
    assert ours is not None
    # A tail of 4000 draws is known to about 0.01 here.
    assert (ours.low, ours.high) == pytest.approx((theirs.low, theirs.high), abs=0.02)


@pytest.mark.parametrize(
    ("scores", "ids"),
    [([1, 2, 3, 4], ["a", "a", "a", "a"]), ([1, 1, 2, 2], ["a", "a", "b", "b"]), ([3, 3, 3, 3], ["a", "b", "c", "d"])],
    ids=["one cluster", "half of the draws are constant", "undefined at all"],
)
def test_a_figure_that_draws_leave_undefined_has_no_interval(scores: list[float], ids: list[str]) -> None:
    arrays = (np.array(scores, dtype=np.float64), np.array([1.0, 2.0, 4.0, 3.0]))
    assert bootstrap_statistic(correlation, arrays=arrays, cluster_ids=ids, num_resamples=200, seed=0) is None


def test_a_few_undefined_draws_are_left_out() -> None:
    # Of 6 items with two values, 2 * (1/2)^6 = 3 % of the draws are constant.
    arrays = (np.array([1.0, 1.0, 1.0, 2.0, 2.0, 2.0]), np.array([1.0, 3.0, 2.0, 4.0, 6.0, 5.0]))
    found = bootstrap_statistic(correlation, arrays=arrays, cluster_ids=list("abcdef"), num_resamples=1000, seed=0)
    assert found is not None
    assert 0 < found.low < found.value < found.high <= 1


def test_a_figure_of_no_resamples_is_refused() -> None:
    arrays = (np.array([1.0, 2.0]), np.array([1.0, 2.0]))
    with pytest.raises(ValueError, match="num_resamples must be at least 1"):
        bootstrap_statistic(correlation, arrays=arrays, cluster_ids=["a", "b"], num_resamples=0, seed=0)
