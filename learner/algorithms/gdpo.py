"""GDPO (arXiv 2601.05242): every reward term normalised in its group, the weighted sum over the batch; PPO's loss."""

from collections.abc import Sequence

from conf.algorithms import GdpoConfig
from learner.advantage import Floats, spread
from learner.algorithms.base import ClippedAlgorithm
from learner.credit import by_term
from learner.types import Credit, Outcome
from rewards.types import ScoredGroup


class Gdpo(ClippedAlgorithm[GdpoConfig]):
    """Terms weigh what their weights say, not what their spreads happen to be."""

    def is_informative(self, scored: ScoredGroup) -> bool:
        """Whether any term's scores differ."""
        parts = [reward.parts for reward in scored.rewards if reward.total is not None]
        spreads = [spread([part[term] for part in parts]) for term in self.facts.term_weights]
        return max(spreads, default=0.0) > self.config.dynamic_sampling.min_spread

    def credit(self, outcomes: Sequence[Outcome], *, penalties: Sequence[Floats] | None = None) -> Credit:
        """Compare siblings term by term.

        Raises:
            ValueError: A penalty is to be part of the reward, whose terms are compared one by one.
        """
        if penalties is not None:
            raise ValueError("algorithm=gdpo takes no penalty in the reward; use algorithm.kl.placement=loss")
        return by_term(outcomes, weights=self.facts.term_weights)
