"""A checklist trained, whole: a small run of its recipe."""

import json
from pathlib import Path
from typing import Any

import pytest

from rollout.checklist.load import look_up
from tests.cluster.jobs import finish, output_of, rows_of, start_job

RECIPE = (
    "recipe=demo_checklist",
    "loop.num_steps=2",
    "loop.evaluate_every=0",
    "rollout.prompts_per_step=8",
    "rollout.num_completions=4",
    "rollout.max_concurrent_sequences=16",
    "rollout.kv_cache_gib=0.25",
    "warm_up.num_steps=2",
    "warm_up.batch_size=8",
    "cold_start.num_steps=80",
    "cold_start.batch_size=8",
    "cold_start.learning_rate=3.0e-3",
    "evaluation.num_prompts=64",
    "journal.samples_per_step=4",
)


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("checklist") / "run"
    finish(start_job(folder, recipe=RECIPE), folder)
    return folder


def _summary(folder: Path) -> dict[str, Any]:
    summary: dict[str, Any] = json.loads((folder / "summary.json").read_text())
    return summary


def test_a_checklist_is_judged_by_balanced_accuracy_and_briers_score(trained: Path) -> None:
    for phase in ("cold_start", "rl"):
        for thing in ("balanced", "brier"):
            found = _summary(trained)[thing][phase]
            assert 0.0 <= found["low"] <= found["value"] <= found["high"] <= 1.0
        assert set(_summary(trained)["by_question"][phase]) == set(look_up("distortions").ids)


def test_after_the_cold_start_answers_are_words(trained: Path) -> None:
    samples = [json.loads(line) for line in (trained / "samples.jsonl").read_text().splitlines()]
    assert {sample["truth"].split()[1] for sample in samples} <= {"yes", "no"}
    for row in (row for row in rows_of(trained) if row["phase"] == "rl"):
        assert row["answers/ok/fraction"] > 0.5
        assert 0.0 <= row["answers/check/right"] <= 1.0


def test_rewards_are_those_of_probabilities(trained: Path) -> None:
    samples = [json.loads(line) for line in (trained / "samples.jsonl").read_text().splitlines()]
    assert all(set(sample["parts"]) == {"calibration"} for sample in samples)
    rewards = [sample["reward"] for sample in samples]
    assert all(0.0 <= reward <= 2.0 for reward in rewards)
    assert any(reward not in (0.0, 1.0) for reward in rewards)


def test_the_run_leaves_a_model_and_tables(trained: Path) -> None:
    assert (trained / "model/config.json").stat().st_size > 0
    assert "balanced %" in output_of(trained)
    assert "haze_none" in output_of(trained)
