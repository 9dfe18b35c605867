"""Commands that must be refused, run whole in this process."""

from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
import ray

from cluster.main import main

Damage = Callable[[Path], Sequence[str]]
"""Spoils one thing in a folder of good inputs; returns the overrides that point at it."""


def refusal(words: Sequence[str], capsys: pytest.CaptureFixture[str]) -> list[str]:
    """The lines a command is refused with, after checking what holds for every refusal."""
    assert main(words) == 2
    shown = capsys.readouterr()
    assert shown.out == ""
    assert shown.err.startswith("error: ")
    assert "Traceback" not in shown.err
    assert not ray.is_initialized()
    return [line.removeprefix("error: ") for line in shown.err.splitlines()]


def given(*words: str) -> Damage:
    """Overrides that are wrong by themselves; ``HERE`` stands for the folder of inputs."""
    return lambda here: [word.replace("HERE", str(here)) for word in words]


def write_lines(file: Path, lines: Sequence[str]) -> None:
    """Make a text file."""
    file.write_text("".join(f"{line}\n" for line in lines))
