"""The algorithms. To add one: a module here, an entry in ALGORITHMS, a section in conf/algorithms.py, and a YAML."""

from collections.abc import Callable
from typing import Any

from conf.algorithms import AlgorithmConfig
from learner.algorithms.base import Algorithm, RunFacts
from learner.algorithms.cispo import Cispo
from learner.algorithms.dapo import Dapo
from learner.algorithms.dppo_tv import DppoTv
from learner.algorithms.dr_grpo import DrGrpo
from learner.algorithms.gdpo import Gdpo
from learner.algorithms.grpo import Grpo
from learner.algorithms.gspo import Gspo
from learner.algorithms.positive_grpo import PositiveGrpo
from learner.algorithms.reinforce_pp import ReinforcePp, ReinforcePpBaseline
from learner.algorithms.rloo import Rloo
from learner.algorithms.sapo import Sapo
from learner.algorithms.stable_reinforce import StableReinforce

ALGORITHMS: dict[str, Callable[..., Algorithm[Any]]] = {
    "cispo": Cispo,
    "dapo": Dapo,
    "dppo_tv": DppoTv,
    "dr_grpo": DrGrpo,
    "gdpo": Gdpo,
    "grpo": Grpo,
    "gspo": Gspo,
    "positive_grpo": PositiveGrpo,
    "reinforce_pp": ReinforcePp,
    "reinforce_pp_baseline": ReinforcePpBaseline,
    "rloo": Rloo,
    "sapo": Sapo,
    "stable_reinforce": StableReinforce,
}


def build_algorithm(config: AlgorithmConfig, *, facts: RunFacts | None = None) -> Algorithm[Any]:
    """Return the algorithm ``config.kind`` names; without ``facts`` it may only compute losses."""
    return ALGORITHMS[config.kind](config, facts=facts)
