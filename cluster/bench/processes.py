"""Work in a process of its own, and the memory it takes: what one side has held is not given back to the system for the
other to ask for."""

import multiprocessing
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import TypeVar, TypeVarTuple

Given = TypeVarTuple("Given")
Found = TypeVar("Found")
MIB = 2**20
_STATUS = Path("/proc/self/status")
_PEAK_RESET, _RESETS_THE_PEAK = Path("/proc/self/clear_refs"), "5"
"""Linux's: see proc(5)."""


def alone(function: Callable[[*Given], Found], *given: *Given) -> Found:
    """What the function returns in a new process."""
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as process:
        return process.submit(function, *given).result()


def peak_bytes(work: Callable[[], object]) -> int:
    """The most that this process holds during the work, beyond what it holds before."""
    _PEAK_RESET.write_text(_RESETS_THE_PEAK, encoding="ascii")
    before = _resident("VmRSS")
    work()
    return _resident("VmHWM") - before


def _resident(name: str) -> int:
    (line,) = (line for line in _STATUS.read_text(encoding="ascii").splitlines() if line.startswith(f"{name}:"))
    return int(line.split()[1]) * 1024
