"""GSPO (arXiv 2507.18071): GRPO's credit; the clipped ratio is that of the whole completion."""

from __future__ import annotations

from typing import TYPE_CHECKING

from conf.algorithms import GspoConfig
from learner.algorithms.base import GroupAlgorithm

if TYPE_CHECKING:
    from learner.surrogates import RatioTokens, Surrogate


class Gspo(GroupAlgorithm[GspoConfig]):
    """A completion is kept or clipped as one."""

    def surrogate(self, tokens: RatioTokens) -> Surrogate:
        """Clip the geometric mean ratio."""
        from learner.surrogates import sequence_clipped  # noqa: PLC0415 - torch stays out of the driver

        return sequence_clipped(tokens, clip_low=self.config.clip_low, clip_high=self.config.clip_high)
