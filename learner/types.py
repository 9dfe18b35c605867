"""What the learner consumes per step and reports after it. Standard library and numpy only."""

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from learner.advantage import Floats
from rollout.types import Completion, Prompt


@dataclass(frozen=True, kw_only=True, slots=True)
class Outcome:
    """What one completion earned: all that credit is computed from."""

    reward: float | None
    """None when nobody could reward it; it then takes no part in any statistic."""
    parts: Mapping[str, float | None]
    """Unweighted score by reward term; None where a term abstained."""
    group_index: int
    """Which group of the step the completion belongs to."""
    num_tokens: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Credit:
    """Advantages of a step's completions, and what is to be reported about them."""

    advantages: tuple[Floats, ...]
    """``[T]`` by completion, in the order of the outcomes."""
    metrics: Mapping[str, float]


@dataclass(frozen=True, kw_only=True, slots=True)
class TrainingSample:
    """One completion with its credit."""

    prompt: Prompt
    prompt_token_ids: NDArray[np.int32]
    """``[P]`` as the engine saw them; the learner refuses to train when its own encoding differs."""
    completion: Completion
    outcome: Outcome
    advantages_T: Floats
    """One per completion token."""

    @property
    def num_tokens(self) -> int:
        """Length of the row the learner sees: prompt and completion."""
        return len(self.prompt_token_ids) + len(self.completion.token_ids)


@dataclass(frozen=True, kw_only=True, slots=True)
class TrainingBatch:
    """Everything one step learns from, completions without credit included."""

    samples: tuple[TrainingSample, ...]
    num_without_reward: int
    """Completions nobody could reward: advantage 0, left out of their group's statistics."""
    has_penalty: bool = False
    """Whether a KL penalty or an entropy bonus gives every token a gradient, credit or not."""
    max_tokens: int | None = None
    """Longest completion the run samples; a loss of token sums is divided by it."""
    metrics: Mapping[str, float] = field(default_factory=dict[str, float])
    """What the algorithm reports about rewards and credit."""

    @property
    def num_loss_tokens(self) -> int:
        """Completion tokens over all ranks, minibatches and micro-batches."""
        return sum(len(sample.completion.token_ids) for sample in self.samples)

    @property
    def has_credit(self) -> bool:
        """Whether any completion carries a gradient."""
        return any(sample.advantages_T.any() for sample in self.samples)

    @property
    def has_gradient(self) -> bool:
        """Whether a step on this batch would move the weights."""
        return self.has_credit or self.has_penalty


@dataclass(frozen=True, kw_only=True, slots=True)
class StepReport:
    """What one step did."""

    policy_version: int
    """Version of the weights after the step."""
    metrics: Mapping[str, float]
    """Over all ranks, ``learner/thing/statistic`` by value."""


@dataclass(frozen=True, kw_only=True, slots=True)
class ScoringRequest:
    """A completion whose log-probs under the trainer are wanted."""

    prompt: Prompt
    token_ids: NDArray[np.int32]
    """``[T]`` completion tokens."""


@dataclass(frozen=True, kw_only=True, slots=True)
class TrainerScore:
    """What the trainer makes of a ``ScoringRequest``; the parity gate holds it against the engine's view."""

    logprobs: NDArray[np.float32]
    """``[T]`` nats."""
    prompt_token_ids: NDArray[np.int64]
    """``[P]``, media placeholders expanded."""
    num_media_tokens: int
    media_grids: tuple[tuple[int, ...], ...]
    """Patches per picture: time, height, width."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Rendezvous:
    """Where the learner's ranks meet, and which of them this one is."""

    master_address: str
    master_port: int
    rank: int
    world_size: int
    timeout_s: float
    """Longest wait for the other ranks in any collective."""
