"""Dr. GRPO (arXiv 2503.20783): A = r - mean of the group; PPO's clipped loss."""

from collections.abc import Sequence

from conf.algorithms import DrGrpoConfig
from learner.advantage import Floats, center
from learner.algorithms.base import ClippedAlgorithm
from learner.credit import within_groups
from learner.types import Credit, Outcome


class DrGrpo(ClippedAlgorithm[DrGrpoConfig]):
    """Neither the group's spread nor a completion's own length weighs its tokens."""

    def credit(self, outcomes: Sequence[Outcome], *, penalties: Sequence[Floats] | None = None) -> Credit:
        """Centre within the group."""
        return within_groups(outcomes, credit=center, penalties=penalties)
