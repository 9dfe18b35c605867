"""Tau with ties, its calibration, and diff: the worked example, a second implementation, limit cases."""

import numpy as np
import pytest
from numpy.typing import NDArray

from evaluation.checklist.preferences import (
    Calibrated,
    PairCounts,
    calibrate,
    count_pairs,
    diff_accuracy,
    judge_preferences,
    one_line,
    tie_accuracy,
)
from evaluation.intervals import wilson

Array = NDArray[np.float64]
LABELS = np.array([1, -1, 0, 1, 0, -1, 1, 0, 1, -1])
MARGINS = np.array([0.080, -0.030, 0.010, 0.020, -0.040, 0.015, 0.060, 0.000, -0.005, -0.070])
PAIRS = [str(index) for index in range(10)]


def random_pairs(seed: int) -> tuple[Array, NDArray[np.int_]]:
    """Margins on a coarse grid, so that many are equal or 0."""
    random = np.random.default_rng(seed)
    return random.integers(-4, 5, size=30) / 8.0, random.integers(-1, 2, size=30)


def test_the_worked_example_is_counted_as_published() -> None:
    counts = count_pairs(MARGINS, labels_N=LABELS, epsilon=0.0)
    assert counts == PairCounts(concordant=5, discordant=2, label_tied=2, model_tied=0, both_tied=1)
    assert counts.tie_accuracy == 0.6


def test_the_worked_example_is_calibrated_as_published() -> None:
    assert calibrate(MARGINS, labels_N=LABELS) == Calibrated(accuracy=0.7, epsilon=0.010)
    assert tie_accuracy(MARGINS, labels_N=LABELS, epsilon=0.010) == 0.7


def test_diff_of_the_worked_example_is_as_published() -> None:
    found = diff_accuracy(MARGINS, labels_N=LABELS, clusters_N=PAIRS)
    assert found is not None
    assert found.value == pytest.approx(5 / 7, abs=1e-12)
    assert (found.low, found.high) == pytest.approx(
        (wilson(5 / 7, num_trials=7).low, wilson(5 / 7, num_trials=7).high), abs=1e-12
    )


def test_the_report_has_all_of_it() -> None:
    report = judge_preferences(MARGINS, labels_N=LABELS, clusters_N=PAIRS)
    assert (report.num_pairs, report.tau, report.tau_calibrated.epsilon, report.counts.discordant) == (10, 0.6, 0.01, 2)


def test_a_report_fits_on_a_line() -> None:
    few = judge_preferences(MARGINS[2:3], labels_N=LABELS[2:3], clusters_N=PAIRS[:1])
    assert one_line(few) == "tau 0.0 %, 100.0 % at its best eps 0.01, diff - % of 1 pairs"
    assert "tau 60.0 %, 70.0 % at its best eps 0.01, diff 71.4 [" in one_line(
        judge_preferences(MARGINS, labels_N=LABELS, clusters_N=PAIRS)
    )


@pytest.mark.parametrize("seed", range(20))
def test_calibration_tries_every_threshold(seed: int) -> None:
    margins, labels = random_pairs(seed)
    tried = {epsilon: tie_accuracy(margins, labels_N=labels, epsilon=epsilon) for epsilon in {0.0, *np.abs(margins)}}
    best = max(tried.values())
    assert calibrate(margins, labels_N=labels) == Calibrated(
        accuracy=best, epsilon=min(epsilon for epsilon, accuracy in tried.items() if accuracy == best)
    )


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("epsilon", [0.0, 0.125, 0.3])
def test_every_pair_is_of_one_kind(seed: int, epsilon: float) -> None:
    margins, labels = random_pairs(seed)
    expected = dict.fromkeys(("C", "D", "Th", "Tm", "Thm"), 0)
    for margin, label in zip(margins, labels, strict=True):
        model = 0 if abs(margin) <= epsilon else (1 if margin > 0 else -1)
        kind = (
            "Thm"
            if model == label == 0
            else "Th"
            if label == 0
            else "Tm"
            if model == 0
            else "C"
            if model == label
            else "D"
        )
        expected[kind] += 1
    found = count_pairs(margins, labels_N=labels, epsilon=epsilon)
    assert [
        found.concordant, found.discordant, found.label_tied, found.model_tied, found.both_tied,
    ] == list(expected.values())  # fmt: skip


@pytest.mark.parametrize("seed", range(5))
def test_swapping_the_items_changes_nothing(seed: int) -> None:
    margins, labels = random_pairs(seed)
    ids = [str(index) for index in range(30)]
    assert judge_preferences(margins, labels_N=labels, clusters_N=ids) == judge_preferences(
        -margins, labels_N=-labels, clusters_N=ids
    )


def test_scaling_the_margins_scales_the_threshold_only() -> None:
    margins, labels = random_pairs(3)
    one, eight = calibrate(margins, labels_N=labels), calibrate(8 * margins, labels_N=labels)
    assert (eight.accuracy, eight.epsilon) == (one.accuracy, 8 * one.epsilon)


def test_without_label_ties_calibrated_tau_is_diff_and_calls_nothing_a_tie() -> None:
    margins, labels = np.array([0.3, -0.2, 0.1]), np.array([1, 1, 1])
    assert calibrate(margins, labels_N=labels) == Calibrated(accuracy=2 / 3, epsilon=0.0)
    found = diff_accuracy(margins, labels_N=labels, clusters_N=["a", "b", "c"])
    assert found is not None
    assert found.value == pytest.approx(2 / 3)


def test_a_model_that_ties_everything_is_right_where_people_do() -> None:
    assert tie_accuracy(np.zeros(4), labels_N=np.array([0, 0, 0, 1]), epsilon=0.0) == 0.75


@pytest.mark.parametrize(("model_ties", "expected"), [("wrong", 1 / 4), ("half", 2 / 4), ("drop", 1 / 2)])
def test_equal_scores_are_wrong_half_right_or_left_out(model_ties: str, expected: float) -> None:
    margins, labels = np.array([0.1, 0.0, 0.0, 0.2, 0.0]), np.array([1, 1, -1, -1, 0])
    found = diff_accuracy(
        margins, labels_N=labels, clusters_N=list("abcde"), model_ties=model_ties  # type: ignore[arg-type]
    )  # fmt: skip
    assert found is not None
    assert found.value == expected


def test_diff_without_a_preference_is_undefined() -> None:
    assert diff_accuracy(np.array([0.1]), labels_N=np.array([0]), clusters_N=["a"]) is None
    assert diff_accuracy(np.array([0.0]), labels_N=np.array([1]), clusters_N=["a"], model_ties="drop") is None


@pytest.mark.parametrize(
    ("margins", "labels"), [([0.1], [1, 0]), ([], []), ([float("nan")], [1]), ([0.1], [2])]
)  # fmt: skip
def test_what_cannot_be_counted_is_refused(margins: list[float], labels: list[int]) -> None:
    with pytest.raises(ValueError, match="expected"):
        calibrate(np.array(margins), labels_N=np.array(labels, dtype=np.int_))
