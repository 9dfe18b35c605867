"""Does the judge's latency hide behind generation and learning? ``make bench-judge``.

One and the same RL run, once with a judge that answers at once and once with one that takes 200 ms a verdict, 16 at a
time. What is compared is the wall time of a step, by how far generation may run ahead.
"""

import argparse
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from rich.console import Console

from cluster.journal import METRICS_FILE, read_rows
from evaluation.tables import aligned
from judge_client.rule_process import start_rule_server

FOLDER = Path("runs/bench/judge")
NUM_STEPS = 24
NUM_WARMING_UP = 4
"""First steps, which are left out: libraries are still being loaded."""
SETTINGS = (
    "judge=remote", "judge.max_concurrent=16", "judge.cache=false", f"loop.num_steps={NUM_STEPS}",
    "loop.evaluate_every=0", "loop.checkpoint_every=0", "warm_up.num_steps=0", "cold_start.num_steps=0",
    "evaluation.num_prompts=2", "model.size=null", "run.resume=never", "cluster.cpu_threads_per_actor=1",
)  # fmt: skip


def main(arguments: Sequence[str] | None = None) -> None:
    """Run both judges at every lag, then print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", type=Path, help="a cold-started judge, such as runs/demo-pairs/reference")
    parser.add_argument("--delay-ms", type=int, default=200, help="latency of the slow judge")
    parser.add_argument("--lags", type=int, nargs="+", default=[0, 1, 2], help="values of loop.max_lag")
    given = parser.parse_args(arguments)
    rows = [_row(given.model, lag=lag, delay_ms=given.delay_ms) for lag in given.lags]
    header = ("max_lag", "instant judge, s/step", f"{given.delay_ms} ms judge, s/step", "ratio", "judged/step")
    Console(highlight=False, markup=False).print("\n".join(aligned([header, *rows])))


def _row(model: Path, *, lag: int, delay_ms: int) -> tuple[str, ...]:
    instant, _ = _step_seconds(model, lag=lag, delay_ms=0)
    slow, num_judged = _step_seconds(model, lag=lag, delay_ms=delay_ms)
    return (str(lag), f"{instant:.2f}", f"{slow:.2f}", f"{slow / instant:.2f}", f"{num_judged:.0f}")


def _step_seconds(model: Path, *, lag: int, delay_ms: int) -> tuple[float, float]:
    """Median wall seconds of a step, and the requests the judge got per step."""
    folder = FOLDER / f"lag-{lag}-delay-{delay_ms}"
    shutil.rmtree(folder, ignore_errors=True)
    with start_rule_server("--delay-ms", str(delay_ms)) as server:
        command = [
            *(sys.executable, "-m", "cluster.main", "train", "recipe=demo_pairs", *SETTINGS),
            *(f"judge.base_urls=[{server.url}]", f"loop.max_lag={lag}", f"model.path={model}"),
            *(f"run.name={folder.name}", f"run.folder={folder}"),
        ]
        subprocess.run(command, stdout=subprocess.DEVNULL, check=True)
    rows = [row for row in read_rows(folder / METRICS_FILE) if row["phase"] == "rl"][NUM_WARMING_UP:]
    # The learner is never idle for long, so a step takes what it waits, learns and pushes.
    seconds = [sum(float(row[f"loop/{part}/seconds"]) for part in ("wait", "learn", "push")) for row in rows]
    return float(np.median(seconds)), float(np.mean([float(row["judge/requests/count"]) for row in rows]))


if __name__ == "__main__":
    main()
