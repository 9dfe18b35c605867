"""Alarms: which figures raise one, when it is told, and what stays written."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from cluster.alarms import PREFIX, AlarmBell, held_out_alarms
from cluster.journal import ALARMS_FILE, METRICS_FILE, Journal, read_rows
from evaluation.pairs import evaluate_pairs
from rewards.trust import BOUNDS
from tests.builders import make_choice, make_group, make_pair_prompt

BIAS = "answers/choice/position_bias"
HELD_OUT_BIAS = "evaluation/position_bias/points"
ACCURACY = "evaluation/accuracy/value"


@dataclass(kw_only=True)
class Scene:
    """A run folder, and what was said."""

    folder: Path
    said: list[str] = field(default_factory=list)

    def steps(self, biases: list[float], *, first: int = 0) -> None:
        """A run from a step on, of steps with these position biases."""
        with Journal(
            self.folder, first_global_step=first, tensorboard=False, samples_per_step=0, gauges=None
        ) as journal:
            rows = read_rows(self.folder / METRICS_FILE)
            bell = AlarmBell(journal, say=self.said.append, last_row=rows[-1] if rows else {})
            for step, bias in enumerate(biases, start=first):
                flags = bell.hear_step({BIAS: bias}, step=step + 1, global_step=step)
                journal.record({BIAS: bias, **flags}, phase="rl", step=step, global_step=step)

    def alarms(self) -> list[object]:
        """Global steps of the alarms on file."""
        return [row["global_step"] for row in read_rows(self.folder / ALARMS_FILE)]


@pytest.fixture
def scene(tmp_path: Path) -> Scene:
    return Scene(folder=tmp_path)


def hear(scene: Scene, metrics: Mapping[str, float], *, cold_start: Mapping[str, float]) -> dict[str, float]:
    """What an evaluation is given to journal."""
    with Journal(scene.folder, first_global_step=0, tensorboard=False, samples_per_step=0, gauges=None) as journal:
        bell = AlarmBell(journal, say=scene.said.append, last_row={})
        return bell.hear_evaluation(metrics, cold_start=cold_start, label="rl-20", global_step=19)


def names(metrics: Mapping[str, float], *, cold_start: Mapping[str, float] | None = None) -> list[str]:
    """Figures of an evaluation that raise an alarm."""
    return [alarm.name for alarm in held_out_alarms(metrics, cold_start=cold_start or {})]


def test_an_alarm_is_told_when_a_figure_crosses_its_bound_and_not_again_until_it_has_been_back(scene: Scene) -> None:
    scene.steps([0.0, 30.0, 31.0, 5.0, -30.0])
    assert scene.said == [
        "ALARM at RL step 2: answers/choice/position_bias=30 is beyond 20",
        "ALARM at RL step 5: answers/choice/position_bias=-30 is beyond 20",
    ]
    assert scene.alarms() == [1, 4]


def test_every_step_says_whether_a_figure_it_has_is_beyond_its_bound(scene: Scene) -> None:
    scene.steps([0.0, 30.0, 31.0, 5.0])
    rows = read_rows(scene.folder / METRICS_FILE)
    assert [row[PREFIX + BIAS] for row in rows] == [0.0, 1.0, 1.0, 0.0]
    assert {key for row in rows for key in row if key.startswith(PREFIX)} == {PREFIX + BIAS}


def test_a_row_says_which_figure_where_and_why(scene: Scene) -> None:
    scene.steps([25.0])
    assert read_rows(scene.folder / ALARMS_FILE) == [
        {"at": "RL step 1", "global_step": 0, "name": BIAS, "value": 25.0, "why": "beyond 20"}
    ]


@pytest.mark.parametrize("stop", [1, 2, 3, 4])
def test_a_run_that_is_stopped_and_resumed_leaves_the_alarms_of_one_that_is_not(stop: int, tmp_path: Path) -> None:
    biases = [0.0, 30.0, 31.0, 5.0, 40.0]
    whole, parted = Scene(folder=tmp_path / "whole"), Scene(folder=tmp_path / "parted")
    for scene in (whole, parted):
        scene.folder.mkdir()
    whole.steps(biases)
    parted.steps(biases[: stop + 1])  # a step beyond the checkpoint, which the resume repeats
    parted.steps(biases[stop:], first=stop)
    assert read_rows(parted.folder / ALARMS_FILE) == read_rows(whole.folder / ALARMS_FILE)


@pytest.mark.parametrize("points", [20.5, -20.5])
def test_a_held_out_position_bias_beyond_its_bound_is_an_alarm(points: float) -> None:
    assert names({HELD_OUT_BIAS: points}) == [HELD_OUT_BIAS]
    assert names({HELD_OUT_BIAS: points * 0.97}) == []


def test_both_position_biases_have_the_same_bound() -> None:
    groups = [
        make_group([make_choice(1)] * 4, prompt=make_pair_prompt("a/1", better=1)),
        make_group([make_choice(1)] * 4, prompt=make_pair_prompt("a/2", better=2)),
    ]
    metrics = evaluate_pairs(groups, verdicts=None).metrics()
    assert metrics[HELD_OUT_BIAS] == 50.0 > BOUNDS[BIAS]
    assert names(metrics) == [HELD_OUT_BIAS]


@pytest.mark.parametrize(
    ("accuracy", "low", "why"),
    [
        (0.65, 0.6, None),
        (0.6, 0.6, None),
        (0.59, 0.6, "below 0.6, where the cold start's interval begins"),
        (0.45, 0.6, "below 0.6, where the cold start's interval begins"),
        (0.45, 0.4, "below 0.5, a guess"),
        (0.5, 0.4, None),
        (0.45, None, "below 0.5, a guess"),
    ],
)
def test_accuracy_below_where_it_was_or_below_a_guess_is_an_alarm(
    accuracy: float, low: float | None, why: str | None
) -> None:
    cold_start = {} if low is None else {"evaluation/accuracy/low": low}
    raised = list(held_out_alarms({ACCURACY: accuracy}, cold_start=cold_start))
    assert [(alarm.name, alarm.why) for alarm in raised] == ([] if why is None else [(ACCURACY, why)])


def test_an_evaluation_of_scores_has_no_accuracy_to_lose() -> None:
    assert names({"evaluation/agreement/srcc": -0.5, "evaluation/collapsed/alarm": 0.0}) == []


def test_a_held_out_alarm_is_told_flagged_and_written(scene: Scene) -> None:
    flags = hear(scene, {ACCURACY: 0.4, HELD_OUT_BIAS: 3.0}, cold_start={"evaluation/accuracy/low": 0.55})
    assert flags == {PREFIX + ACCURACY: 1.0, PREFIX + HELD_OUT_BIAS: 0.0}
    (line,) = scene.said
    assert line.startswith("ALARM at evaluation rl-20: evaluation/accuracy/value=0.4 is below 0.55")
    assert scene.alarms() == [19]


def test_a_collapse_is_written_down_and_left_to_the_evaluations_own_line(scene: Scene) -> None:
    assert hear(scene, {"evaluation/collapsed/alarm": 1.0}, cold_start={}) == {
        PREFIX + "evaluation/collapsed/alarm": 1.0
    }
    assert (scene.said, scene.alarms()) == ([], [19])
