"""Correlation and error measures."""

from collections.abc import Callable

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.optimize import curve_fit

from evaluation.metrics import (
    CONVERGED,
    MEASURES,
    Agreement,
    agreement,
    agreement_by,
    fit_logistic,
    intervals,
    krcc,
    mean_agreement,
    plcc,
    plcc_logistic,
    rmse,
    srcc,
)

Array = NDArray[np.float64]
Measure = Callable[..., float | None]

# Table 2 of VisualQuality-R1 and table 1 of Aes-R1: the averages over test sets they print.
VISUALQUALITY_SRCC = (0.790, 0.750, 0.830, 0.875, 0.838, 0.756, 0.598, 0.775)
VISUALQUALITY_PLCC = (0.806, 0.794, 0.840, 0.878, 0.872, 0.825, 0.651, 0.843)
AESTHETICS_PLCC = (0.4513, 0.6702, 0.7243, 0.7842, 0.5386)
AESTHETICS_SRCC = (0.4248, 0.6619, 0.6973, 0.7666, 0.5423)
# Printed as .5930 there, a slip.
VISUALQUALITY_AESTHETICS_SRCC = (0.3915, 0.6195, 0.6769, 0.7507, 0.5363)


def numbers(*values: float) -> Array:
    return np.array(values, dtype=np.float64)


def measured(*, num_pictures: int = 10, srcc: float | None = None, plcc: float | None = None) -> Agreement:
    return Agreement(num_pictures=num_pictures, srcc=srcc, plcc=plcc, plcc_logistic=None, krcc=None, rmse=None)


def judged_set(seed: int, *, num: int = 40) -> tuple[Array, Array]:
    """Two-decimal scores with ties, and opinions they partly follow."""
    random = np.random.default_rng(seed)
    opinions = random.uniform(1, 5, num)
    return np.round(opinions + random.normal(0, 1, num), 1), opinions


def ranks(values: Array) -> Array:
    """Average ranks by counting."""
    return np.array([1 + sum(values < one) + (sum(values == one) - 1) / 2 for one in values])


def tau_b(first: Array, second: Array) -> float:
    """Kendall's tau-b by looking at every pair."""
    pairs = [
        (np.sign(first[i] - first[j]), np.sign(second[i] - second[j])) for i in range(len(first)) for j in range(i)
    ]
    concordance = sum(a * b for a, b in pairs)
    return float(concordance / np.sqrt(sum(a * a for a, _ in pairs) * sum(b * b for _, b in pairs)))


@pytest.mark.parametrize("seed", range(5))
def test_every_correlation_agrees_with_its_definition(seed: int) -> None:
    scores, opinions = judged_set(seed)
    assert srcc(scores, opinions_N=opinions) == pytest.approx(np.corrcoef(ranks(scores), ranks(opinions))[0, 1])
    assert plcc(scores, opinions_N=opinions) == pytest.approx(np.corrcoef(scores, opinions)[0, 1])
    assert krcc(scores, opinions_N=opinions) == pytest.approx(tau_b(scores, opinions))


@pytest.mark.parametrize("seed", range(5))
def test_the_logistic_is_the_one_that_a_free_fit_finds_too(seed: int) -> None:
    scores, opinions = judged_set(seed, num=200)

    def curve(x: Array, top: float, bottom: float, middle: float, width: float) -> Array:
        return bottom + (top - bottom) / (1 + np.exp(-(x - middle) / abs(width)))

    start = (opinions.max(), opinions.min(), scores.mean(), scores.std() / 4)
    parameters, _ = curve_fit(curve, scores, opinions, p0=start, maxfev=20_000)
    free = np.corrcoef(curve(scores, *parameters), opinions)[0, 1]
    assert plcc_logistic(scores, opinions_N=opinions) == pytest.approx(free, abs=1e-4)


@pytest.mark.parametrize("measure", [srcc, krcc])
def test_rank_correlations_ignore_any_rising_curve(measure: Measure) -> None:
    scores, opinions = judged_set(0)
    before = measure(scores, opinions_N=opinions)
    assert measure(np.exp(scores), opinions_N=opinions**3) == pytest.approx(before)


@pytest.mark.parametrize("measure", [srcc, plcc, krcc])
def test_a_reversed_judge_has_the_opposite_correlation(measure: Measure) -> None:
    scores, opinions = judged_set(0)
    before = measure(scores, opinions_N=opinions)
    assert before is not None
    assert measure(-scores, opinions_N=opinions) == pytest.approx(-before)


def test_plcc_after_the_fit_ignores_shift_and_scale() -> None:
    scores, opinions = judged_set(0, num=200)
    before = plcc_logistic(scores, opinions_N=opinions)
    assert plcc_logistic(20 * scores - 7, opinions_N=100 * opinions) == pytest.approx(before, abs=1e-4)


def test_the_fit_is_never_worse_than_the_plain_scores() -> None:
    scores, opinions = judged_set(0, num=200)
    plain, fitted = plcc(scores, opinions_N=opinions), plcc_logistic(scores, opinions_N=opinions)
    assert plain is not None
    assert fitted is not None
    assert fitted > plain - 1e-4


def test_rmse_counts_in_units_of_the_scale() -> None:
    scores, opinions = judged_set(0)
    before = rmse(scores, opinions_N=opinions)
    assert before is not None
    assert rmse(25 * scores - 25, opinions_N=25 * opinions - 25) == pytest.approx(25 * before)


def test_srcc_gives_ties_their_average_rank() -> None:
    # Ranks 1.5 1.5 3 4 against 1 2 3 4: covariance 4.5 over sqrt(4.5 * 5).
    assert srcc(numbers(1, 1, 2, 3), opinions_N=numbers(1, 2, 3, 4)) == pytest.approx(4.5 / np.sqrt(22.5))


def test_srcc_of_a_rising_curve_is_one() -> None:
    assert srcc(numbers(1, 2, 3, 5), opinions_N=numbers(1, 4, 9, 100)) == pytest.approx(1.0)


def test_plcc_by_hand() -> None:
    # Deviations -1 0 1 and -1 1 0: 1 / sqrt(2 * 2).
    assert plcc(numbers(1, 2, 3), opinions_N=numbers(1, 3, 2)) == pytest.approx(0.5)


def test_krcc_by_hand() -> None:
    # Two of three pairs agree.
    assert krcc(numbers(1, 2, 3), opinions_N=numbers(1, 3, 2)) == pytest.approx(1 / 3)


def test_rmse_by_hand() -> None:
    assert rmse(numbers(1, 2), opinions_N=numbers(4, 6)) == pytest.approx(np.sqrt(12.5))


def test_plcc_ignores_shift_and_scale() -> None:
    scores, opinions = numbers(1, 4, 2, 5), numbers(2, 3, 1, 4)
    assert plcc(10 * scores - 3, opinions_N=opinions) == pytest.approx(plcc(scores, opinions_N=opinions))


@pytest.mark.parametrize(
    "constant", [numbers(3, 3, 3, 3, 3), numbers(0, 0, 0, 0, 0), numbers(3.7, 3.7 + 4e-16, 3.7, 3.7, 3.7)]
)
@pytest.mark.parametrize("measure", [srcc, plcc, krcc, plcc_logistic])
def test_a_correlation_with_a_constant_is_undefined(measure: Measure, constant: Array) -> None:
    assert measure(constant, opinions_N=numbers(1, 2, 3, 4, 5)) is None


def test_constant_opinions_leave_correlations_undefined() -> None:
    assert srcc(numbers(1, 2, 3), opinions_N=numbers(2, 2, 2)) is None


@pytest.mark.parametrize("num_pictures", [0, 1])
def test_too_few_pictures_leave_correlations_undefined(num_pictures: int) -> None:
    assert srcc(np.zeros(num_pictures), opinions_N=np.zeros(num_pictures)) is None


def test_missing_scores_are_refused_not_skipped() -> None:
    with pytest.raises(ValueError, match="finite"):
        srcc(numbers(1, np.nan), opinions_N=numbers(1, 2))


def test_shapes_must_agree() -> None:
    with pytest.raises(ValueError, match="one score per opinion"):
        plcc(numbers(1, 2, 3), opinions_N=numbers(1, 2))


def test_the_logistic_straightens_a_saturating_judge() -> None:
    scores = np.linspace(-6, 6, 25)
    fitted = plcc_logistic(scores, opinions_N=1 + 4 / (1 + np.exp(-scores)))
    assert fitted == pytest.approx(1.0, abs=1e-6)


def test_the_logistic_finds_the_curve_it_was_made_of() -> None:
    scores = np.linspace(0, 10, 40)
    fit = fit_logistic(scores, opinions_N=20 + 60 / (1 + np.exp(-(scores - 4) / 1.5)))
    assert fit.status == CONVERGED
    assert fit.curve is not None
    found = (fit.curve.low, fit.curve.span, fit.curve.middle, fit.curve.width)
    assert found == pytest.approx((20, 60, 4, 1.5), abs=1e-3)


@pytest.mark.parametrize("seed", range(5))
def test_the_logistic_does_not_turn_a_reversed_judge_round(seed: int) -> None:
    scores, opinions = judged_set(seed)
    assert fit_logistic(-scores, opinions_N=opinions).status == "the best rising curve is flat"
    assert plcc_logistic(-scores, opinions_N=opinions) is None


def test_a_fit_that_does_not_come_to_an_end_says_so() -> None:
    scores, opinions = judged_set(0)
    fit = fit_logistic(scores, opinions_N=opinions, max_evaluations=2)
    assert (fit.curve, fit.status) == (None, "no convergence in 2 evaluations")


@pytest.mark.parametrize(
    ("scores", "opinions", "why"),
    [
        ([3, 3, 3, 3, 3], [1, 2, 3, 4, 5], "the scores are all the same"),
        ([1, 2, 3, 4, 5], [3, 3, 3, 3, 3], "the opinions are all the same"),
        ([1], [2], "1 pictures have a score, a correlation needs 2"),
    ],
)
def test_what_is_undefined_has_its_reason(scores: list[float], opinions: list[float], why: str) -> None:
    found = agreement(numbers(*scores), opinions_N=numbers(*opinions))
    assert found.notes == dict.fromkeys(("srcc", "plcc", "plcc_logistic", "krcc"), why)
    assert [found.value(measure) is None for measure in MEASURES] == [True, True, True, True, False]


def test_too_few_pictures_for_the_curve_leave_the_other_measures() -> None:
    found = agreement(numbers(1, 2, 3), opinions_N=numbers(1, 3, 4))
    assert found.notes == {"plcc_logistic": "3 pictures are too few for four parameters"}
    assert found.srcc == pytest.approx(1.0)


def test_what_is_defined_has_no_note() -> None:
    scores, opinions = judged_set(0)
    assert agreement(scores, opinions_N=opinions).notes == {}


def test_a_mean_counts_the_groups_it_leaves_out() -> None:
    groups = {"a": measured(srcc=0.2), "b": measured(srcc=None), "c": measured(srcc=0.4)}
    assert mean_agreement(groups).notes["srcc"] == "undefined in 1 of 3 groups"


def test_intervals_hold_the_pooled_figures() -> None:
    scores, opinions = judged_set(0, num=120)
    found = intervals(scores, opinions_N=opinions, content_ids=[str(index) for index in range(120)])
    whole = agreement(scores, opinions_N=opinions)
    assert set(found) == {"srcc", "plcc", "krcc", "rmse"}
    for measure, estimate in found.items():
        assert estimate.value == whole.value(measure)
        assert estimate.low < estimate.value < estimate.high


def test_pictures_of_one_content_are_not_so_many_pieces_of_evidence() -> None:
    scores, opinions = judged_set(0)
    four_times = (np.repeat(scores, 4), np.repeat(opinions, 4))
    names = [str(index) for index in range(len(scores))]
    alone = intervals(scores, opinions_N=opinions, content_ids=names)["srcc"]
    as_contents = intervals(four_times[0], opinions_N=four_times[1], content_ids=list(np.repeat(names, 4)))["srcc"]
    as_pictures = intervals(
        four_times[0], opinions_N=four_times[1], content_ids=[str(index) for index in range(4 * len(scores))]
    )["srcc"]
    assert (as_contents.low, as_contents.high) == pytest.approx((alone.low, alone.high))
    assert as_pictures.high - as_pictures.low < 0.7 * (alone.high - alone.low)


def test_the_order_of_pictures_changes_nothing() -> None:
    random = np.random.default_rng(0)
    scores, opinions, order = random.normal(size=30), random.normal(size=30), random.permutation(30)
    whole, permuted = (
        agreement(scores, opinions_N=opinions),
        agreement(scores[order], opinions_N=opinions[order]),
    )
    assert permuted.srcc == pytest.approx(whole.srcc)


def test_groups_are_measured_apart() -> None:
    groups = agreement_by(["b", "a", "b", "a"], scores_N=numbers(1, 2, 2, 1), opinions_N=numbers(10, 1, 20, 2))
    assert {name: group.srcc for name, group in groups.items()} == {
        "a": pytest.approx(-1.0),
        "b": pytest.approx(1.0),
    }


def test_pooling_contents_on_unrelated_scales_is_not_their_mean() -> None:
    scores, opinions = numbers(1, 2, 3, 4), numbers(50, 100, 1, 2)
    by_content = agreement_by(["a", "a", "b", "b"], scores_N=scores, opinions_N=opinions)
    assert mean_agreement(by_content).srcc == pytest.approx(1.0)
    assert agreement(scores, opinions_N=opinions).srcc == pytest.approx(-0.6)


def test_a_mean_is_over_the_groups_that_define_it() -> None:
    groups = {"a": measured(srcc=0.2), "b": measured(srcc=None), "c": measured(srcc=0.4)}
    assert mean_agreement(groups).srcc == pytest.approx(0.3)


def test_a_mean_of_nothing_is_undefined() -> None:
    assert mean_agreement({"a": measured()}).plcc is None


@pytest.mark.parametrize(
    ("column", "printed", "tolerance"),
    [
        (VISUALQUALITY_SRCC, 0.777, 6e-4),
        (VISUALQUALITY_PLCC, 0.814, 6e-4),
        (AESTHETICS_PLCC, 0.6337, 6e-5),
        (AESTHETICS_SRCC, 0.6186, 6e-5),
        (VISUALQUALITY_AESTHETICS_SRCC, 0.5950, 6e-5),
    ],
)
def test_the_unweighted_mean_over_sets_recomputes_the_published_averages(
    column: tuple[float, ...], printed: float, tolerance: float
) -> None:
    sets = {str(index): measured(num_pictures=100 * (index + 1), srcc=value) for index, value in enumerate(column)}
    assert mean_agreement(sets).srcc == pytest.approx(printed, abs=tolerance)
