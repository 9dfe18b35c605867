"""Judging yes/no answers: what the report says, with and without probabilities, and how the table prints it."""

import json
import math
from dataclasses import replace

import numpy as np
import pytest

from evaluation.checks import CheckReport, balanced_accuracy, evaluate_checks, format_check_table, one_line
from evaluation.reports import figures, format_table, headline, tasks_of
from rollout.types import RolloutGroup, WatchedTokens
from tests.builders import make_check_prompt, make_group


def asked(name: str, *answers: str, is_yes: bool, p_yes: float | None = None, mass: float = 1.0) -> RolloutGroup:
    """One question ("picture/question") with one completion per answer."""
    group = make_group(answers, prompt=make_check_prompt(name, is_yes=is_yes))
    if p_yes is None:
        return group
    logprobs = np.log(np.array([[p_yes * mass, (1 - p_yes) * mass]], dtype=np.float32))
    watched = WatchedTokens(token_ids=np.array([7, 8], dtype=np.int32), logprobs=logprobs)
    return replace(group, completions=tuple(replace(one, watched=watched) for one in group.completions))


# blur: yes right twice of three times 1/2 -> 5/6, no right never -> 0; haze: yes never asked, no right -> 1.
MIXED = [
    asked("a/blur", "yes", "yes", is_yes=True, p_yes=0.9),
    asked("b/blur", "yes", "yes", is_yes=True, p_yes=0.8),
    asked("c/blur", "yes", "no", is_yes=True, p_yes=0.4),
    asked("d/blur", "yes", "hm", is_yes=False, p_yes=0.7),
    asked("d/haze", "no", "no", is_yes=False, p_yes=0.1),
]


@pytest.fixture(scope="module")
def mixed() -> CheckReport:
    return evaluate_checks(MIXED)


def test_the_balanced_accuracy_counts_yes_and_no_and_every_question_alike(mixed: CheckReport) -> None:
    assert mixed.balanced.value == pytest.approx(((5 / 6 + 0) / 2 + 1) / 2)


def test_the_share_of_right_answers_counts_every_prompt_alike(mixed: CheckReport) -> None:
    assert mixed.right.value == pytest.approx((1 + 1 + 0.5 + 0 + 1) / 5)
    assert {name: one.right.value for name, one in mixed.by_question.items()} == pytest.approx(
        {"blur": 2.5 / 4, "haze": 1.0}
    )


def test_whoever_always_says_one_word_is_half_right() -> None:
    groups = [asked(f"{n}/blur", "yes", is_yes=n < 9) for n in range(10)]
    report = evaluate_checks(groups)
    assert (report.balanced.value, report.right.value, report.yes_rate) == (0.5, 0.9, 1.0)


def test_briers_score_is_the_mean_squared_error_of_the_probability(mixed: CheckReport) -> None:
    squared = [0.01, 0.04, 0.36, 0.49, 0.01]
    assert mixed.brier is not None
    assert mixed.brier.value == pytest.approx(sum(squared) / 5, abs=1e-6)
    assert mixed.by_question["blur"].brier == pytest.approx(sum(squared[:4]) / 4, abs=1e-6)


def test_the_calibration_error_is_by_bins_of_a_tenth() -> None:
    # Bin 2: 0.21 + 0.24 against one yes of two; bin 9: 0.95 and 1.0 against two; by hand (0.55 + 0.05) / 4.
    truths = {0.21: True, 0.24: False, 0.95: True, 1.0: True}
    groups = [asked(f"{p}/blur", "yes", is_yes=yes, p_yes=min(p, 1 - 1e-7)) for p, yes in truths.items()]
    assert evaluate_checks(groups).calibration_error == pytest.approx((0.55 + 0.05) / 4, abs=1e-6)


def test_a_probability_is_that_among_both_words() -> None:
    (row,) = evaluate_checks([asked("a/blur", "yes", is_yes=True, p_yes=0.75, mass=0.01)]).rows
    assert row.p_yes == pytest.approx(0.75, abs=1e-6)


def test_without_probabilities_there_is_no_calibration() -> None:
    report = evaluate_checks([asked("a/blur", "yes", is_yes=True), asked("b/blur", "no", is_yes=False)])
    assert (report.brier, report.calibration_error) == (None, None)
    assert not any("brier" in key or "ece" in key for key in report.metrics())
    assert "Brier -" in one_line(report)


def test_what_is_neither_word_is_wrong_and_counted(mixed: CheckReport) -> None:
    assert (mixed.num_unparsed, mixed.num_by_status["no_yes_or_no"]) == (1, 1)
    assert {name: one.num_unparsed for name, one in mixed.by_question.items()} == {"blur": 1, "haze": 0}


def test_prompts_pictures_and_truths_are_counted(mixed: CheckReport) -> None:
    assert (mixed.num_prompts, mixed.num_pictures, mixed.num_completions) == (5, 4, 10)
    assert (mixed.by_question["blur"].num_yes, mixed.by_question["blur"].num_no) == (3, 1)


def test_the_interval_resamples_all_questions_about_a_picture_together() -> None:
    # On every picture one question is answered rightly and one wrongly: by picture nothing varies.
    groups = [
        asked(f"{name}/{question}", "yes", is_yes=is_yes)
        for name in "abcd"
        for question, is_yes in (("blur", True), ("haze", False))
    ]
    balanced = evaluate_checks(groups).balanced
    assert (balanced.value, balanced.low, balanced.high) == (0.5, 0.5, 0.5)


def test_pictures_that_differ_widen_the_interval_and_one_picture_alone_says_nothing() -> None:
    groups = [asked(f"{name}/blur", "yes" if name in "ab" else "no", is_yes=True) for name in "abcd"]
    balanced = evaluate_checks(groups).balanced
    assert balanced.low < balanced.value == 0.5 < balanced.high
    alone = evaluate_checks(groups[:1]).balanced
    assert (alone.value, alone.low, alone.high) == (1.0, 0.0, 1.0)


def test_the_balanced_accuracy_agrees_with_a_loop() -> None:
    rng = np.random.default_rng(0)
    right, cells = rng.random(200), rng.integers(0, 12, 200).astype(np.float64)
    by_question = []
    for question in range(6):
        means = [right[cells == cell].mean() for cell in (2 * question, 2 * question + 1) if (cells == cell).any()]
        if means:
            by_question.append(math.fsum(means) / len(means))
    assert balanced_accuracy(right, cells) == pytest.approx(math.fsum(by_question) / len(by_question))


def test_the_order_of_the_prompts_changes_no_figure(mixed: CheckReport) -> None:
    other = evaluate_checks(MIXED[::-1])
    ends = ("/low", "/high")
    values = {key: value for key, value in mixed.metrics().items() if not key.endswith(ends)}
    assert {key: other.metrics()[key] for key in values} == pytest.approx(values)


def test_a_report_without_completions_is_refused() -> None:
    with pytest.raises(ValueError, match="got no groups"):
        evaluate_checks([])
    with pytest.raises(ValueError, match="has no completions"):
        evaluate_checks([asked("a/blur", is_yes=True)])


def test_a_report_is_plain_json(mixed: CheckReport) -> None:
    report = json.loads(json.dumps(mixed.to_dict()))
    assert report["rows"][3]["answers"] == [True, None]
    assert report["by_question"]["haze"]["right"]["value"] == 1.0


def test_a_summary_keeps_the_figures_of_every_question(mixed: CheckReport) -> None:
    metrics = mixed.metrics()
    kept = figures(metrics)
    assert tasks_of(metrics) == ("check",)
    assert headline(metrics) == {"balanced accuracy": mixed.balanced.value}
    assert kept["ece"] == mixed.calibration_error
    blur = mixed.by_question["blur"]
    assert kept["by_question"]["blur"] == {  # type: ignore[index]
        "right": {"value": blur.right.value, "low": blur.right.low, "high": blur.right.high},
        "errors": {"brier": blur.brier, "ece": blur.calibration_error},
    }


def test_the_table_has_a_row_for_each_evaluation_and_one_for_each_question(mixed: CheckReport) -> None:
    table = format_table({"cold start": evaluate_checks(MIXED[:1]).metrics(), "after RL": mixed.metrics()})
    assert table == format_check_table(
        {"cold start": evaluate_checks(MIXED[:1]).metrics(), "after RL": mixed.metrics()}
    )
    starts = [line.split("  ")[0] for line in table.splitlines() if not line.startswith("-")]
    assert starts == ["", "cold start", "after RL", "right %", "blur", "haze"]
    haze = table.splitlines()[-1].split()
    assert haze[:3] == ["haze", "-", "100.0"]
