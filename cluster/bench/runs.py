"""Training runs of a bench: one command each, some side by side."""

import subprocess
import sys
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

FAILED_FILE = "failed.txt"
"""In a run's folder: the last words of a run that failed."""


def is_finished(folder: Path) -> bool:
    """Whether a run got to its end there."""
    return (folder / "summary.json").exists()


def has_failed(folder: Path) -> bool:
    """Whether the last run there failed."""
    return (folder / FAILED_FILE).exists()


def train_into(folder: Path, overrides: Sequence[str], *, recipe: str, seed: int) -> None:
    """``arbiter train`` into ``folder``, named after it; a run that fails leaves its last words."""
    command = [
        *(sys.executable, "-m", "cluster.main", "train", f"recipe={recipe}"),
        *(f"run.name={folder.name}", f"run.folder={folder}", f"run.seed={seed}", *overrides),
    ]
    folder.mkdir(parents=True, exist_ok=True)
    (folder / FAILED_FILE).unlink(missing_ok=True)
    done = subprocess.run(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, check=False)
    if done.returncode:
        (folder / FAILED_FILE).write_text(done.stderr)


def side_by_side(calls: Iterable[Callable[[], object]], *, num_jobs: int) -> None:
    """Make the calls, ``num_jobs`` at a time; the first error is raised when all have ended."""
    with ThreadPoolExecutor(max_workers=num_jobs) as pool:
        futures = [pool.submit(call) for call in calls]
    for future in futures:
        future.result()
