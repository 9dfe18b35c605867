"""The data set ``photo_distortions``: how good is this distorted photograph?

The pictures and their synthetic opinion scores come from ``distorted_photographs``. ``prompt(i)`` depends on nothing
but the data seed, the split and ``i``, so both splits stay the same across run seeds.
"""

import numpy as np

from conf.data import PhotoDistortionsConfig
from rollout.datasets import distortions, photographs
from rollout.datasets.base import Data, declared_scale
from rollout.datasets.distorted_photographs import Example, PictureRecipe, photo_demonstrations
from rollout.datasets.on_demand import PromptsOnDemand
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


def build_photo_distortions(config: PhotoDistortionsConfig) -> Data:
    """Both splits and both supervised phases.

    Raises:
        ValueError: ``crop_size`` is larger than the smallest photograph.
        FileNotFoundError: A package with photographs is not installed.
    """
    recipe = _recipe(config)

    def split(name: photographs.Split, size: int) -> PromptsOnDemand:
        def make(index: int) -> Prompt:
            return _rating_prompt(recipe.example(index, stage=name), wording=config.prompt)

        return PromptsOnDemand(source=SOURCE, split=name, size=size, make=make)

    def give_score(example: Example, rng: np.random.Generator) -> Demonstration:
        opinion = example.opinion
        score = uninformative_score(opinion.scale, rng=rng) if config.demonstrated_scores == "random" else opinion.score
        target = answer(config.prompt, thought=describe(example.defect), score=score)
        return Demonstration(prompt=_rating_prompt(example, wording=config.prompt), target=target)

    return Data(
        train=split("train", config.num_train),
        test=split("test", config.num_test),
        warm_up=photo_demonstrations(recipe, stage="warm_up", show=name_the_defect),
        cold_start=photo_demonstrations(recipe, stage="cold_start", show=give_score),
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
