"""One learner rank: a plain class, made a remote actor elsewhere. All ranks are called alike.

supervised_step / policy_step --> engine --> export, publish, checkpoint
"""

import gc
import logging
from collections.abc import Callable, Mapping, Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
import torch
from transformers import PreTrainedModel

from conf.algorithms import AlgorithmConfig
from conf.schema import LearnerConfig
from learner.algorithms import build_algorithm
from learner.engine import ZeroEngine
from learner.export import export
from learner.phases import PhaseName, Window
from learner.policy import PolicyTrainer
from learner.publish import WeightPublisher, WeightSender, digest
from learner.random_state import load_random_state, save_random_state, seed_everything
from learner.reference import Reference
from learner.rows import PromptEncoder, Row, layout_of, score_rows
from learner.schedule import policy_learning_rate
from learner.supervised import SupervisedTrainer
from learner.trainable import choose_trainable
from learner.types import Rendezvous, ScoringRequest, StepReport, TrainerScore, TrainingBatch
from rollout.families.base import Family
from rollout.types import Demonstration
from rollout.weights.manifest import WeightManifest

log = logging.getLogger(__name__)

FamilyFactory = Callable[[str], Family]
"""Builds the model family for a model folder."""


class LearnerWorker:
    """The model and its optimizer on one rank."""

    def __init__(
        self,
        rendezvous: Rendezvous,
        *,
        model_folder: str,
        family_factory: FamilyFactory,
        learner: LearnerConfig,
        algorithm: AlgorithmConfig,
        temperature: float,
        seed: int,
    ) -> None:
        """``temperature`` is the one completions are sampled at."""
        if rendezvous.world_size != learner.world_size:
            raise ValueError(f"learner.world_size={learner.world_size} but {rendezvous.world_size} ranks were started")
        self._config, self._family_factory, self._temperature = learner, family_factory, temperature
        self._algorithm = build_algorithm(algorithm)
        self._phase: str = "start"
        self._device = torch.device("cuda", 0) if torch.cuda.is_available() else torch.device("cpu")
        self._dtype = resolve_dtype(learner, self._device)
        self._attention = resolve_attention(learner, self._device, self._dtype)
        self._layout = layout_of(learner)
        join(rendezvous, device=self._device)
        seed_everything(seed)
        self._rank = rendezvous.rank
        self._family = family_factory(model_folder)
        model = self._family.load_model(dtype=self._dtype, attention=self._attention, layout=self._layout)
        choose_trainable(model, family=self._family, config=learner)
        if learner.gradient_checkpointing:
            enable_gradient_checkpointing(model)
        self._engine = ZeroEngine(model, config=learner, dtype=self._dtype)
        self._encoder = PromptEncoder(self._family)
        self._reference: Reference | None = None
        self._policy = PolicyTrainer(
            self._engine,
            family=self._family,
            encoder=self._encoder,
            algorithm=self._algorithm,
            learner=learner,
            temperature=temperature,
            seed=seed,
        )
        self._supervised = SupervisedTrainer(
            self._engine,
            family=self._family,
            encoder=self._encoder,
            learner=learner,
        )
        log.info(
            "learner rank=%d device=%s dtype=%s zero=%d algorithm=%s anchor=%s old_logprobs=%s",
            self._rank,
            self._device,
            self._dtype,
            learner.zero_stage,
            algorithm.kind,
            algorithm.anchor,
            "recomputed" if self._algorithm.needs_old_logprobs else "current",
        )

    def start_phase(self, name: PhaseName, *, reference_folder: str | None) -> None:
        """Begin ``name`` with fresh optimizer moments; a KL penalty compares with ``reference_folder``.

        Raises:
            ValueError: The algorithm needs a reference and none is given for the rl phase.
        """
        self._phase = name
        self._engine.reset_optimizer()
        self._reference = None
        if name != "rl" or not self._algorithm.needs_reference:
            return
        if reference_folder is None:
            raise ValueError("algorithm.kl.coefficient is above 0: the rl phase needs a reference_folder")
        self._reference = Reference(
            self._family_factory(reference_folder),
            dtype=self._dtype,
            attention=self._attention,
            device=self._device,
            layout=self._layout,
            head_dtype=self._config.head_dtype,
            temperature=self._temperature,
        )

    def supervised_step(
        self, demonstrations: Sequence[Demonstration], *, step: int, learning_rate: float
    ) -> dict[str, float]:
        """One optimizer step on ``demonstrations``, of which this rank takes its share; global metrics."""
        window = Window(phase=self._phase, step=step, learning_rate=learning_rate)
        return self._supervised.step(demonstrations, window)

    def supervised_loss(self, demonstrations: Sequence[Demonstration]) -> float:
        """Mean loss in nats per answer token, the same on all ranks; nothing is learned."""
        return self._supervised.loss(demonstrations)

    def policy_step(self, batch: TrainingBatch, *, step: int) -> StepReport:
        """Learn from ``batch``, of which this rank takes its share; weights become version step + 1."""
        rate = policy_learning_rate(
            step,
            peak=self._config.learning_rate,
            warmup_steps=self._config.warmup_steps,
            decay_steps=self._config.decay_steps,
        )
        window = Window(phase=self._phase, step=step, learning_rate=rate)
        metrics = self._policy.step(batch, window, reference=self._reference)
        return StepReport(policy_version=step + 1, metrics=metrics)

    @torch.no_grad()
    def completion_logprobs(self, requests: Sequence[ScoringRequest]) -> list[TrainerScore]:
        """Score completions one by one; every rank scores all of them, in lockstep, and returns the same."""
        self._engine.train(enabled=False)
        return [self._score(request) for request in requests]

    def parameter_metadata(self) -> WeightManifest:
        """What ``publish`` sends, in order."""
        return self._engine.parameter_metadata()

    def publish(self, sender: WeightSender | None) -> None:
        """Push the weights; every rank calls this, ranks without a sender only take part in the gathers."""
        WeightPublisher(self._engine).publish(sender)

    def weights_digest(self) -> str:
        """Checksum of the full weights; equal on all ranks."""
        return digest(self._engine.iterate_full_parameters())

    def save_checkpoint(self, folder: str, *, extra: Mapping[str, object]) -> None:
        """Write engine, optimizer, random states and ``extra``; the caller renames the folder into place."""
        Path(folder).mkdir(parents=True, exist_ok=True)
        self._engine.save(folder, extra={"phase": self._phase, "caller": dict(extra)})
        save_random_state(self._random_state_path(folder))
        torch.distributed.barrier()

    def load_checkpoint(self, folder: str) -> dict[str, Any]:
        """Restore what ``save_checkpoint`` wrote and return its ``extra``; call ``start_phase`` before."""
        extra = self._engine.load(folder)
        self._phase = str(extra["phase"])
        load_random_state(self._random_state_path(folder))
        return dict(extra["caller"])

    def export(self, folder: str) -> None:
        """Write a plain Hugging Face folder; returns on every rank once it is complete."""
        export(self._engine, family=self._family, folder=folder)

    def close(self) -> None:
        """Release the engine; the process stays in the group, and another worker may follow."""
        self._engine.close()

    def release_memory(self) -> None:
        """Give cached GPU memory back to the device, for an engine on the same GPU."""
        gc.collect()
        if self._device.type == "cuda":
            torch.cuda.empty_cache()

    def shutdown(self) -> None:
        """Release the engine and leave the group for good: a process joins once."""
        self.close()
        torch.distributed.destroy_process_group()

    def _score(self, request: ScoringRequest) -> TrainerScore:
        encoded = self._encoder.encode(request.prompt)
        row = Row(prompt=encoded, completion=request.token_ids)
        scores = score_rows(
            self._engine.scores,
            [row],
            family=self._family,
            layout=self._layout,
            temperature=self._temperature,
        )
        return TrainerScore(
            logprobs=scores.logprobs_BT[0, : len(request.token_ids)].cpu().numpy().astype(np.float32),
            prompt_token_ids=encoded.token_ids,
            num_media_tokens=encoded.num_media_tokens,
            media_grids=encoded.media_grids,
        )

    def _random_state_path(self, folder: str) -> Path:
        return Path(folder) / f"random_state_rank{self._rank}.pt"


def join(rendezvous: Rendezvous, *, device: torch.device) -> None:
    """Meet the other ranks; blocks until all are there or the timeout has passed.

    A process joins once, because DeepSpeed holds on to the first group; later calls only check their place.

    Raises:
        ValueError: This process has already joined as another rank.
    """
    if torch.distributed.is_initialized():
        place = (torch.distributed.get_rank(), torch.distributed.get_world_size())
        if place != (rendezvous.rank, rendezvous.world_size):
            raise ValueError(
                f"this process is rank {place[0]} of {place[1]} already and cannot become "
                f"rank {rendezvous.rank} of {rendezvous.world_size}; start another process"
            )
        return
    if device.type == "cuda":
        torch.cuda.set_device(device)
    torch.distributed.init_process_group(
        "nccl" if device.type == "cuda" else "gloo",
        init_method=f"tcp://{rendezvous.master_address}:{rendezvous.master_port}",
        rank=rendezvous.rank,
        world_size=rendezvous.world_size,
        timeout=timedelta(seconds=rendezvous.timeout_s),
    )


def resolve_dtype(config: LearnerConfig, device: torch.device) -> torch.dtype:
    """What ``learner.dtype`` means on ``device``."""
    if config.dtype == "auto":
        return torch.bfloat16 if device.type == "cuda" else torch.float32
    return torch.float32 if config.dtype == "float32" else torch.bfloat16


def resolve_attention(config: LearnerConfig, device: torch.device, dtype: torch.dtype) -> str:
    """What ``learner.attention`` means on ``device``; flash attention computes in bfloat16 only."""
    if config.attention == "auto":
        return "flash_attention_2" if device.type == "cuda" and dtype == torch.bfloat16 else "sdpa"
    return config.attention


def enable_gradient_checkpointing(model: torch.nn.Module) -> None:
    """Recompute activations in the backward pass.

    The non-reentrant kind: the reentrant one needs inputs with gradients and would leave the vision tower,
    whose inputs are pixels, without any.
    """
    if not isinstance(model, PreTrainedModel):
        raise TypeError(f"expected a transformers model, got {type(model).__name__}")
    model.gradient_checkpointing_enable(gradient_checkpointing_kwargs={"use_reentrant": False})
