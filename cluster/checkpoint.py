"""Checkpoints: everything a run is, written whole or not at all.

    <run folder>/checkpoints/step-00000120/
        state.json      phase, step, versions, configuration digest; written last
        learner/        DeepSpeed engine, optimizer and random states of every rank

A folder is filled under a temporary name and renamed once complete, so a killed run leaves none that is half-written.
"""

import json
import logging
import shutil
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal

logger = logging.getLogger(__name__)

Phase = Literal["warm_up", "cold_start", "rl"]
PHASES: Sequence[Phase] = ("warm_up", "cold_start", "rl")
STATE_FILE = "state.json"
_PARTIAL = ".partial"


class CheckpointError(ValueError):
    """A checkpoint does not belong to this run or cannot be read."""


@dataclass(frozen=True, kw_only=True, slots=True)
class RunState:
    """Where a run is; ``next_step`` of ``phase`` is the first one not yet done."""

    phase: Phase
    next_step: int
    global_step: int
    """Optimizer steps over all phases; the x axis of every plot."""
    policy_version: int
    config_digest: str
    versions: dict[str, str]
    """Library versions the checkpoint was written with."""


class CheckpointFolder:
    """The checkpoints of one run."""

    def __init__(self, run_folder: Path, *, keep: int) -> None:
        self._folder, self._keep = run_folder / "checkpoints", keep

    def begin(self, global_step: int) -> Path:
        """Return an empty folder to fill."""
        partial = self._folder / f"step-{global_step:08d}{_PARTIAL}"
        shutil.rmtree(partial, ignore_errors=True)
        partial.mkdir(parents=True)
        return partial

    def commit(self, partial: Path, state: RunState) -> Path:
        """Write the state, give the folder its name, delete the oldest; returns the finished checkpoint."""
        (partial / STATE_FILE).write_text(json.dumps(asdict(state), indent=2) + "\n")
        final = partial.with_name(partial.name.removesuffix(_PARTIAL))
        shutil.rmtree(final, ignore_errors=True)
        partial.rename(final)
        for old in self.finished()[: -self._keep]:
            shutil.rmtree(old)
        return final

    def finished(self) -> list[Path]:
        """Complete checkpoints, oldest first."""
        return sorted(path.parent for path in self._folder.glob(f"step-*/{STATE_FILE}") if _is_final(path.parent))

    def latest(self) -> Path | None:
        """The newest complete checkpoint."""
        found = self.finished()
        return found[-1] if found else None

    def remove_partial(self) -> None:
        """Delete what a killed run left behind."""
        for path in self._folder.glob(f"step-*{_PARTIAL}"):
            logger.warning("removed incomplete checkpoint folder=%s", path)
            shutil.rmtree(path)


def read_state(checkpoint: Path, *, config_digest: str) -> RunState:
    """Read a checkpoint's state.

    Raises:
        CheckpointError: It is unreadable, or was written under another configuration.
    """
    path = checkpoint / STATE_FILE
    try:
        state = RunState(**json.loads(path.read_text()))
    except (json.JSONDecodeError, TypeError) as error:
        raise CheckpointError(
            f"{path}: not a run state ({error}); delete {checkpoint} to go on from an older one"
        ) from None
    if state.config_digest != config_digest:
        digests = f"digest {state.config_digest[:12]}, now {config_digest[:12]}"
        raise CheckpointError(
            f"{path}: written under another configuration, or other contents of the reward functions, labels or traces "
            f"it names ({digests}); use the same, or another run.name for a new run"
        )
    return state


def _is_final(folder: Path) -> bool:
    return not folder.name.endswith(_PARTIAL)
