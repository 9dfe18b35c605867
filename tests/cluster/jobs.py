"""Starting the real job as a user starts it, and looking at what it leaves."""

import json
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import psutil  # type: ignore[import-untyped]

ROOT = Path(__file__).parents[2]
RECIPE = (
    "recipe=smoke",
    "loop.num_steps=5",
    "loop.checkpoint_every=15",
    "loop.evaluate_every=3",
    "warm_up.num_steps=3",
)
FIRST_RL_STEP = 43
"""Three steps of warm-up and the recipe's forty of cold start, which teach the format, so that RL has rewards."""
NUM_GLOBAL_STEPS = FIRST_RL_STEP + 5
EXACT = ("supervised/", "rewards/", "answers/", "completions/", "learner/")
"""Journal keys that must repeat digit for digit; the others are times and speeds."""


def start_job(
    folder: Path, *overrides: str, recipe: Sequence[str] = RECIPE, command: Sequence[str] = ("train",)
) -> subprocess.Popen[str]:
    """Start a job as its own process group, its output in a file beside the run."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    words = [sys.executable, "-m", "cluster.main", *command, *recipe, f"run.folder={folder}", *overrides]
    with (folder.parent / f"{folder.name}.log").open("a") as log:
        return subprocess.Popen(
            words, cwd=ROOT, stdout=log, stderr=subprocess.STDOUT, text=True, start_new_session=True
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
    _wait_until(lambda: any(row["global_step"] >= global_step for row in rows_of(folder)), job, folder)


def wait_for_text(job: subprocess.Popen[str], folder: Path, text: str) -> None:
    """Return as soon as the output holds the text."""
    _wait_until(lambda: text in output_of(folder), job, folder)


def _wait_until(happens: Callable[[], bool], job: subprocess.Popen[str], folder: Path) -> None:
    deadline = time.monotonic() + 400
    while not happens():
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


def without_agents(processes: Sequence[psutil.Process]) -> list[psutil.Process]:
    """All but Ray's agents, which after a kill -9 try for a minute or two to tell a head that is gone too."""
    return [one for one in processes if "Agent" not in one.name()]


def assert_all_end(processes: Sequence[psutil.Process]) -> None:
    _, alive = psutil.wait_procs(processes, timeout=150)
    left = [one for one in alive if one.is_running() and one.status() != psutil.STATUS_ZOMBIE]
    assert not left, [one.cmdline() for one in left]
