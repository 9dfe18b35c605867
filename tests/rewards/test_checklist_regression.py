"""Learning weights: the specification's toy set, independent fits, separable pairs, and tables of answers."""

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.special import expit
from sklearn.linear_model import LogisticRegression

from rewards.checklist.answers import NO, YES, Answer
from rewards.checklist.features import AnsweredPair, Better, tabulate
from rewards.checklist.readings import Units
from rewards.checklist.regression import (
    SeparablePairs,
    fit_nonnegative,
    log_loss,
    published_loop,
    separating_questions,
)
from tests.rewards.checklists import make_checklist
from tests.rewards.preferences import TRUE_WEIGHTS, toy_differences

Array = NDArray[np.float64]
THREE_DECIMALS = 5e-4


def unconstrained(differences_NQ: Array, *, l2: float) -> Array:
    """scikit-learn's fit: both orders of every pair, so that there are two classes, and no intercept."""
    both = np.concatenate([differences_NQ, -differences_NQ])
    labels = np.repeat([1, 0], len(differences_NQ))
    strength = np.inf if l2 == 0 else 1.0 / (l2 * len(both))
    fit = LogisticRegression(C=strength, fit_intercept=False, tol=1e-12, max_iter=10_000).fit(both, labels)
    return np.asarray(fit.coef_[0], dtype=np.float64)


def test_the_toy_set_is_the_specifications() -> None:
    assert unconstrained(toy_differences(), l2=0.0) == pytest.approx(
        [1.069, 0.719, 0.550, 0.264, -0.019, -0.266], abs=THREE_DECIMALS
    )


def test_the_exact_fit_on_the_toy_set_is_the_published_one() -> None:
    weights = fit_nonnegative(toy_differences(), l2=0.0)
    assert weights == pytest.approx([0.884, 0.718, 0.544, 0.259, 0.0, 0.0], abs=THREE_DECIMALS)
    assert (weights >= 0).all()


def test_the_loop_on_the_toy_set_ends_where_the_published_one_does() -> None:
    found = published_loop(toy_differences(), step=0.01, tolerance=1e-6, max_passes=100)
    assert found.has_converged
    assert found.weights_Q == pytest.approx([0.996, 0.733, 0.538, 0.214, 0.022, 0.0], abs=THREE_DECIMALS)
    assert (found.weights_Q >= 0).all()


def test_both_fits_repeat_to_the_bit() -> None:
    exact = [fit_nonnegative(toy_differences(), l2=0.0) for _ in range(2)]
    loop = [published_loop(toy_differences(), step=0.01, tolerance=1e-3, max_passes=9).weights_Q for _ in range(2)]
    assert np.array_equal(exact[0], exact[1])
    assert np.array_equal(loop[0], loop[1])


def test_the_exact_fit_is_better_than_the_loop_which_depends_on_the_order() -> None:
    differences = toy_differences()
    forth, back = (
        published_loop(order, step=0.01, tolerance=1e-6, max_passes=100).weights_Q
        for order in (differences, differences[::-1])
    )
    assert np.abs(forth - back).max() > 0.01
    exact = log_loss(fit_nonnegative(differences, l2=0.0), differences)
    assert exact < min(log_loss(forth, differences), log_loss(back, differences))


def test_a_loop_that_ran_out_of_passes_says_so() -> None:
    found = published_loop(toy_differences()[:100], step=0.01, tolerance=1e-9, max_passes=2)
    assert (found.num_passes, found.has_converged) == (2, False)


def test_one_pass_of_the_loop_is_what_the_paper_writes() -> None:
    # Second implementation, label and order kept: w -= a (s(d w) - y) d, then w * (w > 0).
    differences, random = toy_differences()[:200], np.random.default_rng(1)
    labels = random.random(200) < 0.5
    weights = np.zeros(6)
    for row, label in zip(np.where(labels[:, None], differences, -differences), labels, strict=True):
        weights = weights - 0.05 * (expit(row @ weights) - label) * row
    expected = weights * (weights > 0)
    found = published_loop(differences, step=0.05, tolerance=1e-9, max_passes=1)
    assert found.weights_Q == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize("l2", [0.0, 0.01, 1.0])
@pytest.mark.parametrize("seed", range(3))
def test_the_exact_fit_is_the_free_fit_of_the_questions_it_keeps(l2: float, seed: int) -> None:
    random = np.random.default_rng(seed)
    values = random.integers(-1, 2, size=(400, 8)).astype(np.float64)
    true = random.normal(size=8)
    differences = np.where((random.random(400) < expit(values @ true))[:, None], values, -values)
    weights = fit_nonnegative(differences, l2=l2)
    kept = weights > 0
    assert 0 < kept.sum() < 8
    assert weights[kept] == pytest.approx(unconstrained(differences[:, kept], l2=l2), abs=1e-5)
    # Letting any other question in would need a negative weight.
    slope = l2 * weights - (expit(-differences @ weights)[:, None] * differences).mean(axis=0)
    assert (slope[~kept] >= -1e-6).all()


def test_more_pairs_come_nearer_to_the_weights_that_made_them() -> None:
    random = np.random.default_rng(5)
    true = np.array([1.0, 0.5, 0.0, 0.25])
    values = random.integers(-1, 2, size=(40_000, 4)).astype(np.float64)
    differences = np.where((random.random(40_000) < expit(values @ true))[:, None], values, -values)
    assert fit_nonnegative(differences, l2=0.0) == pytest.approx(true, abs=0.05)


def test_neither_the_order_of_the_pairs_nor_their_number_of_copies_matters() -> None:
    differences = toy_differences()[:500]
    weights = fit_nonnegative(differences, l2=0.1)
    shuffled = np.random.default_rng(2).permutation(differences)
    assert fit_nonnegative(shuffled, l2=0.1) == pytest.approx(weights, abs=1e-6)
    assert fit_nonnegative(np.concatenate([differences] * 3), l2=0.1) == pytest.approx(weights, abs=1e-6)


def test_values_twice_as_large_have_weights_half_as_large() -> None:
    differences = toy_differences()
    assert 2.0 * fit_nonnegative(2.0 * differences, l2=0.0) == pytest.approx(
        fit_nonnegative(differences, l2=0.0), abs=1e-5
    )


def test_a_question_that_never_differs_has_no_weight() -> None:
    differences = np.insert(toy_differences(), 2, 0.0, axis=1)
    weights = fit_nonnegative(differences, l2=0.0)
    assert weights[2] == 0.0
    assert np.delete(weights, 2) == pytest.approx(fit_nonnegative(toy_differences(), l2=0.0), abs=1e-6)


def test_questions_that_only_mislead_are_given_no_weight() -> None:
    assert fit_nonnegative(-np.abs(toy_differences()), l2=0.0) == pytest.approx(np.zeros(6), abs=0)


SEPARABLE = np.array([[1.0, 1.0, 0.0], [0.0, -1.0, 1.0], [1.0, 1.0, -1.0], [0.0, 1.0, 0.0], [0.0, -1.0, 0.0]])
"""Question 0 speaks for two pairs and against none; 1 and 2 are contradicted."""


def test_a_question_that_no_pair_contradicts_is_found() -> None:
    assert separating_questions(SEPARABLE) == (0,)
    assert separating_questions(toy_differences()) == ()


def test_questions_may_be_separable_only_together() -> None:
    together = np.array([[2.0, -1.0], [-1.0, 2.0]])
    assert separating_questions(together) == (0, 1)
    assert separating_questions(together[:, :1]) == ()


def test_without_a_penalty_separable_pairs_are_refused_in_plain_words() -> None:
    with pytest.raises(SeparablePairs, match=r"weights of questions 0 have no finite best value.* use l2 above 0"):
        fit_nonnegative(SEPARABLE, l2=0.0)


def test_a_penalty_bounds_the_weights_of_separable_pairs() -> None:
    weak, strong = (fit_nonnegative(SEPARABLE, l2=l2)[0] for l2 in (0.001, 0.1))
    assert 0 < strong < weak < np.inf


@pytest.mark.parametrize("differences", [np.zeros((0, 3)), np.zeros(3), np.array([[np.nan]])])
def test_what_is_no_table_of_differences_is_refused(differences: Array) -> None:
    with pytest.raises(ValueError, match="expected finite differences"):
        fit_nonnegative(differences, l2=0.1)


@pytest.mark.parametrize("l2", [-1.0, float("nan"), float("inf")])
def test_a_penalty_that_is_none_is_refused(l2: float) -> None:
    with pytest.raises(ValueError, match="expected l2 of at least 0"):
        fit_nonnegative(toy_differences(), l2=l2)


def test_chance_costs_log_two() -> None:
    assert log_loss(np.zeros(6), toy_differences()) == pytest.approx(np.log(2), abs=1e-12)
    assert log_loss(TRUE_WEIGHTS, toy_differences()) < np.log(2)


CHECKLIST = make_checklist({"a": {"b": 2}}, gates={"gate": ("a.b.1",)})


def answers(letters: str) -> dict[str, Answer]:
    """Gate, first and second question."""
    words = {"Y": YES, "N": NO, "?": Answer(status="unknown"), "S": Answer(status="ok", p_yes=0.75)}
    return {one: words[letter] for one, letter in zip(("gate", *CHECKLIST.ids), letters, strict=True)}


def pair(first: str, second: str, better: Better) -> AnsweredPair:
    return AnsweredPair(cluster="prompt", first=answers(first), second=answers(second), better=better)


@pytest.mark.parametrize(
    ("units", "expected"), [("zero_one", [[1, 0], [-1, 1], [0.75, -0.25]]), ("signed", [[2, 0], [-2, 2], [0.5, -0.5]])]
)
def test_rows_are_the_preferred_item_minus_the_other(units: Units, expected: list[list[float]]) -> None:
    # The second pair is turned round; in the third the second item's gate is closed: 0 is a no in one unit and midway
    # in the other.
    pairs = [pair("YYN", "YNN", "first"), pair("YYN", "YNY", "second"), pair("YSS", "NYY", "first")]
    assert tabulate(pairs, checklist=CHECKLIST, units=units).differences_NQ.tolist() == expected


def test_ties_and_unusable_answers_are_dropped_and_counted() -> None:
    pairs = [
        pair("YYY", "YNN", "first"),
        pair("YYY", "YNN", "tie"),
        pair("YY?", "YNN", "first"),
        pair("?YY", "YNN", "second"),
        pair("N?Y", "YNN", "first"),
    ]
    table = tabulate(pairs, checklist=CHECKLIST, units="zero_one")
    # A closed question needs no answer.
    assert (len(table), table.num_ties, table.num_unusable) == (2, 1, 2)


def test_nothing_left_to_learn_from_is_refused() -> None:
    with pytest.raises(ValueError, match="no pair to learn from: 1 are ties, 1 have an answer that is neither"):
        tabulate([pair("YYY", "YNN", "tie"), pair("YY?", "YNN", "first")], checklist=CHECKLIST, units="zero_one")
