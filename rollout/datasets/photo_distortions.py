"""The data set ``photo_distortions``: real photographs with real distortions, made on the fly.

    (data_seed, stage, index) --> crop --> distort(kind, level) --> PNG bytes --> Prompt | Demonstration

The opinion scores are *synthetic labels*: simulated raters around a formula of kind and level, no person
rated any of it. The test split shows photographs that no other stage ever sees; ``prompt(i)`` depends on
nothing but the data seed, the split and ``i``, so both splits stay the same across run seeds.
"""

import io
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from conf.data import PhotoDistortionsConfig
from rollout.datasets import distortions, photographs
from rollout.datasets.base import Data, check_index, declared_scale
from rollout.datasets.questions import (
    answer,
    ask,
    ask_for_description,
    asks_for_thinking,
    describe,
    uninformative_score,
)
from rollout.types import Demonstration, Media, Message, Opinion, Prompt, Scale

SOURCE = "photo_distortions"
NUM_DEMONSTRATIONS = 1_000_000
"""Demonstrations are made when asked for; this many before one comes again."""

Stage = Literal["train", "test", "warm_up", "cold_start"]

# Part of every picture's seed: changing a number changes the data set.
_STAGE_CODES: dict[Stage, int] = {"train": 0, "test": 1, "warm_up": 2, "cold_start": 3}
# The kinds a tiny model learns to grade within minutes; docs/data.md names the others.
_KINDS = distortions.EASY_KINDS
# Label range of rollout/datasets/distortions.py.
_RATED_ON = Scale(minimum=1.0, maximum=5.0)


@dataclass(frozen=True, kw_only=True, slots=True)
class _Example:
    """One distorted picture with everything known about it."""

    name: str
    picture: Media
    kind: str
    level: int
    reference: Opinion
    content_id: str


class PhotoDistortions:
    """One split; pictures are made when asked for."""

    def __init__(self, config: PhotoDistortionsConfig, *, split: photographs.Split) -> None:
        _check_crop_size(config.crop_size)
        self._config = config
        self._split = split

    @property
    def source(self) -> str:
        """The name metrics are split by."""
        return SOURCE

    def __len__(self) -> int:
        """Number of pictures, as configured."""
        return self._config.num_train if self._split == "train" else self._config.num_test

    def prompt(self, index: int) -> Prompt:
        """The picture at ``index`` with the rating question; its opinion score is synthetic."""
        check_index(index, size=len(self), name=f"{SOURCE}/{self._split}")
        example = _make_example(self._config, stage=self._split, index=index)
        return _rating_prompt(example, wording=self._config.prompt)


class PhotoDemonstrations:
    """Demonstrations on training photographs, a fresh picture for every index."""

    def __init__(
        self,
        config: PhotoDistortionsConfig,
        *,
        stage: Literal["warm_up", "cold_start"],
        show: Callable[[_Example, np.random.Generator], Demonstration],
    ) -> None:
        _check_crop_size(config.crop_size)
        self._config = config
        self._stage: Literal["warm_up", "cold_start"] = stage
        self._show = show

    def __len__(self) -> int:
        """Far more than a run uses."""
        return NUM_DEMONSTRATIONS

    def demonstration(self, index: int) -> Demonstration:
        """The example at ``index``."""
        check_index(index, size=len(self), name=f"{SOURCE}/{self._stage}")
        example = _make_example(self._config, stage=self._stage, index=index)
        # A generator of its own: the score must not be a function of the numbers that drew the picture.
        rng = np.random.default_rng((self._config.data_seed, _STAGE_CODES[self._stage], index, 1))
        return self._show(example, rng)


def build_photo_distortions(config: PhotoDistortionsConfig) -> Data:
    """Both splits and both supervised phases.

    Raises:
        ValueError: ``crop_size`` is larger than the smallest photograph.
        FileNotFoundError: A package with photographs is not installed.
    """

    def name_the_defect(example: _Example, rng: np.random.Generator) -> Demonstration:
        del rng
        prompt = _prompt(example, messages=ask_for_description(example.picture), wants_thinking=False)
        return Demonstration(prompt=prompt, target=_description(example))

    def score_at_random(example: _Example, rng: np.random.Generator) -> Demonstration:
        score = uninformative_score(example.reference.scale, rng=rng)
        target = answer(config.prompt, thought=_description(example), score=score)
        return Demonstration(prompt=_rating_prompt(example, wording=config.prompt), target=target)

    return Data(
        train=PhotoDistortions(config, split="train"),
        test=PhotoDistortions(config, split="test"),
        warm_up=PhotoDemonstrations(config, stage="warm_up", show=name_the_defect),
        cold_start=PhotoDemonstrations(config, stage="cold_start", show=score_at_random),
    )


def _description(example: _Example) -> str:
    return describe(distortions.describe(kind=example.kind, level=example.level))


def _make_example(config: PhotoDistortionsConfig, *, stage: Stage, index: int) -> _Example:
    rng = np.random.default_rng((config.data_seed, _STAGE_CODES[stage], index))
    name = f"{SOURCE}/{stage}/{config.data_seed}/{index}"
    if stage == "test":
        content_id = photographs.TEST_NAMES[index % len(photographs.TEST_NAMES)]
        clean = photographs.test_content(content_id, side=config.crop_size, rng=rng)
    else:
        # Crops, flips and blends: a scene no other picture shows, and made of training photographs only.
        content_id = name
        clean = photographs.training_content(side=config.crop_size, rng=rng)
    kind = _KINDS[int(rng.integers(len(_KINDS)))]
    level = int(rng.integers(distortions.MIN_LEVEL, distortions.MAX_LEVEL + 1))
    mean, std = distortions.opinion_score(kind=kind, level=level, rng=rng)
    return _Example(
        name=name,
        picture=_encode(distortions.distort(clean, kind=kind, level=level, rng=rng)),
        kind=kind,
        level=level,
        reference=_opinion(mean, std, scale=declared_scale(config.scale)),
        content_id=content_id,
    )


def _opinion(mean: float, std: float, *, scale: Scale) -> Opinion:
    """A rating of 1..5 carried over to the declared scale."""
    factor = (scale.maximum - scale.minimum) / (_RATED_ON.maximum - _RATED_ON.minimum)
    score = scale.minimum + (mean - _RATED_ON.minimum) * factor
    return Opinion(score=min(score, scale.maximum), scale=scale, std=std * factor)


def _encode(pixels_HW3: NDArray[np.uint8]) -> Media:
    """PNG bytes; JPEG would add a distortion of its own."""
    buffer = io.BytesIO()
    Image.fromarray(pixels_HW3).save(buffer, format="PNG", compress_level=1)
    return Media(kind="image", data=buffer.getvalue())


def _prompt(example: _Example, *, messages: tuple[Message, ...], wants_thinking: bool) -> Prompt:
    return Prompt(
        prompt_id=example.name,
        messages=messages,
        reference=example.reference,
        source=SOURCE,
        content_id=example.content_id,
        wants_thinking=wants_thinking,
    )


def _rating_prompt(example: _Example, *, wording: str) -> Prompt:
    messages = ask(wording, picture=example.picture, scale=example.reference.scale)
    return _prompt(example, messages=messages, wants_thinking=asks_for_thinking(wording))


def _check_crop_size(crop_size: int) -> None:
    for photograph in photographs.PHOTOGRAPHS:
        with Image.open(photographs.photograph_path(photograph.name)) as opened:
            smallest = min(opened.size)
        if crop_size > smallest:
            raise ValueError(
                f"data.crop_size={crop_size} is larger than the photograph {photograph.name!r}, whose "
                f"shorter side has {smallest} px; use at most {smallest - smallest % 28}"
            )
