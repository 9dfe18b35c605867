"""What the learner consumes per step and reports after it. Standard library and numpy only."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from rollout.types import Completion, Prompt


@dataclass(frozen=True, kw_only=True, slots=True)
class TrainingSample:
    """One completion with its credit; the advantage holds for each of its tokens."""

    prompt: Prompt
    prompt_token_ids: NDArray[np.int32]
    """``[P]`` as the engine saw them; the learner refuses to train when its own encoding differs."""
    completion: Completion
    advantage: float
    group_index: int
    """Which group of the step the completion belongs to."""

    @property
    def num_tokens(self) -> int:
        """Length of the row the learner sees: prompt and completion."""
        return len(self.prompt_token_ids) + len(self.completion.token_ids)


@dataclass(frozen=True, kw_only=True, slots=True)
class TrainingBatch:
    """Everything one optimizer window learns from, completions without credit included."""

    samples: tuple[TrainingSample, ...]
    num_without_reward: int
    """Completions nobody could reward: advantage 0, left out of their group's statistics."""
    has_penalty: bool = False
    """Whether a KL penalty gives every token a gradient, credit or not."""

    @property
    def num_loss_tokens(self) -> int:
        """Completion tokens over all ranks and micro-batches: the loss denominator everywhere."""
        return sum(len(sample.completion.token_ids) for sample in self.samples)

    @property
    def has_credit(self) -> bool:
        """Whether any completion carries a gradient."""
        return any(sample.advantage != 0.0 for sample in self.samples)

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
