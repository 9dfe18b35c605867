"""The processes of a session: a child started with ``start_new_session`` and whatever it started, wherever it was left.

Unlike a process group, a session also holds children that made groups of their own, and unlike the parents' chain it
holds those whose parent is gone. Nobody else's processes can be in it.
"""

import os
import signal
import subprocess
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

Sleep = Callable[[float], None]

_PROC = Path("/proc")
_STATE, _SESSION = 0, 3
"""Places in ``/proc/PID/stat`` after the name."""


def has_ended(child: subprocess.Popen[bytes]) -> bool:
    """Whether the child's process has ended. It is not reaped, so its number stays ours until ``child.wait``."""
    return os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None


def members(leader: int) -> list[int]:
    """Live processes of the session; a leader that has ended is none."""
    return [int(entry.name) for entry in _PROC.iterdir() if entry.name.isdecimal() and _belongs(entry, leader)]


def end_session(child: subprocess.Popen[bytes], *, grace_s: float, sleep: Sleep, poll_s: float) -> list[int]:
    """Give what is left of a child's session ``grace_s`` to end, then kill it; returns what no signal could end.

    Call it before ``child.wait``: until then no new process can be given the session's number.
    """
    if _await_end(child.pid, limit_s=grace_s, sleep=sleep, poll_s=poll_s):
        return []
    for pid in members(child.pid):
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    _await_end(child.pid, limit_s=30.0, sleep=sleep, poll_s=poll_s)
    return members(child.pid)


def _await_end(leader: int, *, limit_s: float, sleep: Sleep, poll_s: float) -> bool:
    deadline = time.monotonic() + limit_s
    while members(leader):
        if time.monotonic() >= deadline:
            return False
        sleep(poll_s)
    return True


def _belongs(entry: Path, leader: int) -> bool:
    try:
        fields = (entry / "stat").read_text().rpartition(")")[2].split()
    except OSError:  # it has ended meanwhile
        return False
    return int(fields[_SESSION]) == leader and fields[_STATE] not in "ZX"
