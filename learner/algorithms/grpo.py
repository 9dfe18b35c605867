"""GRPO (arXiv 2402.03300): A = (r - mean) / (std + 1e-4) over the group, or r - mean; PPO's clipped loss."""

from conf.algorithms import GrpoConfig
from learner.algorithms.base import ClippedAlgorithm, GroupAlgorithm


class Grpo(ClippedAlgorithm[GrpoConfig], GroupAlgorithm[GrpoConfig]):
    """Siblings compete; nothing else is compared."""
