"""The real job, whole: vLLM, DeepSpeed and Ray in their own processes, started as a user starts them.

Each run takes most of a minute, so a few runs serve many tests: one that is left alone, one that is stopped, resumed
under ``keep-running``, killed and brought to its end, and one on two engines and two learner ranks.
"""

import json
import signal
from pathlib import Path

import psutil  # type: ignore[import-untyped]
import pytest

from cluster.heartbeat import last_beat
from cluster.watchdog import RESTARTS_FILE
from tests.cluster.jobs import (
    FIRST_RL_STEP,
    NUM_GLOBAL_STEPS,
    assert_all_end,
    exact_numbers,
    family_of,
    finish,
    output_of,
    rows_of,
    start_job,
    wait_for_step,
    wait_for_text,
    without_agents,
)


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
    """Asked to stop in the warm-up, resumed under ``keep-running``, and killed with -9 in RL."""
    folder = tmp_path_factory.mktemp("e2e") / "disturbed"
    job = start_job(folder)
    wait_for_step(job, folder, 0)
    job.send_signal(signal.SIGTERM)
    finish(job, folder)
    job = start_job(folder, command=("keep-running", "--attempts", "2"))
    wait_for_text(job, folder, "resuming at")
    assert start_job(folder).wait(timeout=120) == 2  # a second run in the same folder
    wait_for_step(job, folder, FIRST_RL_STEP + 3)  # one step after a checkpoint
    beat = last_beat(folder)
    assert beat is not None
    run = psutil.Process(beat.pid)
    assert run.ppid() == job.pid
    processes = without_agents(run.children(recursive=True))
    run.send_signal(signal.SIGKILL)
    assert_all_end([run, *processes])
    assert job.poll() is None
    finish(job, folder)
    return folder


@pytest.fixture(scope="module")
def widened(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("e2e") / "widened"
    finish(start_job(folder, "rollout.num_engines=2", "learner.world_size=2", "learner.zero_stage=2"), folder)
    return folder


def test_a_run_leaves_a_complete_folder(undisturbed: Path) -> None:
    names = {path.name for path in undisturbed.iterdir()}
    assert names >= {
        "config.yaml", "metrics.jsonl", "samples.jsonl", "alarms.jsonl", "tensorboard", "checkpoints", "evaluation",
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


def test_a_killed_run_is_brought_to_its_end(disturbed: Path) -> None:
    assert (disturbed / "summary.json").exists()
    assert [row["global_step"] for row in rows_of(disturbed)] == list(range(NUM_GLOBAL_STEPS))


def test_its_one_restart_is_on_the_terminal_and_in_the_folder(disturbed: Path) -> None:
    (row,) = [json.loads(line) for line in (disturbed / RESTARTS_FILE).read_text().splitlines()]
    assert (row["reason"], row["checkpoint_step"], row["waited_s"]) == ("killed by SIGKILL", 45, 10.0)
    assert row["last_step"] >= FIRST_RL_STEP + 4
    said = "keep-running: restart 1 in 10 s, 2 attempts left: killed by SIGKILL after step 4"
    assert output_of(disturbed).count(said) == 1


def test_a_second_run_in_the_folder_is_refused_meanwhile(disturbed: Path) -> None:
    assert "another run is at work there already (process" in output_of(disturbed)


def test_two_engines_and_two_ranks_learn_the_same(undisturbed: Path, widened: Path) -> None:
    for one, two in zip(rows_of(undisturbed), rows_of(widened), strict=True):
        for key in ("supervised/loss", "learner/loss", "rewards/total/mean"):
            assert one.get(key) == pytest.approx(two.get(key), abs=1e-4), (one["global_step"], key)


def test_a_run_of_another_configuration_does_not_resume_this_one(undisturbed: Path) -> None:
    job = start_job(undisturbed, "learner.learning_rate=0.5")
    assert job.wait(timeout=120) == 2
    assert "written under another configuration" in output_of(undisturbed)
