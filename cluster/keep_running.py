"""``arbiter keep-running``: a training run in a process of its own, started again when it dies or hangs."""

import math
import sys
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console

from cluster.lock import held_alone
from cluster.preflight import make_run_folder
from cluster.watchdog import RESTARTS_FILE, Patience, Watchdog
from conf.cli import CommandLine
from conf.errors import ConfigError
from conf.load import load_run_config, refuse_ineffective
from conf.schema import RunConfig

LOCK_FILE = "keep-running.lock"
DEFAULT_ATTEMPTS = 5
DEADLINES_PER_SILENCE = 3.0
"""Silence that is taken for a hang, in deadlines of one remote call: what the run itself notices is left to it."""


def keep_running(line: CommandLine, console: Console) -> int:
    """Start ``arbiter train`` with these overrides until it is done; returns its last exit status.

    Raises:
        ConfigError: The configuration is unusable, or the folder is being looked after already.
    """
    if line.is_multirun:
        raise ConfigError(["--multirun: keep-running looks after one run; start one for each combination"])
    config = load_run_config(line.overrides)
    refuse_ineffective(config, line.overrides)
    if config.run.resume == "never":
        raise ConfigError(["run.resume=never: keep-running continues its run after a restart; remove it"])
    patience = patience_of(line, config)
    folder = Path(config.run.folder).resolve()
    make_run_folder(folder)

    def say(text: str) -> None:
        console.print(f"keep-running: {text}", soft_wrap=True)

    with held_alone(folder / LOCK_FILE, holder="another keep-running"):
        say(
            f"{patience.num_attempts} attempts without a newer checkpoint, {patience.start_within_s:g} s to come up, "
            f"{patience.hang_after_s:g} s between heartbeats; restarts are listed in {folder / RESTARTS_FILE}"
        )
        return Watchdog(command_of(line.overrides), run_folder=folder, patience=patience, say=say).run()


def command_of(overrides: Sequence[str]) -> list[str]:
    """The command line of the run."""
    return [sys.executable, "-m", "cluster.main", "train", *overrides]


def patience_of(line: CommandLine, config: RunConfig) -> Patience:
    """What the switches say, or what the deadlines of the configuration suggest.

    Raises:
        ConfigError: A switch is not a number above 0.
    """
    cluster = config.cluster
    return Patience(
        num_attempts=_whole(line.attempts) if line.attempts is not None else DEFAULT_ATTEMPTS,
        start_within_s=_seconds("--start-within", line.start_within, DEADLINES_PER_SILENCE * cluster.start_timeout_s),
        hang_after_s=_seconds("--hang-after", line.hang_after, DEADLINES_PER_SILENCE * cluster.step_timeout_s),
    )


def _whole(given: str) -> int:
    if not given.isdecimal() or int(given) < 1:
        raise ConfigError([f"--attempts: expected a whole number of 1 or more, got {given}"])
    return int(given)


def _seconds(switch: str, given: str | None, default: float) -> float:
    if given is None:
        return default
    try:
        seconds = float(given)
    except ValueError:
        seconds = math.nan
    if not (math.isfinite(seconds) and seconds > 0.0):
        raise ConfigError([f"{switch}: expected seconds above 0, got {given}"])
    return seconds
