"""Judging answers about defects: what the report says and how the table prints it."""

import json

import pytest

from evaluation.perception import PerceptionReport, evaluate_perception, format_perception_table, one_line
from evaluation.reports import figures, format_table, headline, tasks_of
from rollout.types import DefectTask, Finding, RolloutGroup
from tests.builders import make_answer, make_defect_prompt, make_group


def asked(
    picture: str, task: DefectTask, *answers: str, shows_reference: bool = False, source: str = "defects"
) -> RolloutGroup:
    """One question about the strong blur of a picture, with one completion per answer."""
    prompt = make_defect_prompt(f"{picture}/{task}", task=task, shows_reference=shows_reference, source=source)
    return make_group([make_answer(answer) for answer in answers], prompt=prompt)


# Credits: 1 and 0 -> 1/2; 0.6; 0.5; 1; unreadable 0.
MIXED = [
    asked("a", "type", "blur", "haze"),
    asked("a", "severity", "extreme"),
    asked("b", "area", "[14, 0, 35, 28]"),
    asked("b", "type", "blur", shows_reference=True),
    asked("b", "region", "somewhere"),
]


@pytest.fixture(scope="module")
def mixed() -> PerceptionReport:
    return evaluate_perception(MIXED)


def test_credit_is_a_mean_over_questions(mixed: PerceptionReport) -> None:
    assert mixed.credit.value == pytest.approx((0.5 + 0.6 + 0.5 + 1.0 + 0.0) / 5)


def test_each_task_has_its_own_credit_and_share_of_right_answers(mixed: PerceptionReport) -> None:
    assert {task: one.credit.value for task, one in mixed.by_task.items()} == pytest.approx(
        {"type": 0.75, "severity": 0.6, "region": 0.0, "area": 0.5}
    )
    assert {task: one.right.value for task, one in mixed.by_task.items()} == pytest.approx(
        {"type": 0.75, "severity": 0.0, "region": 0.0, "area": 1.0}
    )


def test_questions_with_and_without_the_reference_are_told_apart(mixed: PerceptionReport) -> None:
    assert mixed.with_reference is not None
    assert mixed.alone is not None
    assert (mixed.with_reference.value, mixed.alone.value) == pytest.approx((1.0, 1.6 / 4))


def test_unreadable_answers_are_counted_by_status_and_task(mixed: PerceptionReport) -> None:
    assert (mixed.num_unparsed, mixed.num_by_status["no_candidate"]) == (1, 1)
    assert {task: one.num_unparsed for task, one in mixed.by_task.items()} == {
        "type": 0, "severity": 0, "region": 1, "area": 0,
    }  # fmt: skip


def test_prompts_pictures_and_completions_are_counted(mixed: PerceptionReport) -> None:
    assert (mixed.num_prompts, mixed.num_pictures, mixed.num_completions) == (5, 2, 6)


def test_equal_picture_names_of_two_sources_are_two_pictures() -> None:
    groups = [asked("a", "type", "blur", source="x"), asked("a", "type", "blur", source="y")]
    assert evaluate_perception(groups).num_pictures == 2


def test_the_interval_resamples_all_questions_about_a_picture_together() -> None:
    # Each picture is answered half right: resampled by question credit would scatter, by picture it cannot.
    groups = [asked(name, task, "blur" if task == "type" else "top") for name in "abcd" for task in ("type", "region")]
    credit = evaluate_perception(groups).credit
    assert (credit.value, credit.low, credit.high) == (0.5, 0.5, 0.5)


def test_pictures_that_differ_widen_the_interval() -> None:
    groups = [asked(name, "type", "blur" if name in "ab" else "haze") for name in "abcd"]
    credit = evaluate_perception(groups).credit
    assert credit.low < credit.value == 0.5 < credit.high


def test_one_picture_alone_says_little_of_others() -> None:
    credit = evaluate_perception([asked("a", "type", "blur")]).credit
    # Wilson's interval of one success in one trial begins at 1 / (1 + 1.96^2).
    assert (credit.value, credit.high) == (1.0, 1.0)
    assert credit.low == pytest.approx(0.20655, abs=1e-5)


def test_a_pristine_picture_is_right_when_found_pristine() -> None:
    prompt = make_defect_prompt("p/area", task="area", found=Finding())
    report = evaluate_perception([make_group([make_answer("none"), make_answer("[0, 0, 9, 9]")], prompt=prompt)])
    assert report.by_task["area"].credit.value == 0.5


def test_the_order_of_the_questions_changes_no_figure(mixed: PerceptionReport) -> None:
    assert evaluate_perception(MIXED[::-1]).metrics() == pytest.approx(mixed.metrics())


def test_a_report_without_completions_is_refused() -> None:
    with pytest.raises(ValueError, match="got no groups"):
        evaluate_perception([])
    with pytest.raises(ValueError, match="has no completions"):
        evaluate_perception([asked("a", "type")])


def test_a_report_is_plain_json(mixed: PerceptionReport) -> None:
    report = json.loads(json.dumps(mixed.to_dict()))
    assert report["rows"][0]["answers"] == ["blur", "haze"]
    assert report["by_task"]["area"]["right"]["value"] == 1.0


def test_every_figure_of_the_journal_has_three_parts(mixed: PerceptionReport) -> None:
    assert all(key.startswith("evaluation/") and key.count("/") == 2 for key in mixed.metrics())


def test_tasks_nobody_asked_about_have_no_key(mixed: PerceptionReport) -> None:
    assert not [key for key in mixed.metrics() if "type_and_severity" in key]


def test_the_table_shows_every_task_and_a_dash_for_those_not_asked(mixed: PerceptionReport) -> None:
    header, _, row = format_perception_table({"after RL": mixed.metrics()}).splitlines()
    assert header.split()[:2] == ["credit", "%"]
    cells = row.removeprefix("after RL").split("]")[1].split()
    # type, severity, type and severity, region, area, found, format, unparsed
    assert cells == ["75.0", "60.0", "-", "0.0", "50.0", "100.0", "100.0", "16.7"]


def test_the_line_names_the_tasks_that_were_asked(mixed: PerceptionReport) -> None:
    line = one_line(mixed)
    assert "type 75.0 severity 60.0 region 0.0 area 50.0" in line
    assert line.endswith("unparsed 1/6")


def test_the_files_of_a_run_tell_its_task(mixed: PerceptionReport) -> None:
    metrics = mixed.metrics()
    assert tasks_of(metrics) == ("defect",)
    assert headline(metrics) == {"credit": mixed.credit.value}
    assert format_table({"x": metrics}) == format_perception_table({"x": metrics})


def test_a_summary_keeps_intervals_and_names_what_was_not_asked(mixed: PerceptionReport) -> None:
    kept = figures(mixed.metrics())
    assert kept["type_and_severity"] is None
    assert kept["area_right"] == 1.0
    assert kept["credit"] == {"value": mixed.credit.value, "low": mixed.credit.low, "high": mixed.credit.high}
