"""RLOO (arXiv 2402.14740): A = r - mean of the others in the group; PPO's clipped loss."""

from collections.abc import Sequence

from conf.algorithms import RlooConfig
from learner.advantage import Floats, leave_one_out
from learner.algorithms.base import ClippedAlgorithm
from learner.credit import within_groups
from learner.types import Credit, Outcome


class Rloo(ClippedAlgorithm[RlooConfig]):
    """An unbiased baseline: no reward is part of its own."""

    def credit(self, outcomes: Sequence[Outcome], *, penalties: Sequence[Floats] | None = None) -> Credit:
        """Compare each completion with its siblings."""
        return within_groups(outcomes, credit=leave_one_out, penalties=penalties)
