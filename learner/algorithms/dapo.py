"""DAPO (arXiv 2503.14476): GRPO's credit and loss; what makes it DAPO are the values in its configuration file."""

from conf.algorithms import DapoConfig
from learner.algorithms.base import ClippedAlgorithm, GroupAlgorithm


class Dapo(ClippedAlgorithm[DapoConfig], GroupAlgorithm[DapoConfig]):
    """Clip-higher, token mean and dynamic sampling are options of every algorithm, its length limit a reward term."""
