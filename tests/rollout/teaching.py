"""A tiny model that has learned the form of an answer and nothing of pictures, in a few seconds."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import nn

from conf.load import load_run_config
from conf.schema import RunConfig
from rollout.datasets import build_data
from rollout.families import build_family
from rollout.families.base import Family
from rollout.families.tiny_qwen_vl import TinyModelSize, create_tiny_qwen_vl
from rollout.types import Demonstration

WORDING = "visualquality_r1_no_thinking"
NUM_STEPS, BATCH = 100, 8
LEARNING_RATE = 3e-3


def photographs(*overrides: str) -> RunConfig:
    """A configuration of real photographs that are asked about in ``WORDING``."""
    return load_run_config(
        ["data=photo_distortions", f"data.prompt={WORDING}", "loop.num_steps=0", "evaluation.num_prompts=2", *overrides]
    )


def teach_form(model: nn.Module, *, family: Family, wording: str = WORDING) -> None:
    """Supervised steps on answers of the right form, with scores that carry no information."""
    demonstrations = build_data(photographs(f"data.prompt={wording}").data).cold_start
    assert demonstrations is not None, "photographs come with demonstrations"
    optimizer = torch.optim.AdamW(model.parameters(), lr=LEARNING_RATE)
    for step in range(NUM_STEPS):
        batch = [demonstrations.demonstration(step * BATCH + number) for number in range(BATCH)]
        optimizer.zero_grad()
        _loss(model, batch, family=family).backward()
        optimizer.step()


def make_taught_model(folder: Path, *, wording: str) -> None:
    """Write such a model, taught in a wording, to a folder."""
    create_tiny_qwen_vl(folder, size=TinyModelSize(), seed=0)
    family = build_family(photographs().model, folder=str(folder))
    model: Any = family.load_model(dtype=torch.float32, attention="sdpa")
    teach_form(model, family=family, wording=wording)
    model.save_pretrained(folder)


def _loss(model: nn.Module, batch: Sequence[Demonstration], *, family: Family) -> torch.Tensor:
    rows = [(family.encode(one.prompt), family.encode_target(one.target)) for one in batch]
    logits = model(**family.forward_arguments(rows)).logits
    losses = []
    for row, (prompt, target) in enumerate(rows):
        start = len(prompt.token_ids) - 1
        wanted = torch.from_numpy(target).long()
        losses.append(nn.functional.cross_entropy(logits[row, start : start + len(target)], wanted))
    return torch.stack(losses).mean()
