"""What differs between model families: encoding, forward arguments, parameter names.

One ``Family`` is built in every process that needs one (engine actors, learner ranks), from the
same model folder, so that engine and trainer see the same tokens and pixels.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image

from conf.machine import ModelPart
from rollout.types import Prompt


@dataclass(frozen=True, kw_only=True, slots=True)
class EncodedPrompt:
    """A prompt as the trainer's forward needs it."""

    token_ids: NDArray[np.int64]
    """``[P]``, media placeholders expanded, generation prompt ("assistant\\n") included."""
    features: Mapping[str, torch.Tensor]
    """Media tensors by forward-argument name, e.g. ``pixel_values [patches, C]``, ``image_grid_thw [n, 3]``."""
    num_media_tokens: int
    positions: NDArray[np.int64]
    """``[3, P]`` time, height and width of each token."""
    media_grids: tuple[tuple[int, int, int], ...]
    """Patches (time, height, width) of each picture and video, in reading order."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Span:
    """Where one sequence stands in the ``[B, S]`` tokens of a forward pass."""

    row: int
    start: int
    num_tokens: int

    @property
    def stop(self) -> int:
        """One after its last token."""
        return self.start + self.num_tokens


@dataclass(frozen=True, kw_only=True, slots=True)
class Place:
    """Where a prompt and a completion of it stand; siblings may stand behind the same prompt."""

    prompt: Span
    completion: Span

    @property
    def predicting(self) -> NDArray[np.int64]:
        """``[T]`` positions whose logits predict the completion's tokens; the prompt's last one if it is empty."""
        own = np.arange(self.completion.start, self.completion.stop, dtype=np.int64)
        return np.concatenate([np.array([self.prompt.stop - 1], dtype=np.int64), own[:-1]])


Layout = Literal["padded", "packed", "shared"]
"""padded: each prompt and completion in a row of its own; packed: end to end in one row; shared: the same, and the
completions of a prompt stand behind it, one after the other, each as if the others were not there."""


def lay_out(rows: Sequence[tuple[EncodedPrompt, NDArray[np.int32]]], *, layout: Layout) -> tuple[Place, ...]:
    """Where each prompt and completion stands. Shared are prompts that are one object; siblings stand longest first."""
    if layout == "padded":
        return tuple(_place(row, 0, one) for row, one in enumerate(rows))
    siblings: dict[int, list[int]] = {}
    for index, (prompt, _) in enumerate(rows):
        siblings.setdefault(id(prompt) if layout == "shared" else index, []).append(index)
    places: dict[int, Place] = {}
    stop = 0
    for indices in siblings.values():
        first = _place(0, stop, rows[indices[0]])
        stop = first.prompt.stop
        for index in sorted(indices, key=lambda one: -len(rows[one][1])):
            places[index] = Place(
                prompt=first.prompt, completion=Span(row=0, start=stop, num_tokens=len(rows[index][1]))
            )
            stop = places[index].completion.stop
    return tuple(places[index] for index in range(len(rows)))


def _place(row: int, start: int, one: tuple[EncodedPrompt, NDArray[np.int32]]) -> Place:
    prompt = Span(row=row, start=start, num_tokens=len(one[0].token_ids))
    return Place(prompt=prompt, completion=Span(row=row, start=prompt.stop, num_tokens=len(one[1])))


@dataclass(frozen=True, kw_only=True, slots=True)
class VideoFrames:
    """The shown frames of a video, resized."""

    frames_THW3: NDArray[np.uint8]
    fps: float
    """Frames per second of these frames."""


@dataclass(frozen=True, kw_only=True, slots=True)
class EngineInput:
    """A prompt as the engine's input processor needs it: templated text, decoded pictures and videos."""

    text: str
    images: tuple[Image.Image, ...]
    videos: tuple[VideoFrames, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class PictureTokens:
    """One picture in a tokenised prompt."""

    offset: int
    """Of its first token."""
    num_tokens: int
    features: Mapping[str, torch.Tensor]
    """What the model's forward takes of it: ``[rows, ...]`` where pictures are laid end to end, ``[k]`` where one such
    row stands for a picture."""


@dataclass(frozen=True, kw_only=True, slots=True)
class EngineTokens:
    """A prompt as the engine's model takes it: what the engine's input processor would make of an ``EngineInput``."""

    token_ids: tuple[int, ...]
    """Media placeholders expanded."""
    pictures: tuple[PictureTokens, ...]
    """In reading order."""


ForwardArguments = dict[str, Any]
"""What a model's forward takes by name: tensors, and what moves between devices as they do."""


class Family(Protocol):
    """The only thing engine and learner know about a model architecture."""

    @property
    def banned_token_ids(self) -> tuple[int, ...]:
        """Tokens the policy can never emit; masked in the engine's and in the trainer's logits alike."""
        ...

    @property
    def end_token_id(self) -> int:
        """The token that ends an assistant turn."""
        ...

    @property
    def processor_options(self) -> dict[str, int]:
        """Options the engine's copy of the processor needs, so that both sides cut pictures alike."""
        ...

    def check_prompt(self, prompt: Prompt) -> None:
        """Refuse text that holds literal special tokens, which would be taken for real media.

        Raises:
            ValueError: Names the prompt and the token.
        """
        ...

    def encode(self, prompt: Prompt) -> EncodedPrompt:
        """Tokenise and preprocess for the trainer."""
        ...

    def engine_input(self, prompt: Prompt) -> EngineInput:
        """Template and decode for the engine; the pixels equal those of ``encode``."""
        ...

    def engine_text(self, prompt: Prompt) -> str:
        """The text of ``engine_input`` alone, without a look at the media.

        Raises:
            ValueError: It holds literal special tokens (``check_prompt``).
        """
        ...

    def text_tokens(self, text: str) -> tuple[tuple[int, ...], tuple[int, ...]]:
        """The tokens of such a text up to the end of its last picture or video, each of which is one token here, and
        those behind it."""
        ...

    def engine_tokens(self, shown: EngineInput) -> EngineTokens | None:
        """The same as tokens and patches, at a tenth of the cost of the engine's own processor; None for prompts that
        are left to it."""
        ...

    def count_tokens(self, prompt: Prompt) -> int:
        """Length of the prompt in tokens, media included: that of ``encode``'s, without its patches."""
        ...

    def encode_target(self, text: str) -> NDArray[np.int32]:
        """``[T]`` tokens of an assistant answer, end token included."""
        ...

    def decode(self, token_ids: Sequence[int]) -> str:
        """Text of completion tokens without special tokens."""
        ...

    def forward_arguments(
        self, rows: Sequence[tuple[EncodedPrompt, NDArray[np.int32]]], *, layout: Layout = "padded"
    ) -> ForwardArguments:
        """Model inputs ``[B, S]`` for prompts and completions as ``lay_out`` places them, each seeing its prompt and
        itself only. Media features and ``position_ids`` are included (without them M-RoPE silently falls back)."""
        ...

    def load_model(self, *, dtype: torch.dtype, attention: str, layout: Layout = "padded") -> torch.nn.Module:
        """The trainable model with the checkpoint's weights; it computes rows that share prompts, or the others."""
        ...

    def save_processor(self, folder: str) -> None:
        """Write tokenizer, processor and chat template beside exported weights."""
        ...

    def part_of(self, parameter_name: str) -> ModelPart:
        """The part of the model a trainer parameter belongs to."""
        ...
