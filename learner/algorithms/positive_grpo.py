"""Refine-IQA's credit (arXiv 2508.03763, code): GRPO's, but a group that succeeds is not told what it did worse."""

from collections.abc import Sequence
from functools import partial

from conf.algorithms import PositiveGrpoConfig
from learner.advantage import Floats, positive_only
from learner.algorithms.base import ClippedAlgorithm
from learner.credit import within_groups
from learner.types import Credit, Outcome


class PositiveGrpo(ClippedAlgorithm[PositiveGrpoConfig]):
    """A group without any success is pushed away from all it did, most of all from what it did worst."""

    def credit(self, outcomes: Sequence[Outcome], *, penalties: Sequence[Floats] | None = None) -> Credit:
        """Compare siblings, and keep what is above their mean once one of them succeeds."""
        credit = partial(positive_only, success_reward=self.config.success_reward)
        return within_groups(outcomes, credit=credit, penalties=penalties)
