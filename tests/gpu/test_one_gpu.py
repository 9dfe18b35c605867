"""The real job on a GPU; the CPU twin is tests/cluster/test_end_to_end.py. Skipped where there is none.

In bf16 two implementations differ by up to some hundredths of a nat, so the parity bound is wider than on CPU.
"""

import json
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import torch

from learner.head import ScoringHead, score, set_scoring_head
from learner.logprobs import Targets, TokenScores
from learner.rows import Row, ScoresOf, score_rows
from rollout.families.base import Layout
from rollout.families.tiny_qwen_vl import TinyModelSize, create_tiny_qwen_vl
from tests.learner.builders import make_demonstrations_of_every_kind, make_family, make_prompts_of_every_kind

ROOT = Path(__file__).parents[2]
BF16_BOUND = 0.08

pytestmark = pytest.mark.gpu


def scores_of(model: torch.nn.Module, *, head: ScoringHead) -> ScoresOf:
    def scores(arguments: Mapping[str, Any], targets: Targets) -> TokenScores:
        return score(model, head, arguments=arguments, targets=targets, device=torch.device("cuda"))

    return scores


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


@pytest.mark.skipif(torch.cuda.device_count() < 1, reason="needs a GPU")
@torch.no_grad()
def test_flash_attention_keeps_packed_rows_apart(tmp_path: Path) -> None:
    pytest.importorskip("flash_attn")
    size = TinyModelSize(vision_heads=2, text_heads=2, text_kv_heads=2)
    create_tiny_qwen_vl(tmp_path / "model", size=size, seed=1)
    family = make_family(str(tmp_path / "model"))
    model = family.load_model(dtype=torch.bfloat16, attention="flash_attention_2").eval().cuda()
    scores = scores_of(model, head=set_scoring_head(model, head_dtype="model"))
    rows = [
        Row(prompt=family.encode(one.prompt), completion=family.encode_target(one.target))
        for one in make_demonstrations_of_every_kind()
    ]
    together = score_rows(scores, rows, family=family, layout="packed", temperature=1.0).logprobs_BT
    for place, row in enumerate(rows):
        alone = score_rows(scores, [row], family=family, layout="padded", temperature=1.0).logprobs_BT[0]
        torch.testing.assert_close(together[place, : len(alone)], alone, rtol=0, atol=BF16_BOUND)


@pytest.mark.skipif(torch.cuda.device_count() < 1, reason="needs a GPU")
@pytest.mark.parametrize(
    ("attention", "dtype", "bound"),
    [
        ("flash_attention_2", torch.bfloat16, BF16_BOUND),
        ("sdpa", torch.bfloat16, BF16_BOUND),
        ("sdpa", torch.float32, 1e-3),
    ],
)
def test_completions_share_their_prompt(tmp_path: Path, attention: str, dtype: torch.dtype, bound: float) -> None:
    if attention == "flash_attention_2":
        pytest.importorskip("flash_attn")
    size = TinyModelSize(vision_heads=2, text_heads=2, text_kv_heads=1)
    create_tiny_qwen_vl(tmp_path / "model", size=size, seed=1)
    family = make_family(str(tmp_path / "model"))
    rows = [
        Row(prompt=prompt, completion=family.encode_target(" ".join(["mild haze"] * number)))
        for prompt in map(family.encode, make_prompts_of_every_kind())
        for number in (1, 4, 2)
    ]
    found: dict[Layout, tuple[torch.Tensor, torch.Tensor]] = {}
    layouts: tuple[Layout, Layout] = ("shared", "padded")
    for layout in layouts:
        model = family.load_model(dtype=dtype, attention=attention, layout=layout).cuda()
        scores = scores_of(model, head=set_scoring_head(model, head_dtype="model"))
        logprobs_BT = score_rows(scores, rows, family=family, layout=layout, temperature=1.0).logprobs_BT
        torch.autograd.backward(logprobs_BT.sum())
        gradient = torch.cat([one.grad.flatten().float() for one in model.parameters() if one.grad is not None])
        found[layout] = (logprobs_BT.detach(), gradient)
    (logprobs, gradient), (expected, expected_gradient) = found["shared"], found["padded"]
    torch.testing.assert_close(logprobs, expected, rtol=0, atol=bound)
    assert float((gradient - expected_gradient).norm() / expected_gradient.norm()) < bound


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
