"""Strengths from verdicts: numbers by hand, scipy as a second opinion, invariances, and what cannot be known."""

from collections import Counter
from itertools import combinations
from math import erf, exp, log, sqrt

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.optimize import minimize

from conf.reward_terms import StrengthModel
from rewards.comparisons.plans import Pair, both_orders, ring, round_robin, sparse
from rewards.comparisons.strengths import LOGITS_PER_UNIT, Strengths, fit_strengths, win_probabilities
from rewards.comparisons.structure import structure
from rewards.comparisons.verdicts import (
    Comparison,
    Outcome,
    Tally,
    merge_orders,
    tally,
    win_rates,
)

Array = NDArray[np.float64]
MODELS: tuple[StrengthModel, ...] = ("bradley_terry", "davidson", "thurstone")
WIDE = 1e3
"""A prior too wide to be seen in four digits."""
every_model = pytest.mark.parametrize("model", MODELS)


def verdict(first: int, second: int, outcome: Outcome = "first", *, weight: float = 1.0) -> Comparison:
    return Comparison(first=first, second=second, outcome=outcome, weight=weight)


def counted(wins: list[list[float]], ties: list[list[float]] | None = None) -> Tally:
    wins_NN = np.array(wins, dtype=np.float64)
    return Tally(wins_NN=wins_NN, ties_NN=np.zeros_like(wins_NN) if ties is None else np.array(ties, dtype=np.float64))


def random_verdicts(seed: int, *, num_items: int = 6, num_verdicts: int = 40) -> list[Comparison]:
    random = np.random.default_rng(seed)
    outcomes: tuple[Outcome, ...] = ("first", "second", "tie")
    verdicts: list[Comparison] = []
    for _ in range(num_verdicts):
        first, second = random.permutation(num_items)[:2].tolist()
        verdicts.append(verdict(first, second, outcomes[random.integers(3)], weight=random.uniform(0.5, 2)))
    return verdicts


def fit(
    verdicts: list[Comparison], model: StrengthModel = "bradley_terry", *, num_items: int = 6, prior: float = 2.0
) -> Strengths:
    return fit_strengths(tally(verdicts, num_items=num_items), model=model, prior_std=prior)


def probabilities(gap: float, model: StrengthModel, log_tie: float) -> dict[Outcome, float]:
    """Read off the module's table, one pair at a time."""
    if model == "davidson":
        win, lose, tie = exp(gap / 2), exp(-gap / 2), exp(log_tie)
        return {"first": win / (win + lose + tie), "second": lose / (win + lose + tie), "tie": tie / (win + lose + tie)}
    win = 1 / (1 + exp(-gap)) if model == "bradley_terry" else 0.5 * (1 + erf(gap / sqrt(2)))
    return {"first": win, "second": 1 - win, "tie": sqrt(win * (1 - win))}


def slow_loss(point_P: Array, verdicts: list[Comparison], model: StrengthModel, prior: float) -> float:
    loss = float(point_P @ point_P) / (2 * prior**2)
    for one in verdicts:
        gap = float(point_P[one.first] - point_P[one.second])
        loss -= one.weight * log(probabilities(gap, model, float(point_P[-1]))[one.outcome])
    return loss


# Numbers by hand


@pytest.mark.parametrize(
    ("model", "difference", "error"),
    [
        # Logit of 3/4, and 1 / sqrt(4 * 3/4 * 1/4).
        ("bradley_terry", log(3), sqrt(4 / 3)),
        # Probit of 3/4, and 1 / sqrt(4 phi^2 / (3/4 * 1/4)) with phi(0.6745) = 0.317777.
        ("thurstone", 0.674490, sqrt(3 / 16 / 4) / 0.317777),
    ],
)
def test_three_wins_against_one(model: StrengthModel, difference: float, error: float) -> None:
    fitted = fit_strengths(counted([[0, 3], [1, 0]]), model=model, prior_std=WIDE)
    assert fitted.difference(0, 1) == pytest.approx((difference, error), rel=1e-5)


def test_davidsons_model_meets_all_three_shares() -> None:
    # Shares 1/2, 1/6, 1/3: odds of 3 between the items, exp(t) = (1/3) / sqrt(1/2 * 1/6).
    fitted = fit_strengths(counted([[0, 3], [1, 0]], [[0, 2], [2, 0]]), model="davidson", prior_std=WIDE)
    difference = fitted.difference(0, 1)
    assert difference is not None
    assert (difference[0], fitted.log_tie) == pytest.approx((log(3), log(2 / sqrt(3))), abs=1e-5)


def test_the_prior_bounds_an_unbeaten_item() -> None:
    # At the maximum 1 - P = d / (2 sigma^2); d = log 3 has P = 3/4 and asks for sigma^2 = 2 log 3.
    fitted = fit_strengths(counted([[0, 1], [0, 0]]), model="bradley_terry", prior_std=sqrt(2 * log(3)))
    np.testing.assert_allclose(fitted.strengths_N, [log(3) / 2, -log(3) / 2], atol=1e-9)


def test_a_tie_is_half_a_win_for_each() -> None:
    with_ties = fit_strengths(counted([[0, 2], [0, 0]], [[0, 2], [2, 0]]), model="bradley_terry", prior_std=2.0)
    without = fit_strengths(counted([[0, 3], [1, 0]]), model="bradley_terry", prior_std=2.0)
    np.testing.assert_allclose(with_ties.strengths_N, without.strengths_N)


def test_the_expected_result_against_the_average() -> None:
    # Strengths log(3)/2 and -log(3)/2; odds against the mean of 0 are sqrt(3).
    fitted = fit_strengths(counted([[0, 3], [1, 0]]), model="bradley_terry", prior_std=WIDE)
    np.testing.assert_allclose(win_probabilities(fitted, against=range(2))[0], sqrt(3) / (1 + sqrt(3)), atol=1e-5)


def test_the_expected_result_against_a_reference_alone() -> None:
    fitted = fit_strengths(counted([[0, 3], [1, 0]]), model="bradley_terry", prior_std=WIDE)
    np.testing.assert_allclose(win_probabilities(fitted, against=[1]), [0.75, 0.5], atol=1e-5)


def test_the_expected_result_counts_a_tie_as_half() -> None:
    fitted = fit_strengths(counted([[0, 3], [1, 0]], [[0, 2], [2, 0]]), model="davidson", prior_std=WIDE)
    np.testing.assert_allclose(win_probabilities(fitted, against=[1]), [1 / 2 + 1 / 6, 0.5], atol=1e-5)


def test_win_rates_by_hand() -> None:
    # 0 beats 1 by 2:1, ties 2 once; 3 is never asked about.
    counts = counted(
        [[0, 2, 0, 0], [1, 0, 0, 0], [0, 0, 0, 0], [0, 0, 0, 0]],
        [[0, 0, 1, 0], [0, 0, 0, 0], [1, 0, 0, 0], [0, 0, 0, 0]],
    )
    np.testing.assert_allclose(win_rates(counts), [2.5 / 4, 1 / 3, 1 / 2, np.nan])


def test_a_unit_of_either_scale_means_about_the_same() -> None:
    for gap in np.linspace(-4, 4, 81).tolist():
        logistic = probabilities(gap * LOGITS_PER_UNIT["thurstone"], "bradley_terry", 0.0)["first"]
        assert probabilities(gap, "thurstone", 0.0)["first"] == pytest.approx(logistic, abs=0.01)


# A second opinion


@every_model
def test_scipy_finds_the_same_maximum(model: StrengthModel) -> None:
    verdicts, num_parameters = random_verdicts(3), 6 + (model == "davidson")
    found = minimize(slow_loss, np.zeros(num_parameters), args=(verdicts, model, 2.0), options={"gtol": 1e-6}).x
    fitted = fit(verdicts, model)
    np.testing.assert_allclose(fitted.strengths_N, found[:6], atol=1e-5)
    assert fitted.log_tie is None or fitted.log_tie == pytest.approx(found[-1], abs=1e-5)


@every_model
def test_standard_errors_are_the_curvature_of_the_loss(model: StrengthModel) -> None:
    verdicts, num_parameters, width = random_verdicts(4), 6 + (model == "davidson"), 1e-4
    fitted = fit(verdicts, model)
    point_P = np.append(fitted.strengths_N, [] if fitted.log_tie is None else [fitted.log_tie])
    steps = width * np.eye(num_parameters)
    hessian = [
        [
            sum(
                a * b * slow_loss(point_P + a * one + b * other, verdicts, model, 2.0) for a in (-1, 1) for b in (-1, 1)
            )
            / (4 * width**2)
            for one in steps
        ]
        for other in steps
    ]
    covariance = np.linalg.inv(hessian)
    difference = fitted.difference(0, 1)
    assert difference is not None
    assert difference[1] ** 2 == pytest.approx(covariance[0, 0] + covariance[1, 1] - 2 * covariance[0, 1], rel=1e-4)


@every_model
def test_the_fit_ends_at_the_maximum(model: StrengthModel) -> None:
    assert fit(random_verdicts(5), model).gradient_norm < 1e-9


# Invariances


@every_model
def test_renaming_items_renames_strengths(model: StrengthModel) -> None:
    verdicts, names = random_verdicts(6), [3, 5, 0, 1, 4, 2]
    renamed = [verdict(names[v.first], names[v.second], v.outcome, weight=v.weight) for v in verdicts]
    np.testing.assert_allclose(fit(renamed, model).strengths_N[names], fit(verdicts, model).strengths_N, atol=1e-9)


def test_the_order_in_which_a_pair_was_shown_changes_nothing() -> None:
    verdicts = random_verdicts(7)
    other: dict[Outcome, Outcome] = {"first": "second", "second": "first", "tie": "tie"}
    swapped = [verdict(v.second, v.first, other[v.outcome], weight=v.weight) for v in verdicts]
    np.testing.assert_array_equal(tally(swapped, num_items=6).points, tally(verdicts, num_items=6).points)


@every_model
def test_repeating_verdicts_is_weighing_them_more(model: StrengthModel) -> None:
    verdicts = random_verdicts(8)
    heavier = [verdict(v.first, v.second, v.outcome, weight=3 * v.weight) for v in verdicts]
    np.testing.assert_allclose(fit(verdicts * 3, model).strengths_N, fit(heavier, model).strengths_N, atol=1e-9)


@every_model
def test_strengths_are_centred(model: StrengthModel) -> None:
    assert fit(random_verdicts(9), model).strengths_N.sum() == pytest.approx(0, abs=1e-12)


@every_model
def test_all_ties_make_all_equal(model: StrengthModel) -> None:
    verdicts = [verdict(first, second, "tie") for first, second in round_robin(6)]
    np.testing.assert_allclose(fit(verdicts, model).strengths_N, np.zeros(6), atol=1e-12)


@every_model
def test_a_cycle_of_three_makes_all_equal(model: StrengthModel) -> None:
    fitted = fit([verdict(0, 1), verdict(1, 2), verdict(2, 0)], model, num_items=3)
    np.testing.assert_allclose(fitted.strengths_N, np.zeros(3), atol=1e-12)


@every_model
@pytest.mark.parametrize("prior", [0.01, 1.0, 1e3])
def test_a_perfect_order_is_kept_and_finite(model: StrengthModel, prior: float) -> None:
    fitted = fit([verdict(first, second) for first, second in combinations(range(6), 2)], model, prior=prior)
    assert (np.diff(fitted.strengths_N) < 0).all()
    assert np.isfinite(fitted.standard_errors).all()


@every_model
@pytest.mark.parametrize("outcome", ["first", "tie"])
def test_heavy_verdicts_under_a_wide_prior_still_converge(model: StrengthModel, outcome: Outcome) -> None:
    verdicts = [verdict(first, second, outcome, weight=1e5) for first, second in ring(5)[:4]]
    assert fit(verdicts, model, num_items=5, prior=5e3).gradient_norm < 1e-6


def test_a_wider_prior_does_not_widen_what_the_verdicts_settle() -> None:
    narrow, wide = (fit(random_verdicts(10), prior=prior).standard_errors for prior in (100.0, 10_000.0))
    np.testing.assert_allclose(narrow, wide, rtol=1e-2)


# What cannot be known


def test_unlinked_items_have_no_difference() -> None:
    fitted = fit([verdict(0, 1), verdict(2, 3)], num_items=4)
    assert fitted.difference(0, 2) is None
    assert fitted.structure.num_components == 2


def test_an_item_never_compared_has_neither_error_nor_score() -> None:
    fitted = fit([verdict(0, 1)], num_items=3)
    assert np.isnan([fitted.standard_errors[2], win_probabilities(fitted, against=range(3))[2]]).all()


def test_an_item_unlinked_to_every_reference_has_no_score() -> None:
    fitted = fit([verdict(0, 2), verdict(1, 3)], num_items=4)
    assert np.isnan(win_probabilities(fitted, against=[2])).tolist() == [False, True, False, True]


def test_no_verdicts_leave_strengths_at_the_prior() -> None:
    fitted = fit([], num_items=3)
    assert fitted.strengths_N.tolist() == [0, 0, 0]
    assert fitted.structure.tie_fraction is None


def test_cycles_are_counted_among_decided_triples() -> None:
    # 0 > 1 > 2 > 0 is a cycle, 0 > 1 > 3 < 0 is not; 1-2-3 and 0-2-3 hold the tie of 2 and 3.
    verdicts = [verdict(0, 1), verdict(1, 2), verdict(2, 0), verdict(0, 3), verdict(1, 3), verdict(2, 3, "tie")]
    graph = structure(tally(verdicts, num_items=4))
    assert (graph.num_cycles, graph.num_triples, graph.cycle_fraction) == (1, 2, 0.5)


def test_cycles_are_those_found_by_looking_at_every_triple() -> None:
    counts = tally(random_verdicts(11, num_items=8, num_verdicts=60), num_items=8)
    beats = counts.wins_NN > counts.wins_NN.T
    cyclic = [
        (beats[i, j] and beats[j, k] and beats[k, i]) or (beats[j, i] and beats[k, j] and beats[i, k])
        for i, j, k in combinations(range(8), 3)
    ]
    assert structure(counts).num_cycles == sum(cyclic) > 0


def test_the_share_of_ties_is_by_weight() -> None:
    graph = structure(tally([verdict(0, 1, "tie", weight=3), verdict(0, 1)], num_items=2))
    assert graph.tie_fraction == pytest.approx(0.75)


def test_an_unbeaten_item_is_not_joined_both_ways() -> None:
    graph = structure(tally([verdict(0, 1), verdict(1, 2), verdict(2, 1)], num_items=3))
    assert (graph.num_components, graph.num_strong_components) == (1, 2)


# Both orders


@pytest.mark.parametrize(
    ("straight", "swapped", "merged", "num_agreed"),
    [
        ("first", "second", "first", 1),
        ("first", "first", "tie", 0),
        ("tie", "tie", "tie", 1),
        ("tie", "first", "tie", 0),
    ],
)
def test_two_orders_become_one_verdict(straight: Outcome, swapped: Outcome, merged: Outcome, num_agreed: int) -> None:
    result = merge_orders([verdict(4, 7, straight, weight=1), verdict(7, 4, swapped, weight=2)])
    assert result.comparisons == (verdict(4, 7, merged, weight=1.5),)
    assert (result.num_agreed, result.num_disagreed) == (num_agreed, 1 - num_agreed)


def test_a_verdict_without_its_other_order_is_kept_and_counted() -> None:
    asked_twice_one_way = [verdict(0, 1), verdict(1, 0, "second"), verdict(0, 1, "second")]
    result = merge_orders(asked_twice_one_way)
    assert result.comparisons == (verdict(0, 1), verdict(0, 1, "second"))
    assert (result.num_agreed, result.num_alone) == (1, 1)


# Plans


def shown_first_minus_second(plan: tuple[Pair, ...], num_items: int) -> list[int]:
    first, second = Counter(a for a, _ in plan), Counter(b for _, b in plan)
    return [first[item] - second[item] for item in range(num_items)]


@pytest.mark.parametrize("num_items", [2, 3, 6, 7])
def test_a_round_robin_asks_about_every_pair_once(num_items: int) -> None:
    plan = round_robin(num_items)
    assert sorted(tuple(sorted(pair)) for pair in plan) == list(combinations(range(num_items), 2))
    assert max(map(abs, shown_first_minus_second(plan, num_items))) <= 1


def test_a_ring_shows_each_item_once_first_and_once_second() -> None:
    assert ring(4) == ((0, 1), (1, 2), (2, 3), (3, 0))


def test_a_ring_of_two_is_one_pair() -> None:
    assert ring(2) == ((0, 1),)


@pytest.mark.parametrize("num_pairs", [6, 7, 9, 14, 21])
def test_a_sparse_plan_links_all_items_within_its_budget(num_pairs: int) -> None:
    plan = sparse(7, num_pairs=num_pairs, seed=0)
    degrees = Counter(item for pair in plan for item in pair)
    assert structure(tally([verdict(*pair) for pair in plan], num_items=7)).num_components == 1
    assert len({frozenset(pair) for pair in plan}) == len(plan) == num_pairs
    assert max(degrees.values()) - min(degrees.values()) <= 2


def test_a_sparse_plan_depends_on_the_seed_alone() -> None:
    first, again, other = (sparse(9, num_pairs=12, seed=seed) for seed in (1, 1, 2))
    assert first == again != other


def test_both_orders_ask_about_each_pair_twice() -> None:
    assert both_orders(((0, 1), (1, 2))) == ((0, 1), (1, 0), (1, 2), (2, 1))


@pytest.mark.parametrize("num_pairs", [5, 22])
def test_a_budget_that_cannot_be_met_is_refused(num_pairs: int) -> None:
    with pytest.raises(ValueError, match=r"7 items need 6\.\.21 pairs"):
        sparse(7, num_pairs=num_pairs, seed=0)


# What is refused


def test_an_item_is_not_compared_with_itself() -> None:
    with pytest.raises(ValueError, match="two different items"):
        verdict(2, 2)


def test_a_verdict_without_weight_is_refused() -> None:
    with pytest.raises(ValueError, match="leave it out"):
        verdict(0, 1, weight=0.0)


def test_a_verdict_on_an_unknown_item_is_refused() -> None:
    with pytest.raises(ValueError, match="num_items=2"):
        tally([verdict(0, 2)], num_items=2)


def test_a_tie_counted_in_one_place_only_is_refused() -> None:
    with pytest.raises(ValueError, match="symmetric"):
        counted([[0, 0], [0, 0]], [[0, 1], [0, 0]])


def test_an_opponent_outside_the_items_is_refused() -> None:
    with pytest.raises(ValueError, match=r"items 0\.\.1"):
        win_probabilities(fit([verdict(0, 1)], num_items=2), against=[2])
