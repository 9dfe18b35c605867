"""Synthetic distortions of a photograph, and the synthetic opinion scores that go with them.

    clean HxWx3 --distort(kind, level)--> degraded HxWx3
    (kind, level) --opinion_score--> mean and standard deviation over raters

Everything is a pure function of its arguments and a numpy generator, so a data set is reproduced by its
seed. The scores are *synthetic labels*: a formula with simulated rater noise, not the answers of people.
They serve tests and demonstrations of the training system and say nothing about human perception.
"""

import io
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from scipy import ndimage

Pixels = NDArray[np.uint8]
Distortion = Callable[[Pixels, int, np.random.Generator], NDArray[np.float32]]

MIN_LEVEL = 0
MAX_LEVEL = 5

LEVEL_WORDS: tuple[str, ...] = ("no", "faint", "mild", "clear", "strong", "extreme")
"""One word per level, 0..5; each is one token of the tiny tokenizer."""

# Strength per level 1..5. Steps are roughly geometric, so that neighbouring levels stay tellable apart in
# a crop of 56 pixels.
_BLUR_SIGMA_PX = (0.6, 0.95, 1.5, 2.4, 4.0)
_JPEG_QUALITY = (32, 18, 10, 5, 1)
_NOISE_STD = (9.0, 18.0, 33.0, 58.0, 100.0)
_IMPULSE_FRACTION = (0.015, 0.04, 0.1, 0.22, 0.45)
_MOSAIC_BLOCK_PX = (2, 3, 4, 6, 9)
_HAZE_WEIGHT = (0.2, 0.36, 0.52, 0.68, 0.84)
_TINT_GAIN = (0.18, 0.34, 0.5, 0.7, 0.95)
_BANDING_LEVELS = (10, 7, 5, 3, 2)
_SMEAR_LENGTH_PX = (3, 5, 8, 13, 21)
_DROPOUT_FRACTION = (0.03, 0.08, 0.16, 0.3, 0.5)
_STRIPES_FRACTION = (0.04, 0.1, 0.2, 0.36, 0.6)
_DARK_GAIN = (0.72, 0.52, 0.36, 0.22, 0.1)

_HAZE_GRAY = 225.0
_DROPOUT_BLOCK_PX = 7
_DROPOUT_RGB = (0.0, 255.0, 0.0)


def _gaussian_blur(image_HW3: Pixels, level: int, rng: np.random.Generator) -> NDArray[np.float32]:
    del rng
    sigma = _BLUR_SIGMA_PX[level - 1]
    pixels = image_HW3.astype(np.float32)
    return np.asarray(ndimage.gaussian_filter(pixels, sigma=(sigma, sigma, 0.0), mode="reflect"), np.float32)


def _jpeg(image_HW3: Pixels, level: int, rng: np.random.Generator) -> NDArray[np.float32]:
    del rng
    buffer = io.BytesIO()
    quality = _JPEG_QUALITY[level - 1]
    Image.fromarray(image_HW3).save(buffer, format="JPEG", quality=quality, subsampling="4:2:0")
    with Image.open(io.BytesIO(buffer.getvalue())) as decoded:
        return np.asarray(decoded.convert("RGB"), dtype=np.float32)


def _white_noise(image_HW3: Pixels, level: int, rng: np.random.Generator) -> NDArray[np.float32]:
    noise = rng.standard_normal(image_HW3.shape, dtype=np.float32) * np.float32(_NOISE_STD[level - 1])
    return image_HW3.astype(np.float32) + noise


def _impulse_noise(image_HW3: Pixels, level: int, rng: np.random.Generator) -> NDArray[np.float32]:
    draw_HW = rng.random(image_HW3.shape[:2])
    fraction = _IMPULSE_FRACTION[level - 1]
    out = image_HW3.astype(np.float32)
    out[draw_HW < fraction] = 255.0
    out[draw_HW < fraction / 2] = 0.0
    return out


def _mosaic(image_HW3: Pixels, level: int, rng: np.random.Generator) -> NDArray[np.float32]:
    del rng
    height, width = image_HW3.shape[:2]
    block = _MOSAIC_BLOCK_PX[level - 1]
    num_blocks = (max(1, width // block), max(1, height // block))
    small = Image.fromarray(image_HW3).resize(num_blocks, Image.Resampling.BOX)
    return np.asarray(small.resize((width, height), Image.Resampling.NEAREST), dtype=np.float32)


def _haze(image_HW3: Pixels, level: int, rng: np.random.Generator) -> NDArray[np.float32]:
    del rng
    weight = np.float32(_HAZE_WEIGHT[level - 1])
    return image_HW3.astype(np.float32) * (1 - weight) + np.float32(_HAZE_GRAY) * weight


def _tint(image_HW3: Pixels, level: int, rng: np.random.Generator) -> NDArray[np.float32]:
    """A colour cast towards one random channel; visible on grey photographs too, unlike desaturation."""
    gain = _TINT_GAIN[level - 1]
    out = image_HW3.astype(np.float32)
    favoured = int(rng.integers(3))
    for channel in range(3):
        if channel == favoured:
            out[..., channel] += (255.0 - out[..., channel]) * (0.6 * gain)
        else:
            out[..., channel] *= 1.0 - gain
    return out


def _banding(image_HW3: Pixels, level: int, rng: np.random.Generator) -> NDArray[np.float32]:
    del rng
    steps = np.float32(_BANDING_LEVELS[level - 1] - 1)
    rounded = np.round(image_HW3.astype(np.float32) * (steps / np.float32(255.0)))
    return np.asarray(rounded * (np.float32(255.0) / steps), dtype=np.float32)


def _smear(image_HW3: Pixels, level: int, rng: np.random.Generator) -> NDArray[np.float32]:
    axis = int(rng.integers(2))
    pixels, length = image_HW3.astype(np.float32), _SMEAR_LENGTH_PX[level - 1]
    return np.asarray(ndimage.uniform_filter1d(pixels, length, axis=axis, mode="reflect"), np.float32)


def _dropout(image_HW3: Pixels, level: int, rng: np.random.Generator) -> NDArray[np.float32]:
    """Square blocks lost in transmission, shown in the plain green that video decoders leave."""
    height, width = image_HW3.shape[:2]
    rows, columns = -(-height // _DROPOUT_BLOCK_PX), -(-width // _DROPOUT_BLOCK_PX)
    num_lost = max(1, round(rows * columns * _DROPOUT_FRACTION[level - 1]))
    lost = np.zeros(rows * columns, dtype=bool)
    lost[rng.permutation(rows * columns)[:num_lost]] = True
    grid = np.kron(lost.reshape(rows, columns), np.ones((_DROPOUT_BLOCK_PX, _DROPOUT_BLOCK_PX), dtype=bool))
    out = image_HW3.astype(np.float32)
    out[grid[:height, :width]] = _DROPOUT_RGB
    return out


def _stripes(image_HW3: Pixels, level: int, rng: np.random.Generator) -> NDArray[np.float32]:
    """Whole rows lost, shown black."""
    height = image_HW3.shape[0]
    num_lost = max(1, round(height * _STRIPES_FRACTION[level - 1]))
    out = image_HW3.astype(np.float32)
    out[rng.permutation(height)[:num_lost]] = 0.0
    return out


def _dark(image_HW3: Pixels, level: int, rng: np.random.Generator) -> NDArray[np.float32]:
    del rng
    return image_HW3.astype(np.float32) * np.float32(_DARK_GAIN[level - 1])


_DISTORTIONS: dict[str, Distortion] = {
    "gaussian_blur": _gaussian_blur,
    "jpeg": _jpeg,
    "white_noise": _white_noise,
    "impulse_noise": _impulse_noise,
    "mosaic": _mosaic,
    "haze": _haze,
    "tint": _tint,
    "banding": _banding,
    "smear": _smear,
    "dropout": _dropout,
    "stripes": _stripes,
    "dark": _dark,
}

KINDS: tuple[str, ...] = tuple(_DISTORTIONS)

EASY_KINDS: tuple[str, ...] = (
    "gaussian_blur",
    "white_noise",
    "impulse_noise",
    "mosaic",
    "haze",
    "tint",
    "dropout",
    "stripes",
)
"""Kinds that a two-million-parameter model learns to grade within minutes on crops of 56 pixels."""

KIND_WORDS: dict[str, str] = {
    "gaussian_blur": "blur",
    "jpeg": "compression",
    "white_noise": "noise",
    "impulse_noise": "specks",
    "mosaic": "mosaic",
    "haze": "haze",
    "tint": "tint",
    "banding": "banding",
    "smear": "smear",
    "dropout": "dropout",
    "stripes": "stripes",
    "dark": "darkness",
}
"""The word a judge uses for each kind; each is one token of the tiny tokenizer."""

# What a level costs relative to the average kind; made up, so that kind matters a little.
_KIND_WEIGHT: dict[str, float] = {
    "gaussian_blur": 1.0,
    "jpeg": 0.95,
    "white_noise": 1.0,
    "impulse_noise": 1.05,
    "mosaic": 1.05,
    "haze": 0.85,
    "tint": 0.85,
    "banding": 0.9,
    "smear": 1.0,
    "dropout": 1.05,
    "stripes": 1.0,
    "dark": 0.9,
}
_POINTS_PER_LEVEL = 0.75
_PRISTINE_SCORE = 4.8


def distort(image_HW3: Pixels, *, kind: str, level: int, rng: np.random.Generator) -> Pixels:
    """A degraded copy of an RGB picture, same shape and dtype; level 0 is the picture itself.

    Raises:
        ValueError: unknown kind, level outside 0..5, or not an ``[H, W, 3]`` uint8 picture.
    """
    _check(kind=kind, level=level)
    if image_HW3.dtype != np.uint8 or image_HW3.ndim != 3 or image_HW3.shape[2] != 3:
        raise ValueError(f"expected uint8 [H, W, 3], got {image_HW3.dtype} {list(image_HW3.shape)}")
    if level == 0:
        return image_HW3.copy()
    degraded = _DISTORTIONS[kind](image_HW3, level, rng)
    return np.clip(np.rint(degraded), 0, 255).astype(np.uint8)


def true_score(*, kind: str, level: int) -> float:
    """The noise-free synthetic quality in [1, 5]; strictly falling in ``level`` for every kind."""
    _check(kind=kind, level=level)
    return score_of_level(level, weight=_KIND_WEIGHT[kind])


def score_of_level(level: int, *, weight: float) -> float:
    """The noise-free synthetic quality in [1, 5] at a level of a kind that costs ``weight`` times the average."""
    return max(1.0, _PRISTINE_SCORE - _POINTS_PER_LEVEL * level * weight)


def opinion_score(
    *, kind: str, level: int, rng: np.random.Generator, num_raters: int = 15, rater_std: float = 0.4
) -> tuple[float, float]:
    """Mean and unbiased standard deviation of simulated ratings in [1, 5]; no person rated anything.

    Raises:
        ValueError: unknown kind, level outside 0..5, or fewer than two raters.
    """
    quality = true_score(kind=kind, level=level)
    return simulated_ratings(quality, rng=rng, num_raters=num_raters, rater_std=rater_std)


def simulated_ratings(
    quality: float, *, rng: np.random.Generator, num_raters: int = 15, rater_std: float = 0.4
) -> tuple[float, float]:
    """Mean and unbiased standard deviation of ratings in [1, 5] of something of known quality.

    Each rater says the noise-free score plus a personal normal error, clipped to the scale.

    Raises:
        ValueError: fewer than two raters.
    """
    if num_raters < 2:
        raise ValueError(f"num_raters={num_raters} must be at least 2 for a standard deviation")
    ratings = quality + rater_std * rng.standard_normal(num_raters)
    ratings = np.clip(ratings, 1.0, 5.0)
    return float(ratings.mean()), float(ratings.std(ddof=1))


def describe(*, kind: str, level: int) -> str:
    """The dense text target, level before kind (``"mild blur"``); a pristine picture has ``"no defects"``."""
    _check(kind=kind, level=level)
    return f"{LEVEL_WORDS[level]} {KIND_WORDS[kind] if level > 0 else 'defects'}"


def _check(*, kind: str, level: int) -> None:
    if kind not in _DISTORTIONS:
        raise ValueError(f"unknown distortion kind {kind!r}; known: {', '.join(KINDS)}")
    if not MIN_LEVEL <= level <= MAX_LEVEL:
        raise ValueError(f"level={level} must be between {MIN_LEVEL} and {MAX_LEVEL}")
