"""Checkpoints are whole or absent, belong to one configuration, and do not pile up."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from cluster.checkpoint import CheckpointError, CheckpointFolder, RunState, read_state
from cluster.journal import ALARMS_FILE, Journal, read_rows
from cluster.resume import StartingPoint, journal_damage


def state(global_step: int, *, digest: str = "d") -> RunState:
    return RunState(
        phase="rl",
        next_step=global_step,
        global_step=global_step,
        policy_version=global_step,
        config_digest=digest,
        versions={"torch": "2"},
    )


def save(folder: CheckpointFolder, global_step: int) -> Path:
    return folder.commit(folder.begin(global_step), state(global_step))


def test_the_newest_checkpoint_is_found(tmp_path: Path) -> None:
    folder = CheckpointFolder(tmp_path, keep=5)
    save(folder, 20)
    save(folder, 100)
    assert folder.latest() == tmp_path / "checkpoints" / "step-00000100"


def test_only_the_newest_are_kept(tmp_path: Path) -> None:
    folder = CheckpointFolder(tmp_path, keep=2)
    for step in (1, 2, 3, 4):
        save(folder, step)
    assert [path.name for path in folder.finished()] == ["step-00000003", "step-00000004"]


def test_a_folder_that_was_never_finished_does_not_count(tmp_path: Path) -> None:
    folder = CheckpointFolder(tmp_path, keep=2)
    save(folder, 1)
    (folder.begin(2) / "state.json").write_text("{}")
    assert folder.latest() == tmp_path / "checkpoints" / "step-00000001"


def test_what_a_killed_run_left_behind_is_removed(tmp_path: Path) -> None:
    folder = CheckpointFolder(tmp_path, keep=2)
    partial = folder.begin(2)
    folder.remove_partial()
    assert not partial.exists()


def test_a_state_reads_back_as_it_was_written(tmp_path: Path) -> None:
    final = save(CheckpointFolder(tmp_path, keep=2), 7)
    assert read_state(final, config_digest="d") == state(7)


def test_a_checkpoint_of_another_configuration_is_refused(tmp_path: Path) -> None:
    final = save(CheckpointFolder(tmp_path, keep=2), 7)
    with pytest.raises(CheckpointError, match="another configuration"):
        read_state(final, config_digest="other")


def test_an_unreadable_state_names_the_file(tmp_path: Path) -> None:
    final = save(CheckpointFolder(tmp_path, keep=2), 7)
    (final / "state.json").write_text("{")
    with pytest.raises(CheckpointError, match=r"state\.json: not a run state"):
        read_state(final, config_digest="d")


def test_saving_the_same_step_again_replaces_it(tmp_path: Path) -> None:
    folder = CheckpointFolder(tmp_path, keep=2)
    save(folder, 3)
    partial = folder.begin(3)
    (partial / "new").touch()
    assert (folder.commit(partial, state(3)) / "new").exists()


def save_with_files(folder: CheckpointFolder, global_step: int) -> Path:
    """A checkpoint of what a learner would write: files in a folder, one of them empty."""
    partial = folder.begin(global_step)
    (partial / "learner" / "state").mkdir(parents=True)
    (partial / "learner" / "state" / "weights.pt").write_bytes(b"w" * 1000)
    (partial / "learner" / "rank0.pt").write_bytes(b"")
    return folder.commit(partial, state(global_step))


def cut_short(checkpoint: Path) -> str:
    with (checkpoint / "learner" / "state" / "weights.pt").open("r+b") as file:
        file.truncate(400)
    return "learner/state/weights.pt has 400 of 1000 bytes"


def lose_a_file(checkpoint: Path) -> str:
    (checkpoint / "learner" / "rank0.pt").unlink()
    return "learner/rank0.pt is missing"


def lose_the_state(checkpoint: Path) -> str:
    (checkpoint / "state.json").unlink()
    return "state.json is missing"


def cut_the_state(checkpoint: Path) -> str:
    path = checkpoint / "state.json"
    path.write_text(path.read_text()[:40])
    return "state.json is no run state (JSONDecodeError"


def empty_the_state(checkpoint: Path) -> str:
    (checkpoint / "state.json").write_text("[]")
    return "state.json is no run state (TypeError"


DAMAGES = (cut_short, lose_a_file, lose_the_state, cut_the_state, empty_the_state)


def test_a_whole_checkpoint_is_found_whole(tmp_path: Path) -> None:
    folder = CheckpointFolder(tmp_path, keep=5)
    newest = save_with_files(folder, 20)
    assert folder.newest_whole() == (newest, [])


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_checkpoint_is_passed_over_for_the_one_before(tmp_path: Path, damage: Callable[[Path], str]) -> None:
    folder = CheckpointFolder(tmp_path, keep=5)
    before, newest = save_with_files(folder, 10), save_with_files(folder, 20)
    why = damage(newest)
    found, (damaged,) = folder.newest_whole()
    assert (found, damaged.checkpoint) == (before, newest)
    assert damaged.why.startswith(why)


def test_of_several_damaged_ones_each_is_named(tmp_path: Path) -> None:
    folder = CheckpointFolder(tmp_path, keep=5)
    saved = [save_with_files(folder, step) for step in (10, 20, 30)]
    lose_a_file(saved[1])
    lose_the_state(saved[2])
    found, damaged = folder.newest_whole()
    assert (found, [one.checkpoint for one in damaged]) == (saved[0], [saved[2], saved[1]])


def test_a_run_whose_checkpoints_are_all_damaged_does_not_begin_anew_in_silence(tmp_path: Path) -> None:
    folder = CheckpointFolder(tmp_path, keep=5)
    lose_a_file(save_with_files(folder, 10))
    with pytest.raises(CheckpointError, match=r"every checkpoint .* damaged \(step-00000010: learner/rank0.pt is miss"):
        folder.newest_whole()


def test_a_damaged_checkpoint_is_kept_aside_until_its_step_is_saved_again(tmp_path: Path) -> None:
    folder = CheckpointFolder(tmp_path, keep=5)
    before, newest = save_with_files(folder, 10), save_with_files(folder, 20)
    cut_short(newest)
    folder.set_aside(folder.newest_whole()[1])
    aside = newest.with_name("step-00000020.damaged")
    assert (aside / "learner").is_dir()
    assert folder.finished() == [before]
    save_with_files(folder, 20)
    assert not aside.exists()


def test_what_was_damaged_is_counted_in_the_journal_and_outlives_resumes(tmp_path: Path) -> None:
    folder = CheckpointFolder(tmp_path, keep=5)
    save_with_files(folder, 10)
    lose_a_file(save_with_files(folder, 20))
    newest, damaged = folder.newest_whole()
    start_from = StartingPoint(state=state(10), checkpoint=newest, damaged=damaged)
    for _ in range(2):  # the second time there is nothing left to report
        with Journal(tmp_path, first_global_step=10, tensorboard=False, samples_per_step=0, gauges=None) as journal:
            journal_damage(journal, start_from)
        start_from = replace(start_from, damaged=[])
    (row,) = read_rows(tmp_path / ALARMS_FILE)
    assert (row["name"], row["value"], row["global_step"]) == ("checkpoints/damaged", 1, 9)
    assert row["why"] == (
        "damaged and set aside (step-00000020: learner/rank0.pt is missing), so optimizer steps 10 to 19 are done again"
    )
