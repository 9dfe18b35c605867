"""What differs between model families: encoding, forward arguments, parameter names.

One ``Family`` is built in every process that needs one (engine actors, learner ranks), from the
same model folder, so that engine and trainer see the same tokens and pixels.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image

from rollout.types import Prompt


@dataclass(frozen=True, kw_only=True, slots=True)
class EncodedPrompt:
    """A prompt as the trainer's forward needs it."""

    token_ids: NDArray[np.int64]
    """``[P]``, media placeholders expanded, generation prompt ("assistant\\n") included."""
    features: Mapping[str, torch.Tensor]
    """Media tensors by forward-argument name, e.g. ``pixel_values [patches, C]``, ``image_grid_thw [n, 3]``."""
    num_media_tokens: int


@dataclass(frozen=True, kw_only=True, slots=True)
class EngineInput:
    """A prompt as the engine's input processor needs it: templated text and decoded pictures."""

    text: str
    images: tuple[Image.Image, ...]


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

    def encode_target(self, text: str) -> NDArray[np.int32]:
        """``[T]`` tokens of an assistant answer, end token included."""
        ...

    def decode(self, token_ids: Sequence[int]) -> str:
        """Text of completion tokens without special tokens."""
        ...

    def forward_arguments(self, rows: Sequence[tuple[EncodedPrompt, NDArray[np.int32]]]) -> dict[str, torch.Tensor]:
        """Right-padded model inputs ``[B, S]`` for prompt + completion rows, media features and
        ``mm_token_type_ids`` included (without them M-RoPE silently falls back)."""
        ...

    def load_model(self, *, dtype: torch.dtype, attention: str) -> torch.nn.Module:
        """The trainable model with the checkpoint's weights."""
        ...

    def save_processor(self, folder: str) -> None:
        """Write tokenizer, processor and chat template beside exported weights."""
        ...

    def is_vision(self, parameter_name: str) -> bool:
        """Whether a trainer parameter belongs to the vision tower (merger included)."""
        ...
