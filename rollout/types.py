"""What generation consumes and produces. Standard library and numpy only, so every room can import it."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Literal, TypeVar

import numpy as np
from numpy.typing import NDArray

Role = Literal["system", "user", "assistant"]
FinishReason = Literal["stop", "length", "abort"]
FailureKind = Literal["unreadable_media", "unusable_text", "too_long"]
"""A picture or video that cannot be decoded; a text that holds the model's own markup; no room left for an answer."""
Choice = Literal[1, 2]
"""Which of two answers, counted as they are shown."""
Task = Literal["score", "choice", "defect", "check", "none"]
"""What a prompt asks for; each has its kind of ground truth."""
DefectTask = Literal["type", "severity", "type_and_severity", "region", "area"]
"""What can be asked about the local defect of a picture."""
Box = tuple[float, float, float, float]
"""Left, top, right and bottom edge in pixels of the picture as it is shown; right and bottom lie just outside."""
NO_DEFECT = "none"
"""The answer to every question about the defect of a pristine picture."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Scale:
    """The declared range of an opinion score; it drives prompt, parser, rewards and label checks."""

    minimum: float
    maximum: float

    def __contains__(self, score: float) -> bool:
        return self.minimum <= score <= self.maximum


@dataclass(frozen=True, kw_only=True, slots=True)
class Media:
    """One picture or video of a prompt: a file, the encoded bytes of one, or a video's frames as picture files (exactly
    one of the three)."""

    kind: Literal["image", "video"]
    path: str | None = None
    data: bytes | None = None
    """An encoded file (PNG, JPEG, ...; AVI, MP4, ...), for pictures and videos made on the fly."""
    frames: tuple[str, ...] = ()
    """Picture files of a video, in order of time: those that are shown."""
    indices: tuple[int, ...] = ()
    """Which frames of a video file are shown, counted from 0."""
    fps: float | None = None
    """Frames shown per second of a video; says how far apart in time they are."""
    max_pixels: int | None = None
    """Frames of more pixels are reduced to this many; the model's own limit holds beside it."""
    total_pixels: int | None = None
    """Pixels all frames of a video share, two frames counting as one (``rollout.videos.pixels_per_frame``)."""
    is_cut: bool = False
    """A video that goes on where its shown frames end."""

    def __post_init__(self) -> None:
        if sum((self.path is not None, self.data is not None, bool(self.frames))) != 1:
            raise ValueError("a Media needs exactly one of path, data and frames")
        if self.kind == "image" and (self.frames or self.indices or self.fps or self.max_pixels or self.total_pixels):
            raise ValueError("frames, indices, fps, max_pixels and total_pixels are for videos")
        if self.kind == "image" and self.is_cut:
            raise ValueError("a picture has no frames to leave out")
        if self.kind == "video" and bool(self.indices) == bool(self.frames):
            raise ValueError("a video is frames, or a file with the indices of its frames")
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
class Finding:
    """An answer about a defect, true or given. What the task asks for is set and nothing else; with nothing set it says
    that there is no defect."""

    kind: str | None = None
    severity: str | None = None
    region: str | None = None
    box: Box | None = None

    @property
    def words(self) -> str:
        """As an answer block holds it: "blur, strong", "top left", "[14, 0, 56, 28]" or "none"."""
        box = None if self.box is None else f"[{', '.join(f'{edge:g}' for edge in self.box)}]"
        return ", ".join(part for part in (self.kind, self.severity, self.region, box) if part) or NO_DEFECT


@dataclass(frozen=True, kw_only=True, slots=True)
class Defect:
    """Ground truth of a perception task: one question about the local defect of a picture, which may have none."""

    task: DefectTask
    finding: Finding
    """The right answer."""
    picture_id: str
    """The same for all questions about one picture."""
    candidates: tuple[str, ...] = ()
    """The kinds or regions to choose from, in the order shown, beside "none"."""
    severities: tuple[str, ...] = ()
    """The words for severity to choose from, rising; "none" is one step below the first."""
    shows_reference: bool = False
    """Whether the undistorted picture is shown before the picture asked about."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Check:
    """Ground truth of a yes/no question of a checklist about one picture or video."""

    question_id: str
    is_yes: bool
    picture_id: str
    """The same for all questions about one picture or video."""

    @property
    def word(self) -> str:
        """The right answer."""
        return "yes" if self.is_yes else "no"


@dataclass(frozen=True, kw_only=True, slots=True)
class Unlabelled:
    """No ground truth: the prompt of a demonstration from a file, which is imitated and never rewarded."""


Reference = Opinion | Preference | Defect | Check | Unlabelled
ReferenceT = TypeVar("ReferenceT", Opinion, Preference, Defect, Check)


@dataclass(frozen=True, kw_only=True, slots=True)
class Prompt:
    """One question to the policy, with what is needed to reward an answer."""

    prompt_id: str
    messages: tuple[Message, ...]
    reference: Reference
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
    def task(self) -> Task:
        """What the prompt asks for."""
        if isinstance(self.reference, Opinion):
            return "score"
        if isinstance(self.reference, Preference):
            return "choice"
        if isinstance(self.reference, Check):
            return "check"
        return "defect" if isinstance(self.reference, Defect) else "none"

    @property
    def opinion(self) -> Opinion:
        """The ground truth of a scoring task.

        Raises:
            ValueError: The prompt is of another task.
        """
        return self._reference_of(Opinion, task="score")

    @property
    def preference(self) -> Preference:
        """The ground truth of a pairwise task.

        Raises:
            ValueError: The prompt is of another task.
        """
        return self._reference_of(Preference, task="choice")

    @property
    def defect(self) -> Defect:
        """The ground truth of a perception task.

        Raises:
            ValueError: The prompt is of another task.
        """
        return self._reference_of(Defect, task="defect")

    @property
    def check(self) -> Check:
        """The ground truth of a yes/no question.

        Raises:
            ValueError: The prompt is of another task.
        """
        return self._reference_of(Check, task="check")

    @property
    def beginning(self) -> str:
        """What the answer is made to begin with: the text of a last message by the assistant; empty without one."""
        last = self.messages[-1]
        return "".join(map(str, last.content)) if last.role == "assistant" else ""

    @property
    def truth(self) -> str:
        """The ground truth in words, for people: "opinion 3.250", "response 2", "region top left" or "blur_none no"."""
        if isinstance(self.reference, Opinion):
            return f"opinion {self.reference.score:.3f}"
        if isinstance(self.reference, Preference):
            return f"response {self.reference.better}"
        if isinstance(self.reference, Defect):
            return f"{self.reference.task.replace('_', ' ')} {self.reference.finding.words}"
        if isinstance(self.reference, Check):
            return f"{self.reference.question_id} {self.reference.word}"
        return "no label"

    def _reference_of(self, kind: type[ReferenceT], *, task: Task) -> ReferenceT:
        if isinstance(self.reference, kind):
            return self.reference
        raise ValueError(f"prompt {self.prompt_id!r} of {self.source!r} asks for a {self.task}, not for a {task}")

    @property
    def is_cut(self) -> bool:
        """Whether one of its videos goes on where its shown frames end."""
        return any(media.is_cut for media in self.media())

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
class WatchedTokens:
    """How likely some tokens were at every position of a completion, whichever was sampled."""

    token_ids: NDArray[np.int32]
    """``[W]``, in the order they were asked for."""
    logprobs: NDArray[np.float32]
    """``[T, W]`` in nats, under the distribution the engine sampled from."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Completion:
    """One sampled answer. ``token_ids`` and ``logprobs`` are ``[T]`` and exclude the prompt."""

    text: str
    token_ids: NDArray[np.int32]
    """Includes the end token when ``finish_reason`` is "stop"; a truncated completion has none."""
    logprobs: NDArray[np.float32]
    """Log-probability in nats of each token under the distribution the engine sampled from; nan where the order needs
    none, so that nothing can be learnt from it by mistake."""
    finish_reason: FinishReason
    policy_version: int
    watched: WatchedTokens | None = None
    """None unless the order names tokens to watch."""

    def __post_init__(self) -> None:
        if self.token_ids.shape != self.logprobs.shape:
            raise ValueError(f"{self.token_ids.shape[0]} token ids but {self.logprobs.shape[0]} logprobs")

    @property
    def is_truncated(self) -> bool:
        """Whether the token limit cut the answer."""
        return self.finish_reason == "length"


@dataclass(frozen=True, kw_only=True, slots=True)
class Failure:
    """Why a prompt was not asked."""

    kind: FailureKind
    detail: str
    """Names the file or the text at fault."""


@dataclass(frozen=True, kw_only=True, slots=True)
class RolloutGroup:
    """Every completion sampled for one prompt in one step; ``G = len(completions)``."""

    prompt: Prompt
    completions: tuple[Completion, ...]
    prompt_token_ids: NDArray[np.int32]
    """``[P]`` as the engine saw them, media placeholders expanded."""
    metrics: Mapping[str, float] = field(default_factory=dict[str, float])
    failure: Failure | None = None
    """Why there are no completions, in an order that skips prompts that cannot be asked."""
