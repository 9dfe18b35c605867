"""Every kind of file a picture may arrive in."""

import io
import re
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from rollout.media import inspect_image, load_image
from rollout.types import Media


def _encode(picture: Image.Image, *, file_format: str = "PNG", exif: Image.Exif | None = None) -> Media:
    buffer = io.BytesIO()
    picture.save(buffer, format=file_format, exif=exif or Image.Exif())
    return Media(kind="image", data=buffer.getvalue())


def _noise(width: int, height: int) -> Image.Image:
    pixels_HW3 = np.random.default_rng(0).integers(0, 256, (height, width, 3), dtype=np.uint8)
    return Image.fromarray(pixels_HW3)


def _pixels(picture: Image.Image) -> NDArray[np.uint8]:
    return np.asarray(picture)


def _png_of_16_bit_grey(values: list[int], *, transparent: int | None = None) -> bytes:
    """A 40-pixel-high PNG with one 16-bit grey column of width 40 per value."""

    def chunk(name: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))

    row = b"\0" + b"".join(struct.pack(">H", value) * 40 for value in values)
    header = struct.pack(">IIBBBBB", 40 * len(values), 40, 16, 0, 0, 0, 0)
    mask = b"" if transparent is None else chunk(b"tRNS", struct.pack(">H", transparent))
    body = chunk(b"IDAT", zlib.compress(row * 40))
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + mask + body + chunk(b"IEND", b"")


def test_a_png_comes_back_pixel_for_pixel() -> None:
    picture = _noise(40, 30)
    assert np.array_equal(_pixels(load_image(_encode(picture))), _pixels(picture))


def test_a_path_and_its_bytes_give_the_same_picture(tmp_path: Path) -> None:
    file = tmp_path / "a.png"
    _noise(40, 30).save(file)
    from_path = load_image(Media(kind="image", path=str(file)))
    from_bytes = load_image(Media(kind="image", data=file.read_bytes()))
    assert np.array_equal(_pixels(from_path), _pixels(from_bytes))


_STORED_AS = {
    1: None,
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_90,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_270,
}
"""EXIF orientation -> how a camera that writes it has turned what was seen."""


def _as_stored(seen: Image.Image, *, orientation: int, file_format: str) -> Media:
    turn = _STORED_AS[orientation]
    exif = Image.Exif()
    exif[0x0112] = orientation
    return _encode(seen if turn is None else seen.transpose(turn), file_format=file_format, exif=exif)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_the_exif_orientation_is_applied(orientation: int) -> None:
    seen = _noise(60, 40)
    media = _as_stored(seen, orientation=orientation, file_format="PNG")
    assert np.array_equal(_pixels(load_image(media)), _pixels(seen))


@pytest.mark.parametrize("file_format", ["JPEG", "TIFF", "WEBP", "PNG"])
def test_every_format_that_carries_an_orientation_is_turned(file_format: str) -> None:
    assert inspect_image(_as_stored(_noise(60, 40), orientation=6, file_format=file_format)) == (60, 40)


@pytest.mark.parametrize("mode", ["RGBA", "LA"])
def test_transparency_is_composited_on_white(mode: str) -> None:
    black = Image.new("RGBA", (40, 40), (0, 0, 0, 0)).convert(mode)
    assert (_pixels(load_image(_encode(black))) == 255).all()


def test_half_transparent_black_becomes_mid_grey() -> None:
    half = Image.new("RGBA", (40, 40), (0, 0, 0, 128))
    # 255 * (1 - 128 / 255) = 127
    assert (_pixels(load_image(_encode(half))) == 127).all()


def test_the_transparent_colour_of_a_palette_becomes_white() -> None:
    palette = Image.new("P", (40, 40), 1)
    palette.putpalette([0, 0, 0, 10, 20, 30])
    buffer = io.BytesIO()
    palette.save(buffer, format="PNG", transparency=1)
    assert (_pixels(load_image(Media(kind="image", data=buffer.getvalue()))) == 255).all()


def test_an_opaque_palette_gives_its_colours() -> None:
    palette = Image.new("P", (40, 40), 1)
    palette.putpalette([0, 0, 0, 10, 20, 30])
    assert (_pixels(load_image(_encode(palette, file_format="GIF"))) == (10, 20, 30)).all()


@pytest.mark.parametrize("mode", ["1", "L", "CMYK", "YCbCr"])
def test_every_common_mode_becomes_rgb(mode: str) -> None:
    media = _encode(_noise(40, 30).convert(mode), file_format="TIFF")
    assert load_image(media).mode == "RGB"


def test_16_bit_grey_is_scaled_not_clipped() -> None:
    picture = load_image(Media(kind="image", data=_png_of_16_bit_grey([0, 257 * 100, 65535])))
    assert [picture.getpixel((column, 0)) for column in (0, 40, 80)] == [(0,) * 3, (100,) * 3, (255,) * 3]


def test_the_transparent_value_of_16_bit_grey_becomes_white() -> None:
    picture = load_image(Media(kind="image", data=_png_of_16_bit_grey([0, 257 * 100], transparent=0)))
    assert [picture.getpixel((column, 0)) for column in (0, 40)] == [(255,) * 3, (100,) * 3]


def test_floating_point_pixels_are_refused() -> None:
    media = _encode(Image.fromarray(np.zeros((40, 40), dtype=np.float32)), file_format="TIFF")
    with pytest.raises(ValueError, match="floating-point pixels have no declared range"):
        load_image(media)


def test_grey_values_beyond_16_bits_are_refused() -> None:
    media = _encode(Image.fromarray(np.full((40, 40), 70000, dtype=np.int32)), file_format="TIFF")
    with pytest.raises(ValueError, match=r"70000\.\.70000 do not fit 16 bits"):
        load_image(media)


@pytest.mark.parametrize("file_format", ["PNG", "JPEG", "BMP", "TIFF", "GIF", "WEBP"])
def test_a_torn_file_is_refused_and_named(file_format: str, tmp_path: Path) -> None:
    whole = _encode(_noise(64, 64), file_format=file_format).data
    assert whole is not None
    file = tmp_path / "torn.img"
    file.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(ValueError, match=re.escape(str(file))):
        inspect_image(Media(kind="image", path=str(file)))


def test_damaged_bytes_never_raise_anything_but_a_value_error() -> None:
    whole = _encode(_noise(40, 40)).data
    assert whole is not None
    rng = np.random.default_rng(0)
    refused = 0
    for _ in range(300):
        damaged = bytearray(whole)
        damaged[int(rng.integers(len(whole)))] = int(rng.integers(256))
        try:
            load_image(Media(kind="image", data=bytes(damaged)))
        except ValueError:
            refused += 1
    assert refused > 250


def test_a_file_that_is_no_picture_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "page.png"
    file.write_text("<html>404</html>")
    with pytest.raises(ValueError, match=r"page\.png: not an image"):
        load_image(Media(kind="image", path=str(file)))


def test_a_missing_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"gone\.png: no such file"):
        load_image(Media(kind="image", path=str(tmp_path / "gone.png")))


def test_a_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="cannot be decoded"):
        load_image(Media(kind="image", path=str(tmp_path)))


@pytest.mark.parametrize(
    ("size", "expected"),
    [
        ((14, 28), (28, 56)),
        ((27, 27), (28, 28)),
        ((1, 1), (28, 28)),
        ((300, 10), (840, 28)),
        ((28, 28), (28, 28)),
    ],
)
def test_a_short_side_enlarges_the_picture_to_28_px(size: tuple[int, int], expected: tuple[int, int]) -> None:
    assert inspect_image(_encode(_noise(*size))) == expected


def test_a_tiny_picture_does_not_change_the_one_after_it() -> None:
    normal = _noise(100, 50)
    load_image(_encode(_noise(5, 5)))
    assert np.array_equal(_pixels(load_image(_encode(normal))), _pixels(normal))


def test_a_picture_200_times_as_long_as_wide_is_taken() -> None:
    assert inspect_image(_encode(_noise(200, 1))) == (5600, 28)


@pytest.mark.parametrize("size", [(201, 1), (1, 201)])
def test_a_picture_more_than_200_times_as_long_as_wide_is_refused(size: tuple[int, int]) -> None:
    with pytest.raises(ValueError, match="longer than 200 times its other side"):
        load_image(_encode(_noise(*size)))


def test_the_picture_outlives_its_file(tmp_path: Path) -> None:
    file = tmp_path / "a.png"
    _noise(40, 30).save(file)
    picture = load_image(Media(kind="image", path=str(file)))
    file.unlink()
    assert _pixels(picture).shape == (30, 40, 3)
