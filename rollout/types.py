"""What generation consumes and produces. Standard library and numpy only, so every room can import it."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
from numpy.typing import NDArray

Role = Literal["system", "user", "assistant"]
FinishReason = Literal["stop", "length", "abort"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Scale:
    """The declared range of an opinion score; it drives prompt, parser, rewards and label checks."""

    minimum: float
    maximum: float

    def __contains__(self, score: float) -> bool:
        return self.minimum <= score <= self.maximum


@dataclass(frozen=True, kw_only=True, slots=True)
class Media:
    """One picture of a prompt: a file, or the encoded bytes of one (exactly one of the two)."""

    kind: Literal["image"]
    path: str | None = None
    data: bytes | None = None
    """An encoded image file (PNG, JPEG, ...), for pictures made on the fly."""

    def __post_init__(self) -> None:
        if (self.path is None) == (self.data is None):
            raise ValueError("a Media needs exactly one of path and data")

    @property
    def name(self) -> str:
        """What error messages call this picture."""
        return self.path if self.path is not None else f"<{len(self.data or b'')} bytes>"


@dataclass(frozen=True, kw_only=True, slots=True)
class Message:
    """One turn of the conversation; ``content`` keeps text and media in reading order."""

    role: Role
    content: tuple[str | Media, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class Opinion:
    """Ground truth of a scoring task: the mean opinion score of one picture, on ``scale``."""

    score: float
    scale: Scale
    std: float | None = None
    """Standard deviation over raters, on the same scale; None when the labels do not say."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Prompt:
    """One question to the policy, with what is needed to reward an answer."""

    prompt_id: str
    messages: tuple[Message, ...]
    reference: Opinion
    """Ground truth; never shown to the policy. A union once other tasks exist."""
    source: str
    """Dataset name; metrics are split by it and comparisons stay inside it."""
    content_id: str
    """Which scene this is a picture of, so that splits and per-content statistics can tell."""
    wants_thinking: bool = True
    """Whether the question asks for a think block before the answer; decides what counts as its format."""

    def media(self) -> Iterator[Media]:
        """Yield the pictures of all messages in reading order."""
        for message in self.messages:
            yield from (part for part in message.content if isinstance(part, Media))


@dataclass(frozen=True, kw_only=True, slots=True)
class Demonstration:
    """One supervised example: a prompt and the exact assistant text to imitate."""

    prompt: Prompt
    target: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Completion:
    """One sampled answer. ``token_ids`` and ``logprobs`` are ``[T]`` and exclude the prompt."""

    text: str
    token_ids: NDArray[np.int32]
    """Includes the end token when ``finish_reason`` is "stop"; a truncated completion has none."""
    logprobs: NDArray[np.float32]
    """Log-probability in nats of each token under the distribution the engine sampled from."""
    finish_reason: FinishReason
    policy_version: int

    def __post_init__(self) -> None:
        if self.token_ids.shape != self.logprobs.shape:
            raise ValueError(f"{self.token_ids.shape[0]} token ids but {self.logprobs.shape[0]} logprobs")

    @property
    def is_truncated(self) -> bool:
        """Whether the token limit cut the answer."""
        return self.finish_reason == "length"


@dataclass(frozen=True, kw_only=True, slots=True)
class RolloutGroup:
    """Every completion sampled for one prompt in one step; ``G = len(completions)``."""

    prompt: Prompt
    completions: tuple[Completion, ...]
    prompt_token_ids: NDArray[np.int32]
    """``[P]`` as the engine saw them, media placeholders expanded."""
    metrics: Mapping[str, float] = field(default_factory=dict[str, float])
