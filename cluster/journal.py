"""What a run writes down: metrics.jsonl, samples.jsonl, alarms.jsonl, TensorBoard, and gauges for the Ray dashboard.

One row a step, keys ``room/thing/statistic``; ``phase``, ``step`` and ``global_step`` say where it belongs. A resumed
run first drops the rows after its checkpoint, so no step, sample or alarm is ever written twice.
"""

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Protocol, Self

from cluster.checkpoint import Phase
from rewards.trust import Alarm
from rewards.types import ScoredGroup

if TYPE_CHECKING:  # it loads torch, which reading a journal can do without
    from tensorboardX import SummaryWriter

METRICS_FILE = "metrics.jsonl"
SAMPLES_FILE = "samples.jsonl"
ALARMS_FILE = "alarms.jsonl"


class Gauges(Protocol):
    """Live numbers for a monitoring system."""

    def set(self, values: Mapping[str, float]) -> None: ...


class Journal:
    """The written record of one run."""

    def __init__(
        self,
        folder: Path,
        *,
        first_global_step: int,
        tensorboard: bool,
        samples_per_step: int,
        gauges: Gauges | None,
    ) -> None:
        self._samples_per_step, self._gauges = samples_per_step, gauges
        for name in (METRICS_FILE, SAMPLES_FILE, ALARMS_FILE):
            keep_rows_before(folder / name, global_step=first_global_step)
        self._metrics = (folder / METRICS_FILE).open("a")
        self._samples = (folder / SAMPLES_FILE).open("a")
        self._alarms = (folder / ALARMS_FILE).open("a")
        self._board = _board(folder, first_global_step=first_global_step) if tensorboard else None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def record(self, values: Mapping[str, float], *, phase: Phase, step: int, global_step: int) -> None:
        """Write one step's numbers everywhere.

        Raises:
            FloatingPointError: A value is not finite; a run must not go on as if it were healthy.
        """
        broken = {key: value for key, value in values.items() if not math.isfinite(value)}
        row = {"phase": phase, "step": step, "global_step": global_step, **values}
        if broken:
            raise FloatingPointError(f"{phase} step {step}: metrics are not finite: {broken}")
        self._metrics.write(json.dumps(row) + "\n")
        self._metrics.flush()
        self._show(values, global_step=global_step)
        if self._gauges is not None:
            self._gauges.set({"run/step": step, "run/global_step": global_step})

    def record_evaluation(self, values: Mapping[str, float], *, global_step: int) -> None:
        """Show an evaluation on the live displays; its own file keeps it."""
        self._show(values, global_step=global_step)

    def _show(self, values: Mapping[str, float], *, global_step: int) -> None:
        if self._board is not None:
            for key, value in values.items():
                self._board.add_scalar(key, value, global_step)
        if self._gauges is not None:
            self._gauges.set(values)

    def sample(self, scored: Sequence[ScoredGroup], *, step: int, global_step: int) -> None:
        """Write the first completion of the step's first groups, with rewards by term."""
        for one in scored[: self._samples_per_step]:
            completion, reward = one.group.completions[0], one.rewards[0]
            row = {
                "step": step,
                "global_step": global_step,
                "prompt_id": one.group.prompt.prompt_id,
                "truth": one.group.prompt.truth,
                "text": completion.text,
                "finish_reason": completion.finish_reason,
                "policy_version": completion.policy_version,
                "reward": reward.total,
                "parts": dict(reward.parts),
            }
            self._samples.write(json.dumps(row) + "\n")
            if self._board is not None:
                self._board.add_text(f"samples/{one.group.prompt.source}", completion.text, global_step)
        self._samples.flush()

    def alarm(self, alarm: Alarm, *, at: str, global_step: int) -> None:
        """Write down that a figure has crossed its bound; ``at`` says where, for a person."""
        self._alarms.write(json.dumps({"at": at, "global_step": global_step, **asdict(alarm)}) + "\n")
        self._alarms.flush()

    def close(self) -> None:
        """Flush and close every file."""
        self._metrics.close()
        self._samples.close()
        self._alarms.close()
        if self._board is not None:
            self._board.close()


def _board(folder: Path, *, first_global_step: int) -> "SummaryWriter":
    from tensorboardX import SummaryWriter  # noqa: PLC0415 - loads torch

    return SummaryWriter(str(folder / "tensorboard"), purge_step=first_global_step)


def keep_rows_before(path: Path, *, global_step: int) -> None:
    """Cut a journal file back to the rows before ``global_step``; a half-written last line goes too."""
    if not path.exists():
        return
    kept = [line for line in path.read_text().splitlines() if _step_of(line, default=global_step) < global_step]
    partial = path.with_suffix(".partial")
    partial.write_text("".join(f"{line}\n" for line in kept))
    partial.replace(path)


def read_rows(path: Path) -> list[dict[str, float | str]]:
    """Every row of a journal file, oldest first."""
    if not path.exists():
        return []
    return [json.loads(line) for line in path.read_text().splitlines()]


def _step_of(line: str, *, default: int) -> int:
    try:
        return int(json.loads(line)["global_step"])
    except (json.JSONDecodeError, KeyError):
        return default
