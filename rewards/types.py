"""What scoring produces."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from rewards.tags import ParsedAnswer
from rollout.types import RolloutGroup
from rollout.worker_types import ForcedToken


@dataclass(frozen=True, kw_only=True, slots=True)
class Noted:
    """A score with a word on how it came about, which is kept with the reward and counted."""

    score: float | None
    note: str
    """A short name such as "timeout"."""


class TokenForcer(Protocol):
    """Asks the policy itself how likely given tokens are."""

    async def forced_logprobs(self, tokens: Sequence[ForcedToken]) -> list[float]:
        """Log-prob in nats of each token, in order."""
        ...


Score = float | None | Noted
"""Finite; None abstains."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Reward:
    """One completion's reward and the parts it was made of."""

    total: float | None
    """None when the completion cannot be compared with its siblings; it then takes no part in the
    statistics of its group and gets no credit."""
    parts: Mapping[str, float | None]
    """Unweighted score by term; None where a term abstained. Terms for another task are missing."""
    notes: Mapping[str, str] = field(default_factory=dict[str, str])
    """By term, why it abstained or what went wrong; most have nothing to say."""


@dataclass(frozen=True, kw_only=True, slots=True)
class ScoredGroup:
    """A rollout group with one reward and one parsed answer per completion, in the same order."""

    group: RolloutGroup
    rewards: tuple[Reward, ...]
    answers: tuple[ParsedAnswer, ...]
