"""Submitting a job: what travels, what is asked of the cluster, and one real Ray head, where a whole job is watched."""

import json
import os
import secrets
import shlex
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from importlib.metadata import distributions
from pathlib import Path
from urllib.error import URLError
from urllib.request import urlopen

import pytest

from cluster.submit import (
    SubmitError,
    entrypoint,
    job_environment,
    pinned,
    python_of,
    stage,
    submit,
)
from conf.errors import ConfigError
from conf.load import load_run_config, quoted
from tests.cluster.heads import Head, with_token

ROOT = Path(__file__).parents[2]


def test_the_staged_folder_holds_the_rooms_and_no_junk(tmp_path: Path) -> None:
    size = stage(tmp_path)
    assert (tmp_path / "conf" / "recipe" / "demo.yaml").is_file()
    assert (tmp_path / "cluster" / "main.py").is_file()
    names = {path.name for path in tmp_path.rglob("*")}
    assert not names & {".git", ".venv", "runs", "tests", "__pycache__", "docs"}
    assert 50_000 < size < 2_000_000


def test_the_staged_folder_tells_vllm_about_the_plug_in(tmp_path: Path) -> None:
    stage(tmp_path)
    (found,) = distributions(path=[str(tmp_path)])
    assert [(e.group, e.value) for e in found.entry_points] == [
        ("vllm.general_plugins", "rollout.weights.vllm_gloo:register")
    ]


def test_relative_paths_are_pinned_to_where_the_command_was_given(tmp_path: Path) -> None:
    config = load_run_config(pinned(["recipe=demo"], base=tmp_path))
    assert config.run.folder == str(tmp_path / "runs" / "demo")


def test_a_path_with_blanks_and_quotes_survives(tmp_path: Path) -> None:
    odd = tmp_path / "it's a run"
    config = load_run_config(pinned([f"run.folder={quoted('x')}"], base=odd))
    assert config.run.folder == str(odd / "x")


def test_absolute_paths_and_hub_names_stay(tmp_path: Path) -> None:
    given = [
        "recipe=rl2r_kadid",
        "data.image_folder=/data/images",
        "data.train_labels=/data/train.txt",
        "data.test_labels=labels/test.txt",
    ]
    config = load_run_config(pinned(given, base=tmp_path))
    assert config.model.path == "Qwen/Qwen2.5-VL-7B-Instruct"
    assert config.data.kind == "opinion_score"
    assert config.data.image_folder == "/data/images"
    assert config.data.test_labels == str(tmp_path / "labels" / "test.txt")


def test_lists_of_files_and_folders_by_name_become_absolute(tmp_path: Path) -> None:
    given = [
        "recipe=rl2r_multi",
        "data.image_folder={KADID-10K: images, mine: /data/mine}",
        "data.train_labels=[a.jsonl, /data/b.jsonl]",
        "data.test_labels=/data/c.jsonl",
    ]
    data = load_run_config(pinned(given, base=tmp_path)).data
    assert data.kind == "opinion_score"
    assert data.image_folder == {"KADID-10K": str(tmp_path / "images"), "mine": "/data/mine"}
    assert data.train_labels == [str(tmp_path / "a.jsonl"), "/data/b.jsonl"]
    assert data.test_labels == "/data/c.jsonl"


def test_a_job_joins_the_cluster_instead_of_starting_ray() -> None:
    assert load_run_config(pinned(["recipe=demo"])).cluster.ray_address == "auto"


def test_the_shell_line_keeps_every_override_whole() -> None:
    overrides = ["recipe=demo", "run.folder='/a b/c'", "+rewards.terms.o={kind: opinion}"]
    line = entrypoint("train", overrides, python="python")
    assert shlex.split(line) == ["python", "-m", "cluster.main", "train", *overrides]


def test_a_head_elsewhere_uses_its_own_python() -> None:
    assert python_of("http://127.0.0.1:8265") == sys.executable
    assert python_of("http://head.example:8265") == "python"


def test_secrets_do_not_travel() -> None:
    sent = job_environment({"HF_TOKEN": "x", "HF_HOME": "/hf", "NCCL_DEBUG": "INFO", "HOME": "/root"})
    assert {"HF_HOME", "NCCL_DEBUG"} <= sent.keys()
    assert not {"HF_TOKEN", "HOME"} & sent.keys()


def test_a_wrong_configuration_is_never_sent() -> None:
    with pytest.raises(ConfigError, match=r"loop\.num_step: unknown key"):
        submit(["recipe=demo", "loop.num_step=3"], address="http://127.0.0.1:1")


def test_a_missing_head_is_one_clear_error() -> None:
    with pytest.raises(SubmitError, match=r"no Ray dashboard answers at http://127\.0\.0\.1:1; start one"):
        submit(["recipe=demo"], address="http://127.0.0.1:1")


@pytest.fixture
def working_dir(tmp_path: Path) -> Path:
    stage(tmp_path)
    return tmp_path


@pytest.mark.slow
def test_log_environment_and_exit_status_of_a_job_come_back(ray_head: Head, working_dir: Path) -> None:
    code = "import conf.groups, os; print(conf.groups.CONF_FOLDER, os.environ['NCCL_X']); raise SystemExit(7)"
    status, output, errors = ray_head.run(shlex.join([sys.executable, "-c", code]), working_dir)
    assert "passed on" in output, errors
    assert "working_dir_files" in output, "the staged folder is not what the job imports"
    assert status == 7


@pytest.mark.slow
def test_the_command_line_composes_on_the_head(ray_head: Head, working_dir: Path) -> None:
    command = entrypoint("train", ["recipe=smoke", "run.seed=7", "--cfg", "job"], python=sys.executable)
    status, output, errors = ray_head.run(command, working_dir)
    assert status == 0, errors
    assert "seed: 7" in output


@pytest.mark.slow
def test_a_wrong_token_is_explained(ray_head: Head, working_dir: Path) -> None:
    status, _, errors = ray_head.run("true", working_dir, token=secrets.token_hex(16))
    assert status != 0
    assert "refuses our token. Make one with `ray get-auth-token --generate`" in errors


@pytest.mark.slow
def test_an_interrupt_stops_the_job_and_lets_it_finish(ray_head: Head, working_dir: Path) -> None:
    code = (
        "import signal, sys; signal.signal(signal.SIGTERM, lambda *_: sys.exit(print('saved'))); "
        "print('waiting', flush=True); signal.pause()"
    )
    process = ray_head.client(shlex.join([sys.executable, "-c", code]), working_dir)
    assert process.stdout is not None
    assert any("waiting" in line for line in process.stdout)
    process.send_signal(signal.SIGINT)
    output, errors = process.communicate(timeout=60)
    assert process.returncode == 130, errors
    assert "saved" in output


WANTED = (
    "ray_arbiter_run_step",
    "ray_arbiter_rewards_total_mean",
    "ray_arbiter_rewards_format_mean",
    "ray_arbiter_rewards_opinion_mean",
    "ray_arbiter_rewards_ranking_mean",
    "ray_arbiter_rewards_abstained_total",
    "ray_arbiter_evaluation_agreement_srcc",
    "ray_arbiter_rollout_tokens_per_s",
    "ray_arbiter_loop_queue_depth",
    "ray_arbiter_rollout_staleness_max",
    "ray_arbiter_loop_push_seconds",
)


@dataclass(frozen=True, kw_only=True, slots=True)
class Watched:
    """What was seen of one submitted job."""

    status: int
    output: str
    metrics: str
    """The Prometheus page once every wanted gauge was on it, or the last one before the job ended."""
    actors: list[dict[str, str]]
    """Ray's list of actors after the job."""
    folder: Path


@pytest.fixture(scope="module")
def watched(ray_head: Head, tmp_path_factory: pytest.TempPathFactory) -> Watched:
    folder = tmp_path_factory.mktemp("submitted") / "run"
    command = [sys.executable, "-m", "cluster.main", "submit", "--address", ray_head.address, "recipe=smoke"]
    overrides = ["run.name=watched", f"run.folder={folder}", "loop.num_steps=40", "cluster.start_timeout_s=200"]
    log = folder.parent / "job.log"
    environment = {**os.environ, **with_token(ray_head.token)}
    with log.open("w") as output:
        job = subprocess.Popen([*command, *overrides], cwd=ROOT, env=environment, stdout=output, stderr=output)
    metrics = ""
    deadline = time.monotonic() + 400
    while job.poll() is None and time.monotonic() < deadline:
        if not all(name in metrics for name in WANTED):
            metrics = scrape(ray_head.metrics_port) or metrics
        time.sleep(0.5)
    status = job.wait(timeout=60)
    return Watched(
        status=status,
        output=log.read_text(),
        metrics=metrics,
        actors=actors_of(ray_head, environment),
        folder=folder,
    )


def scrape(port: int) -> str:
    """Ray's Prometheus page; empty while it is not up."""
    try:
        with urlopen(f"http://127.0.0.1:{port}/metrics", timeout=5) as page:
            return str(page.read().decode())
    except (URLError, OSError):
        return ""


def actors_of(head: Head, environment: dict[str, str]) -> list[dict[str, str]]:
    """Name and state of every actor the head remembers."""
    code = (
        "import json, sys; from ray.util.state import list_actors; "
        "print(json.dumps([dict(name=a.name, state=a.state) for a in list_actors(sys.argv[1], limit=1000)]))"
    )
    listed = subprocess.run(
        [sys.executable, "-c", code, head.address], env=environment, capture_output=True, text=True, check=True
    )
    found: list[dict[str, str]] = json.loads(listed.stdout.splitlines()[-1])
    return found


def test_a_submitted_job_finishes_and_its_log_is_followed(watched: Watched) -> None:
    assert watched.status == 0, watched.output[-4000:]
    assert "after RL" in watched.output


def test_its_run_folder_is_where_the_command_was_given(watched: Watched) -> None:
    assert (watched.folder / "summary.json").exists()


def test_prometheus_exports_the_numbers_of_the_run_while_it_runs(watched: Watched) -> None:
    missing = [name for name in WANTED if f"{name}{{" not in watched.metrics]
    assert not missing
    assert 'run="watched"' in watched.metrics


def test_actors_have_telling_names_and_are_gone_afterwards(watched: Watched) -> None:
    states = {actor["name"]: actor["state"] for actor in watched.actors}
    assert states["watched/engine-0"] == states["watched/learner-0"] == "DEAD"
    assert set(states.values()) == {"DEAD"}, states
