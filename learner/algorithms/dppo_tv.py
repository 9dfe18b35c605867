"""DPPO with binary total variation (arXiv 2602.04879): GRPO's credit; masks by probability, not by ratio."""

from __future__ import annotations

from typing import TYPE_CHECKING

from conf.algorithms import DppoTvConfig
from learner.algorithms.base import GroupAlgorithm

if TYPE_CHECKING:
    from learner.surrogates import RatioTokens, Surrogate


class DppoTv(GroupAlgorithm[DppoTvConfig]):
    """A rare token may grow many times over, a likely one may not move far."""

    def surrogate(self, tokens: RatioTokens) -> Surrogate:
        """Mask tokens that have moved too far in the direction of their advantage."""
        from learner.surrogates import variation_masked  # noqa: PLC0415 - torch stays out of the driver

        config = self.config
        return variation_masked(tokens, max_fall=config.clip_low, max_rise=config.clip_high, max_ratio=config.max_ratio)
