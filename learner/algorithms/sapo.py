"""SAPO (arXiv 2511.20347): GRPO's credit; a sigmoid gate in place of the clip."""

from __future__ import annotations

from typing import TYPE_CHECKING

from conf.algorithms import SapoConfig
from learner.algorithms.base import GroupAlgorithm

if TYPE_CHECKING:
    from learner.surrogates import RatioTokens, Surrogate


class Sapo(GroupAlgorithm[SapoConfig]):
    """Gradients fade as the ratio leaves 1, on both sides and for both signs."""

    def surrogate(self, tokens: RatioTokens) -> Surrogate:
        """Gate each token."""
        from learner.surrogates import gated  # noqa: PLC0415 - torch stays out of the driver

        positive, negative = self.config.gate_sharpness
        return gated(tokens, positive=positive, negative=negative)
