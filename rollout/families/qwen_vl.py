"""Qwen2.5-VL: the same text, pixels and positions for the engine and for the trainer.

Pictures and frames are resized once, here, by qwen-vl-utils' rule; the processors of transformers and vLLM then
find sides that are multiples of 28 inside their bounds and leave them alone.
"""

from collections.abc import Iterable, Iterator, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from qwen_vl_utils.vision_process import fetch_image
from transformers import Qwen2_5_VLConfig, Qwen2_5_VLForConditionalGeneration, Qwen2_5_VLProcessor
from transformers.models.qwen2_5_vl.configuration_qwen2_5_vl import Qwen2_5_VLVisionConfig

from conf.machine import ModelConfig, ModelPart
from rollout.families.base import (
    EncodedPrompt,
    EngineInput,
    EngineTokens,
    ForwardArguments,
    Layout,
    PictureTokens,
    VideoFrames,
    lay_out,
)
from rollout.families.folders import check_model_folder
from rollout.families.mrope import Grid, following_positions, prompt_positions
from rollout.families.shared_prefix import prefix_layout, register_attention
from rollout.media import load_image
from rollout.types import Media, Prompt
from rollout.videos import load_frames, pixels_per_frame

T = TypeVar("T")

PATCH_SIZE = 14
MERGE_SIZE = 2
CELL_SIZE = PATCH_SIZE * MERGE_SIZE
"""Side in pixels of what becomes one token."""
FRAMES_PER_STEP = 2
"""Frames that become one step in time; a last odd one is shown twice."""
MEDIA_TOKENS = ("<|vision_start|>", "<|vision_end|>", "<|vision_pad|>", "<|image_pad|>", "<|video_pad|>")
"""Never sampled: a completion with an image token would claim pixels that do not exist."""
STRUCTURE_TOKENS = ("<|im_start|>", "<|im_end|>", "<|endoftext|>")
MEDIA_FEATURES = ("pixel_values", "image_grid_thw", "pixel_values_videos", "video_grid_thw")
"""What the processor makes of media and the model's forward takes."""
_NUM_TEXTS_KEPT = 1024


class QwenVl:
    """The Qwen2.5-VL family (arXiv 2502.13923)."""

    def __init__(self, config: ModelConfig, *, folder: str) -> None:
        self._folder = folder
        self._pixels = {"min_pixels": config.min_pixels, "max_pixels": config.max_pixels}
        self._processor = _load_processor(folder)
        self._numbers_media = config.add_vision_id
        if self._numbers_media and "add_vision_id" not in str(self._processor.chat_template):
            raise ValueError(f"model.add_vision_id=true, but the chat template of {folder} cannot number media")
        self._tokenizer = self._processor.tokenizer
        self._banned = tuple(int(self._token_id(token)) for token in MEDIA_TOKENS)
        self._media_token_ids = (self._token_id("<|image_pad|>"), self._token_id("<|video_pad|>"))
        self._positions_per_second = _positions_per_second(folder)
        # A question is asked about one picture after the other.
        self._text_tokens = lru_cache(maxsize=_NUM_TEXTS_KEPT)(self._tokenize)

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
        return {**self._pixels, "cap_pixels_per_frame": False}

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
            videos=[video.frames_THW3 for video in source.videos] or None,
            return_tensors="pt",
            images_kwargs=dict(self._pixels),
            videos_kwargs={**self._pixels, "cap_pixels_per_frame": False, "do_sample_frames": False},
        )
        token_ids = inputs["input_ids"][0].numpy().astype(np.int64)
        is_media = np.isin(token_ids, self._media_token_ids)
        features = {name: inputs[name] for name in MEDIA_FEATURES if name in inputs}
        images = [(_patches(row), 0.0) for row in features.get("image_grid_thw", ())]
        times = [_seconds_per_step(video.fps) * self._positions_per_second for video in source.videos]
        videos = zip(map(_patches, features.get("video_grid_thw", ())), times, strict=True)
        grids = list(_in_reading_order(prompt, images=images, videos=list(videos)))
        return EncodedPrompt(
            token_ids=token_ids,
            features=features,
            num_media_tokens=int(is_media.sum()),
            positions=prompt_positions(is_media, grids=[_grid(patches, time) for patches, time in grids]),
            media_grids=tuple(patches for patches, _ in grids),
        )

    def count_tokens(self, prompt: Prompt) -> int:
        """Length of the prompt in tokens, media included."""
        source = self.engine_input(prompt)
        cells = [image.height * image.width // CELL_SIZE**2 for image in source.images]
        for video in source.videos:
            num_frames, height, width, _ = video.frames_THW3.shape
            cells.append(-(-num_frames // FRAMES_PER_STEP) * height * width // CELL_SIZE**2)
        # Each medium has one token in the text, which stands for as many as it has cells.
        return len(self._tokenizer(source.text, add_special_tokens=False)["input_ids"]) + sum(cells) - len(cells)

    def engine_text(self, prompt: Prompt) -> str:
        """Template for the engine."""
        self.check_prompt(prompt)
        chat: list[Any] = [
            {"role": message.role, "content": [_chat_part(part) for part in message.content]}
            for message in (prompt.messages[:-1] if prompt.beginning else prompt.messages)
        ]
        text = self._processor.apply_chat_template(
            chat, tokenize=False, add_generation_prompt=True, add_vision_id=self._numbers_media
        )
        return str(text) + prompt.beginning

    def engine_input(self, prompt: Prompt) -> EngineInput:
        """Template and decode for the engine."""
        text = self.engine_text(prompt)
        pictures = [media for media in prompt.media() if media.kind == "image"]
        videos = [media for media in prompt.media() if media.kind == "video"]
        return EngineInput(
            text=text,
            images=tuple(self._resize(load_image(media), max_pixels=self._pixels["max_pixels"]) for media in pictures),
            videos=tuple(self._frames(media) for media in videos),
        )

    def text_tokens(self, text: str) -> tuple[tuple[int, ...], tuple[int, ...]]:
        """Tokens up to the end of the last picture or video, and those behind it."""
        token_ids = self._text_tokens(text)
        end = max((place + 1 for place, one in enumerate(token_ids) if one in self._media_token_ids), default=0)
        return token_ids[:end], token_ids[end:]

    def engine_tokens(self, shown: EngineInput) -> EngineTokens | None:
        """Tokens and patches of a prompt with pictures; videos, whose times matter too, are left to vLLM.

        The steps are those of the processor, called one by one: its checks of every option cost ten times as much.
        """
        if shown.videos:
            return None
        pictures = iter(shown.images)
        token_ids: list[int] = []
        placed: list[PictureTokens] = []
        for token_id in self._text_tokens(shown.text):
            if token_id != self._media_token_ids[0]:
                token_ids.append(token_id)
                continue
            features = self._patches(next(pictures))
            num_tokens = len(features["pixel_values"]) // MERGE_SIZE**2
            placed.append(PictureTokens(offset=len(token_ids), num_tokens=num_tokens, features=features))
            token_ids += [token_id] * num_tokens
        return EngineTokens(token_ids=tuple(token_ids), pictures=tuple(placed))

    def encode_target(self, text: str) -> NDArray[np.int32]:
        """``[T]`` tokens of an assistant answer, ``<|im_end|>`` included."""
        ids = self._tokenizer(text, add_special_tokens=False)["input_ids"]
        return np.array([*ids, self.end_token_id], dtype=np.int32)

    def decode(self, token_ids: Sequence[int]) -> str:
        """Text of completion tokens without special tokens."""
        return str(self._tokenizer.decode(list(token_ids), skip_special_tokens=True))

    def forward_arguments(
        self, rows: Sequence[tuple[EncodedPrompt, NDArray[np.int32]]], *, layout: Layout = "padded"
    ) -> ForwardArguments:
        """``input_ids [B, S]`` and pixels, with ``position_ids [3, B, S]`` and what keeps the rows apart.

        Padded: ``attention_mask [B, S]``. Packed: a first plane of ``position_ids [4, 1, S]`` that counts the tokens of
        each row from 0; transformers keeps attention inside what such a plane counts, whichever implementation computes
        it. Shared: ``prefix_layout``, which the attention of a model loaded for it reads.
        """
        places = lay_out(rows, layout=layout)
        shape = (1 + max(place.prompt.row for place in places), max(place.completion.stop for place in places))
        input_ids = torch.full(shape, self.end_token_id, dtype=torch.long)
        mask = torch.zeros(shape, dtype=torch.long)
        positions = torch.zeros((4, *shape), dtype=torch.long)
        for place, (prompt, completion) in zip(places, rows, strict=True):
            after = following_positions(prompt.positions, num_tokens=len(completion))
            parts = ((place.prompt, prompt.token_ids, prompt.positions), (place.completion, completion, after))
            for span, token_ids, planes in parts:
                here = slice(span.start, span.stop)
                input_ids[span.row, here] = torch.tensor(token_ids)
                mask[span.row, here] = 1
                positions[0, span.row, here] = torch.arange(span.num_tokens)
                positions[1:, span.row, here] = torch.tensor(planes)
            positions[0, place.completion.row, place.completion.start : place.completion.stop] += len(prompt.token_ids)
        arguments: ForwardArguments = {
            "input_ids": input_ids,
            "position_ids": positions if layout == "packed" else positions[1:],
        }
        if layout == "padded":
            arguments["attention_mask"] = mask
        if layout == "shared":
            arguments["prefix_layout"] = prefix_layout(places)
        shown = {place.prompt: prompt for place, (prompt, _) in zip(places, rows, strict=True)}
        for name in MEDIA_FEATURES:
            features = [prompt.features[name] for prompt in shown.values() if name in prompt.features]
            if features:
                arguments[name] = torch.cat(features)
        return arguments

    def load_model(self, *, dtype: torch.dtype, attention: str, layout: Layout = "padded") -> torch.nn.Module:
        """The trainable model with the checkpoint's weights."""
        text_attention = register_attention(attention) if layout == "shared" else attention
        model = Qwen2_5_VLForConditionalGeneration.from_pretrained(
            self._folder,
            dtype=dtype,
            attn_implementation={"": attention, "vision_config": attention, "text_config": text_attention},
        )
        if not isinstance(model, torch.nn.Module):
            raise TypeError(f"{self._folder} did not load as a torch module")
        return model

    def save_processor(self, folder: str) -> None:
        """Write tokenizer, processor and chat template beside exported weights."""
        self._processor.save_pretrained(folder)

    def part_of(self, parameter_name: str) -> ModelPart:
        """The part of the model a trainer parameter belongs to; the merger is the projector."""
        if ".visual." not in f".{parameter_name}":
            return "language"
        return "projector" if ".visual.merger." in f".{parameter_name}" else "vision"

    def _patches(self, picture: Image.Image) -> dict[str, torch.Tensor]:
        """``pixel_values [patches, C]`` and ``image_grid_thw [3]`` of a picture of the right size."""
        processor = self._processor.image_processor
        pixels_1CHW = torch.from_numpy(np.array(picture)).permute(2, 0, 1)[None]
        scaled = processor.rescale_and_normalize(
            pixels_1CHW,
            processor.do_rescale,
            processor.rescale_factor,
            processor.do_normalize,
            processor.image_mean,
            processor.image_std,
        )
        patches, rows, columns = processor.patchify(
            scaled, patch_size=PATCH_SIZE, merge_size=MERGE_SIZE, temporal_patch_size=FRAMES_PER_STEP
        )
        return {"pixel_values": patches[0], "image_grid_thw": torch.tensor([1, rows, columns])}

    def _frames(self, media: Media) -> VideoFrames:
        assert media.fps is not None, "a video has fps"
        frames = load_frames(media)
        max_pixels = pixels_per_frame(
            len(frames),
            max_pixels=self._largest_frame(media),
            total_pixels=media.total_pixels,
            min_pixels=self._pixels["min_pixels"],
        )
        resized = [np.asarray(self._resize(frame, max_pixels=max_pixels)) for frame in frames]
        return VideoFrames(frames_THW3=np.stack(resized), fps=FRAMES_PER_STEP / _seconds_per_step(media.fps))

    def _largest_frame(self, media: Media) -> int:
        """The lower of both limits, the video's and the model's."""
        least, most = self._pixels["min_pixels"], self._pixels["max_pixels"]
        if media.max_pixels is not None and media.max_pixels < least:
            raise ValueError(f"data.video.max_pixels={media.max_pixels} is below model.min_pixels={least}; raise it")
        return most if media.max_pixels is None else min(media.max_pixels, most)

    def _resize(self, image: Image.Image, *, max_pixels: float) -> Image.Image:
        bounds = {"min_pixels": self._pixels["min_pixels"], "max_pixels": max_pixels}
        try:
            resized: Image.Image = fetch_image({"image": image, **bounds}, image_patch_size=PATCH_SIZE)
        except ValueError as error:  # a side of 0
            raise ValueError(
                f"a picture of {image.width}x{image.height} pixels cannot keep its form in {max_pixels:g}, where sides "
                f"are multiples of {CELL_SIZE}; allow more pixels (max_pixels)"
            ) from error
        return resized

    def _tokenize(self, text: str) -> tuple[int, ...]:
        return tuple(self._tokenizer(text, add_special_tokens=False)["input_ids"])

    def _token_id(self, token: str) -> int:
        found = self._tokenizer.convert_tokens_to_ids(token)
        if not isinstance(found, int) or found == self._tokenizer.unk_token_id:
            raise ValueError(f"{self._folder}: its tokenizer has no token {token}; expected a Qwen2.5-VL model")
        return found


def _chat_part(part: str | Media) -> dict[str, str]:
    return {"type": part.kind} if isinstance(part, Media) else {"type": "text", "text": part}


def _in_reading_order(prompt: Prompt, *, images: Iterable[T], videos: Iterable[T]) -> Iterator[T]:
    """What belongs to the pictures and to the videos of a prompt, as they come."""
    of_kind = {"image": iter(images), "video": iter(videos)}
    for media in prompt.media():
        yield next(of_kind[media.kind])


def _patches(row: torch.Tensor) -> tuple[int, int, int]:
    time, height, width = (int(size) for size in row)
    return time, height, width


def _grid(patches: tuple[int, int, int], positions_per_step: float) -> Grid:
    time, height, width = patches
    return Grid(
        steps=time,
        rows=height // MERGE_SIZE,
        columns=width // MERGE_SIZE,
        positions_per_step=positions_per_step,
    )


def _seconds_per_step(fps: float) -> float:
    """Seconds between two steps in time, rounded so that every dtype holds them.

    vLLM carries them in the model's dtype; rounded there and not here, positions would differ.
    """
    return float(torch.tensor(FRAMES_PER_STEP / fps).bfloat16())


def _positions_per_second(folder: str) -> float:
    vision = Qwen2_5_VLConfig.from_pretrained(folder).vision_config
    assert isinstance(vision, Qwen2_5_VLVisionConfig)
    return float(vision.tokens_per_second)


def _load_processor(folder: str) -> Qwen2_5_VLProcessor:
    if Path(folder).is_dir():
        check_model_folder(Path(folder), family="qwen2_5_vl")
    processor = Qwen2_5_VLProcessor.from_pretrained(folder)
    if not isinstance(processor, Qwen2_5_VLProcessor):
        raise TypeError(f"{folder}: expected a Qwen2.5-VL processor, got {type(processor).__name__}")
    return processor
