"""Rewards to advantages."""

from collections.abc import Callable

import numpy as np
import pytest

from learner.advantage import Floats, center, over_rewarded, scale_by_std


def test_centred_rewards_add_up_to_zero() -> None:
    assert center(np.array([1.0, 2.0, 6.0])).tolist() == [-2.0, -1.0, 3.0]


@pytest.mark.parametrize("credit", [center, scale_by_std])
def test_equal_rewards_are_worth_exactly_nothing(credit: Callable[[Floats], Floats]) -> None:
    # The mean of seven times 0.1 is not 0.1 in floating point.
    assert not credit(np.full(7, 0.1)).any()


def test_advantages_of_the_published_example() -> None:
    # rl2r_rapo 1.6, example A: unbiased standard deviation + 1e-4.
    rewards_G = np.array([1.918249, 1.762092, 1.982871])
    np.testing.assert_allclose(scale_by_std(rewards_G), [0.268569, -1.105955, 0.837386], atol=2e-5)


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
