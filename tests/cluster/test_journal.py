"""The written record of a run: complete rows, no step twice, nothing that is not a number."""

import json
from collections.abc import Mapping
from pathlib import Path

import pytest

from cluster.gauges import metric_name
from cluster.journal import Journal, read_rows
from tests.builders import make_scored_group


class FakeGauges:
    def __init__(self) -> None:
        self.values: dict[str, float] = {}

    def set(self, values: Mapping[str, float]) -> None:
        self.values.update(values)


def open_journal(folder: Path, *, first: int = 0, gauges: FakeGauges | None = None, board: bool = False) -> Journal:
    return Journal(folder, first_global_step=first, tensorboard=board, samples_per_step=1, gauges=gauges)


def write_steps(folder: Path, first: int, last: int) -> None:
    with open_journal(folder, first=first) as journal:
        for step in range(first, last):
            journal.record({"a/b/c": float(step)}, phase="rl", step=step, global_step=step)


def test_a_row_holds_the_numbers_and_where_they_belong(tmp_path: Path) -> None:
    write_steps(tmp_path, 0, 1)
    assert read_rows(tmp_path / "metrics.jsonl") == [{"phase": "rl", "step": 0, "global_step": 0, "a/b/c": 0.0}]


def test_a_resumed_run_drops_the_rows_after_its_checkpoint(tmp_path: Path) -> None:
    write_steps(tmp_path, 0, 6)
    write_steps(tmp_path, 4, 8)
    assert [row["global_step"] for row in read_rows(tmp_path / "metrics.jsonl")] == list(range(8))


def test_a_half_written_last_line_is_dropped_on_resume(tmp_path: Path) -> None:
    write_steps(tmp_path, 0, 3)
    with (tmp_path / "metrics.jsonl").open("a") as file:
        file.write('{"phase": "rl", "glob')
    write_steps(tmp_path, 3, 4)
    assert [row["global_step"] for row in read_rows(tmp_path / "metrics.jsonl")] == [0, 1, 2, 3]


def test_a_value_that_is_not_finite_stops_the_run_and_is_named(tmp_path: Path) -> None:
    with open_journal(tmp_path) as journal, pytest.raises(FloatingPointError, match=r"rl step 3.*loss"):
        journal.record({"loss": float("nan")}, phase="rl", step=3, global_step=3)


def test_a_sample_shows_the_text_and_the_reward_by_term(tmp_path: Path) -> None:
    with open_journal(tmp_path) as journal:
        journal.sample([make_scored_group([1.0, 0.0])], step=2, global_step=9)
    row = json.loads((tmp_path / "samples.jsonl").read_text())
    assert (row["step"], row["reward"]) == (2, 1.0)
    assert row["text"]
    assert row["parts"] == {"term": 1.0}


def test_gauges_get_every_step_and_every_evaluation(tmp_path: Path) -> None:
    gauges = FakeGauges()
    with open_journal(tmp_path, gauges=gauges) as journal:
        journal.record({"loop/push/seconds": 0.5}, phase="rl", step=1, global_step=5)
        journal.record_evaluation({"evaluation/agreement/srcc": 0.7}, global_step=5)
    assert gauges.values == {
        "loop/push/seconds": 0.5, "run/step": 1, "run/global_step": 5, "evaluation/agreement/srcc": 0.7,
    }  # fmt: skip


def test_tensorboard_files_appear_when_asked_for(tmp_path: Path) -> None:
    with open_journal(tmp_path, board=True) as journal:
        journal.record({"a/b/c": 1.0}, phase="rl", step=0, global_step=0)
    assert list((tmp_path / "tensorboard").glob("events.out.tfevents.*"))


def test_a_metric_name_is_legal_for_prometheus() -> None:
    assert metric_name("loop/push/seconds") == "arbiter_loop_push_seconds"
