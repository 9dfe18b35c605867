"""The same answers by transformers' own ``generate``, in padded batches: what engines are held against.

Prompts, pictures, banned tokens and the way tokens are chosen are those of the engines; only who computes differs.
"""

from collections.abc import Sequence

import torch
from transformers import Qwen2_5_VLForConditionalGeneration, Qwen2_5_VLProcessor

from conf.machine import ModelConfig
from rollout.families import build_family
from rollout.types import Prompt


class PlainGenerator:
    """A model and its processor, loaded as their model card says."""

    def __init__(self, config: ModelConfig, *, folder: str) -> None:
        self._family = build_family(config, folder=folder)
        self._bounds = {"min_pixels": config.min_pixels, "max_pixels": config.max_pixels}
        self._processor = Qwen2_5_VLProcessor.from_pretrained(folder)
        self._processor.tokenizer.padding_side = "left"
        self._model = Qwen2_5_VLForConditionalGeneration.from_pretrained(folder, dtype=torch.float32).eval()

    @torch.inference_mode()
    def answer(self, prompts: Sequence[Prompt], *, max_tokens: int, temperature: float = 0.0) -> list[str]:
        """The answers to one batch of prompts with a picture each, greedy at temperature 0; reads the pictures too."""
        is_drawn = temperature > 0
        shown = [self._family.engine_input(prompt) for prompt in prompts]
        inputs = self._processor(
            text=[one.text for one in shown],
            images=[image for one in shown for image in one.images],
            padding=True,
            return_tensors="pt",
            images_kwargs=dict(self._bounds),
        )
        tokens = self._model.generate(
            **inputs,
            max_new_tokens=max_tokens,
            do_sample=is_drawn,
            temperature=temperature if is_drawn else None,
            top_k=0 if is_drawn else None,
            top_p=1.0 if is_drawn else None,
            repetition_penalty=1.0,
            suppress_tokens=list(self._family.banned_token_ids),
        )
        num_prompt_tokens = inputs["input_ids"].shape[1]
        return [self._family.decode(row.tolist()) for row in tokens[:, num_prompt_tokens:]]
