"""What a run does when a part of it dies."""

from pathlib import Path

import pytest

from tests.cluster.jobs import assert_all_end, family_of, output_of, rows_of, start_job, wait_for_step


@pytest.fixture(scope="module")
def dying(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Generation runs ahead of learning until the engine's process is killed."""
    folder = tmp_path_factory.mktemp("e2e") / "dying"
    job = start_job(folder, "loop.max_lag=1", "loop.num_steps=500", "warm_up.num_steps=0", "cold_start.num_steps=0")
    wait_for_step(job, folder, 4)
    processes = family_of(job)
    next(one for one in processes if "EngineCore" in one.name()).kill()
    assert job.wait(timeout=90) == 1
    assert_all_end(processes)
    return folder


def test_a_lagging_run_is_at_most_one_version_stale(dying: Path) -> None:
    ages = [row["rollout/staleness/max"] for row in rows_of(dying) if row["phase"] == "rl"]
    assert len(ages) > 3
    assert max(ages) <= 1.0


def test_a_dying_engine_ends_the_run_promptly_with_its_cause(dying: Path) -> None:
    assert "failed: " in output_of(dying)
    assert "Engine" in output_of(dying).rpartition("failed: ")[2]
