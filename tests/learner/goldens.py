"""The published losses of other systems on one fixed input (see its own header for commits)."""

import json
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from learner.loss import PolicyTokens
from learner.types import Outcome

FILE = Path(__file__).parents[2] / "../shared/data/peer_goldens/policy_losses.json"


@cache
def golden() -> dict[str, Any]:
    """Inputs and values; skips the test where the file is not beside the repository."""
    if not FILE.exists():
        pytest.skip(f"{FILE.name} is not beside this checkout")
    content: dict[str, Any] = json.loads(FILE.read_text())
    return content


def golden_input(name: str, *, dtype: torch.dtype = torch.float32) -> Tensor:
    """One input by name."""
    return torch.tensor(golden()["inputs"][name], dtype=dtype)


def golden_tokens(*, dtype: torch.dtype = torch.float32) -> PolicyTokens:
    """The fixed input: 8 completions of up to 16 tokens in two groups; the reference's log-probs included."""
    current_BT = golden_input("cur", dtype=dtype).requires_grad_()
    return PolicyTokens(
        current_BT=current_BT,
        old_BT=golden_input("old", dtype=dtype),
        engine_BT=golden_input("rollout", dtype=dtype),
        reference_BT=golden_input("ref", dtype=dtype),
        entropy_BT=torch.zeros_like(current_BT),
        advantages_BT=golden_input("adv", dtype=dtype)[:, None].expand_as(current_BT),
        mask_BT=golden_input("mask") > 0,
    )


def golden_outcomes() -> list[Outcome]:
    """Rewards, groups and lengths of the fixed input."""
    inputs = golden()["inputs"]
    lengths = golden_input("mask").sum(1).int().tolist()
    names = sorted(set(inputs["groups"]))
    return [
        Outcome(reward=reward, parts={}, group_index=names.index(group), num_tokens=length)
        for reward, group, length in zip(inputs["rewards"], inputs["groups"], lengths, strict=True)
    ]
