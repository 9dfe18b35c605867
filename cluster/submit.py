"""Send a job to a running Ray cluster and follow it: ``arbiter submit recipe=demo``.

    overrides -> checked here -> working directory staged -> Ray job -> log lines as they come -> exit status

Only the rooms travel (source, YAML, and the metadata vLLM finds our plug-in by); the cluster's Python
environment is expected to hold the packages of ``requirements/``. Ray's working directory vanishes with the
job, so relative paths are pinned to the folder the command was given in.
"""

import asyncio
import logging
import os
import shlex
import shutil
import sys
import tempfile
import time
import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path
from urllib.parse import urlsplit

from ray.exceptions import AuthenticationError
from ray.job_submission import JobStatus, JobSubmissionClient

from cluster.topology import plan
from conf.load import compose_tree, load_run_config, quoted, refuse_ineffective

logger = logging.getLogger(__name__)

ROOMS = ("conf", "judge_client", "rollout", "rewards", "evaluation", "learner", "cluster")
INTERRUPTED = 130
AGENT_TIMEOUT_S = 60.0
DEFAULT_ADDRESS = "http://127.0.0.1:8265"
ROOT = Path(__file__).resolve().parents[1]
_SOURCES = ("*.py", "*.yaml", "*.json", "*.jinja", "*.txt", "*.md")
_PATHS = ("run.folder", "data.image_folder", "data.train_labels", "data.test_labels", "model.path")
_PASSED_ON = ("HF_", "NCCL_", "VLLM_", "TORCH_", "TOKENIZERS_", "OMP_", "TRANSFORMERS_")
_SECRET = ("TOKEN", "KEY", "SECRET", "PASSWORD")
_LOOPBACK = ("127.0.0.1", "localhost", "::1")
_JOB_ENVIRONMENT = {
    # The environment of the cluster is used as it is: no package manager runs on the way.
    "RAY_ENABLE_UV_RUN_RUNTIME_ENV": "0",
    # A stopped job saves a checkpoint before it ends; Ray's 3 s are too short for that.
    "RAY_JOB_STOP_WAIT_TIME_S": "300",
    "PYTHONUNBUFFERED": "1",
}


class SubmitError(ConnectionError):
    """The cluster cannot be reached or does not let us in; the message says what to do."""


def submit(overrides: Sequence[str], *, address: str | None) -> int:
    """Check the configuration here, run it as a Ray job, follow its log; returns the job's exit status.

    Raises:
        ConfigError: The configuration is unusable; nothing is sent.
        SubmitError: No Ray dashboard answers at ``address``, or it refuses our token.
    """
    target = address or os.environ.get("RAY_API_SERVER_ADDRESS") or DEFAULT_ADDRESS
    sent = pinned(overrides)
    config = load_run_config(sent)
    refuse_ineffective(config, overrides)
    plan(config.cluster, config.rollout, config.learner, config.weights)
    with tempfile.TemporaryDirectory(prefix="arbiter-submit-") as folder:
        size = stage(Path(folder))
        logger.info("submitting address=%s run=%s working_dir_kib=%d", target, config.run.name, size // 1024)
        return run_job(
            entrypoint("train", sent, python=python_of(target)),
            address=target,
            working_dir=Path(folder),
            environment=job_environment(os.environ),
        )


def pinned(overrides: Sequence[str], *, base: Path | None = None) -> list[str]:
    """The overrides a job on the cluster needs: paths made absolute, and Ray joined instead of started."""
    base = base or Path.cwd()
    tree = compose_tree(overrides)
    added: list[str] = []
    for key in _PATHS:
        section, _, name = key.partition(".")
        value = tree[section].get(name)
        is_hub_name = key == "model.path" and value is not None and not (base / value).exists()
        if value in (None, "???") or is_hub_name or all(Path(path).is_absolute() for path in _paths(value)):
            continue
        added.append(f"{key}={_absolute(value, base=base)}")
    if tree["cluster"].get("ray_address") == "local":
        added.append("cluster.ray_address=auto")
    return [*overrides, *added]


def _paths(value: object) -> list[str]:
    """A path alone, in a list, or by name."""
    if isinstance(value, dict):
        return [path for one in value.values() for path in _paths(one)]
    return [str(path) for path in value] if isinstance(value, list) else [str(value)]


def _absolute(value: object, *, base: Path) -> str:
    """The same made absolute, as a Hydra value."""
    if isinstance(value, list):
        return f"[{','.join(_absolute(one, base=base) for one in value)}]"
    if isinstance(value, dict):
        return f"{{{','.join(f'{name}:{_absolute(one, base=base)}' for name, one in value.items())}}}"
    return quoted(str((base / str(value)).resolve()))


def entrypoint(command: str, overrides: Sequence[str], *, python: str) -> str:
    """The shell line of the job."""
    return shlex.join([python, "-m", "cluster.main", command, *overrides])


def python_of(address: str) -> str:
    """This interpreter for a head on this machine; elsewhere whatever ``python`` is on the cluster."""
    return sys.executable if urlsplit(address).hostname in _LOOPBACK else "python"


def job_environment(environment: Mapping[str, str]) -> dict[str, str]:
    """Variables that travel with the job. They are shown in the dashboard, so secrets stay here."""
    kept = {
        name: value
        for name, value in environment.items()
        if name.startswith(_PASSED_ON) and not any(word in name for word in _SECRET)
    }
    return kept | _JOB_ENVIRONMENT


def stage(folder: Path) -> int:
    """Copy what a job needs into ``folder``; returns its size in bytes."""
    for room in ROOMS:
        for pattern in _SOURCES:
            for source in (ROOT / room).rglob(pattern):
                copy = folder / source.relative_to(ROOT)
                copy.parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(source, copy)
    _write_metadata(folder)
    return sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())


def run_job(command: str, *, address: str, working_dir: Path, environment: Mapping[str, str]) -> int:
    """Submit a shell line, copy its log to standard output as it comes, and return its exit status.

    An interrupt stops the job, waits until it has saved and ended, and returns 130.

    Raises:
        SubmitError: No Ray dashboard answers at ``address``, or it refuses our token.
    """
    client = _connect(address)
    job = _send(client, command, {"working_dir": str(working_dir), "env_vars": dict(environment)})
    logger.info("submitted job=%s address=%s; an interrupt stops it", job, address)
    try:
        asyncio.run(_follow(client, job))
    except KeyboardInterrupt:
        logger.warning("stopping job=%s; waiting for its last checkpoint", job)
        client.stop_job(job)
        asyncio.run(_follow(client, job))
        _exit_status(client, job)
        return INTERRUPTED
    return _exit_status(client, job)


def _connect(address: str) -> JobSubmissionClient:
    try:
        return JobSubmissionClient(address)
    except AuthenticationError as error:
        raise SubmitError(
            f"the Ray head at {address} refuses our token. Make one with `ray get-auth-token --generate` "
            "(it is kept in ~/.ray/auth_token), give the head the same file or RAY_AUTH_TOKEN, and set "
            "RAY_AUTH_MODE=token for `ray start` and here. "
            f"Ray says: {error.message.splitlines()[0]}"
        ) from None
    except ConnectionError:
        raise SubmitError(
            f"no Ray dashboard answers at {address}; start one with `ray start --head`, or give its "
            "dashboard with --address http://HOST:8265"
        ) from None


def _send(client: JobSubmissionClient, command: str, runtime_env: dict[str, object]) -> str:
    """The job's id. A head that has just started answers before its agent takes jobs, which is awaited."""
    deadline = time.monotonic() + AGENT_TIMEOUT_S
    while True:
        try:
            return str(client.submit_job(entrypoint=command, runtime_env=runtime_env))
        except RuntimeError as error:
            if "No available agent" not in str(error) or time.monotonic() > deadline:
                raise SubmitError(f"the Ray head does not take the job: {error}") from None
            logger.info("the Ray head takes no jobs yet; trying again")
            time.sleep(1.0)


async def _follow(client: JobSubmissionClient, job: str) -> None:
    async for lines in client.tail_job_logs(job):
        sys.stdout.write(lines)
        sys.stdout.flush()


def _exit_status(client: JobSubmissionClient, job: str) -> int:
    # The log may close a moment before the status is final.
    while not client.get_job_status(job).is_terminal():
        time.sleep(0.2)
    info = client.get_job_info(job)
    logger.info("ended job=%s status=%s exit=%s", job, info.status, info.driver_exit_code)
    if info.status == JobStatus.SUCCEEDED:
        return 0
    if info.status == JobStatus.FAILED and info.driver_exit_code in (None, 0):
        logger.error("job=%s failed before it started: %s", job, info.message)
    return info.driver_exit_code or 1


def _write_metadata(folder: Path) -> None:
    """A distribution beside the rooms, so that vLLM finds our plug-in where the package is not installed."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    info = folder / f"{project['name']}-{project['version']}.dist-info"
    info.mkdir(exist_ok=True)
    header = f"Metadata-Version: 2.1\nName: {project['name']}\nVersion: {project['version']}\n"
    (info / "METADATA").write_text(header, encoding="utf-8")
    groups = [
        f"[{group}]\n" + "".join(f"{name} = {target}\n" for name, target in entries.items())
        for group, entries in project["entry-points"].items()
    ]
    (info / "entry_points.txt").write_text("\n".join(groups), encoding="utf-8")
