"""REINFORCE++ and its baseline form (arXiv 2501.03262): returns normalised over the batch; PPO's clipped loss."""

from collections.abc import Sequence
from typing import ClassVar

from conf.algorithms import ReinforcePpBaselineConfig, ReinforcePpConfig
from learner.advantage import Floats, center
from learner.algorithms.base import ClippedAlgorithm
from learner.credit import Whitening, over_batch
from learner.types import Credit, Outcome


class ReinforcePp(ClippedAlgorithm[ReinforcePpConfig]):
    """The batch is the only baseline, so a prompt may have a single completion."""

    whitens: ClassVar[bool] = True

    def credit(self, outcomes: Sequence[Outcome], *, penalties: Sequence[Floats] | None = None) -> Credit:
        """Normalise the returns of the whole batch."""
        whitening = Whitening(baseline=None, statistics=self.config.statistics, filter=None)
        return over_batch(outcomes, whitening=whitening, penalties=penalties)


class ReinforcePpBaseline(ClippedAlgorithm[ReinforcePpBaselineConfig]):
    """The group's mean is taken from the rewards before the batch normalises them."""

    whitens: ClassVar[bool] = True

    def credit(self, outcomes: Sequence[Outcome], *, penalties: Sequence[Floats] | None = None) -> Credit:
        """Centre within the group, then normalise the returns of the whole batch."""
        whitening = Whitening(baseline=center, statistics=self.config.statistics, filter=None)
        return over_batch(outcomes, whitening=whitening, penalties=penalties)
