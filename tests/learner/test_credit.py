"""Which rewards are compared with which: worked examples of the specification, and what must hold for any numbers."""

import logging
from collections.abc import Sequence
from itertools import chain

import numpy as np
import pytest

from conf.algorithms import AdvantageFilter, Statistics
from learner.advantage import Floats, center
from learner.credit import Whitening, by_term, over_batch, within_groups
from learner.types import Outcome

EXAMPLE_B_KL = ([0.2, -0.1, 0.05], [0.0, 0.4], [0.1, 0.1, 0.1, 0.1], [1.0])


def make_outcomes(
    rewards: Sequence[float | None], *, lengths: Sequence[int] | None = None, group_size: int = 1
) -> list[Outcome]:
    """Completions of two tokens unless told, ``group_size`` to a group."""
    sizes = [2] * len(rewards) if lengths is None else lengths
    return [
        Outcome(reward=reward, parts={"term": reward}, group_index=index // group_size, num_tokens=size)
        for index, (reward, size) in enumerate(zip(rewards, sizes, strict=True))
    ]


def make_whitening(
    chosen: AdvantageFilter | None = "paper", *, statistics: Statistics = "token", by_group: bool = False
) -> Whitening:
    """StableReinforce as published unless told."""
    return Whitening(baseline=center if by_group else None, statistics=statistics, filter=chosen)


def firsts(advantages: Sequence[Floats]) -> list[float]:
    """One number per completion, for completions whose tokens are worth the same."""
    assert all(np.ptp(values_T) == 0.0 for values_T in advantages)
    return [float(values_T[0]) for values_T in advantages]


def test_example_b_to_six_digits() -> None:
    penalties = [1e-3 * np.array(kl) for kl in EXAMPLE_B_KL]
    outcomes = make_outcomes([2.0, 2.0, 0.5, 1.0], lengths=[3, 2, 4, 1])
    found = over_batch(outcomes, whitening=make_whitening(), penalties=penalties)
    expected = [
        [0.980315, 0.980595, 0.980455],
        [0.979965, 0.979965],
        [-1.120275, -1.120135, -1.119995, -1.119855],
        [-0.421035],
    ]
    for values_T, wanted_T in zip(found.advantages, expected, strict=True):
        np.testing.assert_allclose(values_T, wanted_T, atol=6e-7)
    assert found.metrics["learner/return/mean"] == pytest.approx(1.299705, abs=5e-7)
    assert found.metrics["learner/return/std"] ** 2 == pytest.approx(0.510087, abs=5e-7)
    assert found.metrics["learner/filter/token_fraction"] == 0.0


def test_example_b_by_completions_weighs_them_alike() -> None:
    outcomes = make_outcomes([2.0, 2.0, 0.5, 1.0], lengths=[3, 2, 4, 1])
    found = over_batch(outcomes, whitening=make_whitening(statistics="sample"))
    assert found.metrics["learner/return/mean"] == pytest.approx(1.375)


FILTER_TABLE: list[tuple[list[float], list[int], list[float], list[float]]] = [
    ([2.0] * 6 + [0.5] * 2, [2] * 8, [0.57735] * 6 + [0.0] * 2, [0.57735] * 6 + [-1.732051] * 2),
    ([2.0, 2.0, 0.5, 0.5], [2] * 4, [1.0, 1.0, -1.0, -1.0], [1.0, 1.0, -1.0, -1.0]),
    (
        [2.0, 2.0, 1.0, 0.5, 0.0, 2.0],
        [2, 3, 4, 5, 1, 3],
        [1.05337, 1.05337, -0.351123, -1.05337, 0.0, 1.05337],
        [1.05337, 1.05337, -0.351123, -1.05337, -1.755617, 1.05337],
    ),
    ([1.0] * 255 + [0.0], [2] * 256, [0.062622] * 255 + [0.0], [0.062622] * 255 + [0.0]),
    ([1.0] * 4, [2] * 4, [0.0] * 4, [0.0] * 4),
]


@pytest.mark.parametrize("row", range(len(FILTER_TABLE)))
@pytest.mark.parametrize("chosen", ["released", "paper"])
def test_the_filter_table_of_the_specification(row: int, chosen: AdvantageFilter) -> None:
    rewards, lengths, released, paper = FILTER_TABLE[row]
    found = over_batch(make_outcomes(rewards, lengths=lengths), whitening=make_whitening(chosen))
    expected = released if chosen == "released" else paper
    np.testing.assert_allclose(firsts(found.advantages), expected, atol=6e-7)


def test_without_filter_only_the_implausible_goes() -> None:
    kept = over_batch(make_outcomes([2.0] * 14 + [0.5]), whitening=make_whitening("none"))
    assert min(firsts(kept.advantages)) == pytest.approx(-(14**0.5), rel=1e-6)
    dropped = over_batch(make_outcomes([1.0] * 255 + [0.0]), whitening=make_whitening("none"))
    assert dropped.advantages[-1].tolist() == [0.0, 0.0]
    assert dropped.metrics["learner/filter/implausible_tokens"] == 2.0


def keeps_the_wrong_ones(num_right: int, chosen: AdvantageFilter) -> bool:
    """Whether wrong answers (0.5, not 2.0) of 10,000 keep an advantage."""
    rewards = [2.0] * num_right + [0.5] * (10000 - num_right)
    found = over_batch(make_outcomes(rewards, lengths=[1] * 10000), whitening=make_whitening(chosen))
    return bool(found.advantages[-1].any())


@pytest.mark.parametrize(("chosen", "last_kept"), [("released", 6845), ("paper", 9000)])
def test_wrong_answers_are_dropped_above_the_published_accuracy(chosen: AdvantageFilter, last_kept: int) -> None:
    assert keeps_the_wrong_ones(last_kept, chosen)
    assert not keeps_the_wrong_ones(last_kept + 10, chosen)


def test_dropped_tokens_and_completions_are_counted() -> None:
    found = over_batch(make_outcomes([2.0] * 6 + [0.5] * 2), whitening=make_whitening("released"))
    assert found.metrics["learner/filter/token_fraction"] == 0.25
    assert found.metrics["learner/filter/completion_fraction"] == 0.25
    assert found.metrics["learner/filter/implausible_tokens"] == 0.0


def test_a_penalty_that_is_not_finite_leaves_no_advantage() -> None:
    penalties = [np.array([0.0, np.inf]), np.zeros(2), np.zeros(2)]
    with np.errstate(invalid="ignore"):
        found = over_batch(make_outcomes([0.0, 1.0, 2.0]), whitening=make_whitening(), penalties=penalties)
    assert np.isfinite(np.concatenate(found.advantages)).all()


def test_equal_rewards_carry_no_credit_however_noisy_the_penalty(caplog: pytest.LogCaptureFixture) -> None:
    penalties = [np.array([1e-4, -2e-4]), np.array([3e-4, 0.0])]
    with caplog.at_level(logging.WARNING):
        found = over_batch(make_outcomes([1.0, 1.0]), whitening=make_whitening(), penalties=penalties)
    assert not np.concatenate(found.advantages).any()
    assert found.metrics["learner/reward/all_equal"] == 1.0
    assert "no two rewards differ completions=2" in caplog.text


def test_how_much_of_the_credit_is_penalty_is_reported() -> None:
    # Rewards vary by 1, penalties by 1, independently: half of the variance is the penalty's.
    penalties = [np.array([value]) for value in (0.0, 2.0, 0.0, 2.0)]
    outcomes = make_outcomes([0.0, 0.0, 2.0, 2.0], lengths=[1] * 4)
    found = over_batch(outcomes, whitening=make_whitening(), penalties=penalties)
    assert found.metrics["learner/return/penalty_share"] == pytest.approx(0.5)


def test_rewards_beyond_ten_are_cut_and_counted() -> None:
    found = over_batch(make_outcomes([-50.0, 10.0, 30.0]), whitening=make_whitening())
    same = over_batch(make_outcomes([-10.0, 10.0, 10.0]), whitening=make_whitening())
    assert firsts(found.advantages) == firsts(same.advantages)
    assert found.metrics["learner/reward/cut_count"] == 2.0


def test_with_a_baseline_groups_are_centred_before_the_batch_is() -> None:
    found = over_batch(
        make_outcomes([1.0, 3.0, 10.0, 10.0], group_size=2), whitening=make_whitening(None, by_group=True)
    )
    # -1, 1, 0, 0 over their deviation, the square root of a half.
    np.testing.assert_allclose(firsts(found.advantages), [-(2**0.5), 2**0.5, 0.0, 0.0], atol=1e-12)


@pytest.mark.parametrize("statistics", ["token", "sample"])
@pytest.mark.parametrize("chosen", ["paper", None])
def test_a_completion_without_reward_moves_nobody(statistics: Statistics, chosen: AdvantageFilter | None) -> None:
    whitening = make_whitening(chosen, statistics=statistics)
    without = over_batch(make_outcomes([0.0, 1.0, 3.0]), whitening=whitening)
    found = over_batch(make_outcomes([0.0, None, 1.0, 3.0]), whitening=whitening)
    assert [a.tolist() for a in found.advantages if a.any()] == [a.tolist() for a in without.advantages if a.any()]
    assert not found.advantages[1].any()


@pytest.mark.parametrize("statistics", ["token", "sample"])
def test_permuting_completions_permutes_their_credit(statistics: Statistics) -> None:
    outcomes = make_outcomes([2.0, 0.5, 1.0, None, 2.0, 0.0], lengths=[3, 1, 4, 2, 5, 2])
    penalties: list[Floats] = [np.linspace(0.0, 0.3, one.num_tokens) for one in outcomes]
    order = [4, 2, 5, 0, 3, 1]
    whitening = make_whitening(statistics=statistics)
    straight = over_batch(outcomes, whitening=whitening, penalties=penalties)
    turned = over_batch([outcomes[i] for i in order], whitening=whitening, penalties=[penalties[i] for i in order])
    for place, index in enumerate(order):
        np.testing.assert_allclose(turned.advantages[place], straight.advantages[index], rtol=1e-12)


def test_siblings_need_not_be_neighbours() -> None:
    outcomes = make_outcomes([1.0, 3.0, 10.0, 14.0], group_size=2)
    turned = [outcomes[index] for index in (3, 0, 2, 1)]
    assert firsts(within_groups(turned, credit=center).advantages) == [2.0, -1.0, -2.0, 1.0]


def test_a_penalty_counts_whole_against_a_completion_of_a_group() -> None:
    penalties = [np.array([0.5, 0.5]), np.array([0.0, 2.0])]
    found = within_groups(make_outcomes([1.0, 1.0], group_size=2), credit=center, penalties=penalties)
    assert firsts(found.advantages) == [0.5, -0.5]


def make_judged(parts: Sequence[dict[str, float | None]], *, group_size: int) -> list[Outcome]:
    """Completions of one token with several reward terms."""
    return [
        Outcome(reward=1.0, parts=part, group_index=index // group_size, num_tokens=1)
        for index, part in enumerate(parts)
    ]


def test_terms_weigh_what_their_weights_say_and_not_their_spreads() -> None:
    # "loud" has a hundred times the spread of "quiet" and the opposite opinion; both scale to the same size.
    outcomes = make_judged([{"loud": 100.0, "quiet": 0.0}, {"loud": 0.0, "quiet": 1.0}], group_size=2)
    first, second = firsts(by_term(outcomes, weights={"loud": 1.0, "quiet": 3.0}).advantages)
    assert (first, second) == pytest.approx((-1.0, 1.0))


def test_sums_of_terms_are_normalised_over_the_batch() -> None:
    parts: list[dict[str, float | None]] = [{"a": 0.0}, {"a": 1.0}, {"a": 5.0}, {"a": 5.0}]
    found = firsts(by_term(make_judged(parts, group_size=2), weights={"a": 1.0}).advantages)
    assert (np.mean(found), np.std(found)) == pytest.approx((0.0, 1.0))
    assert found[2:] == [0.0, 0.0]


def test_an_abstaining_term_says_nothing_about_its_completion() -> None:
    parts: list[dict[str, float | None]] = [{"a": 0.0, "b": None}, {"a": 1.0, "b": 2.0}, {"a": 0.5, "b": 4.0}]
    outcomes = make_judged(parts, group_size=3)
    alone = firsts(by_term(outcomes, weights={"b": 1.0}).advantages)
    assert alone[0] == 0.0
    assert alone[1] == -alone[2]


def test_a_completion_without_reward_has_no_terms_either() -> None:
    outcomes = make_judged([{"a": 0.0}, {"a": 1.0}, {"a": 9.0}], group_size=3)
    outcomes[2] = Outcome(reward=None, parts={"a": 9.0}, group_index=0, num_tokens=1)
    assert firsts(by_term(outcomes, weights={"a": 1.0}).advantages) == pytest.approx([-1.0, 1.0, 0.0])


def test_a_missing_term_is_named() -> None:
    with pytest.raises(ValueError, match=r"'consistency', got those of \['a'\]"):
        by_term(make_judged([{"a": 0.0}], group_size=1), weights={"consistency": 1.0})


def test_every_token_gets_an_advantage() -> None:
    outcomes = make_outcomes([2.0, 0.5, None], lengths=[3, 1, 4])
    found = over_batch(outcomes, whitening=make_whitening())
    assert len(list(chain.from_iterable(found.advantages))) == 8
    assert [len(values_T) for values_T in found.advantages] == [3, 1, 4]
