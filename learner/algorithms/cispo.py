"""CISPO (arXiv 2506.13585): GRPO's credit; REINFORCE weighted by the clipped ratio."""

from __future__ import annotations

from typing import TYPE_CHECKING

from conf.algorithms import CispoConfig
from learner.algorithms.base import GroupAlgorithm

if TYPE_CHECKING:
    from learner.surrogates import RatioTokens, Surrogate


class Cispo(GroupAlgorithm[CispoConfig]):
    """The clip bounds a token's weight and never takes its gradient."""

    def surrogate(self, tokens: RatioTokens) -> Surrogate:
        """Weigh by the clipped ratio."""
        from learner.surrogates import ratio_weighted  # noqa: PLC0415 - torch stays out of the driver

        return ratio_weighted(tokens, low=1.0 - self.config.clip_low, high=1.0 + self.config.clip_high)
