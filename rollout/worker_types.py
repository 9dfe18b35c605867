"""What the composition root hands to a rollout worker and gets back. Imports neither vLLM nor torch."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from conf.schema import RolloutConfig, SamplingConfig
from rollout.types import Prompt, RolloutGroup


@dataclass(frozen=True, kw_only=True, slots=True)
class MediaLimits:
    """Most media of each kind in one prompt; an engine sets memory aside for them."""

    images: int
    videos: int


@dataclass(frozen=True, kw_only=True, slots=True)
class EngineOptions:
    """What an engine is built from."""

    folder: str
    """Model folder."""
    dtype: Literal["float32", "bfloat16"]
    rollout: RolloutConfig
    media_limits: MediaLimits
    transfer_backend: Literal["gloo", "nccl", "ipc"]
    seed: int
    """Of the engine; every request brings its own."""
    on_gpu: bool
    """Decides memory limits and whether anything is compiled."""
    shares_gpu: bool
    """Whether the engine must be able to sleep while a learner works on its GPU."""


@dataclass(frozen=True, kw_only=True, slots=True)
class EngineView:
    """How the engine's side sees a prompt; the parity gate holds it against the trainer's view."""

    group: RolloutGroup
    media_grids: tuple[tuple[int, ...], ...]
    """Patches per picture (time, height, width) by the processor copy in the engine's process."""


@dataclass(frozen=True, kw_only=True, slots=True)
class EndedText:
    """Text of a completion that ended while others of its batch are still being sampled."""

    prompt_index: int
    """Which prompt of the order it answers."""
    text: str


@dataclass(frozen=True, kw_only=True, slots=True)
class GenerationOrder:
    """One batch to be sampled."""

    prompts: Sequence[Prompt]
    num_completions: int
    sampling: SamplingConfig
    seed: int
    """With the prompt's id it fixes every completion, whichever engine samples it."""
