"""A whole job sent with ``arbiter submit`` to a real Ray head, and watched from outside while it runs."""

import json
import os
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from urllib.error import URLError
from urllib.request import urlopen

import pytest

from tests.cluster.heads import Head, with_token

ROOT = Path(__file__).parents[2]
WANTED = (
    "ray_arbiter_run_step",
    "ray_arbiter_rewards_total_mean",
    "ray_arbiter_rewards_format_mean",
    "ray_arbiter_rewards_opinion_mean",
    "ray_arbiter_rewards_ranking_mean",
    "ray_arbiter_rewards_abstained_total",
    "ray_arbiter_evaluation_agreement_srcc",
    "ray_arbiter_rollout_tokens_per_s",
    "ray_arbiter_loop_queue_depth",
    "ray_arbiter_rollout_staleness_max",
    "ray_arbiter_loop_push_seconds",
)


@dataclass(frozen=True, kw_only=True, slots=True)
class Watched:
    """What was seen of one submitted job."""

    status: int
    output: str
    metrics: str
    """The Prometheus page once every wanted gauge was on it, or the last one before the job ended."""
    actors: list[dict[str, str]]
    """Ray's list of actors after the job."""
    folder: Path


@pytest.fixture(scope="module")
def watched(ray_head: Head, tmp_path_factory: pytest.TempPathFactory) -> Watched:
    folder = tmp_path_factory.mktemp("submitted") / "run"
    command = [sys.executable, "-m", "cluster.main", "submit", "--address", ray_head.address, "recipe=smoke"]
    overrides = ["run.name=watched", f"run.folder={folder}", "loop.num_steps=40", "cluster.start_timeout_s=200"]
    log = folder.parent / "job.log"
    environment = {**os.environ, **with_token(ray_head.token)}
    with log.open("w") as output:
        job = subprocess.Popen([*command, *overrides], cwd=ROOT, env=environment, stdout=output, stderr=output)
    metrics = ""
    deadline = time.monotonic() + 400
    while job.poll() is None and time.monotonic() < deadline:
        if not all(name in metrics for name in WANTED):
            metrics = scrape(ray_head.metrics_port) or metrics
        time.sleep(0.5)
    status = job.wait(timeout=60)
    return Watched(
        status=status,
        output=log.read_text(),
        metrics=metrics,
        actors=actors_of(ray_head, environment),
        folder=folder,
    )


def scrape(port: int) -> str:
    """Ray's Prometheus page; empty while it is not up."""
    try:
        with urlopen(f"http://127.0.0.1:{port}/metrics", timeout=5) as page:
            return str(page.read().decode())
    except (URLError, OSError):
        return ""


def actors_of(head: Head, environment: dict[str, str]) -> list[dict[str, str]]:
    """Name and state of every actor the head remembers."""
    code = (
        "import json, sys; from ray.util.state import list_actors; "
        "print(json.dumps([dict(name=a.name, state=a.state) for a in list_actors(sys.argv[1], limit=1000)]))"
    )
    listed = subprocess.run(
        [sys.executable, "-c", code, head.address], env=environment, capture_output=True, text=True, check=True
    )
    found: list[dict[str, str]] = json.loads(listed.stdout.splitlines()[-1])
    return found


def test_a_submitted_job_finishes_and_its_log_is_followed(watched: Watched) -> None:
    assert watched.status == 0, watched.output[-4000:]
    assert "after RL" in watched.output


def test_its_run_folder_is_where_the_command_was_given(watched: Watched) -> None:
    assert (watched.folder / "summary.json").exists()


def test_prometheus_exports_the_numbers_of_the_run_while_it_runs(watched: Watched) -> None:
    missing = [name for name in WANTED if f"{name}{{" not in watched.metrics]
    assert not missing
    assert 'run="watched"' in watched.metrics


def test_actors_have_telling_names_and_are_gone_afterwards(watched: Watched) -> None:
    states = {actor["name"]: actor["state"] for actor in watched.actors}
    assert states["watched/engine-0"] == states["watched/learner-0"] == "DEAD"
    assert set(states.values()) == {"DEAD"}, states
