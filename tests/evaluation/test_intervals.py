"""Intervals: published and hand-worked numbers, the binomial law as a second opinion, clusters, edges."""

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.stats import binom

from evaluation.intervals import (
    Estimate,
    bootstrap_all_right,
    bootstrap_mean,
    difference_of_proportions,
    wilson,
)

Array = NDArray[np.float64]
MANY = 4_000


def numbers(*values: float) -> Array:
    return np.array(values, dtype=np.float64)


def each_its_own(num_items: int) -> list[str]:
    return [f"{index:03d}" for index in range(num_items)]


def bounds(estimate: Estimate | None) -> tuple[float, float]:
    assert estimate is not None
    return estimate.low, estimate.high


@pytest.mark.parametrize(
    ("num_right", "num_items", "low", "high"),
    [
        # Newcombe (1998), two-sided intervals for the single proportion, table I.
        (81, 263, 0.2553, 0.3662),
        (15, 148, 0.0624, 0.1605),
        (0, 20, 0.0, 0.1611),
        (1, 29, 0.0061, 0.1718),
    ],
)
def test_wilsons_published_examples(num_right: int, num_items: int, low: float, high: float) -> None:
    assert bounds(wilson(num_right, num_items=num_items)) == pytest.approx((low, high), abs=5.1e-5)


def test_wilsons_bounds_are_where_the_score_test_just_passes() -> None:
    for bound in bounds(wilson(25, num_items=46)):
        assert abs(25 / 46 - bound) / np.sqrt(bound * (1 - bound) / 46) == pytest.approx(1.959964, abs=1e-6)


def test_right_and_wrong_mirror_each_other() -> None:
    low, high = bounds(wilson(7, num_items=9))
    assert bounds(wilson(2, num_items=9)) == pytest.approx((1 - high, 1 - low))


@pytest.mark.parametrize("num_items", [1, 7, 170])
def test_an_interval_holds_its_share_at_both_ends(num_items: int) -> None:
    none, all_right = wilson(0, num_items=num_items), wilson(num_items, num_items=num_items)
    assert none is not None
    assert all_right is not None
    assert (none.value, none.low, all_right.value, all_right.high) == (0, 0, 1, 1)


def test_a_share_of_nothing_is_undefined() -> None:
    assert wilson(0, num_items=0) is None


def test_more_right_than_there_are_is_refused() -> None:
    with pytest.raises(ValueError, match="3 of 2"):
        wilson(3, num_items=2)


def test_newcombes_published_difference() -> None:
    # Newcombe (1998), interval estimation for the difference, example (a) with method 10.
    difference = difference_of_proportions(wilson(56, num_items=70), second=wilson(48, num_items=80))
    assert difference is not None
    assert difference.value == pytest.approx(0.2)
    assert bounds(difference) == pytest.approx((0.0524, 0.3339), abs=5.1e-5)


def test_swapping_two_proportions_flips_their_difference() -> None:
    one, other = wilson(3, num_items=10), wilson(9, num_items=12)
    low, high = bounds(difference_of_proportions(one, second=other))
    assert bounds(difference_of_proportions(other, second=one)) == pytest.approx((-high, -low))


def test_a_difference_from_nothing_is_undefined() -> None:
    assert difference_of_proportions(wilson(1, num_items=2), second=None) is None


def test_resampled_shares_follow_the_binomial_law() -> None:
    values = np.repeat([1.0, 0.0], [80, 20])
    estimate = bootstrap_mean(values, cluster_ids=each_its_own(100), num_resamples=MANY, seed=0)
    expected = binom.ppf([0.025, 0.975], 100, 0.8) / 100
    assert bounds(estimate) == pytest.approx(tuple(expected), abs=0.0101)


def test_identical_items_of_a_cluster_are_one_piece_of_evidence() -> None:
    values, ids = numbers(1, 0, 1, 1, 0), each_its_own(5)
    one = bootstrap_mean(values, cluster_ids=ids, num_resamples=100, seed=3)
    six_of_each = bootstrap_mean(
        np.repeat(values, 6), cluster_ids=np.repeat(ids, 6).tolist(), num_resamples=100, seed=3
    )
    assert six_of_each == one


def test_larger_clusters_weigh_more_in_the_mean() -> None:
    estimate = bootstrap_mean(numbers(1, 1, 1, 0), cluster_ids=["a", "a", "a", "b"], num_resamples=10, seed=0)
    assert estimate is not None
    assert estimate.value == 0.75


def test_two_clusters_have_three_resampled_means() -> None:
    # aa, ab, ba, bb: 1, 3/4 and 0; both ends have more than 2.5 % of the draws.
    estimate = bootstrap_mean(numbers(1, 1, 1, 0), cluster_ids=["a", "a", "a", "b"], num_resamples=MANY, seed=0)
    assert bounds(estimate) == (0.0, 1.0)


def test_a_cluster_is_right_only_when_all_of_it_is() -> None:
    is_right = np.array([True, True, True, False, True])
    estimate = bootstrap_all_right(is_right, cluster_ids=["a", "a", "b", "b", "c"], num_resamples=10, seed=0)
    assert estimate is not None
    assert estimate.value == pytest.approx(2 / 3)


def test_all_right_clusters_follow_the_binomial_law() -> None:
    # 25 of 46 ids, the published MM-RLHF-RewardBench Acc+ of 54.35 %; two pairs each.
    is_right = np.ones((46, 2), dtype=np.bool_)
    is_right[25:, 1] = False
    ids = np.repeat(each_its_own(46), 2).tolist()
    estimate = bootstrap_all_right(is_right.ravel(), cluster_ids=ids, num_resamples=MANY, seed=0)
    expected = binom.ppf([0.025, 0.975], 46, 25 / 46) / 46
    assert bounds(estimate) == pytest.approx(tuple(expected), abs=1.01 / 46)


def test_items_right_and_wrong_together_leave_no_doubt_about_a_difference() -> None:
    first, second = numbers(1, 1, 0, 0), numbers(1, 1, 0, 0)
    estimate = bootstrap_mean(first - second, cluster_ids=each_its_own(4), num_resamples=50, seed=0)
    assert estimate == Estimate(value=0.0, low=0.0, high=0.0)


def test_the_order_of_items_changes_nothing() -> None:
    values, ids = numbers(1, 0, 1, 1, 0, 0), ["b", "a", "c", "b", "a", "d"]
    order = [4, 2, 0, 5, 1, 3]
    whole, permuted = (
        bootstrap_mean(values[rows], cluster_ids=[ids[row] for row in rows], num_resamples=50, seed=1)
        for rows in (list(range(6)), order)
    )
    assert permuted == whole


def test_an_interval_depends_on_the_seed_alone() -> None:
    values, ids = numbers(0, 1, 2, 3, 4, 5, 6, 7, 8), each_its_own(9)
    first, again, other = (bootstrap_mean(values, cluster_ids=ids, num_resamples=20, seed=seed) for seed in (1, 1, 2))
    assert first == again != other


@pytest.mark.parametrize("num_items", [0, 3])
def test_fewer_than_two_clusters_have_no_interval(num_items: int) -> None:
    assert bootstrap_mean(np.ones(num_items), cluster_ids=["one"] * num_items, num_resamples=10, seed=0) is None


def test_a_missing_value_is_refused_not_skipped() -> None:
    with pytest.raises(ValueError, match="finite"):
        bootstrap_mean(numbers(1, np.nan), cluster_ids=["a", "b"], num_resamples=10, seed=0)


def test_an_item_without_cluster_is_refused() -> None:
    with pytest.raises(ValueError, match="one cluster id per item"):
        bootstrap_mean(numbers(1, 0), cluster_ids=["a"], num_resamples=10, seed=0)
