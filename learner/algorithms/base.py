"""An algorithm is two functions: credit per completion (numpy) and loss per token (torch)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Protocol

from learner.types import TrainingBatch
from rewards.types import ScoredGroup

if TYPE_CHECKING:  # the driver builds batches and must not pay for torch
    from learner.loss import PolicyTokens, TokenLoss


class Algorithm(Protocol):
    """Turns scored groups into a batch, and the batch's log-probs into a loss."""

    @property
    def num_updates(self) -> int:
        """Optimizer steps on each batch; above 1 the learner recomputes the old log-probs first."""
        ...

    @property
    def needs_reference(self) -> bool:
        """Whether ``token_loss`` reads the reference model's log-probs."""
        ...

    def build_batch(self, scored: Sequence[ScoredGroup]) -> TrainingBatch:
        """Assign advantages; every completion stays, those with advantage 0 included."""
        ...

    def token_loss(self, tokens: PolicyTokens) -> TokenLoss:
        """Loss of each token; the learner sums it over the mask and divides by the whole window's tokens."""
        ...
