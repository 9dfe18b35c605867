"""The watchdog beside real child processes: what it waits for, what it starts again, what it ends."""

import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import dataclass, field, replace
from pathlib import Path

import psutil  # type: ignore[import-untyped]
import pytest

from cluster.checkpoint import CheckpointFolder, RunState
from cluster.heartbeat import Heartbeat, last_beat
from cluster.sessions import members
from cluster.watchdog import RESTARTS_FILE, Patience, Watchdog

ROOT = Path(__file__).parents[2]
QUICK = Patience(
    num_attempts=3,
    start_within_s=60.0,
    hang_after_s=60.0,
    first_wait_s=0.02,
    longest_wait_s=0.05,
    stop_within_s=0.2,
    clear_within_s=0.2,
    poll_s=0.02,
)
BEAT = "from pathlib import Path; from cluster.heartbeat import Heartbeat\n"
BEAT += "heart = Heartbeat(Path(sys.argv[1]))\n"
BEAT += "def beat(step): heart.beat('step', phase='rl', global_step=step)\n"
SAVE = "from cluster.checkpoint import CheckpointFolder, RunState\n"
SAVE += "def save(step):\n"
SAVE += "    state = RunState(phase='rl', next_step=step, global_step=step, policy_version=step, config_digest='',"
SAVE += " versions={})\n"
SAVE += "    folder = CheckpointFolder(Path(sys.argv[1]), keep=9)\n"
SAVE += "    folder.commit(folder.begin(step), state)\n"
COUNT = "starts = Path(sys.argv[1]) / 'starts'; n = int(starts.read_text()) if starts.exists() else 0\n"
COUNT += "starts.write_text(str(n + 1))\n"
PREAMBLE = f"import os, signal, subprocess, sys, time\n{BEAT}{SAVE}{COUNT}"
"""``n`` is the number of starts before this one."""
FOREVER = "time.sleep(600)"


@dataclass
class Watched:
    """One watch over a script, and what it said."""

    folder: Path
    script: str
    patience: Patience = QUICK
    said: list[str] = field(default_factory=list)
    slept: list[float] = field(default_factory=list)

    def run(self) -> int:
        command = [sys.executable, "-c", PREAMBLE + self.script, str(self.folder)]
        watchdog = Watchdog(
            command, run_folder=self.folder, patience=self.patience, say=self.said.append, sleep=self._sleep
        )
        return watchdog.run()

    def _sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        time.sleep(seconds)

    @property
    def num_starts(self) -> int:
        return int((self.folder / "starts").read_text())

    @property
    def rows(self) -> list[dict[str, object]]:
        return [json.loads(line) for line in (self.folder / RESTARTS_FILE).read_text().splitlines()]


def test_a_run_that_is_done_is_not_started_again(tmp_path: Path) -> None:
    watched = Watched(tmp_path, "beat(1)")
    assert (watched.run(), watched.num_starts, watched.said) == (0, 1, [])
    assert not (tmp_path / RESTARTS_FILE).exists()


def test_a_failed_run_is_started_again_and_said(tmp_path: Path) -> None:
    watched = Watched(tmp_path, "beat(7); sys.exit(n == 0)")
    assert (watched.run(), watched.num_starts) == (0, 2)
    assert watched.said == ["restart 1 in 0.02 s, 2 attempts left: exit status 1 after step 7; there is no checkpoint"]


def test_every_restart_is_a_row(tmp_path: Path) -> None:
    watched = Watched(tmp_path, "beat(7); save(5); sys.exit(n == 0)")
    watched.run()
    (row,) = watched.rows
    assert row.pop("time")
    assert row == {
        "attempt": 1, "num_in_vain": 0, "reason": "exit status 1", "status": 1, "last_step": 7, "checkpoint_step": 5,
        "waited_s": 0.02,
    }  # fmt: skip


def test_a_killed_run_is_started_again(tmp_path: Path) -> None:
    watched = Watched(tmp_path, "beat(1); n or os.kill(os.getpid(), signal.SIGKILL)")
    assert (watched.run(), watched.num_starts) == (0, 2)
    assert watched.rows[0]["reason"] == "killed by SIGKILL"


def test_unusable_input_is_not_tried_twice(tmp_path: Path) -> None:
    watched = Watched(tmp_path, "sys.exit(2)")
    assert (watched.run(), watched.num_starts) == (2, 1)


def test_what_is_out_of_reach_after_a_good_start_is_tried_again(tmp_path: Path) -> None:
    watched = Watched(tmp_path, "beat(1) if n == 0 else None; sys.exit([1, 2, 0][n])")
    assert (watched.run(), watched.num_starts) == (0, 3)


def test_an_interrupted_start_ends_the_watch(tmp_path: Path) -> None:
    watched = Watched(tmp_path, "sys.exit(130)")
    assert (watched.run(), watched.num_starts) == (130, 1)


def test_a_run_that_never_gets_further_is_given_up(tmp_path: Path) -> None:
    watched = Watched(tmp_path, "save(5); beat(6 + n); sys.exit(1)", replace(QUICK, num_attempts=4))
    # The checkpoint of the first attempt is news, the same one again is not.
    assert (watched.run(), watched.num_starts) == (1, 5)
    assert watched.said[-1].startswith("gave up after 4 attempts without a newer checkpoint: exit status 1")
    assert [row["waited_s"] for row in watched.rows] == [0.02, 0.02, 0.04, 0.05, None]


def test_a_run_that_gets_further_is_never_given_up(tmp_path: Path) -> None:
    watched = Watched(
        tmp_path, "beat(n); save(n + 1) if n % 2 else None; sys.exit(n < 9)", replace(QUICK, num_attempts=2)
    )
    assert (watched.run(), watched.num_starts) == (0, 10)


def test_saving_a_step_a_second_time_is_no_progress(tmp_path: Path) -> None:
    """As after a damaged checkpoint: the way to its step is made again."""
    watched = Watched(tmp_path, "save(9 - n); sys.exit(1)")
    CheckpointFolder(tmp_path, keep=9).commit(CheckpointFolder(tmp_path, keep=9).begin(9), state(9))
    assert (watched.run(), watched.num_starts) == (1, 3)


def test_a_silent_run_is_ended_and_started_again(tmp_path: Path) -> None:
    script = f"signal.signal(signal.SIGTERM, signal.SIG_IGN); n or (beat(1), {FOREVER})"
    watched = Watched(tmp_path, script, replace(QUICK, hang_after_s=0.3))
    assert (watched.run(), watched.num_starts) == (0, 2)
    assert (watched.rows[0]["reason"], watched.rows[0]["status"]) == ("no heartbeat for 0.3 s", -signal.SIGKILL)


def test_a_run_that_beats_is_left_alone_for_longer_than_a_silence(tmp_path: Path) -> None:
    script = "for step in range(8): beat(step); time.sleep(0.5)"
    watched = Watched(tmp_path, script, replace(QUICK, hang_after_s=3.0))
    assert (watched.run(), watched.num_starts) == (0, 1)


def test_the_way_to_the_first_heartbeat_has_an_allowance_of_its_own(tmp_path: Path) -> None:
    patience = replace(QUICK, num_attempts=1, start_within_s=0.5, hang_after_s=60.0)
    watched = Watched(tmp_path, FOREVER, patience)
    assert watched.run() == 1
    assert watched.rows[0]["reason"] == "not up after 0.5 s"


def test_an_old_heartbeat_is_no_sign_of_life(tmp_path: Path) -> None:
    Heartbeat(tmp_path).beat("step", phase="rl", global_step=3)
    patience = replace(QUICK, num_attempts=1, start_within_s=0.5, hang_after_s=60.0)
    watched = Watched(tmp_path, FOREVER, patience)
    watched.run()
    assert [row["reason"] for row in watched.rows] == ["not up after 0.5 s"]


def test_the_heartbeat_of_another_process_is_no_sign_of_life(tmp_path: Path) -> None:
    """Such as the run of a watchdog that was killed: it holds the folder, and ours is refused."""
    Heartbeat(tmp_path).beat("step", phase="rl", global_step=1)
    script = "file = Path(sys.argv[1]) / 'heartbeat.json'\n"
    script += "for n in range(9): file.write_text(file.read_text().replace(f's\\\": {n + 1},', f's\\\": {n + 2},'))\n"
    watched = Watched(tmp_path, script + "sys.exit(2)")
    assert (watched.run(), watched.num_starts) == (2, 1)
    beat = last_beat(tmp_path)
    assert beat is not None
    assert (beat.pid, beat.num_beats) == (os.getpid(), 10)


@pytest.mark.parametrize(
    ("num_in_vain", "seconds"), [(0, 10.0), (1, 10.0), (2, 20.0), (3, 40.0), (7, 600.0), (10_000, 600.0)]
)
def test_waits_double_up_to_a_cap(num_in_vain: int, seconds: float) -> None:
    usual = Patience(num_attempts=5, start_within_s=1.0, hang_after_s=1.0)
    assert usual.wait_s(num_in_vain) == seconds


def test_a_wait_takes_as_long_as_was_said(tmp_path: Path) -> None:
    watched = Watched(
        tmp_path, "sys.exit(1)", replace(QUICK, num_attempts=2, first_wait_s=0.31, longest_wait_s=1.0, poll_s=0.1)
    )
    watched.run()
    # 0.1 + 0.1 + 0.1 and the rest of the wait; the sleeps between looks at the child are all 0.1.
    assert [round(one, 6) for one in watched.slept if one < 0.099] == [0.01]


def test_what_a_dead_run_left_running_is_ended_and_nothing_else(tmp_path: Path) -> None:
    """A grandchild in a process group of its own, as Ray's workers are, and a neighbour of another session."""
    neighbour = subprocess.Popen([sys.executable, "-c", FOREVER.join(["import time; ", ""])], start_new_session=True)
    script = "child = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(600)'], process_group=0)\n"
    script += "(Path(sys.argv[1]) / 'child').write_text(str(child.pid)); n or os.kill(os.getpid(), signal.SIGKILL)"
    try:
        assert Watched(tmp_path, script).run() == 0
        left = int((tmp_path / "child").read_text())
        assert not psutil.pid_exists(left) or psutil.Process(left).status() == psutil.STATUS_ZOMBIE
        assert neighbour.poll() is None
    finally:
        neighbour.kill()
        neighbour.wait()


def test_the_members_of_a_session_are_found_whatever_their_group() -> None:
    code = "import subprocess, sys; subprocess.run([sys.executable, '-c', 'input()'], process_group=0)"
    leader = subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE, start_new_session=True)
    try:
        deadline = time.monotonic() + 60
        while len(members(leader.pid)) < 2 and time.monotonic() < deadline:
            time.sleep(0.02)
        assert len(members(leader.pid)) == 2
        assert os.getpid() not in members(leader.pid)
    finally:
        leader.communicate(b"\n")
    assert members(leader.pid) == []


WATCH_FROM_OUTSIDE = """
import sys; from pathlib import Path
from tests.cluster.test_watchdog import Watched
watched = Watched(Path(sys.argv[1]), sys.argv[2])
status = watched.run()
print(*watched.said, sep="\\n")
sys.exit(status)
"""


def watch_from_outside(folder: Path, script: str, *, before: str = "") -> subprocess.Popen[str]:
    """A watch in a process of its own, which can be given signals."""
    command = [sys.executable, "-c", before + WATCH_FROM_OUTSIDE, str(folder), script]
    return subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True)


def wait_for(file: Path) -> None:
    deadline = time.monotonic() + 120
    while not file.exists():
        assert time.monotonic() < deadline
        time.sleep(0.02)


NOTES_SIGNALS = """
told = []
for one in (signal.SIGINT, signal.SIGTERM):
    signal.signal(one, lambda number, _: told.append(signal.Signals(number).name))
(Path(sys.argv[1]) / "up").touch()
def note(): (Path(sys.argv[1]) / "told").write_text(" ".join(told))
while len(told) < WANTED: note(); time.sleep(0.02)
time.sleep(0.3)
note()
"""


@pytest.mark.parametrize(
    ("sent", "told"), [(signal.SIGINT, "SIGINT"), (signal.SIGTERM, "SIGTERM"), (signal.SIGHUP, "SIGTERM")]
)
def test_a_signal_is_passed_on_once_and_ends_the_watch_with_the_run(
    tmp_path: Path, sent: signal.Signals, told: str
) -> None:
    watch = watch_from_outside(tmp_path, NOTES_SIGNALS.replace("WANTED", "1") + "sys.exit(1)")
    wait_for(tmp_path / "up")
    watch.send_signal(sent)
    assert watch.communicate(timeout=60)[0] == "\n"  # not a word of a restart
    assert watch.returncode == 1  # the run's, which is not started again
    assert (tmp_path / "told").read_text() == told
    assert (tmp_path / "starts").read_text() == "1"


def test_a_second_signal_is_passed_on_too(tmp_path: Path) -> None:
    watch = watch_from_outside(tmp_path, NOTES_SIGNALS.replace("WANTED", "2"))
    wait_for(tmp_path / "up")
    watch.send_signal(signal.SIGINT)
    deadline = time.monotonic() + 60
    while (tmp_path / "told").read_text() != "SIGINT":  # two at once would be one
        assert time.monotonic() < deadline
        time.sleep(0.02)
    watch.send_signal(signal.SIGINT)
    watch.communicate(timeout=60)
    assert (tmp_path / "told").read_text() == "SIGINT SIGINT"


def test_a_hang_up_that_nohup_ignores_stays_ignored(tmp_path: Path) -> None:
    ignore = "import signal; signal.signal(signal.SIGHUP, signal.SIG_IGN)\n"
    watch = watch_from_outside(tmp_path, NOTES_SIGNALS.replace("WANTED", "1"), before=ignore)
    wait_for(tmp_path / "up")
    watch.send_signal(signal.SIGHUP)
    watch.send_signal(signal.SIGINT)
    watch.communicate(timeout=60)
    assert (tmp_path / "told").read_text() == "SIGINT"


def state(global_step: int) -> RunState:
    return RunState(
        phase="rl", next_step=global_step, global_step=global_step, policy_version=0, config_digest="", versions={}
    )
