"""What the composition root hands to a rollout worker and gets back. Imports neither vLLM nor torch."""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from conf.schema import RolloutConfig, SamplingConfig
from rollout.types import Failure, Prompt, RolloutGroup


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
    head_dtype: Literal["model", "float32"]
    """In which logits are computed."""
    rollout: RolloutConfig
    media_limits: MediaLimits
    transfer_backend: Literal["gloo", "nccl", "ipc"]
    seed: int
    """Of the engine; every request brings its own."""
    on_gpu: bool
    """Decides memory limits and whether anything is compiled."""
    shares_gpu: bool
    """Whether the engine must be able to sleep while a learner works on its GPU."""
    counts_encoded: bool = False
    """Whether to count what the vision tower sees, for benches and tests; costs a wait for the GPU each time."""


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
    repetition_penalty: float = 1.0
    """Tokens that occurred before, in the prompt or the answer, become less likely by this factor; training has 1."""
    watched_tokens: tuple[str, ...] = ()
    """Texts of one token each whose log-probs are wanted at every position, sampled or not (``Completion.watched``)."""
    needs_logprobs: bool = True
    """Whether log-probs of sampled tokens are wanted; they take an engine more time than a tiny model does."""
    runs_alone: bool = False
    """Whether the batch shares no forward pass with another: it waits for earlier ones of its kind, while its pictures
    are being read, so that nothing in it depends on when it came."""
    skips_unusable: bool = False
    """Whether a prompt that cannot be asked becomes a group without completions that says why
    (``RolloutGroup.failure``); otherwise it fails the batch."""


@dataclass(frozen=True, kw_only=True, slots=True)
class QuestionOrder:
    """Many pictures or videos to be asked many questions, each answered by its first token."""

    items: Sequence[tuple[Prompt, ...]]
    """Of each, the prompts, which begin with the same media and differ behind it."""
    spellings: tuple[str, ...]
    """Texts whose log-probs are wanted as the answer; those that this model does not write in one token are left
    out."""


@dataclass(frozen=True, kw_only=True, slots=True)
class FirstTokens:
    """How likely the answers to the questions about one picture or video were to begin with each spelling."""

    logprobs: tuple[Mapping[str, float], ...] = ()
    """In nats, by prompt."""
    num_tokens: int = 0
    """Of all prompts together."""
    num_shared_tokens: int = 0
    """Of each prompt, up to the end of the media: what a prompt has in common with its siblings."""
    num_computed_tokens: int = 0
    """Of ``num_tokens``, those the engine did not find computed."""
    failure: Failure | None = None
    """Why there are none."""


@dataclass(frozen=True, kw_only=True, slots=True)
class ForcedToken:
    """A token put into the policy's mouth, to see how likely it was to say it."""

    prompt: Prompt
    before: str
    """What it is taken to have said before."""
    token: str
    """Such as "4"; must be one token."""


def completion_seed(seed: int, prompt_id: str) -> int:
    """A 31-bit seed for one prompt's completions; vLLM adds the completion's index to it."""
    digest = hashlib.blake2b(f"{seed}/{prompt_id}".encode(), digest_size=8).digest()
    return int.from_bytes(digest) % (2**31 - 1024)
