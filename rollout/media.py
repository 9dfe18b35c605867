"""Pictures: an encoded file in, an RGB picture out, the same for every consumer.

    Media --decode--> any mode --rotate, flatten--> RGB --enlarge if tiny--> PIL.Image

The policy on what arrives, in one place:

* the EXIF orientation is applied, as every viewer does;
* transparency is composited on white;
* 16-bit grey is scaled to 8 bits, never clipped; floating-point pictures (range not declared) are refused;
* colour profiles are not applied, and of an animation the first frame counts;
* a side below 28 px, the smallest a Qwen vision tower takes, enlarges that one picture, keeping its aspect;
* a picture more than 200 times as long as wide, and one that cannot be decoded to its end, are refused.
"""

import io
import struct
import zlib

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from rollout.types import Media

MIN_SIDE_PX = 28
MAX_ASPECT_RATIO = 200

_DECODING_FAILURES = (
    OSError,
    SyntaxError,
    ValueError,
    EOFError,
    IndexError,
    OverflowError,
    struct.error,
    zlib.error,
    Image.DecompressionBombError,
)
"""What Pillow raises on damaged files; each format has its own habits."""


def load_image(media: Media) -> Image.Image:
    """The picture as RGB with both sides at least 28 px; it holds no open file.

    Raises:
        ValueError: The file is missing, truncated, corrupt, of an undeclared range, or longer than 200 times
            its width. The message names the file and the reason.
    """
    if media.kind != "image":
        raise ValueError(f"{media.name} is a video; its frames are read by rollout/videos.py")
    return fit_for_training(_flatten(_decode(media), name=media.name), name=media.name)


def inspect_image(media: Media) -> tuple[int, int]:
    """Width and height as trained on, after decoding every pixel: a header does not show a torn file.

    Raises:
        ValueError: As ``load_image``.
    """
    return load_image(media).size


def fit_for_training(picture: Image.Image, *, name: str) -> Image.Image:
    """The RGB picture with both sides at least 28 px.

    Raises:
        ValueError: It is longer than 200 times its width.
    """
    if max(picture.size) > MAX_ASPECT_RATIO * min(picture.size):
        width, height = picture.size
        raise ValueError(
            f"picture {name}: {width}x{height} px is longer than {MAX_ASPECT_RATIO} times its other side; "
            "crop it or leave it out"
        )
    return _enlarge_if_tiny(picture)


def _decode(media: Media) -> Image.Image:
    source = media.path if media.data is None else io.BytesIO(media.data)
    assert source is not None, "a Media has a path or data"
    try:
        with Image.open(source) as opened:
            opened.load()
            picture = opened.copy()  # outlives the file
            ImageOps.exif_transpose(picture, in_place=True)
            return picture
    except FileNotFoundError as error:
        raise ValueError(f"picture {media.name}: no such file") from error
    except UnidentifiedImageError as error:
        raise ValueError(f"picture {media.name}: not an image, or damaged in its first bytes") from error
    except _DECODING_FAILURES as error:
        raise ValueError(f"picture {media.name}: cannot be decoded: {error}") from error


def _flatten(picture: Image.Image, *, name: str) -> Image.Image:
    """The picture in RGB mode, whatever its mode was."""
    if picture.mode.startswith("I"):
        return _from_16_bits(picture, name=name)
    if picture.mode == "F":
        raise ValueError(f"picture {name}: floating-point pixels have no declared range; save it with 8 or 16 bits")
    if picture.has_transparency_data:
        straight = picture.convert("RGBA")
        white = Image.new("RGBA", straight.size, (255, 255, 255, 255))
        return Image.alpha_composite(white, straight).convert("RGB")
    try:
        return picture.convert("RGB")
    except ValueError as error:
        raise ValueError(f"picture {name}: mode {picture.mode} cannot become RGB: {error}") from error


def _from_16_bits(picture: Image.Image, *, name: str) -> Image.Image:
    """Grey with 16 bits a pixel, scaled to 8; Pillow's own conversion would clip all above 255 to white."""
    grey_HW = np.asarray(picture, dtype=np.int64)
    low, high = int(grey_HW.min()), int(grey_HW.max())
    if low < 0 or high > 65535:
        raise ValueError(f"picture {name}: grey values {low}..{high} do not fit 16 bits; save it with 8 or 16 bits")
    transparent = picture.info.get("transparency")
    if isinstance(transparent, int):
        grey_HW = np.where(grey_HW == transparent, 65535, grey_HW)
    return Image.fromarray(((grey_HW + 128) // 257).astype(np.uint8)).convert("RGB")


def _enlarge_if_tiny(picture: Image.Image) -> Image.Image:
    shortest = min(picture.size)
    if shortest >= MIN_SIDE_PX:
        return picture
    width, height = (max(MIN_SIDE_PX, round(side * MIN_SIDE_PX / shortest)) for side in picture.size)
    return picture.resize((width, height), Image.Resampling.BICUBIC)
