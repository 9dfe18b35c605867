"""A Ray head of our own for tests: its own ports, folder and token, gone afterwards."""

import os
import secrets
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.error import HTTPError
from urllib.request import urlopen

import pytest

ROOT = Path(__file__).parents[2]


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
    metrics_port: int

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


@contextmanager
def running_head() -> Iterator[Head]:
    """A head with a token of its own, gone afterwards."""
    dashboard = free_port()
    head = Head(address=f"http://127.0.0.1:{dashboard}", token=secrets.token_hex(16), metrics_port=free_port())
    # Ray puts sockets below its folder, whose paths must stay short.
    with tempfile.TemporaryDirectory(prefix="ray", dir="/tmp", ignore_cleanup_errors=True) as folder:
        log = Path(folder) / "start.log"
        command = [
            str(Path(sys.executable).with_name("ray")), "start", "--head", "--block", "--num-cpus=2",
            f"--port={free_port()}", f"--dashboard-port={dashboard}", "--dashboard-host=127.0.0.1",
            f"--ray-client-server-port={free_port()}", f"--dashboard-agent-listen-port={free_port()}",
            f"--metrics-export-port={head.metrics_port}", f"--temp-dir={folder}/t",
            "--object-store-memory=100000000", "--disable-usage-stats",
            '--system-config={"metrics_report_interval_ms": 1000}',
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
