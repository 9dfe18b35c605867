"""Prompts as vLLM takes them: for its processor, or with their tokens and patches made already.

EngineInput --engine_prompt--> vLLM's processor --> RenderedPrompt      EngineTokens --rendered_tokens--> the same
RenderedPrompt --with_other_end--> another question behind the same media
"""

import hashlib
from collections.abc import Sequence
from typing import Any

import torch
from vllm.inputs import MultiModalInput, TextPrompt, TokensInput, mm_input, tokens_input
from vllm.multimodal.inputs import (
    MultiModalFieldConfig,
    MultiModalFieldElem,
    MultiModalKwargsItem,
    MultiModalKwargsItems,
    PlaceholderRange,
)

from rollout.families.base import EngineInput, EngineTokens, PictureTokens, VideoFrames

RenderedPrompt = TokensInput | MultiModalInput
"""A prompt as vLLM's scheduler takes it."""


def rendered_tokens(tokens: EngineTokens) -> RenderedPrompt:
    """What ``VllmEngine.render`` would return, of tokens and patches that are there already."""
    if not tokens.pictures:
        return tokens_input(list(tokens.token_ids))
    return mm_input(
        prompt_token_ids=list(tokens.token_ids),
        mm_kwargs=MultiModalKwargsItems({"image": [_item(picture) for picture in tokens.pictures]}),
        mm_hashes={"image": [_digest(picture) for picture in tokens.pictures]},
        mm_placeholders={
            "image": [PlaceholderRange(offset=one.offset, length=one.num_tokens) for one in tokens.pictures]
        },
    )


def with_other_end(rendered: RenderedPrompt, *, num_kept: int, end: Sequence[int]) -> RenderedPrompt:
    """The first ``num_kept`` tokens of a prompt, its media among them, with another end.

    What the vision tower takes is left out, for it is many times the size of all else: such a prompt can only follow
    the one it is made of (``VllmEngine.generate_in_turn``). What tells positions stays.
    """
    token_ids = [*rendered["prompt_token_ids"][:num_kept], *end]
    if rendered["type"] == "token":
        return tokens_input(token_ids)
    return mm_input(
        prompt_token_ids=token_ids,
        mm_kwargs=MultiModalKwargsItems(
            {kind: [_without_patches(one) for one in items] for kind, items in rendered["mm_kwargs"].items()}
        ),
        mm_hashes=rendered["mm_hashes"],
        mm_placeholders=rendered["mm_placeholders"],
    )


def _without_patches(item: MultiModalKwargsItem | None) -> MultiModalKwargsItem:
    assert item is not None, "vLLM's processor cache is off, so every prompt has its media"
    return MultiModalKwargsItem({name: one for name, one in item.items() if one.field.keep_on_cpu})


def _item(picture: PictureTokens) -> MultiModalKwargsItem:
    elements: dict[str, MultiModalFieldElem] = {}
    for name, tensor in picture.features.items():
        if tensor.ndim == 1:
            field = MultiModalFieldConfig.batched("image", keep_on_cpu=True)
            (elements[name],) = field.build_elems(name, tensor[None])
        else:
            field = MultiModalFieldConfig.flat_from_sizes("image", torch.tensor([len(tensor)]))
            (elements[name],) = field.build_elems(name, tensor)
    return MultiModalKwargsItem(elements)


def _digest(picture: PictureTokens) -> str:
    """vLLM finds what the vision tower made of a picture by this name."""
    digest = hashlib.blake2b(digest_size=16)
    for tensor in picture.features.values():
        digest.update(tensor.contiguous().numpy().data)
    return digest.hexdigest()


def engine_prompt(prompt: EngineInput) -> TextPrompt:
    """A prompt for vLLM's own processor."""
    media: dict[str, list[Any]] = {}
    if prompt.images:
        media["image"] = list(prompt.images)
    if not prompt.videos:
        return TextPrompt(prompt=prompt.text, multi_modal_data=media)
    media["video"] = [video.frames_THW3 for video in prompt.videos]
    # Given beside the frames, the times would be dropped for a Qwen2.5-VL.
    options = {"video_metadata": [_times(video) for video in prompt.videos], "do_sample_frames": False}
    return TextPrompt(prompt=prompt.text, multi_modal_data=media, mm_processor_kwargs=options)


def _times(video: VideoFrames) -> dict[str, object]:
    """Says that every frame is to be shown, and how far apart in time they are."""
    num_frames = len(video.frames_THW3)
    return {"fps": video.fps, "total_num_frames": num_frames, "frames_indices": list(range(num_frames))}
