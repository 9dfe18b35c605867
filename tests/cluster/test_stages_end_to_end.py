"""Two stages, whole: questions about defects first, then every task in one run from the first stage's model.

Two small runs serve all tests: stage 1, and a mixed run from its model by ``model=trained``.
"""

import json
from pathlib import Path
from typing import Any

import pytest

from tests.cluster.jobs import finish, output_of, rows_of, start_job

SMALL = (
    "loop.evaluate_every=0",
    "loop.num_steps=2",
    "rollout.prompts_per_step=4",
    "rollout.num_completions=4",
    "rollout.max_concurrent_sequences=16",
    "rollout.kv_cache_gib=0.25",
    "evaluation.num_completions=1",
    "journal.samples_per_step=4",
)
STAGE_1 = (
    "recipe=demo_refine_stage1",
    *SMALL,
    "warm_up.num_steps=2",
    "warm_up.batch_size=8",
    "cold_start.num_steps=80",
    "cold_start.batch_size=8",
    "cold_start.learning_rate=3.0e-3",
    "evaluation.num_prompts=20",
)
GOES_ON = ("model=trained", "warm_up.num_steps=0", "cold_start.num_steps=0", "cluster=laptop", "rollout=tiny")
MIXED = (
    *GOES_ON, *SMALL, "data=mixed", "rewards=mixed", "rollout.prompts_per_step=8", "evaluation.num_prompts=16",
    "rollout.sampling.max_tokens=64", "evaluation.sampling.max_tokens=64",
)  # fmt: skip


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("stages")


@pytest.fixture(scope="module")
def stage_1(folder: Path) -> Path:
    return _finished(folder / "stage_1", STAGE_1)


@pytest.fixture(scope="module")
def mixed(stage_1: Path, folder: Path) -> Path:
    return _finished(folder / "mixed", (*MIXED, f"model.path={stage_1 / 'model'}"))


def _finished(folder: Path, recipe: tuple[str, ...]) -> Path:
    finish(start_job(folder, recipe=recipe), folder)
    return folder


def _rl_rows(folder: Path) -> list[dict[str, Any]]:
    return [row for row in rows_of(folder) if row["phase"] == "rl"]


def _summary(folder: Path) -> dict[str, Any]:
    summary: dict[str, Any] = json.loads((folder / "summary.json").read_text())
    return summary


def test_the_first_stage_is_judged_by_credit_with_an_interval(stage_1: Path) -> None:
    for phase in ("cold_start", "rl"):
        credit = _summary(stage_1)["credit"][phase]
        assert 0.0 <= credit["low"] <= credit["value"] <= credit["high"] <= 1.0


def test_the_journal_of_the_first_stage_tells_rewards_and_right_answers(stage_1: Path) -> None:
    rows = _rl_rows(stage_1)
    assert len(rows) == 2
    for row in rows:
        assert 0.0 <= row["rewards/perception/mean"] <= 1.0
        assert {"answers/no_tag/count", "answers/format/fraction", "rewards/format_only/fraction"} <= row.keys()


def test_samples_of_the_first_stage_show_what_was_right(stage_1: Path) -> None:
    samples = [json.loads(line) for line in (stage_1 / "samples.jsonl").read_text().splitlines()]
    tasks = ("type", "severity", "type and severity", "region", "area")
    assert all(sample["truth"].startswith(tasks) for sample in samples)
    assert all(sample["reward"] == pytest.approx(sum(sample["parts"].values())) for sample in samples)


def test_the_first_stage_leaves_a_model_and_a_curve(stage_1: Path) -> None:
    for name in ("model/config.json", "learning_curve.png", "evaluation/rl.json"):
        assert (stage_1 / name).stat().st_size > 0, name
    assert "type and severity" in output_of(stage_1)


def test_a_second_stage_goes_on_from_the_first_ones_model(stage_1: Path, mixed: Path) -> None:
    assert f"path: {stage_1 / 'model'}" in (mixed / "config.yaml").read_text()
    assert len(_rl_rows(mixed)) == 2


def test_a_mixed_run_scores_every_task_with_its_own_terms(mixed: Path) -> None:
    samples = [json.loads(line) for line in (mixed / "samples.jsonl").read_text().splitlines()]
    own = {"opinion": "opinion", "response": "choice"}
    for sample in samples:
        assert set(sample["parts"]) == {"format", own.get(sample["truth"].split()[0], "perception")}


def test_a_mixed_run_is_judged_on_every_task(mixed: Path) -> None:
    summary = _summary(mixed)
    assert {"srcc", "accuracy", "credit"} <= summary.keys()
    assert "format_rate" not in summary
    tables = output_of(mixed)
    assert all(header in tables for header in ("SRCC", "accuracy %", "credit %"))
