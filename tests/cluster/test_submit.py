"""Submitting a job: what travels, what is asked of the cluster, and one real Ray head."""

import os
import secrets
import shlex
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.metadata import distributions
from pathlib import Path
from urllib.error import HTTPError
from urllib.request import urlopen

import pytest

from cluster.submit import (
    SubmitError,
    entrypoint,
    job_environment,
    pinned,
    python_of,
    quoted,
    stage,
    submit,
)
from conf.errors import ConfigError
from conf.load import load_run_config

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


def free_port() -> int:
    """A port nobody listens on at the moment."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@dataclass(frozen=True, kw_only=True, slots=True)
class Head:
    """A Ray head of our own."""

    address: str
    token: str

    def client(self, command: str, working_dir: Path, *, token: str | None = None) -> subprocess.Popen[str]:
        """Submit ``command`` from a process of its own, which reads the token afresh."""
        code = (
            "import logging, os, sys; from pathlib import Path; "
            "from cluster.submit import job_environment, run_job; "
            "logging.basicConfig(level=logging.INFO); command, address, folder = sys.argv[1:]; "
            "sys.exit(run_job(command, address=address, working_dir=Path(folder), "
            "environment=job_environment(os.environ)))"
        )
        return subprocess.Popen(
            [sys.executable, "-c", code, command, self.address, str(working_dir)],
            cwd=ROOT,
            env={**os.environ, **with_token(token or self.token), "NCCL_X": "passed on"},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def run(self, command: str, working_dir: Path, *, token: str | None = None) -> tuple[int, str, str]:
        """Exit status, standard output and standard error of a submitted command."""
        process = self.client(command, working_dir, token=token)
        output, errors = process.communicate(timeout=120)
        return process.returncode, output, errors


def with_token(token: str) -> dict[str, str]:
    """Environment of a process that speaks to a head with this token."""
    return {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": token}


@pytest.fixture(scope="module")
def ray_head() -> Iterator[Head]:
    """A head with a token of its own, gone afterwards."""
    dashboard = free_port()
    head = Head(address=f"http://127.0.0.1:{dashboard}", token=secrets.token_hex(16))
    # Ray puts sockets below its folder, whose paths must stay short.
    with tempfile.TemporaryDirectory(prefix="ray", dir="/tmp", ignore_cleanup_errors=True) as folder:
        log = Path(folder) / "start.log"
        command = [
            str(Path(sys.executable).with_name("ray")), "start", "--head", "--block", "--num-cpus=2",
            f"--port={free_port()}", f"--dashboard-port={dashboard}", "--dashboard-host=127.0.0.1",
            f"--ray-client-server-port={free_port()}", f"--dashboard-agent-listen-port={free_port()}",
            f"--metrics-export-port={free_port()}", f"--temp-dir={folder}/t",
            "--object-store-memory=100000000", "--disable-usage-stats",
        ]  # fmt: skip
        environment = {**os.environ, **with_token(head.token)}
        with log.open("w") as output:
            process = subprocess.Popen(command, stdout=output, stderr=output, env=environment, start_new_session=True)
        try:
            wait_until_it_answers(head.address, process, log)
            yield head
        finally:
            process.send_signal(signal.SIGTERM)
            try:
                process.wait(timeout=30)
            finally:
                kill_group(process.pid)


def wait_until_it_answers(address: str, head: subprocess.Popen[bytes], log: Path) -> None:
    """Return once the dashboard answers, be it with a refusal."""
    deadline = time.monotonic() + 90
    while time.monotonic() < deadline and head.poll() is None:
        try:
            with urlopen(f"{address}/api/version", timeout=2):
                return
        except HTTPError:
            return
        except OSError:
            time.sleep(0.5)
    pytest.fail(f"the Ray head did not start:\n{log.read_text()}")


def kill_group(leader: int) -> None:
    """End whatever the head left behind."""
    try:
        os.killpg(leader, signal.SIGKILL)
    except ProcessLookupError:
        return


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
