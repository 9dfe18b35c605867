"""The live progress display: a bar a phase with the numbers that matter, or plain lines when output is no terminal."""

import logging
import time
from collections.abc import Mapping
from types import TracebackType
from typing import Self

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeRemainingColumn

logger = logging.getLogger(__name__)

TITLES = {
    "warm_up": "warm-up", "cold_start": "cold start", "rl": "RL",
    "benchmark": "benchmark", "rank": "rank", "score": "score", "checklist": "checklist",
}  # fmt: skip
LINE_EVERY_S = 10.0


class ProgressDisplay:
    """Shows one bar a phase on a terminal; otherwise one line every ten seconds."""

    def __init__(self, console: Console) -> None:
        self._console, self._live = console, console.is_terminal
        self._progress = Progress(
            TextColumn("{task.description:<10}"),
            BarColumn(bar_width=12),
            MofNCompleteColumn(),
            TextColumn("{task.fields[numbers]}"),
            TimeRemainingColumn(),
            console=console,
            disable=not self._live,
        )
        self._tasks: dict[str, TaskID] = {}
        self._started: dict[str, tuple[float, int]] = {}
        self._last_line = 0.0

    def __enter__(self) -> Self:
        self._progress.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._progress.stop()

    def say(self, text: str) -> None:
        """Print above the bars."""
        self._progress.console.print(text, highlight=False, markup=False, soft_wrap=True)

    def step(self, phase: str, *, done: int, total: int, numbers: Mapping[str, float]) -> None:
        """Move a phase's bar to ``done`` of ``total`` and show its latest numbers."""
        shown = " ".join(f"{name} {format_number(value)}" for name, value in numbers.items())
        now = time.monotonic()
        if phase not in self._tasks:
            self._tasks[phase] = self._progress.add_task(TITLES[phase], total=total, numbers="")
            self._started[phase] = (now, done - 1)
        self._progress.update(self._tasks[phase], completed=done, numbers=shown)
        if not self._live and (now - self._last_line >= LINE_EVERY_S or done == total):
            self._last_line = now
            self.say(f"{TITLES[phase]:<10} {done}/{total}  {shown}  {self._time_left(phase, done, total, now)}")

    def _time_left(self, phase: str, done: int, total: int, now: float) -> str:
        since, before = self._started[phase]
        if done <= before + 1:
            return ""
        left_s = (now - since) / (done - before - 1) * (total - done)
        return f"{int(left_s // 60)}:{int(left_s % 60):02d} left"


def format_number(value: float) -> str:
    """Three significant digits, no exponent for everyday sizes."""
    return f"{value:.0f}" if abs(value) >= 1000 else f"{value:.3g}"
