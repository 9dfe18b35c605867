"""Which weights learn: frozen parts of the model, and low-rank adapters in place of whole matrices.

    model --freeze--> the rest learns --add_adapters--> only A and B learn, W stays

Nobody outside the learner sees an adapter: pushes and exports carry ``W + scale B A`` under the name of ``W``, so the
engines, a checkpoint's reader and the KL reference know plain models only.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from peft import LoraConfig, inject_adapter_in_model
from torch import Tensor
from torch.nn import Linear, Module, Parameter

from conf.machine import ModelPart
from conf.schema import LearnerConfig
from rollout.families.base import Family

SCALE = 2
"""Adapters add ``SCALE * B A``, whatever their rank: LoRA's alpha is twice the rank (arXiv 2106.09685, section 4.1)."""
_ADAPTER = "default"
_BASE = ".base_layer."
_DOWN, _UP = f".lora_A.{_ADAPTER}.weight", f".lora_B.{_ADAPTER}.weight"


@dataclass(frozen=True, kw_only=True, slots=True)
class FullParameter:
    """A parameter of the plain model, and the adapter that moves it."""

    name: str
    base: Parameter
    down: Parameter | None
    """A, ``[rank, in]``; None where there is no adapter."""
    up: Parameter | None
    """B, ``[out, rank]``."""

    @property
    def tensors(self) -> tuple[Parameter, ...]:
        """What must be whole before ``merged`` is called."""
        return (self.base,) if self.down is None or self.up is None else (self.base, self.down, self.up)

    @torch.no_grad()
    def merged(self) -> Tensor:
        """The weight of the plain model; added up in float32 or wider."""
        if self.down is None or self.up is None:
            return self.base.detach()
        wide = torch.promote_types(self.base.dtype, torch.float32)
        moved = self.base.to(wide) + SCALE * (self.up.to(wide) @ self.down.to(wide))
        return moved.to(self.base.dtype)


def choose_trainable(model: Module, *, family: Family, config: LearnerConfig) -> None:
    """Freeze what ``learner.frozen`` names, and add adapters of ``learner.lora_rank`` to the rest.

    An adapter goes to every linear layer that is not frozen, the output layer excepted; everything else stays as it is.
    Adapters start at zero, so the model begins as it was.

    Raises:
        ValueError: Nothing is left to learn.
    """
    for name, parameter in model.named_parameters():
        parameter.requires_grad_(family.part_of(name) not in config.frozen)
    if config.lora_rank is not None:
        names = list(_linear_layers(model, family=family, frozen=config.frozen))
        if names:
            settings = LoraConfig(r=config.lora_rank, lora_alpha=SCALE * config.lora_rank, target_modules=names)
            inject_adapter_in_model(settings, model)
    if not any(parameter.requires_grad for parameter in model.parameters()):
        raise ValueError(f"learner.frozen={list(config.frozen)} leaves nothing to learn; remove a part from it")


def full_parameters(module: Module) -> list[FullParameter]:
    """The parameters of the plain model in order, tied ones once."""
    by_name = dict(module.named_parameters())
    return [
        FullParameter(
            name=name.replace(_BASE, "."),
            base=parameter,
            down=by_name.get(_beside(name, _DOWN)),
            up=by_name.get(_beside(name, _UP)),
        )
        for name, parameter in by_name.items()
        if not name.endswith((_DOWN, _UP))
    ]


def _beside(name: str, ending: str) -> str:
    """The name of an adapter's matrix next to a weight; of a bias or a weight without one, a name nothing has."""
    layer, base, field = name.rpartition(_BASE)
    return layer + ending if base and field == "weight" else ""


def _linear_layers(model: Module, *, family: Family, frozen: Sequence[ModelPart]) -> Iterator[str]:
    output_layers = [name for name, _ in model.named_modules() if name.endswith("lm_head")]
    for name, module in model.named_modules():
        is_plain = isinstance(module, Linear) and name not in output_layers
        if is_plain and family.part_of(f"{name}.weight") not in frozen:
            yield name
