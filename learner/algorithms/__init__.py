"""The algorithms. To add one: a module here, an entry in ALGORITHMS, a section in conf/schema.py."""

from collections.abc import Callable

from conf.algorithms import AlgorithmConfig
from learner.algorithms.base import Algorithm
from learner.algorithms.grpo import Grpo

ALGORITHMS: dict[str, Callable[[AlgorithmConfig], Algorithm]] = {"grpo": Grpo}


def build_algorithm(config: AlgorithmConfig) -> Algorithm:
    """Return the algorithm ``config.kind`` names."""
    return ALGORITHMS[config.kind](config)
