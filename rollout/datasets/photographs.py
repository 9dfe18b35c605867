"""Natural photographs that arrive with scikit-image and scikit-learn, split by photograph, and crops of them.

    PHOTOGRAPHS --load_photograph--> HxWx3 --training_content / test_content--> SxSx3

Nothing is copied into this repository: the files are read from the installed packages. Left out although
they are there: drawings and documents (horse, page, text, ...), microscopy and medical pictures (cell,
ihc, retina, microaneurysms), a picture that is already blurred (clock_motion), and motorcycle_right (same
content as left).

The four test photographs were fixed before any model was trained. They are never blended, augmented or
trained on.
"""

import importlib.util
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image

Pixels = NDArray[np.uint8]
Split = Literal["train", "test"]


@dataclass(frozen=True, slots=True)
class Photograph:
    """One photograph of an installed package; ``licence`` is what the package's own text states."""

    name: str
    package: str
    file: str
    licence: str
    source: str
    split: Split


_NOT_STATED = "none stated for this file; the package's LICENSE.txt covers `Files: *` with BSD-3-Clause"
_NO_KNOWN = "no known copyright restrictions"

PHOTOGRAPHS: tuple[Photograph, ...] = (
    Photograph(
        name="astronaut",
        package="skimage",
        file="data/astronaut.png",
        licence=f"public domain, {_NO_KNOWN}",
        source="NASA Great Images database",
        split="train",
    ),
    Photograph(
        name="brick",
        package="skimage",
        file="data/brick.png",
        licence="CC0",
        source="CC0Textures Bricks25",
        split="train",
    ),
    Photograph(
        name="camera",
        package="skimage",
        file="data/camera.png",
        licence="CC0",
        source="Lav Varshney",
        split="test",
    ),
    Photograph(
        name="chelsea",
        package="skimage",
        file="data/chelsea.png",
        licence="CC0",
        source="Stefan van der Walt",
        split="test",
    ),
    Photograph(
        name="china",
        package="sklearn",
        file="datasets/images/china.jpg",
        licence="CC BY 2.0",
        source="Flickr, danielbuechele, 6061409035",
        split="test",
    ),
    Photograph(
        name="coffee",
        package="skimage",
        file="data/coffee.png",
        licence="CC0",
        source="Rachel Michetti, courtesy of Pikolo Espresso Bar",
        split="test",
    ),
    Photograph(
        name="coins",
        package="skimage",
        file="data/coins.png",
        licence=_NO_KNOWN,
        source="Brooklyn Museum Collection, archive image 51611",
        split="train",
    ),
    Photograph(
        name="flower",
        package="sklearn",
        file="datasets/images/flower.jpg",
        licence="CC BY 2.0",
        source="Flickr, vultilion, 6056698931",
        split="train",
    ),
    Photograph(
        name="grass",
        package="skimage",
        file="data/grass.png",
        licence="CC0",
        source="DeviantArt, linolafett, Grass-01",
        split="train",
    ),
    Photograph(
        name="gravel",
        package="skimage",
        file="data/gravel.png",
        licence="CC0",
        source="CC0Textures Gravel04",
        split="train",
    ),
    Photograph(
        name="hubble",
        package="skimage",
        file="data/hubble_deep_field.jpg",
        licence="public domain (NASA)",
        source="HubbleSite 2012/37",
        split="train",
    ),
    Photograph(
        name="moon",
        package="skimage",
        file="data/moon.png",
        licence=_NOT_STATED,
        source="not stated",
        split="train",
    ),
    Photograph(
        name="motorcycle",
        package="skimage",
        file="data/motorcycle_left.png",
        licence=_NOT_STATED,
        source="Middlebury 2014 stereo benchmark",
        split="train",
    ),
    Photograph(
        name="rocket",
        package="skimage",
        file="data/rocket.jpg",
        licence="public domain",
        source="SpaceX Photos, Flickr 16511594820",
        split="train",
    ),
)

_BY_NAME = {photograph.name: photograph for photograph in PHOTOGRAPHS}
TRAIN_NAMES: tuple[str, ...] = tuple(p.name for p in PHOTOGRAPHS if p.split == "train")
TEST_NAMES: tuple[str, ...] = tuple(p.name for p in PHOTOGRAPHS if p.split == "test")

_MIN_DETAIL = 12.0
"""Least pixel standard deviation of a usable crop: blur cannot be seen on empty sky."""
_NUM_CROP_TRIES = 8
_ZOOM_RANGE = (1.4, 3.0)
"""A crop is this many times larger than the result, so that shrinking it gives a sharp picture."""


def photograph_path(name: str) -> Path:
    """Where the installed package keeps the file; the package itself is not imported.

    Raises:
        ValueError: no photograph of that name.
        FileNotFoundError: the package is not installed, or lacks the file.
    """
    if name not in _BY_NAME:
        raise ValueError(f"unknown photograph {name!r}; known: {', '.join(_BY_NAME)}")
    photograph = _BY_NAME[name]
    spec = importlib.util.find_spec(photograph.package)
    if spec is None or not spec.submodule_search_locations:
        raise FileNotFoundError(f"photograph {name!r} needs the package {photograph.package!r}; install it")
    path = Path(spec.submodule_search_locations[0]) / photograph.file
    if not path.is_file():
        raise FileNotFoundError(f"photograph {name!r} is not at {path}; is another version installed?")
    return path


@lru_cache(maxsize=len(PHOTOGRAPHS))
def load_photograph(name: str) -> Pixels:
    """The photograph as read-only uint8 ``[H, W, 3]``; grey ones have three equal channels."""
    with Image.open(photograph_path(name)) as opened:
        pixels = np.array(opened.convert("RGB"), dtype=np.uint8)
    pixels.setflags(write=False)
    return pixels


def test_content(name: str, *, side: int, rng: np.random.Generator) -> Pixels:
    """A random square crop of one photograph, shrunk to ``[side, side, 3]``; nothing else is changed."""
    return _detailed_crop(load_photograph(name), side=side, rng=rng)


# pytest would otherwise collect the function above wherever it is imported.
test_content.__test__ = False  # type: ignore[attr-defined]


def training_content(
    *,
    side: int,
    rng: np.random.Generator,
    blend_chance: float = 0.8,
    names: tuple[str, ...] = TRAIN_NAMES,
) -> Pixels:
    """A new clean picture ``[side, side, 3]`` made from training photographs only.

    Random crop, flips, quarter turns and a permutation of the channels; with ``blend_chance`` two such
    pictures are averaged with a random weight and their contrast restored, which gives contents that no
    photograph has.
    Brightness and contrast are otherwise left alone: they are distortions to be judged.

    Raises:
        ValueError: ``names`` holds a test photograph.
    """
    held_out = sorted(set(names) & set(TEST_NAMES))
    if held_out:
        raise ValueError(f"test photographs must not be trained on: {', '.join(held_out)}")
    first = _augmented(names, side=side, rng=rng)
    if rng.random() >= blend_chance:
        return first
    second = _augmented(names, side=side, rng=rng)
    return _blend(first, second, weight=float(rng.uniform(0.3, 0.7)))


def _augmented(names: tuple[str, ...], *, side: int, rng: np.random.Generator) -> Pixels:
    photograph = load_photograph(names[int(rng.integers(len(names)))])
    picture = _detailed_crop(photograph, side=side, rng=rng)
    picture = np.rot90(picture, k=int(rng.integers(4)))
    if rng.random() < 0.5:
        picture = picture[:, ::-1]
    return np.ascontiguousarray(picture[..., rng.permutation(3)])


def _blend(first_HW3: Pixels, second_HW3: Pixels, *, weight: float) -> Pixels:
    """Weighted mean of two pictures, stretched about its mean to the weighted mean of their contrasts."""
    first, second = first_HW3.astype(np.float32), second_HW3.astype(np.float32)
    mixed = weight * first + (1 - weight) * second
    wanted_std = weight * first.std() + (1 - weight) * second.std()
    gain = float(wanted_std) / max(float(mixed.std()), 1.0)
    stretched = mixed.mean() + (mixed - mixed.mean()) * gain
    pixels: Pixels = np.clip(np.rint(stretched), 0, 255).astype(np.uint8)
    return pixels


def _detailed_crop(image_HW3: Pixels, *, side: int, rng: np.random.Generator) -> Pixels:
    """The first of a few random crops with enough detail, or the most detailed of them."""
    best: Pixels | None = None
    best_detail = -1.0
    for _ in range(_NUM_CROP_TRIES):
        candidate = _crop(image_HW3, side=side, rng=rng)
        detail = float(candidate.std())
        if detail > best_detail:
            best, best_detail = candidate, detail
        if detail >= _MIN_DETAIL:
            break
    assert best is not None
    return best


def _crop(image_HW3: Pixels, *, side: int, rng: np.random.Generator) -> Pixels:
    height, width = image_HW3.shape[:2]
    largest = min(height, width)
    if side > largest:
        raise ValueError(f"side={side} is larger than the photograph ({height}x{width})")
    source_side = min(largest, round(side * float(rng.uniform(*_ZOOM_RANGE))))
    top = int(rng.integers(height - source_side + 1))
    left = int(rng.integers(width - source_side + 1))
    window = np.ascontiguousarray(image_HW3[top : top + source_side, left : left + source_side])
    return np.asarray(Image.fromarray(window).resize((side, side), Image.Resampling.BOX), dtype=np.uint8)
