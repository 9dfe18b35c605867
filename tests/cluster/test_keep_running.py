"""``arbiter keep-running``: what it refuses and what it starts; a real run under it is in ``test_end_to_end.py``."""

import fcntl
import os
import subprocess
import sys
from pathlib import Path

import pytest

from cluster.keep_running import LOCK_FILE, command_of, patience_of
from cluster.lock import held_alone
from conf.cli import parse_command_line
from conf.errors import ConfigError
from conf.load import load_run_config
from tests.refusals import refusal

ROOT = Path(__file__).parents[2]
KEEP = ("keep-running", "recipe=smoke")


def test_the_run_is_started_with_the_same_overrides() -> None:
    assert command_of(["recipe=smoke", "run.seed=1"])[1:] == [
        "-m", "cluster.main", "train", "recipe=smoke", "run.seed=1",
    ]  # fmt: skip


def test_deadlines_follow_the_configuration_unless_they_are_given() -> None:
    overrides = ["recipe=smoke", "cluster.start_timeout_s=100", "cluster.step_timeout_s=7"]
    config = load_run_config(overrides)
    usual = patience_of(parse_command_line(["keep-running", *overrides]), config)
    assert (usual.num_attempts, usual.start_within_s, usual.hang_after_s) == (5, 300.0, 21.0)
    switches = ["--attempts", "2", "--start-within=30", "--hang-after", "1.5"]
    given = patience_of(parse_command_line(["keep-running", *switches, *overrides]), config)
    assert (given.num_attempts, given.start_within_s, given.hang_after_s) == (2, 30.0, 1.5)


@pytest.mark.parametrize(
    ("words", "answer"),
    [
        (("run.resume=never",), "run.resume=never: keep-running continues its run after a restart; remove it"),
        (
            ("--multirun", "run.seed=0,1"),
            "--multirun: keep-running looks after one run; start one for each combination",
        ),
        (("--attempts", "0"), "--attempts: expected a whole number of 1 or more, got 0"),
        (("--attempts", "2.5"), "--attempts: expected a whole number of 1 or more, got 2.5"),
        (("--hang-after", "soon"), "--hang-after: expected seconds above 0, got soon"),
        (("--start-within", "inf"), "--start-within: expected seconds above 0, got inf"),
        (("loop.num_step=3",), "loop.num_step: unknown key; did you mean loop.num_steps?"),
    ],
)
def test_what_cannot_be_kept_running_is_refused_and_leaves_nothing(
    words: tuple[str, ...], answer: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "run"
    assert refusal([*KEEP, f"run.folder={folder}", *words], capsys) == [answer]
    assert not folder.exists()


def test_a_second_watch_over_a_folder_is_refused_and_names_the_first(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with held_alone(tmp_path / LOCK_FILE, holder="another keep-running"):
        (line,) = refusal([*KEEP, f"run.folder={tmp_path}"], capsys)
    assert line.startswith(f"{tmp_path}: another keep-running is at work there already (process {os.getpid()} on ")


def test_the_lock_of_a_killed_process_is_taken_over(tmp_path: Path) -> None:
    file = tmp_path / LOCK_FILE
    code = (
        "import sys; from pathlib import Path; from cluster.lock import held_alone\n"
        "with held_alone(Path(sys.argv[1]), holder='it'): print(flush=True); input()"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", code, str(file)], cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    process.stdout.readline()
    with pytest.raises(ConfigError, match=f"process {process.pid} on "), held_alone(file, holder="it"):
        pass
    process.kill()
    process.communicate()
    assert f"process {process.pid} on " in file.read_text()  # left behind
    with held_alone(file, holder="it"):
        assert f"process {os.getpid()} on " in file.read_text()


def test_children_do_not_inherit_a_lock(tmp_path: Path) -> None:
    with held_alone(tmp_path / "lock", holder="it"):
        child = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    try:
        with (tmp_path / "lock").open() as file:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    finally:
        child.communicate(b"\n")
