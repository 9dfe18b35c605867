"""Judging a policy that is asked for several things: the figures of each task, and what they share."""

import json

import pytest

from evaluation.checks import evaluate_checks
from evaluation.judge import evaluate
from evaluation.mixed import MixedReport, TaskReport
from evaluation.pairs import evaluate_pairs
from evaluation.perception import evaluate_perception
from evaluation.reports import figures, format_table, headline, one_line, tasks_of
from rollout.types import Task
from tests.builders import (
    ONE_TO_FIVE,
    make_answer,
    make_check_prompt,
    make_choice,
    make_defect_prompt,
    make_group,
    make_pair_prompt,
    make_prompt,
)

SCORES = [make_group([make_answer(n), "no tags"], prompt=make_prompt(f"p{n}", opinion=n)) for n in (1, 2, 4)]
CHOICES = [make_group([make_choice(1)], prompt=make_pair_prompt(f"a/{better}", better=better)) for better in (1, 2)]
DEFECTS = [make_group([make_answer("blur")], prompt=make_defect_prompt(f"{name}/type")) for name in "ab"]
CHECKS = [make_group(["yes", "no"], prompt=make_check_prompt(f"{name}/blur_none")) for name in "ab"]


def reports() -> dict[Task, TaskReport]:
    return {
        "score": evaluate(SCORES, scale=ONE_TO_FIVE, min_spread=0.02, out_of_range="keep"),
        "choice": evaluate_pairs(CHOICES, verdicts=None),
        "defect": evaluate_perception(DEFECTS),
        "check": evaluate_checks(CHECKS),
    }


@pytest.fixture(scope="module")
def mixed() -> MixedReport:
    return MixedReport(by_task=reports())


@pytest.mark.parametrize("task", ["score", "choice", "defect", "check"])
def test_a_report_of_one_task_tells_which(task: Task) -> None:
    assert tasks_of(reports()[task].metrics()) == (task,)


def test_a_mixed_report_tells_all_of_its_tasks(mixed: MixedReport) -> None:
    assert tasks_of(mixed.metrics()) == ("score", "choice", "defect", "check")


def test_the_figures_of_a_task_are_those_of_its_own_report(mixed: MixedReport) -> None:
    metrics = mixed.metrics()
    for report in reports().values():
        own = {key: value for key, value in report.metrics().items() if not key.endswith("/fraction")}
        assert own.items() <= metrics.items()


def test_shares_of_completions_are_over_all_of_them_and_by_task(mixed: MixedReport) -> None:
    metrics = mixed.metrics()
    # Three of fourteen completions have no tags where they should, all of them answers to scoring questions.
    assert metrics["evaluation/unparsed/fraction"] == pytest.approx(3 / 14)
    assert [metrics[f"evaluation/unparsed/{task}"] for task in reports()] == [0.5, 0.0, 0.0, 0.0]
    assert metrics["evaluation/format/fraction"] == pytest.approx(11 / 14)


def test_the_table_of_a_task_shows_its_own_shares(mixed: MixedReport) -> None:
    tables = format_table({"after RL": mixed.metrics()}).split("\n\n")
    assert tables == [format_table({"after RL": report.metrics()}) for report in reports().values()]


def test_the_line_names_every_task(mixed: MixedReport) -> None:
    assert one_line(mixed) == "; ".join(f"{task}: {one_line(report)}" for task, report in reports().items())


def test_a_progress_display_shows_one_figure_per_task(mixed: MixedReport) -> None:
    assert headline(mixed.metrics()) == {
        "SRCC": pytest.approx(1.0),
        "accuracy": 0.5,
        "credit": 1.0,
        "balanced accuracy": 0.5,
    }


def test_a_summary_keeps_the_figures_of_every_task(mixed: MixedReport) -> None:
    kept = figures(mixed.metrics())
    assert (kept["score_format_rate"], kept["choice_format_rate"], kept["defect_format_rate"]) == (0.5, 1.0, 1.0)
    assert "format_rate" not in kept
    for report in reports().values():
        own = figures(report.metrics())
        del own["format_rate"]
        assert own.items() <= kept.items()


def test_a_mixed_report_is_plain_json(mixed: MixedReport) -> None:
    assert set(json.loads(json.dumps(mixed.to_dict()))) == {"score", "choice", "defect", "check"}
