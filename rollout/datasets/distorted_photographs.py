"""Distorted crops of real photographs, made on the fly; what ``photo_distortions`` and ``photo_pairs`` are made of.

    (data_seed, stage, index) --> crop --> distort(kind, level) --> PNG bytes --> Example

The opinion scores are *synthetic labels*: simulated raters around a formula of kind and level, no person rated any
of it. The test stage shows photographs that no other stage ever sees.
"""

import io
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from rollout.datasets import distortions, photographs
from rollout.datasets.on_demand import DemonstrationsOnDemand
from rollout.types import Demonstration, Media, Opinion, Scale

Stage = Literal["train", "test", "warm_up", "cold_start"]

STAGE_CODES: dict[Stage, int] = {"train": 0, "test": 1, "warm_up": 2, "cold_start": 3}
"""Part of every picture's seed: changing a number changes the data set."""
KINDS = distortions.EASY_KINDS
"""The kinds a tiny model learns to grade within minutes; docs/data.md names the others."""
# Label range of rollout/datasets/distortions.py.
_RATED_ON = Scale(minimum=1.0, maximum=5.0)


@dataclass(frozen=True, kw_only=True, slots=True)
class Example:
    """One distorted picture with everything known about it."""

    name: str
    picture: Media
    kind: str
    level: int
    opinion: Opinion
    content_id: str

    @property
    def defect(self) -> str:
        """What is wrong with it in words, e.g. "mild blur"."""
        return distortions.describe(kind=self.kind, level=self.level)


@dataclass(frozen=True, kw_only=True, slots=True)
class PictureRecipe:
    """How the pictures of a data set are made."""

    source: str
    """Name of the data set; picture names begin with it."""
    data_seed: int
    crop_size: int
    """Side of the square crops in pixels."""
    min_level: int
    """Weakest distortion, 0 to 5."""
    scale: Scale
    """Of the synthetic opinion scores."""

    def __post_init__(self) -> None:
        check_crop_size(self.crop_size)

    def example(self, index: int, *, stage: Stage) -> Example:
        """The picture at ``index`` of a stage, the same one every time."""
        rng = np.random.default_rng((self.data_seed, STAGE_CODES[stage], index))
        name = f"{self.source}/{stage}/{self.data_seed}/{index}"
        content_id, clean = draw_content(index, name=name, stage=stage, side=self.crop_size, rng=rng)
        kind = KINDS[int(rng.integers(len(KINDS)))]
        level = int(rng.integers(self.min_level, distortions.MAX_LEVEL + 1))
        mean, std = distortions.opinion_score(kind=kind, level=level, rng=rng)
        return Example(
            name=name,
            picture=encode_png(distortions.distort(clean, kind=kind, level=level, rng=rng)),
            kind=kind,
            level=level,
            opinion=on_scale(mean, std, scale=self.scale),
            content_id=content_id,
        )

    def generator(self, index: int, *, stage: Stage) -> np.random.Generator:
        """For what goes with a picture; independent of the numbers that drew it."""
        return np.random.default_rng((self.data_seed, STAGE_CODES[stage], index, 1))


def photo_demonstrations(
    recipe: PictureRecipe,
    *,
    stage: Literal["warm_up", "cold_start"],
    show: Callable[[Example, np.random.Generator], Demonstration],
) -> DemonstrationsOnDemand:
    """Demonstrations on training photographs."""

    def make(index: int) -> Demonstration:
        return show(recipe.example(index, stage=stage), recipe.generator(index, stage=stage))

    return DemonstrationsOnDemand(source=recipe.source, stage=stage, make=make)


def draw_content(
    index: int, *, name: str, stage: Stage, side: int, rng: np.random.Generator
) -> tuple[str, NDArray[np.uint8]]:
    """Which scene the picture or clip at ``index`` shows, and the scene ``[side, side, 3]``."""
    if stage == "test":
        content_id = photographs.TEST_NAMES[index % len(photographs.TEST_NAMES)]
        return content_id, photographs.test_content(content_id, side=side, rng=rng)
    # Crops, flips and blends: a scene no other picture shows, and made of training photographs only.
    return name, photographs.training_content(side=side, rng=rng)


def on_scale(mean: float, std: float, *, scale: Scale) -> Opinion:
    """A rating of 1..5 carried over to the declared scale."""
    factor = (scale.maximum - scale.minimum) / (_RATED_ON.maximum - _RATED_ON.minimum)
    score = scale.minimum + (mean - _RATED_ON.minimum) * factor
    return Opinion(score=min(score, scale.maximum), scale=scale, std=std * factor)


def check_crop_size(crop_size: int) -> None:
    """Refuse crops that some photograph is too small for.

    Raises:
        ValueError: Names the photograph and the largest size that fits.
    """
    for photograph in photographs.PHOTOGRAPHS:
        with Image.open(photographs.photograph_path(photograph.name)) as opened:
            smallest = min(opened.size)
        if crop_size > smallest:
            raise ValueError(
                f"data.crop_size={crop_size} is larger than the photograph {photograph.name!r}, whose "
                f"shorter side has {smallest} px; use at most {smallest - smallest % 28}"
            )


def encode_png(pixels_HW3: NDArray[np.uint8]) -> Media:
    """PNG bytes; JPEG would add a distortion of its own."""
    buffer = io.BytesIO()
    Image.fromarray(pixels_HW3).save(buffer, format="PNG", compress_level=1)
    return Media(kind="image", data=buffer.getvalue())
