"""Qwen2.5-VL: the same text and pixels for the engine and for the trainer.

Pictures are resized once, here, by qwen-vl-utils' rule; the processors of transformers and vLLM then find
sides that are multiples of 28 inside their bounds and leave them alone.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from qwen_vl_utils.vision_process import fetch_image
from transformers import Qwen2_5_VLForConditionalGeneration, Qwen2_5_VLProcessor

from conf.machine import ModelConfig
from rollout.families.base import EncodedPrompt, EngineInput
from rollout.families.folders import check_model_folder
from rollout.media import load_image
from rollout.types import Media, Prompt

PATCH_SIZE = 14
MEDIA_TOKENS = ("<|vision_start|>", "<|vision_end|>", "<|vision_pad|>", "<|image_pad|>", "<|video_pad|>")
"""Never sampled: a completion with an image token would claim pixels that do not exist."""
STRUCTURE_TOKENS = ("<|im_start|>", "<|im_end|>", "<|endoftext|>")


class QwenVl:
    """The Qwen2.5-VL family (arXiv 2502.13923)."""

    def __init__(self, config: ModelConfig, *, folder: str) -> None:
        self._folder = folder
        self._pixels = {"min_pixels": config.min_pixels, "max_pixels": config.max_pixels}
        self._processor = _load_processor(folder)
        self._tokenizer = self._processor.tokenizer
        self._banned = tuple(int(self._token_id(token)) for token in MEDIA_TOKENS)
        self._image_token_id = int(self._token_id("<|image_pad|>"))

    @property
    def banned_token_ids(self) -> tuple[int, ...]:
        """The five media tokens."""
        return self._banned

    @property
    def end_token_id(self) -> int:
        """``<|im_end|>``."""
        return self._token_id("<|im_end|>")

    @property
    def processor_options(self) -> dict[str, int]:
        """Pixel bounds, for the engine's copy of the processor."""
        return dict(self._pixels)

    def check_prompt(self, prompt: Prompt) -> None:
        """Refuse literal special tokens in the prompt's text.

        Raises:
            ValueError: Names the prompt and the token.
        """
        for message in prompt.messages:
            for part in message.content:
                if isinstance(part, Media):
                    continue
                for token in (*MEDIA_TOKENS, *STRUCTURE_TOKENS):
                    if token in part:
                        raise ValueError(
                            f"prompt {prompt.prompt_id}: its text holds the literal token {token}, which the "
                            "model would take for structure; remove it from the data"
                        )

    def encode(self, prompt: Prompt) -> EncodedPrompt:
        """Tokenise and preprocess for the trainer."""
        source = self.engine_input(prompt)
        inputs = self._processor(
            text=[source.text],
            images=list(source.images) or None,
            return_tensors="pt",
            images_kwargs=dict(self._pixels),
        )
        token_ids = inputs["input_ids"][0].numpy().astype(np.int64)
        names = ("pixel_values", "image_grid_thw")
        return EncodedPrompt(
            token_ids=token_ids,
            features={name: inputs[name] for name in names if name in inputs},
            num_media_tokens=int((token_ids == self._image_token_id).sum()),
        )

    def engine_input(self, prompt: Prompt) -> EngineInput:
        """Template and decode for the engine."""
        self.check_prompt(prompt)
        chat: list[Any] = [
            {"role": message.role, "content": [_chat_part(part) for part in message.content]}
            for message in prompt.messages
        ]
        text = self._processor.apply_chat_template(chat, tokenize=False, add_generation_prompt=True)
        images = tuple(self._resize(load_image(media)) for media in prompt.media())
        return EngineInput(text=text, images=images)

    def encode_target(self, text: str) -> NDArray[np.int32]:
        """``[T]`` tokens of an assistant answer, ``<|im_end|>`` included."""
        ids = self._tokenizer(text, add_special_tokens=False)["input_ids"]
        return np.array([*ids, self.end_token_id], dtype=np.int32)

    def decode(self, token_ids: Sequence[int]) -> str:
        """Text of completion tokens without special tokens."""
        return str(self._tokenizer.decode(list(token_ids), skip_special_tokens=True))

    def forward_arguments(self, rows: Sequence[tuple[EncodedPrompt, NDArray[np.int32]]]) -> dict[str, torch.Tensor]:
        """Right-padded ``input_ids``, ``attention_mask``, ``mm_token_type_ids`` ``[B, S]`` and pixels."""
        lengths = [len(prompt.token_ids) + len(completion) for prompt, completion in rows]
        shape = (len(rows), max(lengths))
        input_ids = torch.full(shape, self.end_token_id, dtype=torch.long)
        mask = torch.zeros(shape, dtype=torch.long)
        for row, (prompt, completion) in enumerate(rows):
            ids = np.concatenate([prompt.token_ids, completion.astype(np.int64)])
            input_ids[row, : len(ids)] = torch.from_numpy(ids)
            mask[row, : len(ids)] = 1
        arguments = {
            "input_ids": input_ids,
            "attention_mask": mask,
            # Without these transformers falls back to text positions for image tokens, silently.
            "mm_token_type_ids": (input_ids == self._image_token_id).to(torch.int32) * mask.to(torch.int32),
        }
        for name in ("pixel_values", "image_grid_thw"):
            parts = [prompt.features[name] for prompt, _ in rows if name in prompt.features]
            if parts:
                arguments[name] = torch.cat(parts)
        return arguments

    def load_model(self, *, dtype: torch.dtype, attention: str) -> torch.nn.Module:
        """The trainable model with the checkpoint's weights."""
        model = Qwen2_5_VLForConditionalGeneration.from_pretrained(
            self._folder, dtype=dtype, attn_implementation=attention
        )
        if not isinstance(model, torch.nn.Module):
            raise TypeError(f"{self._folder} did not load as a torch module")
        return model

    def save_processor(self, folder: str) -> None:
        """Write tokenizer, processor and chat template beside exported weights."""
        self._processor.save_pretrained(folder)

    def is_vision(self, parameter_name: str) -> bool:
        """Whether a trainer parameter belongs to the vision tower (merger included)."""
        return ".visual." in f".{parameter_name}"

    def _resize(self, image: Image.Image) -> Image.Image:
        resized: Image.Image = fetch_image({"image": image, **self._pixels}, image_patch_size=PATCH_SIZE)
        return resized

    def _token_id(self, token: str) -> int:
        found = self._tokenizer.convert_tokens_to_ids(token)
        if not isinstance(found, int) or found == self._tokenizer.unk_token_id:
            raise ValueError(f"{self._folder}: its tokenizer has no token {token}; expected a Qwen2.5-VL model")
        return found


def _chat_part(part: str | Media) -> dict[str, str]:
    return {"type": "image"} if isinstance(part, Media) else {"type": "text", "text": part}


def _load_processor(folder: str) -> Qwen2_5_VLProcessor:
    if Path(folder).is_dir():
        check_model_folder(Path(folder), family="qwen2_5_vl")
    processor = Qwen2_5_VLProcessor.from_pretrained(folder)
    if not isinstance(processor, Qwen2_5_VLProcessor):
        raise TypeError(f"{folder}: expected a Qwen2.5-VL processor, got {type(processor).__name__}")
    return processor
