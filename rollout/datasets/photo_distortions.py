"""The data set ``photo_distortions``: how good is this distorted photograph?

The pictures and their synthetic opinion scores come from ``distorted_photographs``. ``prompt(i)`` depends on nothing
but the data seed, the split and ``i``, so both splits stay the same across run seeds.
"""

import numpy as np

from conf.data import PhotoDistortionsConfig
from rollout.datasets import distortions, photographs
from rollout.datasets.base import Data, check_index, declared_scale
from rollout.datasets.distorted_photographs import Example, PhotoDemonstrations, PictureRecipe
from rollout.datasets.questions import (
    answer,
    ask,
    ask_for_description,
    asks_for_thinking,
    describe,
    uninformative_score,
)
from rollout.types import Demonstration, Message, Prompt

SOURCE = "photo_distortions"


class PhotoDistortions:
    """One split; pictures are made when asked for."""

    def __init__(self, config: PhotoDistortionsConfig, *, split: photographs.Split) -> None:
        self._config, self._split = config, split
        self._recipe = _recipe(config)

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
        return _rating_prompt(self._recipe.example(index, stage=self._split), wording=self._config.prompt)


def build_photo_distortions(config: PhotoDistortionsConfig) -> Data:
    """Both splits and both supervised phases.

    Raises:
        ValueError: ``crop_size`` is larger than the smallest photograph.
        FileNotFoundError: A package with photographs is not installed.
    """

    def give_score(example: Example, rng: np.random.Generator) -> Demonstration:
        opinion = example.opinion
        score = uninformative_score(opinion.scale, rng=rng) if config.demonstrated_scores == "random" else opinion.score
        target = answer(config.prompt, thought=describe(example.defect), score=score)
        return Demonstration(prompt=_rating_prompt(example, wording=config.prompt), target=target)

    return Data(
        train=PhotoDistortions(config, split="train"),
        test=PhotoDistortions(config, split="test"),
        warm_up=PhotoDemonstrations(_recipe(config), stage="warm_up", show=name_the_defect),
        cold_start=PhotoDemonstrations(_recipe(config), stage="cold_start", show=give_score),
    )


def name_the_defect(example: Example, rng: np.random.Generator) -> Demonstration:
    """The dense target that teaches a model to see: what is wrong with the picture, in words."""
    del rng
    prompt = _prompt(example, messages=ask_for_description(example.picture), wants_thinking=False)
    return Demonstration(prompt=prompt, target=describe(example.defect))


def _recipe(config: PhotoDistortionsConfig) -> PictureRecipe:
    return PictureRecipe(
        source=SOURCE,
        data_seed=config.data_seed,
        crop_size=config.crop_size,
        min_level=distortions.MIN_LEVEL,
        scale=declared_scale(config.scale),
    )


def _prompt(example: Example, *, messages: tuple[Message, ...], wants_thinking: bool) -> Prompt:
    return Prompt(
        prompt_id=example.name,
        messages=messages,
        reference=example.opinion,
        source=SOURCE,
        content_id=example.content_id,
        wants_thinking=wants_thinking,
    )


def _rating_prompt(example: Example, *, wording: str) -> Prompt:
    messages = ask(wording, picture=example.picture, scale=example.opinion.scale)
    return _prompt(example, messages=messages, wants_thinking=asks_for_thinking(wording))
