"""Our messages in the form of an OpenAI-compatible chat endpoint, pictures inside as data URLs.

Pictures go through ``rollout.media`` first, so that such a judge sees what our own engines see: turned upright, on
white, and reduced to the same number of pixels.
"""

import base64
import io
from collections.abc import Mapping
from functools import lru_cache
from typing import Literal

from PIL import Image

from rollout.media import MIN_SIDE_PX, load_image
from rollout.types import Media, Message, Prompt
from rollout.videos import load_frames, pixels_per_frame

ChatMessage = Mapping[str, object]
"""``role``, and ``content`` as a list of parts."""

Part = Mapping[str, object]
VideoAs = Literal["pictures", "video"]

_NUM_MEDIA_KEPT = 64
"""Encoded media in memory: both orders and all votes of a pair show the same one, one after another."""


class MessageWriter:
    """Prompts as chat messages; pictures above ``max_pixels`` are reduced, keeping their aspect.

    Videos go as pictures, one per frame, which every endpoint for several pictures takes; or as one ``video_url`` of
    JPEG frames, which is an extension of vLLM's server and tells the model that they are a video.
    """

    def __init__(self, *, max_pixels: int, video_as: VideoAs) -> None:
        def parts(media: Media) -> list[Part]:
            return _media_parts(media, max_pixels=max_pixels, video_as=video_as)

        self._media_parts = lru_cache(maxsize=_NUM_MEDIA_KEPT)(parts)

    def write(self, prompt: Prompt) -> list[ChatMessage]:
        """Every message of a prompt, text and pictures in reading order; decodes pictures, so call it in a thread.

        Raises:
            ValueError: A picture cannot be decoded.
        """
        return [self._message(message) for message in prompt.messages]

    def _message(self, message: Message) -> ChatMessage:
        content = [part for one in message.content for part in self._parts(one)]
        return {"role": message.role, "content": content}

    def _parts(self, one: str | Media) -> list[Part]:
        return [{"type": "text", "text": one}] if isinstance(one, str) else self._media_parts(one)


def _media_parts(media: Media, *, max_pixels: int, video_as: VideoAs) -> list[Part]:
    if media.kind == "image":
        return [_picture_part(_reduced(load_image(media), max_pixels=max_pixels))]
    shown = load_frames(media)
    most = pixels_per_frame(
        len(shown),
        max_pixels=max_pixels if media.max_pixels is None else min(max_pixels, media.max_pixels),
        total_pixels=media.total_pixels,
        min_pixels=MIN_SIDE_PX**2,
    )
    frames = [_reduced(frame, max_pixels=int(most)) for frame in shown]
    if video_as == "pictures":
        return [_picture_part(frame) for frame in frames]
    encoded = ",".join(_base64(frame, encoding="JPEG") for frame in frames)
    return [{"type": "video_url", "video_url": {"url": f"data:video/jpeg;base64,{encoded}"}}]


def _picture_part(picture: Image.Image) -> Part:
    return {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{_base64(picture, encoding='PNG')}"}}


def _base64(picture: Image.Image, *, encoding: Literal["PNG", "JPEG"]) -> str:
    buffer = io.BytesIO()
    picture.save(buffer, format=encoding, quality=95)
    return base64.b64encode(buffer.getvalue()).decode()


def _reduced(picture: Image.Image, *, max_pixels: int) -> Image.Image:
    num_pixels = picture.width * picture.height
    if num_pixels <= max_pixels:
        return picture
    share = (max_pixels / num_pixels) ** 0.5
    # Rounded down, so that the server finds nothing left to reduce.
    size = (max(1, int(picture.width * share)), max(1, int(picture.height * share)))
    return picture.resize(size, Image.Resampling.BICUBIC)
