"""One RL step on one rank: this rank's share of the batch, micro-batch by micro-batch, through the engine.

TrainingBatch --plan--> passes --encode--> rows --forward--> log-probs --token_loss--> backward ... step
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from learner.algorithms.base import Algorithm
from learner.batching import plan
from learner.engine import ZeroEngine
from learner.loss import PolicyTokens
from learner.metrics import MetricSums
from learner.phases import NonFiniteStepError, Window
from learner.reference import Reference
from learner.rows import PromptEncoder, Row, score_rows
from learner.types import TrainingBatch, TrainingSample
from rollout.families.base import Family


@dataclass(frozen=True, kw_only=True, slots=True)
class Pass:
    """One forward pass of this rank."""

    rows: tuple[Row, ...]
    engine_BT: Tensor
    advantages_B: Tensor
    mask_BT: Tensor
    """All False for a pass that only keeps other ranks company."""
    old_BT: Tensor | None = None
    reference_BT: Tensor | None = None


class PolicyTrainer:
    """Applies an algorithm's loss to batches."""

    def __init__(
        self,
        engine: ZeroEngine,
        *,
        family: Family,
        encoder: PromptEncoder,
        algorithm: Algorithm,
        micro_batch_size: int,
    ) -> None:
        self._engine, self._family, self._encoder = engine, family, encoder
        self._algorithm, self._micro_batch_size = algorithm, micro_batch_size
        self._rank = torch.distributed.get_rank()
        self._world_size = torch.distributed.get_world_size()

    def step(self, batch: TrainingBatch, window: Window, *, reference: Reference | None) -> dict[str, float]:
        """Take ``num_updates`` optimizer steps, each on the whole batch; metrics over all ranks.

        Raises:
            ValueError: The batch has no completion tokens, or engine and trainer disagree about a prompt.
            NonFiniteStepError: The loss or the gradient is not a finite number.
        """
        if not batch.num_loss_tokens:
            raise ValueError(f"step={window.step}: a batch without completion tokens has no loss to average")
        passes = [self._with_constants(one, reference) for one in self._passes(batch)]
        metrics, norms = MetricSums(), []
        for _ in range(self._algorithm.num_updates):
            metrics.merge(self._update(passes, batch.num_loss_tokens))
            norms.append(self._engine.step(window))
        report = metrics.reduced(device=self._engine.device).means()
        _check_finite(report["learner/loss"], window)
        return {
            **report,
            "learner/gradient_norm": max(norms),
            "learner/learning_rate": window.learning_rate,
            "learner/num_loss_tokens": float(batch.num_loss_tokens),
            "learner/completions_without_reward": float(batch.num_without_reward),
            "learner/advantage_std": float(np.std([sample.advantage for sample in batch.samples])),
        }

    def _update(self, passes: Sequence[Pass], num_loss_tokens: int) -> MetricSums:
        """Accumulate the gradient of ``sum(losses) / num_loss_tokens`` over this rank's passes."""
        self._engine.train(enabled=True)
        metrics = MetricSums()
        for index, one in enumerate(passes):
            scores = score_rows(self._logits, one.rows, family=self._family)
            loss = self._algorithm.token_loss(
                PolicyTokens(
                    current_BT=scores.logprobs_BT,
                    old_BT=scores.logprobs_BT.detach() if one.old_BT is None else one.old_BT,
                    engine_BT=one.engine_BT,
                    reference_BT=one.reference_BT,
                    entropy_BT=scores.entropy_BT,
                    advantages_B=one.advantages_B,
                    mask_BT=one.mask_BT,
                )
            )
            total = loss.losses_BT.sum()
            self._engine.backward(total / num_loss_tokens, is_last=index == len(passes) - 1)
            metrics.merge(loss.metrics)
            metrics.add("learner/loss", total)
        return metrics

    def _passes(self, batch: TrainingBatch) -> list[Pass]:
        lengths = [sample.num_tokens for sample in batch.samples]
        mine = plan(lengths, world_size=self._world_size, micro_batch_size=self._micro_batch_size)[self._rank]
        company = min(range(len(lengths)), key=lambda index: lengths[index])
        return [
            self._collate([batch.samples[i] for i in indices or (company,)], counts=bool(indices)) for indices in mine
        ]

    def _collate(self, samples: Sequence[TrainingSample], *, counts: bool) -> Pass:
        longest = max(1, *(len(sample.completion.token_ids) for sample in samples))
        engine_BT = np.zeros((len(samples), longest), dtype=np.float32)
        mask_BT = np.zeros((len(samples), longest), dtype=np.bool_)
        for row, sample in enumerate(samples):
            num_tokens = len(sample.completion.token_ids)
            engine_BT[row, :num_tokens] = sample.completion.logprobs
            mask_BT[row, :num_tokens] = counts
        device = self._engine.device
        return Pass(
            rows=tuple(
                Row(
                    prompt=self._encoder.encode_as_sampled(sample.prompt, sample.prompt_token_ids),
                    completion=sample.completion.token_ids,
                )
                for sample in samples
            ),
            engine_BT=torch.from_numpy(engine_BT).to(device),
            advantages_B=torch.tensor([s.advantage for s in samples], dtype=torch.float32, device=device),
            mask_BT=torch.from_numpy(mask_BT).to(device),
        )

    @torch.no_grad()
    def _with_constants(self, one: Pass, reference: Reference | None) -> Pass:
        """Add the log-probs that stay fixed over the updates on this batch."""
        old_BT = reference_BT = None
        if self._algorithm.num_updates > 1:
            self._engine.train(enabled=False)
            old_BT = score_rows(self._logits, one.rows, family=self._family).logprobs_BT
        if self._algorithm.needs_reference:
            if reference is None:
                raise ValueError("the algorithm needs a KL reference; start the rl phase with reference_folder")
            reference_BT = reference.logprobs(one.rows)
        return Pass(
            rows=one.rows,
            engine_BT=one.engine_BT,
            advantages_B=one.advantages_B,
            mask_BT=one.mask_BT,
            old_BT=old_BT,
            reference_BT=reference_BT,
        )

    def _logits(self, arguments: Mapping[str, Tensor], positions: range) -> Tensor:
        return self._engine.logits(arguments, positions=positions)


def _check_finite(loss: float, window: Window) -> None:
    if not math.isfinite(loss):
        raise NonFiniteStepError(f"loss is {loss} at phase={window.phase} step={window.step}")
