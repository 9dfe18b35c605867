"""Checkpoints: everything a run is, written whole or not at all.

    <run folder>/checkpoints/step-00000120/
        state.json      phase, step, versions, configuration digest, size of every file; written last
        learner/        DeepSpeed engine, optimizer and random states of every rank

A folder is filled under a temporary name, brought to the disk and renamed, so a killed run leaves none that is
half-written. What disks and copies do to a finished one is found by the sizes: it is set aside, the one before it used.
"""

import errno
import json
import logging
import os
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
_DAMAGED = ".damaged"
_UNREADABLE = (ValueError, TypeError, KeyError, AttributeError)
"""What a state of other contents is found by."""


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


@dataclass(frozen=True, kw_only=True, slots=True)
class Damage:
    """A checkpoint that cannot be used, and why."""

    checkpoint: Path
    why: str


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
        sizes = {path.relative_to(partial).as_posix(): path.stat().st_size for path in _files_below(partial)}
        (partial / STATE_FILE).write_text(json.dumps({**asdict(state), "files": sizes}, indent=2) + "\n")
        for path in (*_files_below(partial), *_folders_below(partial), partial):
            _bring_to_disk(path)
        final = partial.with_name(partial.name.removesuffix(_PARTIAL))
        shutil.rmtree(final, ignore_errors=True)
        partial.rename(final)
        _bring_to_disk(self._folder)
        shutil.rmtree(final.with_name(final.name + _DAMAGED), ignore_errors=True)  # it has been replaced
        for old in self.finished()[: -self._keep]:
            doomed = old.with_name(old.name + _PARTIAL)  # killed meanwhile, no half of it is left under its name
            old.rename(doomed)
            shutil.rmtree(doomed)
        return final

    def finished(self) -> list[Path]:
        """Checkpoints that were written to the end, oldest first."""
        return sorted(path for path in self._folder.glob("step-*") if path.name.removeprefix("step-").isdecimal())

    def latest(self) -> Path | None:
        """The newest checkpoint that was written to the end."""
        return next(reversed(self.finished()), None)

    def newest_whole(self) -> tuple[Path | None, list[Damage]]:
        """The checkpoint to go on from, and the damaged ones that are newer; None when there never was any.

        Raises:
            CheckpointError: There are checkpoints, all of them damaged.
        """
        damaged: list[Damage] = []
        for checkpoint in reversed(self.finished()):
            why = _damage(checkpoint)
            if why is None:
                return checkpoint, damaged
            damaged.append(Damage(checkpoint=checkpoint, why=why))
        if damaged:
            found = "; ".join(f"{one.checkpoint.name}: {one.why}" for one in damaged)
            raise CheckpointError(
                f"every checkpoint in {self._folder} is damaged ({found}); bring one back, or delete the folder to "
                "begin the run anew"
            )
        return None, []

    def set_aside(self, damaged: Sequence[Damage]) -> None:
        """Take damaged checkpoints out of the way; each is kept until its step is saved again."""
        for one in damaged:
            aside = one.checkpoint.with_name(one.checkpoint.name + _DAMAGED)
            shutil.rmtree(aside, ignore_errors=True)
            one.checkpoint.rename(aside)

    def remove_partial(self) -> None:
        """Delete what a killed run left behind."""
        for path in self._folder.glob(f"step-*{_PARTIAL}"):
            logger.warning("removed incomplete checkpoint folder=%s", path)
            shutil.rmtree(path)


def step_of(checkpoint: Path) -> int:
    """Optimizer steps a checkpoint was written after."""
    return int(checkpoint.name.removeprefix("step-"))


def read_state(checkpoint: Path, *, config_digest: str) -> RunState:
    """Read a checkpoint's state.

    Raises:
        CheckpointError: It is unreadable, or was written under another configuration.
    """
    try:
        state, _ = _read(checkpoint)
    except (OSError, *_UNREADABLE) as error:
        raise CheckpointError(f"{checkpoint / STATE_FILE}: not a run state ({error})") from None
    if state.config_digest != config_digest:
        digests = f"digest {state.config_digest[:12]}, now {config_digest[:12]}"
        raise CheckpointError(
            f"{checkpoint / STATE_FILE}: written under another configuration, or other contents of the reward "
            f"functions, labels or traces it names ({digests}); use the same, or another run.name for a new run"
        )
    return state


def _read(checkpoint: Path) -> tuple[RunState, dict[str, int]]:
    """The state, and the size in bytes of every other file."""
    fields = json.loads((checkpoint / STATE_FILE).read_text())
    sizes = fields.pop("files")
    return RunState(**fields), dict(sizes)


def _damage(checkpoint: Path) -> str | None:
    """What is wrong with a checkpoint; None when every file is there in its size."""
    try:
        _, sizes = _read(checkpoint)
    except FileNotFoundError:
        return f"{STATE_FILE} is missing"
    except (OSError, *_UNREADABLE) as error:
        return f"{STATE_FILE} is no run state ({type(error).__name__}: {error})"
    for name, size in sizes.items():
        path = checkpoint / name
        if not path.is_file():
            return f"{name} is missing"
        if path.stat().st_size != size:
            return f"{name} has {path.stat().st_size} of {size} bytes"
    return None


def _files_below(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if path.is_file())


def _folders_below(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if path.is_dir())


def _bring_to_disk(path: Path) -> None:
    """Without this, a power cut may leave a file in its full length, filled with zeros."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno not in (errno.EINVAL, errno.ENOTSUP):  # some network file systems cannot, folders above all
            raise
    finally:
        os.close(descriptor)
