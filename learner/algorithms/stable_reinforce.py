"""StableReinforce (arXiv 2505.02835): returns normalised over the batch, filtered; PPO's clipped loss with pre-clip."""

from collections.abc import Sequence
from typing import ClassVar

from conf.algorithms import StableReinforceConfig
from learner.advantage import Floats
from learner.algorithms.base import ClippedAlgorithm
from learner.credit import Whitening, over_batch
from learner.types import Credit, Outcome


class StableReinforce(ClippedAlgorithm[StableReinforceConfig]):
    """No baseline but the batch's mean; outliers among the advantages are set to 0 and counted."""

    whitens: ClassVar[bool] = True

    def credit(self, outcomes: Sequence[Outcome], *, penalties: Sequence[Floats] | None = None) -> Credit:
        """Normalise and filter the returns of the whole batch."""
        whitening = Whitening(baseline=None, statistics=self.config.statistics, filter=self.config.filter)
        return over_batch(outcomes, whitening=whitening, penalties=penalties)
