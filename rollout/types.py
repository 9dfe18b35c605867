"""What generation consumes and produces. Standard library and numpy only, so every room can import it."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
from numpy.typing import NDArray

Role = Literal["system", "user", "assistant"]
FinishReason = Literal["stop", "length", "abort"]
Choice = Literal[1, 2]
"""Which of two answers, counted as they are shown."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Scale:
    """The declared range of an opinion score; it drives prompt, parser, rewards and label checks."""

    minimum: float
    maximum: float

    def __contains__(self, score: float) -> bool:
        return self.minimum <= score <= self.maximum


@dataclass(frozen=True, kw_only=True, slots=True)
class Media:
    """One picture or video of a prompt: a file, the encoded bytes of a picture, or a video's frames as picture files
    (exactly one of the three)."""

    kind: Literal["image", "video"]
    path: str | None = None
    data: bytes | None = None
    """An encoded image file (PNG, JPEG, ...), for pictures made on the fly."""
    frames: tuple[str, ...] = ()
    """Picture files of a video, in order of time: those that are shown."""
    indices: tuple[int, ...] = ()
    """Which frames of a video file are shown, counted from 0."""
    fps: float | None = None
    """Frames shown per second of a video; says how far apart in time they are."""
    max_pixels: int | None = None
    """Frames of more pixels are reduced to this many; the model's own limit holds beside it."""

    def __post_init__(self) -> None:
        if sum((self.path is not None, self.data is not None, bool(self.frames))) != 1:
            raise ValueError("a Media needs exactly one of path, data and frames")
        if self.kind == "image" and (self.frames or self.indices or self.fps or self.max_pixels):
            raise ValueError("frames, indices, fps and max_pixels are for videos")
        if self.kind == "video" and (self.data is not None or bool(self.indices) != (self.path is not None)):
            raise ValueError("a video is frames, or a path with the indices of its frames")
        if self.kind == "video" and (self.fps is None or self.fps <= 0):
            raise ValueError(f"a video needs fps above 0, got {self.fps}")

    @property
    def name(self) -> str:
        """What error messages call it."""
        if self.frames:
            return f"{self.frames[0]} and {len(self.frames) - 1} more frames"
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
class Preference:
    """Ground truth of a pairwise task: which of two answers to a question is the better one."""

    better: Choice
    pair_id: str
    """The same for a pair and for its twin in the other order; with ``better`` it says which order this is."""
    question: str
    """What the two answers answer; a consistency judge reads it, the policy sees it in the messages."""
    responses: tuple[str, str] | None = None
    """The two answers in the order shown; None where the data gives the whole message only."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Prompt:
    """One question to the policy, with what is needed to reward an answer."""

    prompt_id: str
    messages: tuple[Message, ...]
    reference: Opinion | Preference
    """Ground truth; never shown to the policy."""
    source: str
    """Dataset name; metrics are split by it and comparisons stay inside it."""
    content_id: str
    """Which scene this is a picture of, so that splits and per-content statistics can tell."""
    reference_answers: tuple[str, ...] = ()
    """Good answers in the form of a completion, by a teacher or made with the data; never shown to the policy."""
    wants_thinking: bool = True
    """Whether the question asks for a think block before the answer; decides what counts as its format."""

    @property
    def opinion(self) -> Opinion:
        """The ground truth of a scoring task.

        Raises:
            ValueError: The prompt is of another task.
        """
        if isinstance(self.reference, Opinion):
            return self.reference
        raise ValueError(f"prompt {self.prompt_id!r} of {self.source!r} compares two answers; it has no score")

    @property
    def preference(self) -> Preference:
        """The ground truth of a pairwise task.

        Raises:
            ValueError: The prompt is of another task.
        """
        if isinstance(self.reference, Preference):
            return self.reference
        raise ValueError(f"prompt {self.prompt_id!r} of {self.source!r} asks for a score, not for a choice")

    @property
    def truth(self) -> str:
        """The ground truth in words, for people: "opinion 3.250" or "response 2"."""
        if isinstance(self.reference, Opinion):
            return f"opinion {self.reference.score:.3f}"
        return f"response {self.reference.better}"

    def media(self) -> Iterator[Media]:
        """Yield the pictures and videos of all messages in reading order."""
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
