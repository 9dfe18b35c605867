"""Checkpoints are whole or absent, belong to one configuration, and do not pile up."""

from pathlib import Path

import pytest

from cluster.checkpoint import CheckpointError, CheckpointFolder, RunState, read_state


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
