"""Short clips made of photographs, with defects that only time shows; what ``photo_videos`` is made of.

    (data_seed, stage, index) --> picture --pan--> TxSxSx3 --degrade(kind, level)--> AVI bytes --> Clip

A window slides over a photograph; the defects come and go from frame to frame. The opinion scores are *synthetic
labels*, as those of ``distortions``: no person rated any of it. The test stage shows photographs that no other stage
ever sees.
"""

import io
from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction

import av
import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from rollout.datasets import distortions
from rollout.datasets.distorted_photographs import STAGE_CODES, Stage, check_crop_size, draw_content, on_scale
from rollout.types import Media, Opinion, Scale

Frames = NDArray[np.uint8]
"""``[T, S, S, 3]``."""
Defect = Callable[[Frames, int, np.random.Generator], Frames]

NUM_FRAMES = 8
FPS = 4.0
TRAVEL_PX = 28
"""How far the window slides: half of a small crop, so that the ends share no more than half of what they show."""

# Strength per level 1..5.
_FLICKER_GAIN = (0.07, 0.14, 0.24, 0.38, 0.6)
_FADE_SIGMA_PX = (0.9, 1.5, 2.4, 4.0, 7.0)
_FROZEN_FRAMES = (1, 2, 3, 5, 7)
_DROPOUT_FRAMES = (1, 2, 3, 5, 7)
_DROPOUT_LEVEL = (2, 3, 3, 4, 5)


@dataclass(frozen=True, kw_only=True, slots=True)
class Clip:
    """One clip with everything known about it."""

    name: str
    video: Media
    kind: str
    level: int
    opinion: Opinion
    content_id: str

    @property
    def defect(self) -> str:
        """What is wrong with it in words, e.g. "mild flicker"."""
        return describe(kind=self.kind, level=self.level)


@dataclass(frozen=True, kw_only=True, slots=True)
class ClipRecipe:
    """How the clips of a data set are made."""

    source: str
    """Name of the data set; clip names begin with it."""
    data_seed: int
    crop_size: int
    """Side of the window in pixels."""
    scale: Scale
    """Of the synthetic opinion scores."""

    def __post_init__(self) -> None:
        check_crop_size(self.crop_size + TRAVEL_PX)

    def clip(self, index: int, *, stage: Stage) -> Clip:
        """The clip at ``index`` of a stage, the same one every time."""
        rng = np.random.default_rng((self.data_seed, STAGE_CODES[stage], index))
        name = f"{self.source}/{stage}/{self.data_seed}/{index}"
        side = self.crop_size + TRAVEL_PX
        content_id, content = draw_content(index, name=name, stage=stage, side=side, rng=rng)
        kind = KINDS[int(rng.integers(len(KINDS)))]
        level = int(rng.integers(distortions.MIN_LEVEL, distortions.MAX_LEVEL + 1))
        mean, std = distortions.simulated_ratings(true_score(kind=kind, level=level), rng=rng)
        frames_THW3 = degrade(pan(content, side=self.crop_size, rng=rng), kind=kind, level=level, rng=rng)
        return Clip(
            name=name,
            video=encode(frames_THW3),
            kind=kind,
            level=level,
            opinion=on_scale(mean, std, scale=self.scale),
            content_id=content_id,
        )

    def generator(self, index: int, *, stage: Stage) -> np.random.Generator:
        """For what goes with a clip; independent of the numbers that drew it."""
        return np.random.default_rng((self.data_seed, STAGE_CODES[stage], index, 1))


def pan(content_HW3: NDArray[np.uint8], *, side: int, rng: np.random.Generator) -> Frames:
    """A window that slides over all of the picture's travel, along one axis, both, or a diagonal, either way."""
    travel = content_HW3.shape[0] - side
    steps = [(0, 1), (1, 0), (1, 1), (1, -1)]
    down, right = steps[int(rng.integers(len(steps)))]
    turn = 1 if rng.random() < 0.5 else -1
    along_T = np.rint(np.linspace(0, travel, NUM_FRAMES)).astype(int)[::turn]
    tops, lefts = (along_T * down, along_T if right > 0 else travel - along_T if right < 0 else 0 * along_T)
    windows = [content_HW3[top : top + side, left : left + side] for top, left in zip(tops, lefts, strict=True)]
    return np.stack(windows)


def degrade(frames_THW3: Frames, *, kind: str, level: int, rng: np.random.Generator) -> Frames:
    """A degraded copy of a clip; level 0 is the clip itself.

    Raises:
        ValueError: Unknown kind, or a level outside 0..5.
    """
    _check(kind=kind, level=level)
    return frames_THW3.copy() if level == 0 else _DEFECTS[kind](frames_THW3, level, rng)


def true_score(*, kind: str, level: int) -> float:
    """The noise-free synthetic quality in [1, 5]; strictly falling in ``level``."""
    _check(kind=kind, level=level)
    return distortions.score_of_level(level, weight=_KIND_WEIGHT[kind])


def describe(*, kind: str, level: int) -> str:
    """The dense text target, level before kind ("mild flicker"); a clip without a defect has "no defects"."""
    _check(kind=kind, level=level)
    return f"{distortions.LEVEL_WORDS[level]} {_KIND_WORDS[kind] if level > 0 else 'defects'}"


def encode(frames_THW3: Frames) -> Media:
    """A lossless video in memory, of which every frame is shown; a lossy one would add defects of its own."""
    buffer = io.BytesIO()
    with av.open(buffer, "w", format="avi") as container:
        stream = container.add_stream("png", rate=Fraction(FPS))
        stream.height, stream.width = frames_THW3.shape[1:3]
        stream.pix_fmt = "rgb24"
        for frame_HW3 in frames_THW3:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(frame_HW3, format="rgb24")))
        container.mux(stream.encode())
    return Media(kind="video", data=buffer.getvalue(), indices=tuple(range(len(frames_THW3))), fps=FPS)


def _flicker(frames_THW3: Frames, level: int, rng: np.random.Generator) -> Frames:
    """Brighter and darker from frame to frame, by amounts of their own."""
    signs_T = np.where(np.arange(len(frames_THW3)) % 2 == rng.integers(2), 1.0, -1.0)
    gains_T = 1.0 + _FLICKER_GAIN[level - 1] * signs_T * rng.uniform(0.7, 1.3, len(frames_THW3))
    return _rounded(frames_THW3 * gains_T[:, None, None, None])


def _fade(frames_THW3: Frames, level: int, rng: np.random.Generator) -> Frames:
    """Focus is lost over the clip, or found."""
    sigmas_T = np.linspace(0.0, _FADE_SIGMA_PX[level - 1], len(frames_THW3))
    if rng.random() < 0.5:
        sigmas_T = sigmas_T[::-1]
    blurred = (
        ndimage.gaussian_filter(frame.astype(np.float32), sigma=(sigma, sigma, 0.0), mode="reflect")
        for frame, sigma in zip(frames_THW3, sigmas_T, strict=True)
    )
    return _rounded(np.stack(list(blurred)))


def _freeze(frames_THW3: Frames, level: int, rng: np.random.Generator) -> Frames:
    """Some frames show what the one before them showed."""
    frozen = rng.permutation(np.arange(1, len(frames_THW3)))[: _FROZEN_FRAMES[level - 1]]
    out = frames_THW3.copy()
    for index in sorted(frozen):
        out[index] = out[index - 1]
    return out


def _dropouts(frames_THW3: Frames, level: int, rng: np.random.Generator) -> Frames:
    """Blocks are lost in a run of frames."""
    num_hit = _DROPOUT_FRAMES[level - 1]
    first = int(rng.integers(len(frames_THW3) - num_hit + 1))
    out = frames_THW3.copy()
    for index in range(first, first + num_hit):
        out[index] = distortions.distort(out[index], kind="dropout", level=_DROPOUT_LEVEL[level - 1], rng=rng)
    return out


_DEFECTS: dict[str, Defect] = {"flicker": _flicker, "fade": _fade, "freeze": _freeze, "dropouts": _dropouts}
KINDS: tuple[str, ...] = tuple(_DEFECTS)
_KIND_WORDS = {"flicker": "flicker", "fade": "blur", "freeze": "freeze", "dropouts": "dropout"}
# What a level costs relative to the average kind; made up, so that kind matters a little.
_KIND_WEIGHT = {"flicker": 1.0, "fade": 1.05, "freeze": 0.9, "dropouts": 1.05}


def _rounded(frames_THW3: NDArray[np.float64] | NDArray[np.float32]) -> Frames:
    return np.clip(np.rint(frames_THW3), 0, 255).astype(np.uint8)


def _check(*, kind: str, level: int) -> None:
    if kind not in _DEFECTS:
        raise ValueError(f"unknown defect {kind!r}; known: {', '.join(KINDS)}")
    if not distortions.MIN_LEVEL <= level <= distortions.MAX_LEVEL:
        raise ValueError(f"level={level} must be between {distortions.MIN_LEVEL} and {distortions.MAX_LEVEL}")
