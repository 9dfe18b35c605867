"""The real job, whole: vLLM, DeepSpeed and Ray in their own processes, started as a user starts them.

Each run takes most of a minute, so a few runs serve many tests: one that is left alone, one that is stopped, killed
and resumed, and one on two engines and two learner ranks.
"""

import json
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import psutil  # type: ignore[import-untyped]
import pytest

ROOT = Path(__file__).parents[2]
RECIPE = (
    "recipe=smoke",
    "loop.num_steps=5",
    "loop.checkpoint_every=2",
    "loop.evaluate_every=3",
    "warm_up.num_steps=3",
    "cold_start.num_steps=3",
)
NUM_GLOBAL_STEPS = 11
EXACT = ("supervised/", "rewards/", "answers/", "completions/", "learner/")
"""Journal keys that must repeat digit for digit; the others are times and speeds."""


def start_job(folder: Path, *overrides: str) -> subprocess.Popen[str]:
    """Start a job as its own process group, its output in a file beside the run."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    command = [sys.executable, "-m", "cluster.main", "train", *RECIPE, f"run.folder={folder}", *overrides]
    with (folder.parent / f"{folder.name}.log").open("a") as log:
        return subprocess.Popen(
            command, cwd=ROOT, stdout=log, stderr=subprocess.STDOUT, text=True, start_new_session=True
        )


def output_of(folder: Path) -> str:
    return (folder.parent / f"{folder.name}.log").read_text()


def finish(job: subprocess.Popen[str], folder: Path) -> None:
    status = job.wait(timeout=400)
    assert status == 0, output_of(folder)[-4000:]


def rows_of(folder: Path) -> list[dict[str, Any]]:
    path = folder / "metrics.jsonl"
    if not path.exists():
        return []
    lines = path.read_text().splitlines()
    return [json.loads(line) for line in lines if line.endswith("}")]


def wait_for_step(job: subprocess.Popen[str], folder: Path, global_step: int) -> None:
    """Return as soon as the journal shows the step."""
    deadline = time.monotonic() + 400
    while not any(row["global_step"] >= global_step for row in rows_of(folder)):
        assert job.poll() is None, output_of(folder)[-4000:]
        assert time.monotonic() < deadline, output_of(folder)[-4000:]
        time.sleep(0.05)


def exact_numbers(folder: Path) -> list[dict[str, Any]]:
    return [
        {key: value for key, value in row.items() if key.startswith(EXACT) or key in ("phase", "step", "global_step")}
        for row in rows_of(folder)
    ]


def family_of(job: subprocess.Popen[str]) -> list[psutil.Process]:
    return list(psutil.Process(job.pid).children(recursive=True))


def assert_all_end(processes: Sequence[psutil.Process]) -> None:
    _, alive = psutil.wait_procs(processes, timeout=60)
    left = [one for one in alive if one.is_running() and one.status() != psutil.STATUS_ZOMBIE]
    assert not left, [one.cmdline() for one in left]


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("e2e") / "undisturbed"
    job = start_job(folder)
    wait_for_step(job, folder, 1)
    processes = family_of(job)
    finish(job, folder)
    assert_all_end(processes)
    return folder


@pytest.fixture(scope="module")
def disturbed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Asked to stop in the warm-up, killed with -9 in RL, then left to finish."""
    folder = tmp_path_factory.mktemp("e2e") / "disturbed"
    job = start_job(folder)
    wait_for_step(job, folder, 0)
    job.send_signal(signal.SIGTERM)
    finish(job, folder)
    job = start_job(folder)
    wait_for_step(job, folder, 8)
    processes = family_of(job)
    job.send_signal(signal.SIGKILL)
    job.wait(timeout=30)
    assert_all_end(processes)
    finish(start_job(folder), folder)
    return folder


@pytest.fixture(scope="module")
def widened(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("e2e") / "widened"
    finish(start_job(folder, "rollout.num_engines=2", "learner.world_size=2", "learner.zero_stage=2"), folder)
    return folder


def test_a_run_leaves_a_complete_folder(undisturbed: Path) -> None:
    names = {path.name for path in undisturbed.iterdir()}
    assert names >= {
        "config.yaml", "metrics.jsonl", "samples.jsonl", "tensorboard", "checkpoints", "evaluation",
        "learning_curve.png", "summary.json", "model",
    }  # fmt: skip


def test_the_summary_holds_the_figures_by_phase(undisturbed: Path) -> None:
    summary = json.loads((undisturbed / "summary.json").read_text())
    for key in ("srcc", "plcc", "format_rate"):
        assert set(summary[key]) == {"untrained", "cold_start", "rl"}
    assert set(summary["seconds"]) >= {"warm_up", "cold_start", "rl", "evaluation"}
    assert set(summary["versions"]) >= {"torch", "vllm", "ray", "deepspeed", "transformers"}


def test_every_step_is_journalled_once(undisturbed: Path) -> None:
    assert [row["global_step"] for row in rows_of(undisturbed)] == list(range(NUM_GLOBAL_STEPS))


def test_without_lag_no_completion_is_stale(undisturbed: Path) -> None:
    assert [row["rollout/staleness/max"] for row in rows_of(undisturbed) if row["phase"] == "rl"] == [0.0] * 5


def test_the_output_shows_configuration_parity_and_table(undisturbed: Path) -> None:
    text = output_of(undisturbed)
    for expected in ("num_completions:", "placement no_gpu, weights over gloo", "parity gate engine 0", "after RL"):
        assert expected in text


def test_the_model_loads_as_a_plain_hugging_face_folder(undisturbed: Path) -> None:
    from transformers import AutoModelForImageTextToText, AutoProcessor

    assert AutoModelForImageTextToText.from_pretrained(undisturbed / "model").num_parameters() > 100_000
    assert AutoProcessor.from_pretrained(undisturbed / "model").tokenizer.chat_template


def test_old_checkpoints_are_deleted(undisturbed: Path) -> None:
    assert len(list((undisturbed / "checkpoints").iterdir())) == 2


def test_a_stopped_killed_and_resumed_run_repeats_every_reward_and_loss(undisturbed: Path, disturbed: Path) -> None:
    assert exact_numbers(disturbed) == exact_numbers(undisturbed)


def test_a_stopped_run_says_how_to_go_on(disturbed: Path) -> None:
    text = output_of(disturbed)
    assert "stopped and saved; the same command continues the run" in text
    assert "resuming at" in text


def test_two_engines_and_two_ranks_learn_the_same(undisturbed: Path, widened: Path) -> None:
    for one, two in zip(rows_of(undisturbed), rows_of(widened), strict=True):
        for key in ("supervised/loss", "learner/loss", "rewards/total/mean"):
            assert one.get(key) == pytest.approx(two.get(key), abs=1e-4), (one["global_step"], key)


def test_a_run_of_another_configuration_does_not_resume_this_one(undisturbed: Path) -> None:
    job = start_job(undisturbed, "learner.learning_rate=0.5")
    assert job.wait(timeout=120) == 2
    assert "written under another configuration" in output_of(undisturbed)


@pytest.fixture(scope="module")
def dying(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Generation runs ahead of learning until the engine's process is killed."""
    folder = tmp_path_factory.mktemp("e2e") / "dying"
    job = start_job(folder, "loop.max_lag=1", "loop.num_steps=500", "warm_up.num_steps=0", "cold_start.num_steps=0")
    wait_for_step(job, folder, 4)
    processes = family_of(job)
    next(one for one in processes if "EngineCore" in one.name()).kill()
    assert job.wait(timeout=90) == 1
    assert_all_end(processes)
    return folder


def test_a_lagging_run_is_at_most_one_version_stale(dying: Path) -> None:
    ages = [row["rollout/staleness/max"] for row in rows_of(dying)]
    assert len(ages) > 3
    assert max(ages) <= 1.0


def test_a_dying_engine_ends_the_run_promptly_with_its_cause(dying: Path) -> None:
    assert "failed: " in output_of(dying)
    assert "Engine" in output_of(dying).rpartition("failed: ")[2]
