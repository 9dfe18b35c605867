"""Correlation and error measures."""

from collections.abc import Callable

import numpy as np
import pytest
from numpy.typing import NDArray

from evaluation.metrics import (
    Agreement,
    agreement,
    agreement_by,
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


def numbers(*values: float) -> Array:
    return np.array(values, dtype=np.float64)


def measured(*, num_pictures: int = 10, srcc: float | None = None, plcc: float | None = None) -> Agreement:
    return Agreement(num_pictures=num_pictures, srcc=srcc, plcc=plcc, plcc_logistic=None, krcc=None, rmse=None)


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


def test_the_logistic_does_not_turn_a_reversed_judge_round() -> None:
    scores = np.linspace(1, 5, 25)
    fitted = plcc_logistic(scores, opinions_N=6 - scores)
    assert fitted is None or fitted < 0.1


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
    ],
)
def test_the_unweighted_mean_over_sets_recomputes_the_published_averages(
    column: tuple[float, ...], printed: float, tolerance: float
) -> None:
    sets = {str(index): measured(num_pictures=100 * (index + 1), srcc=value) for index, value in enumerate(column)}
    assert mean_agreement(sets).srcc == pytest.approx(printed, abs=tolerance)
