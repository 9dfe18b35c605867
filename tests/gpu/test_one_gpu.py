"""The real job on a GPU; the CPU twin is tests/cluster/test_end_to_end.py. Skipped where there is none.

In bf16 two implementations differ by up to some hundredths of a nat, so the parity bound is wider than on CPU.
"""

import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch

ROOT = Path(__file__).parents[2]
BF16_BOUND = 0.08

pytestmark = pytest.mark.gpu


def run_smoke(folder: Path, *overrides: str) -> str:
    command = [sys.executable, "-m", "cluster.main", "train", "recipe=smoke", f"run.folder={folder}", *overrides]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=900, check=False)
    assert done.returncode == 0, (done.stdout + done.stderr)[-4000:]
    return done.stdout


@pytest.mark.skipif(torch.cuda.device_count() < 1, reason="needs a GPU")
def test_the_job_runs_on_one_gpu_in_bf16_with_an_ipc_push(tmp_path: Path) -> None:
    output = run_smoke(
        tmp_path / "run", "cluster=one_gpu", f"parity.max_logprob_difference={BF16_BOUND}", "parity.every=1"
    )
    assert "placement one_gpu, weights over ipc" in output
    assert json.loads((tmp_path / "run" / "summary.json").read_text())["srcc"].keys() == {
        "untrained",
        "cold_start",
        "rl",
    }


@pytest.mark.skipif(torch.cuda.device_count() < 2, reason="needs two GPUs")
def test_the_job_runs_on_two_gpus_with_an_nccl_push(tmp_path: Path) -> None:
    output = run_smoke(
        tmp_path / "run",
        "cluster=one_gpu",
        "cluster.gpus_per_node=2",
        "cluster.placement=split",
        f"parity.max_logprob_difference={BF16_BOUND}",
        "parity.every=1",
    )
    assert "placement split, weights over nccl" in output
