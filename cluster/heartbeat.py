"""The heartbeat of a run: a small file in its folder, written anew at every unit of progress.

Steps, evaluations, parity checks and checkpoints all beat; ``arbiter keep-running`` takes silence for a hang. Standard
library only, so that who watches needs nothing of what is watched.
"""

import json
import os
from dataclasses import asdict, dataclass
from pathlib import Path

HEARTBEAT_FILE = "heartbeat.json"


@dataclass(frozen=True, kw_only=True, slots=True)
class Beat:
    """One sign of life."""

    pid: int
    """The process that drives the run."""
    num_beats: int
    """Counted from the start of that process, so that no two beats are alike."""
    phase: str
    global_step: int
    """Optimizer steps done, over all phases."""
    doing: str
    """What was just done: start, step, evaluation, parity, checkpoint."""


class Heartbeat:
    """Writes the beats of this process."""

    def __init__(self, run_folder: Path) -> None:
        self._file = run_folder / HEARTBEAT_FILE
        self._num_beats = 0

    def beat(self, doing: str, *, phase: str, global_step: int) -> None:
        """Say that something was done."""
        self._num_beats += 1
        beat = Beat(pid=os.getpid(), num_beats=self._num_beats, phase=phase, global_step=global_step, doing=doing)
        partial = self._file.with_suffix(".partial")
        partial.write_text(json.dumps(asdict(beat)) + "\n")
        partial.replace(self._file)


def last_beat(run_folder: Path) -> Beat | None:
    """The newest beat; None before the first, or when the file holds none."""
    try:
        return Beat(**json.loads((run_folder / HEARTBEAT_FILE).read_text()))
    except (OSError, ValueError, TypeError):
        return None
