"""Learning rates."""

import pytest

from conf.schema import SupervisedConfig
from learner.schedule import policy_learning_rate, supervised_learning_rate

PHASE = SupervisedConfig(num_steps=10, batch_size=4, learning_rate=0.5, warmup_fraction=0.2, final_fraction=0.1)


def test_warm_up_is_linear_and_never_zero() -> None:
    assert [supervised_learning_rate(step, config=PHASE) for step in (0, 1)] == [0.25, 0.5]


def test_the_last_step_has_the_final_fraction() -> None:
    assert supervised_learning_rate(9, config=PHASE) == pytest.approx(0.05)


def test_half_way_down_the_cosine_is_half_way_between() -> None:
    assert supervised_learning_rate(5, config=PHASE) == pytest.approx(0.5 * (0.5 + 0.05))


def test_a_step_outside_the_phase_is_refused() -> None:
    with pytest.raises(ValueError, match="outside a phase of 10 steps"):
        supervised_learning_rate(10, config=PHASE)


def test_the_rl_rate_warms_up_and_stays() -> None:
    rates = [policy_learning_rate(step, peak=0.4, warmup_steps=3, decay_steps=None) for step in (0, 1, 2, 3, 50)]
    assert rates == pytest.approx([0.1, 0.2, 0.3, 0.4, 0.4])


def test_without_warm_up_the_first_step_has_the_peak() -> None:
    assert policy_learning_rate(0, peak=0.4, warmup_steps=0, decay_steps=None) == 0.4


def test_the_rl_rate_falls_linearly_and_is_above_zero_at_the_last_step() -> None:
    rates = [policy_learning_rate(step, peak=1.0, warmup_steps=0, decay_steps=4) for step in range(4)]
    assert rates == [1.0, 0.75, 0.5, 0.25]


def test_the_rl_rate_falls_from_the_end_of_the_warm_up() -> None:
    rates = [policy_learning_rate(step, peak=1.0, warmup_steps=1, decay_steps=5) for step in range(5)]
    assert rates == [0.5, 1.0, 0.75, 0.5, 0.25]


def test_an_rl_step_without_a_learning_rate_is_refused() -> None:
    with pytest.raises(ValueError, match=r"step=4 must be .* below learner\.decay_steps=4"):
        policy_learning_rate(4, peak=1.0, warmup_steps=0, decay_steps=4)
