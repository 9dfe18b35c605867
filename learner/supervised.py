"""Supervised steps: imitate given answers, with the loss on answer tokens only, through the same engine.

The loss is the mean over the answer tokens of the global batch, end token included: the same token-mean as
the RL loss, so ranks and micro-batches do not change it either. Answers are given, not sampled: the temperature is 1.
"""

import math
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from conf.schema import LearnerConfig
from learner.batching import plan
from learner.engine import ZeroEngine
from learner.logprobs import TokenIds
from learner.metrics import MetricSums
from learner.phases import NonFiniteStepError, Window
from learner.rows import PromptEncoder, Row, layout_of, places_of, score_rows
from rollout.families.base import Family
from rollout.types import Demonstration


class SupervisedTrainer:
    """Applies the imitation loss to batches of demonstrations."""

    def __init__(self, engine: ZeroEngine, *, family: Family, encoder: PromptEncoder, learner: LearnerConfig) -> None:
        self._engine, self._family, self._encoder, self._learner = engine, family, encoder, learner
        self._layout = layout_of(learner)
        self._rank = torch.distributed.get_rank()
        self._world_size = torch.distributed.get_world_size()

    def step(self, demonstrations: Sequence[Demonstration], window: Window) -> dict[str, float]:
        """One optimizer step on the whole batch, of which every rank is given all; metrics over all ranks.

        Raises:
            ValueError: There is nothing to imitate, or an answer holds a token the policy may never emit.
            NonFiniteStepError: The loss or the gradient is not a finite number.
        """
        if not demonstrations:
            raise ValueError(f"phase={window.phase} step={window.step}: a batch without demonstrations")
        targets = [self._family.encode_target(one.target) for one in demonstrations]
        _check_targets(demonstrations, targets, banned=self._family.banned_token_ids)
        num_target_tokens = sum(len(target) for target in targets)
        mine = self._my_passes(demonstrations, targets)
        self._engine.train(enabled=True)
        metrics = MetricSums()
        for index, indices in enumerate(mine):
            rows = [self._row(demonstrations[i], targets[i]) for i in indices or (0,)]
            metrics.count_pass(places_of(rows, layout=self._layout))
            total, entropy = self._sums(rows, counts=bool(indices))
            self._engine.backward(total / num_target_tokens, is_last=index == len(mine) - 1)
            metrics.add("supervised/loss", total)
            metrics.add("supervised/entropy", entropy)
        metrics.num_tokens = sum(len(targets[i]) for indices in mine for i in indices)
        norm = self._engine.step(window)
        report = metrics.reduced(device=self._engine.device).means()
        if not math.isfinite(report["supervised/loss"]):
            raise NonFiniteStepError(f"loss is {report['supervised/loss']} at phase={window.phase} step={window.step}")
        return {
            **report,
            "supervised/gradient_norm": norm,
            "supervised/learning_rate": window.learning_rate,
            "supervised/num_target_tokens": float(num_target_tokens),
        }

    @torch.no_grad()
    def loss(self, demonstrations: Sequence[Demonstration]) -> float:
        """Mean negative log-likelihood of the answer tokens, in nats, over all ranks; nothing is learned.

        Raises:
            ValueError: There is nothing to score, or an answer holds a token the policy may never emit.
        """
        if not demonstrations:
            raise ValueError("a loss needs at least one demonstration")
        targets = [self._family.encode_target(one.target) for one in demonstrations]
        _check_targets(demonstrations, targets, banned=self._family.banned_token_ids)
        self._engine.train(enabled=False)
        metrics = MetricSums()
        for indices in self._my_passes(demonstrations, targets):
            rows = [self._row(demonstrations[i], targets[i]) for i in indices or (0,)]
            total, _ = self._sums(rows, counts=bool(indices))
            metrics.add("loss", total)
            metrics.num_tokens += sum(len(targets[i]) for i in indices)
        return metrics.reduced(device=self._engine.device).means()["loss"]

    def _my_passes(
        self, demonstrations: Sequence[Demonstration], targets: Sequence[TokenIds]
    ) -> tuple[tuple[int, ...], ...]:
        # Prompts of a phase are alike in length, so targets alone decide who is padded with whom.
        lengths = [len(target) for target in targets]
        if self._learner.pack_tokens is not None:
            lengths = [sum(pair) for pair in zip(lengths, self._prompt_lengths(demonstrations), strict=True)]
        return plan(
            lengths,
            world_size=self._world_size,
            micro_batch_size=self._learner.micro_batch_size,
            pack_tokens=self._learner.pack_tokens,
        )[self._rank]

    def _prompt_lengths(self, demonstrations: Sequence[Demonstration]) -> list[int]:
        """In tokens. Every rank opens the pictures of a few and tells the others."""
        lengths = torch.zeros(len(demonstrations), dtype=torch.int64)
        for index in range(self._rank, len(demonstrations), self._world_size):
            lengths[index] = self._encoder.num_tokens(demonstrations[index].prompt)
        shared = lengths.to(self._engine.device)
        torch.distributed.all_reduce(shared)
        found: list[int] = shared.tolist()
        return found

    def _row(self, demonstration: Demonstration, target: TokenIds) -> Row:
        return Row(prompt=self._encoder.encode(demonstration.prompt), completion=target)

    def _sums(self, rows: Sequence[Row], *, counts: bool) -> tuple[Tensor, Tensor]:
        """Summed negative log-likelihood and entropy; padding scores 0. Company for other ranks counts 0."""
        scores = score_rows(self._engine.scores, rows, family=self._family, layout=self._layout, temperature=1.0)
        weight = 1.0 if counts else 0.0
        return -scores.logprobs_BT.sum() * weight, scores.entropy_BT.sum() * weight


def _check_targets(
    demonstrations: Sequence[Demonstration], targets: Sequence[TokenIds], *, banned: Sequence[int]
) -> None:
    for one, target in zip(demonstrations, targets, strict=True):
        found = target[np.isin(target, banned)].tolist()
        if found:
            raise ValueError(
                f"prompt {one.prompt.prompt_id}: the answer to imitate holds the tokens {found}, which the "
                "policy may never emit; remove them from the data"
            )
