"""Intervals: published and hand-worked numbers, how often they hold the truth, clusters, edges."""

from collections.abc import Sequence
from math import sqrt

import numpy as np
import pytest
from scipy.stats import binom

from evaluation.intervals import Estimate, mean_difference, mean_of_independent, mean_share, wilson


def alone(values: Sequence[float]) -> list[tuple[float, str]]:
    """Every item a cluster of its own."""
    return [(value, f"{index:03d}") for index, value in enumerate(values)]


def together(*clusters: Sequence[float]) -> list[tuple[float, str]]:
    """One list of values per cluster."""
    return [(value, f"{index:03d}") for index, values in enumerate(clusters) for value in values]


def right(num_right: int, num_items: int) -> list[tuple[float, str]]:
    """So many right items among independent ones."""
    return alone([1.0] * num_right + [0.0] * (num_items - num_right))


def bounds(estimate: Estimate) -> tuple[float, float]:
    return estimate.low, estimate.high


# Shares


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
def test_independent_items_have_wilsons_published_intervals(
    num_right: int, num_items: int, low: float, high: float
) -> None:
    assert bounds(mean_share(right(num_right, num_items))) == pytest.approx((low, high), abs=5.1e-5)


def test_wilsons_bounds_are_where_the_score_test_just_passes() -> None:
    for bound in bounds(wilson(25 / 46, num_trials=46)):
        assert abs(25 / 46 - bound) / sqrt(bound * (1 - bound) / 46) == pytest.approx(1.959964, abs=1e-6)


def test_right_and_wrong_mirror_each_other() -> None:
    low, high = bounds(mean_share(together([1, 0, 1], [0], [1, 1])))
    assert bounds(mean_share(together([0, 1, 0], [1], [0, 0]))) == pytest.approx((1 - high, 1 - low))


def test_a_clustered_share_by_hand() -> None:
    # Share 3/4. Clusters are 1/2 above and 1/2 below their share: 3/4 * 1/4 * 4^2 / (1/4 + 1/4) = 6 trials.
    assert mean_share(together([1, 1], [0, 1])) == wilson(0.75, num_trials=6)


def test_identical_items_of_a_cluster_are_one_piece_of_evidence() -> None:
    one, six_of_each = (mean_share(together(*([value] * times for value in (1, 0, 1, 1, 0)))) for times in (1, 6))
    assert bounds(six_of_each) == pytest.approx(bounds(one))


def test_larger_clusters_weigh_more_in_the_mean() -> None:
    assert mean_share(together([1, 1, 1], [0])).value == 0.75


@pytest.mark.parametrize(("value", "low", "high"), [(1.0, 0.8389, 1.0), (0.0, 0.0, 0.1611)])
def test_at_both_ends_every_cluster_is_one_trial(value: float, low: float, high: float) -> None:
    assert bounds(mean_share(together(*[[value, value]] * 20))) == pytest.approx((low, high), abs=5.1e-5)


def test_one_cluster_is_one_trial() -> None:
    assert mean_share(together([1, 1, 1])) == wilson(1.0, num_trials=1)


def test_clusters_that_are_all_half_right_leave_no_doubt() -> None:
    assert mean_share(together([1, 0], [1, 0], [0, 1])) == Estimate(value=0.5, low=0.5, high=0.5)


@pytest.mark.parametrize("share", [0.5, 0.8, 0.95, 0.99])
def test_the_interval_of_independent_items_holds_the_truth_about_95_times_of_100(share: float) -> None:
    holds = [low <= share <= high for low, high in (bounds(mean_share(right(k, 60))) for k in range(61))]
    assert 0.92 < sum(binom.pmf(np.flatnonzero(holds), 60, share)) < 0.99


@pytest.mark.parametrize("share", [0.6, 0.9, 0.97])
def test_the_interval_of_pairs_that_err_together_holds_the_truth_about_as_often(share: float) -> None:
    random = np.random.default_rng(0)
    num_held = 0
    for _ in range(200):
        chances = random.beta(share, 1 - share, size=60)  # of the two items of a pair; they correlate by 1/2
        low, high = bounds(mean_share(together(*(random.random((60, 2)) < chances[:, None]).astype(float).tolist())))
        num_held += low <= share <= high
    assert num_held / 200 > 0.90


# Differences


def test_a_difference_by_hand() -> None:
    # 3 of 10 above, 1 below. The indicators of disjoint events correlate by -sqrt(odds * odds).
    above, below = wilson(0.3, num_trials=10), wilson(0.1, num_trials=10)
    correlation = -sqrt((0.3 / 0.7) * (0.1 / 0.9))
    down, up = (0.3 - above.low, below.high - 0.1), (above.high - 0.3, 0.1 - below.low)
    expected = [sqrt(a**2 + b**2 - 2 * correlation * a * b) for a, b in (down, up)]
    difference = mean_difference(alone([1, 1, 1, -1, 0, 0, 0, 0, 0, 0]))
    assert difference.value == pytest.approx(0.2)
    assert bounds(difference) == pytest.approx((0.2 - expected[0], 0.2 + expected[1]))


def test_changing_sides_flips_a_difference() -> None:
    low, high = bounds(mean_difference(together([1, 0], [-1, 1], [1, 1], [0, 0])))
    assert bounds(mean_difference(together([-1, 0], [1, -1], [-1, -1], [0, 0]))) == pytest.approx((-high, -low))


def test_no_difference_at_all_has_the_width_of_a_share_of_nothing() -> None:
    most = wilson(0.0, num_trials=40).high
    assert mean_difference(alone([0.0] * 40)) == Estimate(value=0.0, low=-most, high=most)


def test_items_above_alone_are_a_share() -> None:
    difference, share = mean_difference(right(7, 30)), mean_share(right(7, 30))
    assert (difference.value, difference.high) == pytest.approx((share.value, share.high))
    assert difference.low < share.low


@pytest.mark.parametrize(("above", "below"), [(0.3, 0.1), (0.04, 0.02), (0.45, 0.45)])
def test_the_interval_of_a_difference_holds_the_truth(above: float, below: float) -> None:
    random = np.random.default_rng(1)
    num_held = 0
    for _ in range(200):
        values = random.choice([1.0, -1.0, 0.0], p=[above, below, 1 - above - below], size=80)
        low, high = bounds(mean_difference(alone(values.tolist())))
        num_held += low <= above - below <= high
    assert num_held / 200 > 0.92


# Means of estimates


def test_the_halves_of_independent_intervals_add_up_as_squares() -> None:
    estimates = [Estimate(value=0.5, low=0.4, high=0.6), Estimate(value=0.7, low=0.4, high=0.8)]
    mean = mean_of_independent(estimates)
    assert (mean.value, mean.low, mean.high) == pytest.approx((0.6, 0.6 - 0.1**0.5 / 2, 0.6 + 0.02**0.5 / 2))


# Edges


def test_the_order_of_items_changes_nothing() -> None:
    values = together([0.1, 0.7, 0.2], [1 / 3, 0.9], [0.3], [0.6, 0.6, 0.1])
    assert mean_share(values[::-1]) == mean_share(values)
    assert mean_difference(values[::-1]) == mean_difference(values)


@pytest.mark.parametrize("value", [1.01, -0.01, float("nan")])
def test_a_value_that_is_no_share_is_refused(value: float) -> None:
    with pytest.raises(ValueError, match=r"values in 0\.\.1, got .* in '001'"):
        mean_share(alone([1.0, value]))


def test_a_mean_of_nothing_is_refused() -> None:
    with pytest.raises(ValueError, match="needs values"):
        mean_share([])
    with pytest.raises(ValueError, match="needs estimates"):
        mean_of_independent([])


@pytest.mark.parametrize(("share", "num_trials"), [(1.5, 3.0), (0.5, 0.0)])
def test_a_share_of_no_trials_is_refused(share: float, num_trials: float) -> None:
    with pytest.raises(ValueError, match="share in"):
        wilson(share, num_trials=num_trials)
