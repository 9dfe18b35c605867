"""Keeps one child process going until it is done: watches its exit status and its heartbeat, and starts it again.

    start --> ended with 0, or unusable from the first -----------------------------------------> done
      ^       failed, died, came up too late, or no heartbeat: session ended --> enough? --yes--> give up
      |                                                                           |no
      +---------------- wait: 10 s, 20 s, 40 s ... 10 min <--- restarts.jsonl <---+

Attempts are counted anew when a checkpoint is newer than every one before: a run that goes on is never given up, and
one that cannot is not started forever. Standard library only.
"""

import json
import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from cluster.checkpoint import CheckpointFolder, step_of
from cluster.heartbeat import Beat, last_beat
from cluster.sessions import Sleep, end_session, has_ended

RESTARTS_FILE = "restarts.jsonl"
UNUSABLE, INTERRUPTED = 2, 130
"""Exit statuses of ``arbiter train``."""
_ASK_TO_STOP = {signal.SIGINT: signal.SIGINT, signal.SIGTERM: signal.SIGTERM, signal.SIGHUP: signal.SIGTERM}
"""Signals that end the watch, and what the child is told."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Patience:
    """How long and how often."""

    num_attempts: int
    """In a row that end without a newer checkpoint."""
    start_within_s: float
    """From the start of a process to its first heartbeat."""
    hang_after_s: float
    """From one heartbeat to the next."""
    first_wait_s: float = 10.0
    longest_wait_s: float = 600.0
    stop_within_s: float = 60.0
    """For a hung process to save and end, before it is killed."""
    clear_within_s: float = 5.0
    """For what an ended process left running."""
    poll_s: float = 0.2

    def wait_s(self, num_in_vain: int) -> float:
        """Seconds to wait after so many attempts in vain: doubled from the second on, up to the longest."""
        return min(self.first_wait_s * 2.0 ** min(max(num_in_vain - 1, 0), 60), self.longest_wait_s)


@dataclass(frozen=True, kw_only=True, slots=True)
class Ending:
    """How an attempt ended."""

    status: int
    """Exit status; minus the signal's number for a process that was killed."""
    silence: str | None
    """What was missed, for one that was ended because it hung."""
    came_up: bool
    """It has given at least one heartbeat."""

    @property
    def reason(self) -> str:
        """For a person."""
        if self.silence is not None:
            return self.silence
        return f"killed by {signal.Signals(-self.status).name}" if self.status < 0 else f"exit status {self.status}"

    @property
    def is_wanted(self) -> bool:
        """Done, or interrupted by a person."""
        return self.silence is None and self.status in (0, INTERRUPTED)

    @property
    def exit_status(self) -> int:
        """What a shell would report."""
        if self.silence is not None:
            return 1
        return 128 - self.status if self.status < 0 else self.status


class Watchdog:
    """Watches one run folder."""

    def __init__(
        self,
        command: Sequence[str],
        *,
        run_folder: Path,
        patience: Patience,
        say: Callable[[str], None],
        sleep: Sleep = time.sleep,
    ) -> None:
        self._command, self._folder, self._patience = list(command), run_folder, patience
        self._say, self._sleep = say, sleep
        self._asked: list[signal.Signals] = []
        self._num_passed_on = 0

    def run(self) -> int:
        """Return once the child is done, cannot be helped, or was asked to stop; returns its exit status."""
        with self._listening():
            return self._keep()

    def _keep(self) -> int:
        num_starts, num_in_vain, ever_came_up = 0, 0, False
        newest = self._saved_step()
        while True:
            ending = self._attempt()
            num_starts += 1
            ever_came_up = ever_came_up or ending.came_up
            if self._asked or ending.is_wanted:
                return ending.exit_status
            if ending.status == UNUSABLE and not ever_came_up:
                return ending.exit_status  # what was refused once is refused again
            saved = self._saved_step()
            num_in_vain = 0 if saved > newest else num_in_vain + 1
            newest = max(saved, newest)
            gives_up = num_in_vain >= self._patience.num_attempts
            wait_s = None if gives_up else self._patience.wait_s(num_in_vain)
            self._tell(ending, num_starts=num_starts, num_in_vain=num_in_vain, wait_s=wait_s)
            if wait_s is None:
                return ending.exit_status
            if not self._wait(wait_s):
                return INTERRUPTED

    def _attempt(self) -> Ending:
        before = last_beat(self._folder)
        child = subprocess.Popen(self._command, stdin=subprocess.DEVNULL, start_new_session=True)
        grace_s = 0.0
        try:
            silence, came_up = self._watch(child, before=before)
            grace_s = self._patience.clear_within_s
        finally:
            left = end_session(child, grace_s=grace_s, sleep=self._sleep, poll_s=self._patience.poll_s)
        if left:
            self._say(
                f"warning: processes {', '.join(map(str, left))} of the run cannot be killed and may hold its devices"
            )
        return Ending(status=child.wait(), silence=silence, came_up=came_up)

    def _watch(self, child: subprocess.Popen[bytes], *, before: Beat | None) -> tuple[str | None, bool]:
        """Wait for the child's end, or end it; what was missed, and whether it came up."""
        last, since, came_up = before, time.monotonic(), False
        while not has_ended(child):
            self._pass_on(child)
            beat = last_beat(self._folder)
            if beat is not None and beat != last and beat.pid == child.pid:
                last, since, came_up = beat, time.monotonic(), True
            limit_s = self._patience.hang_after_s if came_up else self._patience.start_within_s
            if time.monotonic() - since > limit_s:
                os.kill(child.pid, signal.SIGTERM)  # one that is only slow saves and ends
                self._await_end(child)
                return (f"no heartbeat for {limit_s:g} s" if came_up else f"not up after {limit_s:g} s"), came_up
            self._sleep(self._patience.poll_s)
        beat = last_beat(self._folder)
        return None, came_up or (beat is not None and beat != before and beat.pid == child.pid)

    def _await_end(self, child: subprocess.Popen[bytes]) -> None:
        deadline = time.monotonic() + self._patience.stop_within_s
        while not has_ended(child) and time.monotonic() < deadline:
            self._sleep(self._patience.poll_s)
        os.kill(child.pid, signal.SIGKILL)

    def _wait(self, seconds: float) -> bool:
        """Wait; False as soon as the watch is asked to end."""
        while seconds > 0.0 and not self._asked:
            self._sleep(min(seconds, self._patience.poll_s))
            seconds -= self._patience.poll_s
        return not self._asked

    @contextmanager
    def _listening(self) -> Iterator[None]:
        # What is ignored from the start, as SIGHUP is under nohup, stays ignored.
        before = {one: old for one in _ASK_TO_STOP if (old := signal.getsignal(one)) != signal.SIG_IGN}
        for one in before:
            signal.signal(one, lambda number, _: self._asked.append(_ASK_TO_STOP[signal.Signals(number)]))
        try:
            yield
        finally:
            for one, old in before.items():
                signal.signal(one, old)

    def _pass_on(self, child: subprocess.Popen[bytes]) -> None:
        """Give the child each signal once; a second one ends a run at once."""
        for one in self._asked[self._num_passed_on :]:
            os.kill(child.pid, one)  # not child.send_signal, which may reap it
            self._num_passed_on += 1

    def _saved_step(self) -> int:
        latest = CheckpointFolder(self._folder, keep=1).latest()
        return -1 if latest is None else step_of(latest)

    def _tell(self, ending: Ending, *, num_starts: int, num_in_vain: int, wait_s: float | None) -> None:
        """Say it, and write it down."""
        beat, saved = last_beat(self._folder), self._saved_step()
        row = {
            "time": datetime.now(UTC).isoformat(timespec="seconds"),
            "attempt": num_starts,
            "num_in_vain": num_in_vain,
            "reason": ending.reason,
            "status": ending.status,
            "last_step": None if beat is None else beat.global_step,
            "checkpoint_step": saved if saved >= 0 else None,
            "waited_s": wait_s,
        }
        with (self._folder / RESTARTS_FILE).open("a") as file:
            file.write(json.dumps(row) + "\n")
        reached = "" if beat is None else f" after step {beat.global_step}"
        kept = f"the newest checkpoint is of step {saved}" if saved >= 0 else "there is no checkpoint"
        plan = f"gave up after {num_in_vain} attempts without a newer checkpoint"
        if wait_s is not None:
            left = self._patience.num_attempts - num_in_vain
            plan = f"restart {num_starts} in {wait_s:g} s, {left} {'attempts' if left > 1 else 'attempt'} left"
        self._say(f"{plan}: {ending.reason}{reached}; {kept}")
