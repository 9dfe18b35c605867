"""Crops of real photographs with one distortion inside a rectangle; what ``photo_defects`` is made of.

    (data_seed, stage, index) --> crop --> distort(kind, level) inside a box --> LocalDefect

Edges of boxes lie on multiples of ``GRID_PX``, and a side has a third to a half of the picture's. Every fifth picture
is pristine; the others have each level equally often. The test stage shows photographs that no other stage ever sees.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from rollout.datasets import distortions, photographs
from rollout.datasets.distorted_photographs import KINDS, STAGE_CODES, Stage, check_crop_size
from rollout.types import Box, Finding

Pixels = NDArray[np.uint8]

GRID_PX = 14
"""A patch of Qwen2.5-VL: finer edges would lie inside what it sees as one."""
LEVELS = (2, 3, 4, 5)
"""Fainter defects than "mild" are hard to see in so small a part of a picture."""
PERIOD = len(LEVELS) + 1
"""Pictures among which each level and no defect come once."""
SEVERITIES = tuple(distortions.LEVEL_WORDS[level] for level in LEVELS)
KIND_NAMES = tuple(distortions.KIND_WORDS[kind] for kind in KINDS)
REGIONS = (
    "top left", "top", "top right",
    "left", "centre", "right",
    "bottom left", "bottom", "bottom right",
)  # fmt: skip
"""Thirds by thirds, row by row: where the middle of the box lies."""

# Other pictures than those of photo_distortions with the same data seed.
_SEED_OFFSET = 100
_NUM_TRIES = 8
_MIN_CHANGE = 4.0
"""Least mean change of a pixel inside the box, of 255: blur on an empty sky is no defect that could be found."""


@dataclass(frozen=True, kw_only=True, slots=True)
class LocalDefect:
    """One picture, the same picture without its defect, and everything known about the defect."""

    name: str
    pixels_HW3: Pixels
    clean_HW3: Pixels
    found: Finding
    """Kind, severity, region and box; nothing of a pristine picture."""
    content_id: str


@dataclass(frozen=True, kw_only=True, slots=True)
class LocalDefectRecipe:
    """How the pictures are made."""

    source: str
    """Name of the data set; picture names begin with it."""
    data_seed: int
    crop_size: int
    """Side of the square crops in pixels."""

    def __post_init__(self) -> None:
        check_crop_size(self.crop_size)

    def example(self, index: int, *, stage: Stage) -> LocalDefect:
        """The picture at ``index`` of a stage, the same one every time."""
        rng = self.generator(index, stage=stage)
        name = f"{self.source}/{stage}/{self.data_seed}/{index}"
        # Crops, flips and blends for training: a scene no other picture shows.
        content_id = photographs.TEST_NAMES[index // PERIOD % len(photographs.TEST_NAMES)] if stage == "test" else name
        clean, distorted, found = self._draw(index, content_id=content_id, is_test=stage == "test", rng=rng)
        return LocalDefect(
            name=name,
            pixels_HW3=distorted,
            clean_HW3=clean,
            found=found,
            content_id=content_id,
        )

    def generator(self, index: int, *, stage: Stage, purpose: int = 0) -> np.random.Generator:
        """Random numbers of one picture; those of different purposes are independent."""
        return np.random.default_rng((self.data_seed, _SEED_OFFSET + STAGE_CODES[stage], index, purpose))

    def _draw(
        self, index: int, *, content_id: str, is_test: bool, rng: np.random.Generator
    ) -> tuple[Pixels, Pixels, Finding]:
        """A clean crop, the same with its defect, and the defect; the clearest of a few where none is clear enough."""
        slot, kind = index % PERIOD, int(rng.integers(len(KINDS)))
        region = int(rng.integers(len(REGIONS)))
        best: tuple[Pixels, Pixels, Finding] | None = None
        best_change = -1.0
        for _ in range(_NUM_TRIES):
            clean = (
                photographs.test_content(content_id, side=self.crop_size, rng=rng)
                if is_test
                else photographs.training_content(side=self.crop_size, rng=rng)
            )
            if slot == len(LEVELS):
                return clean, clean, Finding()
            box = draw_box(region, crop_size=self.crop_size, rng=rng)
            distorted = _distort_inside(box, clean, kind=KINDS[kind], level=LEVELS[slot], rng=rng)
            change = _mean_change(clean, distorted, box)
            if change > best_change:
                found = Finding(kind=KIND_NAMES[kind], severity=SEVERITIES[slot], region=REGIONS[region], box=box)
                best, best_change = (clean, distorted, found), change
            if change >= _MIN_CHANGE:
                break
        assert best is not None
        return best


def draw_box(region: int, *, crop_size: int, rng: np.random.Generator) -> Box:
    """A box on the grid whose middle lies in a cell of ``REGIONS``, and not on the cell's edge."""
    row, column = divmod(region, 3)
    left, right = _draw_span(column, crop_size=crop_size, rng=rng)
    top, bottom = _draw_span(row, crop_size=crop_size, rng=rng)
    return (float(left), float(top), float(right), float(bottom))


def _draw_span(third: int, *, crop_size: int, rng: np.random.Generator) -> tuple[int, int]:
    spans = [
        (start, start + side)
        for side in range(GRID_PX, crop_size // 2 + 1, GRID_PX)
        for start in range(0, crop_size - side + 1, GRID_PX)
        # Twice the middle against the thirds of twice the picture: whole numbers compare exactly.
        if 3 * side >= crop_size and third * 2 * crop_size < 3 * (2 * start + side) < (third + 1) * 2 * crop_size
    ]
    return spans[int(rng.integers(len(spans)))]


def _distort_inside(box: Box, clean_HW3: Pixels, *, kind: str, level: int, rng: np.random.Generator) -> Pixels:
    left, top, right, bottom = map(int, box)
    distorted = clean_HW3.copy()
    inside = np.ascontiguousarray(clean_HW3[top:bottom, left:right])
    distorted[top:bottom, left:right] = distortions.distort(inside, kind=kind, level=level, rng=rng)
    return distorted


def _mean_change(clean_HW3: Pixels, distorted_HW3: Pixels, box: Box) -> float:
    left, top, right, bottom = map(int, box)
    difference = distorted_HW3[top:bottom, left:right].astype(np.int16) - clean_HW3[top:bottom, left:right]
    return float(np.abs(difference).mean())
