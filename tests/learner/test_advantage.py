"""Rewards to advantages."""

from collections.abc import Callable

import numpy as np
import pytest

from learner.advantage import (
    Floats,
    center,
    is_plausible,
    leave_one_out,
    moments,
    over_rewarded,
    positive_only,
    returns_to_go,
    scale_by_std,
    spread,
)


def test_centred_rewards_add_up_to_zero() -> None:
    assert center(np.array([1.0, 2.0, 6.0])).tolist() == [-2.0, -1.0, 3.0]


def refined(rewards: list[float]) -> Floats:
    """Refine-IQA's advantages as published."""
    return positive_only(np.array(rewards), success_reward=2.0)


def refined_by_loops(rewards: list[float]) -> list[float]:
    """The same as the published code writes them, one number at a time."""
    size = len(rewards)
    mean = sum(rewards) / size
    deviation = (sum((r - mean) ** 2 for r in rewards) / (size - 1)) ** 0.5
    if any(r >= 2 for r in rewards):
        return [max((r - mean) / (deviation + 1e-4), 0.0) for r in rewards]
    return [(r - mean - 0.2e-4) / (deviation + 1e-4) for r in rewards]


@pytest.mark.parametrize("credit", [center, scale_by_std, leave_one_out])
def test_equal_rewards_are_worth_exactly_nothing(credit: Callable[[Floats], Floats]) -> None:
    # The mean of seven times 0.1 is not 0.1 in floating point.
    assert not credit(np.full(7, 0.1)).any()


def test_advantages_of_the_published_example() -> None:
    # rl2r_rapo 1.6, example A: unbiased standard deviation + 1e-4.
    rewards_G = np.array([1.918249, 1.762092, 1.982871])
    np.testing.assert_allclose(scale_by_std(rewards_G), [0.268569, -1.105955, 0.837386], atol=2e-5)
    # The other picture, one of whose answers has not the form.
    rewards_G = np.array([1.973215, 1.810582, 0.918249])
    np.testing.assert_allclose(scale_by_std(rewards_G), [0.714443, 0.428161, -1.142604], atol=2e-5)


def test_refine_iqas_worked_example_keeps_the_good_ones_of_a_successful_group() -> None:
    rewards = [2.17, 2.00, 1.00, 0.0, 1.00, 2.08, 0.0, 0.0]
    expected = [1.179124, 1.003097, 0.0, 0.0, 0.0, 1.085933, 0.0, 0.0]
    np.testing.assert_allclose(refined(rewards), expected, atol=5e-7)
    plain = [1.179124, 1.003097, -0.032358, -1.067812, -0.032358, 1.085933, -1.067812, -1.067812]
    np.testing.assert_allclose(scale_by_std(np.array(rewards)), plain, atol=5e-7)
    assert (np.mean(rewards), np.std(rewards, ddof=1)) == pytest.approx((1.03125, 0.9656594711831465), abs=1e-15)


@pytest.mark.parametrize("reward", [0.0, 1.0])
def test_a_failed_group_of_equal_rewards_is_pushed_away_by_a_fifth(reward: float) -> None:
    assert refined([reward] * 8).tolist() == [-0.2] * 8


def test_a_failed_group_of_equal_rewards_is_pushed_away_whatever_the_rounding_of_their_mean() -> None:
    assert refined([0.1] * 7).tolist() == [-0.2] * 7


def test_a_successful_group_of_equal_rewards_has_nothing_to_learn() -> None:
    assert not refined([2.0] * 8).any()


def test_a_mixed_group_without_success_is_compared_and_pushed_away_a_little() -> None:
    rewards = [0.0, 1.0, 1.0, 0.0, 0.0, 0.0, 0.0, 1.0]
    np.testing.assert_allclose(np.unique(refined(rewards)), [-0.724468, 1.207343], atol=5e-7)


@pytest.mark.parametrize(
    "rewards", [[2.17, 2.0, 1.0, 0.0], [0.0, 1.0, 0.5, 0.0], [1.999, 0.0], [2.0, 2.0, 2.9], [0.3, 0.3, 0.4]]
)
def test_refine_iqas_advantages_equal_the_slow_loops(rewards: list[float]) -> None:
    np.testing.assert_allclose(refined(rewards), refined_by_loops(rewards), rtol=1e-12, atol=1e-12)


def test_success_is_reached_at_the_bound() -> None:
    assert refined([2.0, 0.0]).min() == 0.0
    assert refined([1.999, 0.0]).min() < 0.0


@pytest.mark.parametrize("rewards", [[], [0.0], [2.0]])
def test_a_single_completion_has_nothing_to_be_better_than(rewards: list[float]) -> None:
    assert refined(rewards).tolist() == [0.0] * len(rewards)


def test_permuting_rewards_permutes_refine_iqas_advantages() -> None:
    rewards, order = [2.1, 0.0, 1.0, 2.6], [2, 0, 3, 1]
    np.testing.assert_allclose(refined([rewards[i] for i in order]), refined(rewards)[order], atol=1e-12)


def test_shifting_rewards_changes_nothing() -> None:
    rewards_G = np.array([0.1, 0.4, 0.9])
    np.testing.assert_allclose(scale_by_std(rewards_G + 5.0), scale_by_std(rewards_G), rtol=1e-9)


def test_permuting_rewards_permutes_advantages() -> None:
    rewards_G, order = np.array([0.1, 0.4, 0.9, 0.2]), [2, 0, 3, 1]
    np.testing.assert_allclose(scale_by_std(rewards_G[order]), scale_by_std(rewards_G)[order], atol=1e-12)


def test_a_completion_without_reward_gets_nothing_and_moves_nobody() -> None:
    assert over_rewarded([1.0, None, 3.0], credit=center).tolist() == [-1.0, 0.0, 1.0]


@pytest.mark.parametrize("totals", [[None, None], [None, 2.0], [2.0], []])
def test_fewer_than_two_rewards_are_worth_nothing(totals: list[float | None]) -> None:
    assert not over_rewarded(totals, credit=scale_by_std).any()


def test_a_reward_that_is_not_a_number_is_refused() -> None:
    with pytest.raises(ValueError, match="finite"):
        over_rewarded([1.0, float("nan")], credit=center)


def test_the_baseline_of_a_reward_is_the_mean_of_the_others() -> None:
    # 1 - (2 + 6) / 2, 2 - (1 + 6) / 2, 6 - (1 + 2) / 2
    np.testing.assert_allclose(leave_one_out(np.array([1.0, 2.0, 6.0])), [-3.0, -1.5, 4.5])


@pytest.mark.parametrize(
    ("totals", "expected"), [([1.0, 1.0], 0.0), ([0.25, None, 1.0], 0.75), ([None, 2.0], 0.0), ([None, None], 0.0)]
)
def test_the_spread_is_that_of_the_rewards_there_are(totals: list[float | None], expected: float) -> None:
    assert spread(totals) == expected


def test_a_return_is_the_reward_less_the_penalties_still_to_come() -> None:
    # stable_reinforce 1.6, first completion: reward 2, KL .2, -.1, .05 at 1e-3.
    returns_T = returns_to_go(2.0, 1e-3 * np.array([0.2, -0.1, 0.05]))
    np.testing.assert_allclose(returns_T, [1.99985, 2.00005, 1.99995], rtol=1e-12)


def test_moments_are_those_of_the_population_by_weight() -> None:
    found = moments(np.array([1.0, 2.0, 5.0]), np.array([2.0, 1.0, 1.0]))
    assert (found.mean, found.variance) == pytest.approx((2.25, (2 * 1.25**2 + 0.25**2 + 2.75**2) / 4))


def test_a_mean_far_from_zero_costs_no_digits() -> None:
    values = np.array([1.0, 2.0, 5.0])
    assert moments(values + 1e8, np.ones(3)).variance == pytest.approx(moments(values, np.ones(3)).variance, rel=1e-7)


def test_equal_values_have_finite_z() -> None:
    values = np.full(5, 0.1)
    assert np.abs(moments(values, np.ones(5)).z_scores(values)).max() < 1e-11


def test_the_moments_of_nothing_are_refused() -> None:
    with pytest.raises(ValueError, match="moments of nothing"):
        moments(np.zeros(2), np.zeros(2))


def test_only_finite_numbers_up_to_ten_are_plausible() -> None:
    z = np.array([0.0, 10.0, -10.1, np.nan, np.inf, -np.inf])
    assert is_plausible(z).tolist() == [True, True, False, False, False, False]
