"""One RL step on one rank: this rank's share of the batch, micro-batch by micro-batch, through the engine.

TrainingBatch --minibatches, plan--> passes --forward--> old, reference log-probs --> (KL into the reward)
          --> per optimizer step: forward --> token_loss --> times weights --> backward ... step
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from conf.schema import LearnerConfig
from learner.advantage import Floats
from learner.algorithms.base import Algorithm
from learner.batching import MicroBatch, RowSize, loss_weights, minibatches, plan, plan_shared
from learner.correction import weight_sum
from learner.engine import ZeroEngine
from learner.logprobs import CompletionScores
from learner.loss import PolicyTokens
from learner.metrics import MetricSums
from learner.penalties import kl_to_reference
from learner.phases import NonFiniteStepError, Window
from learner.reference import Reference
from learner.rows import PromptEncoder, Row, layout_of, places_of, score_rows
from learner.types import TrainingBatch, TrainingSample
from rollout.families.base import Family


@dataclass(frozen=True, kw_only=True, slots=True)
class Pass:
    """One forward pass of this rank."""

    indices: tuple[int, ...]
    """Samples of the batch."""
    rows: tuple[Row, ...]
    engine_BT: Tensor
    weights_B: Tensor
    """Of each token's loss in its minibatch."""
    mask_BT: Tensor
    """All False for a pass that only keeps other ranks company."""
    old_BT: Tensor | None = None
    reference_BT: Tensor | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Minibatch:
    """One optimizer step's samples, and this rank's share of them."""

    indices: tuple[int, ...]
    passes: tuple[Pass, ...]


class PolicyTrainer:
    """Applies an algorithm's loss to batches."""

    def __init__(
        self,
        engine: ZeroEngine,
        *,
        family: Family,
        encoder: PromptEncoder,
        algorithm: Algorithm[Any],
        learner: LearnerConfig,
        temperature: float,
        seed: int,
    ) -> None:
        self._engine, self._family, self._encoder = engine, family, encoder
        self._algorithm, self._learner, self._seed = algorithm, learner, seed
        self._layout, self._temperature = layout_of(learner), temperature
        self._rank = torch.distributed.get_rank()
        self._world_size = torch.distributed.get_world_size()

    def step(self, batch: TrainingBatch, window: Window, *, reference: Reference | None) -> dict[str, float]:
        """Take the algorithm's optimizer steps on the batch; metrics over all ranks.

        Raises:
            ValueError: The batch has no completion tokens, or engine and trainer disagree about a prompt.
            NonFiniteStepError: The loss or the gradient is not a finite number.
        """
        if not batch.num_loss_tokens:
            raise ValueError(f"step={window.step}: a batch without completion tokens has no loss to average")
        parts = [self._prepared(batch, indices, reference) for indices in self._dealt(batch, window)]
        if self._algorithm.charges_reward:
            batch = self._algorithm.charged(batch, self._kl(batch, parts, window))
        mean_weight = self._mean_weight(parts) if self._algorithm.normalises_weights else 1.0
        # Every rank knows all advantages, so all ranks leave out the same minibatches.
        parts = [part for part in parts if batch.has_penalty or _has_credit(batch, part)] or parts[:1]
        metrics, norms = MetricSums(), []
        for _ in range(self._algorithm.config.num_updates):
            for part in parts:
                metrics.merge(self._accumulate(batch, part, mean_weight=mean_weight))
                norms.append(self._engine.step(window))
        report = metrics.reduced(device=self._engine.device).means()
        report["learner/loss"] /= len(norms)
        _check_finite(report["learner/loss"], window)
        return {
            **report,
            **batch.metrics,
            "learner/gradient_norm": max(norms),
            "learner/learning_rate": window.learning_rate,
            "learner/num_loss_tokens": float(batch.num_loss_tokens),
            "learner/num_optimizer_steps": float(len(norms)),
            "learner/completions_without_reward": float(batch.num_without_reward),
            "learner/advantage_std": float(np.std([_mean(sample.advantages_T) for sample in batch.samples])),
        }

    def _accumulate(self, batch: TrainingBatch, part: Minibatch, *, mean_weight: float) -> MetricSums:
        """Accumulate the gradient of one optimizer step's loss over this rank's passes."""
        self._engine.train(enabled=True)
        config, metrics = self._algorithm.config, MetricSums()
        is_at_the_start = self._algorithm.num_optimizer_steps == 1
        for index, one in enumerate(part.passes):
            metrics.count_pass(places_of(one.rows, layout=self._layout))
            scores = self._scores(one, with_entropy_gradient=config.entropy_coefficient > 0.0)
            old_BT = scores.logprobs_BT.detach() if one.old_BT is None or is_at_the_start else one.old_BT
            loss = self._algorithm.token_loss(
                PolicyTokens(
                    current_BT=scores.logprobs_BT,
                    old_BT=old_BT,
                    engine_BT=one.engine_BT,
                    reference_BT=one.reference_BT,
                    entropy_BT=scores.entropy_BT,
                    advantages_BT=self._advantages(batch, one),
                    mask_BT=one.mask_BT,
                    mean_weight=mean_weight,
                )
            )
            total = (loss.losses_BT * one.weights_B[:, None]).sum()
            self._engine.backward(total, is_last=index == len(part.passes) - 1)
            metrics.merge(loss.metrics)
            metrics.add("learner/loss", total, per="total")
        return metrics

    def _scores(self, one: Pass, *, with_entropy_gradient: bool) -> CompletionScores:
        return score_rows(
            self._engine.scores,
            one.rows,
            family=self._family,
            layout=self._layout,
            temperature=self._temperature,
            with_entropy_gradient=with_entropy_gradient,
        )

    def _advantages(self, batch: TrainingBatch, one: Pass) -> Tensor:
        rows = [batch.samples[index].advantages_T for index in one.indices]
        return _padded(rows, longest=one.mask_BT.shape[1], device=self._engine.device)

    def _dealt(self, batch: TrainingBatch, window: Window) -> tuple[tuple[int, ...], ...]:
        return minibatches(
            [sample.outcome for sample in batch.samples],
            num_minibatches=self._algorithm.config.num_minibatches,
            seed=self._seed,
            step=window.step,
        )

    def _prepared(self, batch: TrainingBatch, indices: tuple[int, ...], reference: Reference | None) -> Minibatch:
        """This rank's passes over a minibatch, with the log-probs that stay fixed over the steps on this batch."""
        samples = [batch.samples[index] for index in indices]
        mine = self._planned(samples)[self._rank]
        company = min(range(len(samples)), key=lambda place: samples[place].num_tokens)
        weights = loss_weights(
            [sample.outcome for sample in samples],
            aggregation=self._algorithm.config.aggregation,
            max_tokens=batch.max_tokens,
        )
        passes = (
            self._collate(
                [samples[place] for place in places or (company,)],
                indices=tuple(indices[place] for place in places or (company,)),
                weights=weights[list(places or (company,))],
                counts=bool(places),
            )
            for places in mine
        )
        return Minibatch(indices=indices, passes=tuple(self._with_constants(one, reference) for one in passes))

    def _planned(self, samples: Sequence[TrainingSample]) -> tuple[tuple[MicroBatch, ...], ...]:
        if self._layout == "shared":
            return plan_shared(
                [
                    RowSize(
                        group=sample.outcome.group_index,
                        num_prompt_tokens=len(sample.prompt_token_ids),
                        num_tokens=len(sample.completion.token_ids),
                    )
                    for sample in samples
                ],
                world_size=self._world_size,
                micro_batch_size=self._learner.micro_batch_size,
                pack_tokens=self._learner.pack_tokens,
            )
        return plan(
            [sample.num_tokens for sample in samples],
            world_size=self._world_size,
            micro_batch_size=self._learner.micro_batch_size,
            pack_tokens=self._learner.pack_tokens,
        )

    def _collate(
        self, samples: Sequence[TrainingSample], *, indices: tuple[int, ...], weights: Floats, counts: bool
    ) -> Pass:
        longest = max(1, *(len(sample.completion.token_ids) for sample in samples))
        mask_BT = np.zeros((len(samples), longest), dtype=np.bool_)
        for row, sample in enumerate(samples):
            mask_BT[row, : len(sample.completion.token_ids)] = counts
        device = self._engine.device
        return Pass(
            indices=indices,
            rows=tuple(
                Row(
                    prompt=self._encoder.encode_as_sampled(sample.prompt, sample.prompt_token_ids),
                    completion=sample.completion.token_ids,
                )
                for sample in samples
            ),
            engine_BT=_padded([sample.completion.logprobs for sample in samples], longest=longest, device=device),
            weights_B=torch.tensor(weights, dtype=torch.float32, device=device),
            mask_BT=torch.from_numpy(mask_BT).to(device),
        )

    @torch.no_grad()
    def _with_constants(self, one: Pass, reference: Reference | None) -> Pass:
        old_BT = reference_BT = None
        if self._algorithm.needs_old_logprobs:
            self._engine.train(enabled=False)
            old_BT = self._scores(one, with_entropy_gradient=False).logprobs_BT
        if self._algorithm.needs_reference:
            if reference is None:
                raise ValueError("the algorithm needs a KL reference; start the rl phase with reference_folder")
            reference_BT = reference.logprobs(one.rows)
        return replace(one, old_BT=old_BT, reference_BT=reference_BT)

    def _kl(self, batch: TrainingBatch, parts: Sequence[Minibatch], window: Window) -> list[Floats]:
        """KL to the reference at the start of the batch, ``[T]`` nats by sample, on every rank for all ranks.

        Each rank fills in its own samples and the sum leaves them as they are, so that the credit computed from
        them is the same everywhere.
        """
        lengths = [len(sample.completion.token_ids) for sample in batch.samples]
        starts = np.cumsum([0, *lengths])
        flat = torch.zeros(int(starts[-1]), dtype=torch.float64, device=self._engine.device)
        for one in (one for part in parts for one in part.passes):
            assert one.old_BT is not None
            assert one.reference_BT is not None
            estimator = self._algorithm.config.kl.estimator
            kl_BT = kl_to_reference(one.old_BT, one.reference_BT, estimator=estimator)
            for row, index in enumerate(one.indices):
                if one.mask_BT[row].any():
                    flat[starts[index] : starts[index + 1]] = kl_BT[row, : lengths[index]].double()
        torch.distributed.all_reduce(flat)
        if not flat.isfinite().all():
            raise NonFiniteStepError(f"KL to the reference is not finite at phase={window.phase} step={window.step}")
        return np.split(flat.cpu().numpy(), starts[1:-1])

    def _mean_weight(self, parts: Sequence[Minibatch]) -> float:
        """Mean correction weight over all tokens of the batch on all ranks; 1 when every weight is 0."""
        config = self._algorithm.config.correction
        sums = torch.zeros(2, dtype=torch.float64, device=self._engine.device)
        for one in (one for part in parts for one in part.passes):
            assert one.old_BT is not None
            weights = weight_sum(one.old_BT, one.engine_BT, one.mask_BT, config=config)
            sums += torch.stack([weights, one.mask_BT.sum().double()])
        torch.distributed.all_reduce(sums)
        total, num_tokens = sums.tolist()
        return total / num_tokens if total > 0.0 else 1.0


def _padded(rows: Sequence[Floats | NDArray[np.float32]], *, longest: int, device: torch.device) -> Tensor:
    """``[B, longest]`` float32 with zeros behind each row."""
    values_BT = np.zeros((len(rows), longest), dtype=np.float32)
    for row, values in enumerate(rows):
        values_BT[row, : len(values)] = values
    return torch.from_numpy(values_BT).to(device)


def _has_credit(batch: TrainingBatch, part: Minibatch) -> bool:
    return any(batch.samples[index].advantages_T.any() for index in part.indices)


def _mean(advantages_T: Floats) -> float:
    return float(advantages_T.mean()) if advantages_T.size else 0.0


def _check_finite(loss: float, window: Window) -> None:
    if not math.isfinite(loss):
        raise NonFiniteStepError(f"loss is {loss} at phase={window.phase} step={window.step}")
