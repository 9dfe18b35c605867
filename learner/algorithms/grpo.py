"""GRPO: centre rewards within the group; clipped surrogate with dual clip (arXiv 2402.03300, 2503.14476)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from conf.algorithms import GrpoConfig
from learner.advantage import center, over_rewarded, scale_by_std
from learner.batching import assemble
from learner.types import TrainingBatch
from rewards.types import ScoredGroup

if TYPE_CHECKING:
    from learner.loss import PolicyTokens, TokenLoss


class Grpo:
    """Advantage is the reward minus its group's mean, over the group's spread when asked."""

    def __init__(self, config: GrpoConfig) -> None:
        self._config = config

    @property
    def num_updates(self) -> int:
        """Optimizer steps on each batch."""
        return self._config.num_updates

    @property
    def needs_reference(self) -> bool:
        """Only a KL penalty reads the reference."""
        return self._config.kl.coefficient > 0.0

    def build_batch(self, scored: Sequence[ScoredGroup]) -> TrainingBatch:
        """Assign advantages group by group."""
        credit = scale_by_std if self._config.scale_by_std else center
        batch = assemble(
            scored, [over_rewarded([reward.total for reward in one.rewards], credit=credit) for one in scored]
        )
        return replace(batch, has_penalty=self.needs_reference)

    def token_loss(self, tokens: PolicyTokens) -> TokenLoss:
        """Dual-clip surrogate, weighted by the engine/trainer correction, plus the KL penalty."""
        from learner.loss import clipped_policy_loss  # noqa: PLC0415 - torch stays out of the driver

        return clipped_policy_loss(tokens, config=self._config)
