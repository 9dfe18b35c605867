"""A trained model as a plain Hugging Face folder, complete or not there at all."""

import shutil
from pathlib import Path

import torch
from torch import Tensor
from transformers import PreTrainedModel

from learner.engine import ZeroEngine
from rollout.families.base import Family


def export(engine: ZeroEngine, *, family: Family, folder: str) -> None:
    """Write weights, config and processor, replacing a ``folder`` that is there; every rank calls this."""
    is_writer = torch.distributed.get_rank() == 0
    state: dict[str, Tensor] = {}
    for name, tensor in engine.iterate_full_parameters():
        if is_writer:
            state[name] = tensor.to("cpu", copy=True)
    if is_writer:
        _write(engine.module, state, family=family, folder=Path(folder))
    torch.distributed.barrier()


def _write(module: torch.nn.Module, state: dict[str, Tensor], *, family: Family, folder: Path) -> None:
    if not isinstance(module, PreTrainedModel):
        raise TypeError(f"expected a transformers model to export, got {type(module).__name__}")
    partial, previous = (
        folder.with_name(f"{folder.name}.partial"),
        folder.with_name(f"{folder.name}.previous"),
    )
    for left_over in (partial, previous):
        shutil.rmtree(left_over, ignore_errors=True)
    partial.mkdir(parents=True)
    module.save_pretrained(partial, state_dict=state)
    family.save_processor(str(partial))
    if folder.exists():
        folder.rename(previous)
    partial.rename(folder)
    shutil.rmtree(previous, ignore_errors=True)
