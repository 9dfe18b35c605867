"""The DeepSpeed engine around one model: the only module that imports deepspeed.

DeepSpeed averages gradients over ranks and divides by its accumulation steps. Here every token's loss already
carries its weight in the whole optimizer window, over all ranks and micro-batches, so both are undone:
accumulation steps stay 1 with the window's end set by hand, and each loss is multiplied by the number of
ranks.
"""

import logging
import math
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import deepspeed
import torch
from deepspeed.runtime.zero import ZeroParamStatus
from torch import Tensor

from conf.schema import LearnerConfig
from learner.head import score, set_scoring_head
from learner.logprobs import Targets, TokenScores
from learner.phases import NonFiniteStepError, Window
from learner.trainable import full_parameters
from rollout.weights.manifest import TensorEntry, WeightManifest, buckets

log = logging.getLogger(__name__)

CHECKPOINT_TAG = "engine"
GATHER_BYTES = 256 * 2**20
"""ZeRO-3 parameters are gathered in runs of about this size: few collectives, little extra memory."""


class ZeroEngine:
    """A model that learns: forward, backward, step, and everything that touches sharded parameters."""

    def __init__(self, model: torch.nn.Module, *, config: LearnerConfig, dtype: torch.dtype) -> None:
        self._world_size = torch.distributed.get_world_size()
        self._is_sharded = config.zero_stage == 3
        # The ranks are processes with one device each, whatever their number on the machine.
        os.environ.setdefault("LOCAL_RANK", "0")
        _leave_out_inference_kernel()
        self._head = set_scoring_head(model, head_dtype=config.head_dtype)
        parameters = [parameter for parameter in model.parameters() if parameter.requires_grad]
        # A learning rate of 0: ZeRO-3 takes a step with zero gradients to create its optimizer state, which
        # must not decay the weights. Each real step sets its own.
        optimizer = torch.optim.AdamW(parameters, lr=0.0, betas=config.betas, weight_decay=config.weight_decay)
        self._engine, *_ = deepspeed.initialize(
            model=model,
            optimizer=optimizer,
            config=deepspeed_config(config, dtype=dtype, world_size=self._world_size),
            dist_init_required=False,
        )
        self.reset_optimizer()

    @property
    def device(self) -> torch.device:
        """Where inputs must be."""
        return torch.device(self._engine.device)

    @property
    def module(self) -> torch.nn.Module:
        """The wrapped model; its parameters are shards under ZeRO-3."""
        module: torch.nn.Module = self._engine.module
        return module

    def scores(self, arguments: Mapping[str, Tensor], targets: Targets) -> TokenScores:
        """Forward pass that ends in the scores of the targets."""
        return score(self._engine, self._head, arguments=arguments, targets=targets, device=self.device)

    def train(self, *, enabled: bool) -> None:
        """Switch between training and scoring mode."""
        self._engine.train(enabled)

    def backward(self, loss: Tensor, *, is_last: bool) -> None:
        """Accumulate the gradient of one micro-batch's share of the window's loss."""
        self._engine.set_gradient_accumulation_boundary(is_last)
        self._engine.backward(loss * self._world_size, scale_wrt_gas=False)

    def step(self, window: Window) -> float:
        """Clip, update the weights, and return the gradient norm before clipping.

        Raises:
            NonFiniteStepError: The gradient norm is not a finite number; names phase and step.
        """
        for group in self._engine.optimizer.param_groups:
            group["lr"] = window.learning_rate
        # Stage 0 in float32 has no DeepSpeed optimizer around it and reports no norm.
        norm = self._plain_gradient_norm() if self._is_plain else None
        if norm is not None:
            _check_finite(norm, window)
        self._engine.step()
        if norm is None:
            norm = float(self._engine.get_global_grad_norm())
            _check_finite(norm, window)
        return norm

    def reset_optimizer(self) -> None:
        """Forget moments and step counts, in place; a new phase starts with a fresh AdamW."""
        for state in self._base_optimizer.state.values():
            for value in state.values():
                if isinstance(value, Tensor):
                    value.zero_()

    def save(self, folder: str, *, extra: Mapping[str, object]) -> None:
        """Write weights, optimizer and ``extra``; every rank calls this. The caller makes it atomic."""
        self._engine.save_checkpoint(folder, tag=CHECKPOINT_TAG, client_state=dict(extra), save_latest=False)

    def load(self, folder: str) -> dict[str, Any]:
        """Restore what ``save`` wrote with the same ranks and ZeRO stage; return ``extra``.

        Raises:
            ValueError: The folder holds no checkpoint of this learner.
        """
        if not (Path(folder) / CHECKPOINT_TAG).is_dir():
            raise ValueError(f"{folder} holds no learner checkpoint: expected a folder {CHECKPOINT_TAG}/ in it")
        path, extra = self._engine.load_checkpoint(folder, tag=CHECKPOINT_TAG)
        if path is None:
            raise ValueError(f"{folder} does not fit this learner; resume with the same world_size and zero_stage")
        return dict(extra)

    def parameter_metadata(self) -> WeightManifest:
        """Names, types and full shapes in the order ``iterate_full_parameters`` yields."""
        return WeightManifest(
            entries=tuple(
                TensorEntry(
                    name=one.name,
                    dtype_name=str(one.base.dtype).removeprefix("torch."),
                    shape=self._full_shape(one.base),
                )
                for one in full_parameters(self.module)
            )
        )

    def iterate_full_parameters(self) -> Iterator[tuple[str, Tensor]]:
        """Yield every parameter whole and merged with its adapter, tied ones once.

        All ranks must iterate to the end, because ZeRO-3 gathers in lockstep.
        """
        by_name = {one.name: one for one in full_parameters(self.module)}
        if not self._is_sharded:
            yield from ((name, one.merged()) for name, one in by_name.items())
            return
        for run in buckets(self.parameter_metadata().entries, bucket_bytes=GATHER_BYTES):
            sharded: list[Any] = [tensor for entry in run for tensor in by_name[entry.name].tensors]
            with deepspeed.zero.GatheredParameters(
                [one for one in sharded if one.ds_status == ZeroParamStatus.NOT_AVAILABLE]
            ):
                # Copies, because a transport packs several tensors and may read them after this gather has ended;
                # it also walks this iterator on streams of its own, which DeepSpeed does not wait for.
                synchronize(self.device)
                yield from ((entry.name, by_name[entry.name].merged().clone()) for entry in run)
                synchronize(self.device)

    def close(self) -> None:
        """Release DeepSpeed's hooks and buffers."""
        self._engine.destroy()

    def _full_shape(self, parameter: torch.nn.Parameter) -> tuple[int, ...]:
        sharded: Any = parameter
        return tuple(sharded.ds_shape if self._is_sharded else parameter.shape)

    @property
    def _is_plain(self) -> bool:
        return isinstance(self._engine.optimizer, torch.optim.Optimizer)

    @property
    def _base_optimizer(self) -> torch.optim.Optimizer:
        optimizer = self._engine.optimizer
        found = optimizer if self._is_plain else optimizer.optimizer
        assert isinstance(found, torch.optim.Optimizer)
        return found

    def _plain_gradient_norm(self) -> float:
        gradients = [one.grad for one in self.module.parameters() if one.grad is not None]
        return float(torch.nn.utils.get_total_norm(gradients))


def deepspeed_config(config: LearnerConfig, *, dtype: torch.dtype, world_size: int) -> dict[str, Any]:
    """DeepSpeed's own configuration for ours."""
    settings: dict[str, Any] = {
        "train_micro_batch_size_per_gpu": config.micro_batch_size,
        "gradient_accumulation_steps": 1,
        "train_batch_size": config.micro_batch_size * world_size,
        "gradient_clipping": config.max_grad_norm,
        "zero_optimization": {"stage": config.zero_stage},
        "zero_allow_untested_optimizer": True,
        "steps_per_print": 2**31,
    }
    if dtype == torch.bfloat16:
        settings["bf16"] = {"enabled": True, "check_grad_overflow": True}
        if config.zero_stage:
            # Thousands of bfloat16 gradients must not be added up in bfloat16.
            settings["data_types"] = {"grad_accum_dtype": "fp32"}
    return settings


def _leave_out_inference_kernel() -> None:
    # On CPU DeepSpeed would compile a C++ all-reduce that only its inference engine uses, and fail where
    # there is no compiler. This table is where it looks up what may be compiled.
    deepspeed.ops.__compatible_ops__["deepspeed_shm_comm"] = False


def _check_finite(norm: float, window: Window) -> None:
    # DeepSpeed reports a norm it could not compute as -1.
    if not math.isfinite(norm) or norm < 0.0:
        raise NonFiniteStepError(
            f"gradient norm is {norm} at phase={window.phase} step={window.step}; lower the learning rate "
            f"(now {window.learning_rate:g}) or resume from an older checkpoint with other data"
        )


def synchronize(device: torch.device) -> None:
    """Wait for everything queued on a GPU; nothing to wait for on CPU."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
