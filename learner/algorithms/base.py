"""An algorithm is two functions: credit for completions (numpy, on the driver) and a loss for tokens (torch, ranks)."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import chain
from typing import TYPE_CHECKING, ClassVar, Generic, TypeVar

from conf.algorithms import ClippedConfig, PolicyConfig, ScaledConfig
from learner.advantage import Floats, center, scale_by_std, spread
from learner.batching import assemble, outcomes_of
from learner.credit import within_groups
from learner.types import Credit, Outcome, TrainingBatch
from rewards.types import ScoredGroup

if TYPE_CHECKING:  # the driver builds batches and must not pay for torch
    from learner.loss import PolicyTokens, TokenLoss
    from learner.surrogates import RatioTokens, Surrogate

Config = TypeVar("Config", bound=PolicyConfig)
Clipped = TypeVar("Clipped", bound=ClippedConfig)
Scaled = TypeVar("Scaled", bound=ScaledConfig)


@dataclass(frozen=True, kw_only=True, slots=True)
class RunFacts:
    """What building batches needs to know of the rest of the run."""

    max_tokens: int
    """Longest completion that is sampled."""
    term_weights: Mapping[str, float]
    """Weight by reward term."""


class Algorithm(ABC, Generic[Config]):
    """Turns scored groups into a batch, and the batch's log-probs into a loss."""

    whitens: ClassVar[bool] = False
    """Whether returns are normalised over the batch; without credit their KL penalty then has no gradient either."""

    def __init__(self, config: Config, *, facts: RunFacts | None = None) -> None:
        self.config = config
        self._facts = facts

    @property
    def num_optimizer_steps(self) -> int:
        """Steps per batch."""
        return self.config.num_updates * self.config.num_minibatches

    @property
    def needs_reference(self) -> bool:
        """Only a KL penalty reads the reference's log-probs."""
        return self.config.kl.coefficient > 0.0

    @property
    def charges_reward(self) -> bool:
        """Whether the KL penalty is part of the reward, so that ranks compute the credit again."""
        return self.needs_reference and self.config.kl.placement == "reward"

    @property
    def needs_old_logprobs(self) -> bool:
        """Whether the policy's log-probs at the start of the batch must be computed in a pass of their own."""
        correction = self.config.correction
        has_masks = correction.sequence_mask != "none" or correction.token_veto is not None
        is_read = self.config.anchor == "learner" or has_masks
        return self.charges_reward or self.normalises_weights or (self.num_optimizer_steps > 1 and is_read)

    @property
    def normalises_weights(self) -> bool:
        """Whether the correction's weights are divided by their mean, which must be known before the first loss."""
        return self.config.correction.batch_normalise and self.config.correction.weight != "none"

    @property
    def has_penalty(self) -> bool:
        """Whether there is a gradient without credit."""
        has_kl_gradient = self.needs_reference and not (self.charges_reward and self.whitens)
        return has_kl_gradient or self.config.entropy_coefficient > 0.0

    @property
    def max_rounds(self) -> int:
        """Rounds of sampling per step, in search of informative groups."""
        return self.config.dynamic_sampling.max_rounds

    def is_informative(self, scored: ScoredGroup) -> bool:
        """Whether a group's rewards differ by more than ``dynamic_sampling.min_spread``."""
        return spread([reward.total for reward in scored.rewards]) > self.config.dynamic_sampling.min_spread

    def build_batch(self, scored: Sequence[ScoredGroup]) -> TrainingBatch:
        """Assign advantages; every completion stays, those with advantage 0 included."""
        outcomes = outcomes_of(scored)
        credit = self.credit(list(chain.from_iterable(outcomes)))
        advantages = iter(credit.advantages)
        return replace(
            assemble(scored, [[next(advantages) for _ in group] for group in outcomes]),
            has_penalty=self.has_penalty,
            max_tokens=None if self._facts is None else self._facts.max_tokens,
            metrics=credit.metrics,
        )

    def charged(self, batch: TrainingBatch, kl: Sequence[Floats]) -> TrainingBatch:
        """The batch with credit for rewards less the KL to the reference, ``[T]`` nats by sample."""
        penalties = [self.config.kl.coefficient * kl_T for kl_T in kl]
        credit = self.credit([sample.outcome for sample in batch.samples], penalties=penalties)
        pairs = zip(batch.samples, credit.advantages, strict=True)
        samples = tuple(replace(sample, advantages_T=advantages_T) for sample, advantages_T in pairs)
        return replace(batch, samples=samples, metrics={**batch.metrics, **credit.metrics})

    def token_loss(self, tokens: PolicyTokens) -> TokenLoss:
        """Loss of each token; the learner weighs and sums them."""
        from learner.loss import policy_loss  # noqa: PLC0415 - torch stays out of the driver

        return policy_loss(tokens, surrogate=self.surrogate, config=self.config)

    @abstractmethod
    def credit(self, outcomes: Sequence[Outcome], *, penalties: Sequence[Floats] | None = None) -> Credit:
        """Advantages of a whole step; ``penalties`` are what KL takes from the reward, ``[T]`` by completion."""

    @abstractmethod
    def surrogate(self, tokens: RatioTokens) -> Surrogate:
        """The policy's objective token by token, before correction and penalties."""

    @property
    def facts(self) -> RunFacts:
        """What the run told this algorithm.

        Raises:
            ValueError: It was built for its loss alone.
        """
        if self._facts is None:
            raise ValueError(f"algorithm={self.config.kind} builds batches of this run only with its RunFacts")
        return self._facts


class ClippedAlgorithm(Algorithm[Clipped]):
    """An algorithm whose loss is PPO's clipped surrogate."""

    def surrogate(self, tokens: RatioTokens) -> Surrogate:
        """Clipped, and dual-clipped when asked."""
        from learner.surrogates import clipped  # noqa: PLC0415 - torch stays out of the driver

        config = self.config
        return clipped(tokens, clip_low=config.clip_low, clip_high=config.clip_high, dual_clip=config.dual_clip)


class GroupAlgorithm(Algorithm[Scaled]):
    """An algorithm that centres rewards within the group, and scales them when asked."""

    def credit(self, outcomes: Sequence[Outcome], *, penalties: Sequence[Floats] | None = None) -> Credit:
        """Compare siblings."""
        return within_groups(outcomes, credit=scale_by_std if self.config.scale_by_std else center, penalties=penalties)
