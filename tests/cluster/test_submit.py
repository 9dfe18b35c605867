"""Submitting a job: what travels, what is asked of the cluster, and one real Ray head."""

import secrets
import shlex
import signal
import sys
from importlib.metadata import distributions
from pathlib import Path

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
from tests.cluster.heads import Head

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
