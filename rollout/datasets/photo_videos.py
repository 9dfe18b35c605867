"""The data set ``photo_videos``: how good is this short clip?

The clips and their synthetic opinion scores come from ``clips``. ``prompt(i)`` depends on nothing but the data seed,
the split and ``i``, so both splits stay the same across run seeds.
"""

from conf.data import PhotoVideosConfig
from rollout.datasets import photographs
from rollout.datasets.base import Data, declared_scale
from rollout.datasets.clips import Clip, ClipRecipe
from rollout.datasets.on_demand import DemonstrationsOnDemand, PromptsOnDemand
from rollout.datasets.questions import (
    answer,
    ask,
    ask_for_description,
    asks_for_thinking,
    describe,
    uninformative_score,
)
from rollout.types import Demonstration, Message, Prompt

SOURCE = "photo_videos"


def build_photo_videos(config: PhotoVideosConfig) -> Data:
    """Both splits and both supervised phases.

    Raises:
        ValueError: ``crop_size`` is too large for the smallest photograph, or the wording asks about pictures.
        FileNotFoundError: A package with photographs is not installed.
    """
    recipe, wording = _recipe(config), config.prompt

    def split(name: photographs.Split, size: int) -> PromptsOnDemand:
        def make(index: int) -> Prompt:
            return _rating_prompt(recipe.clip(index, stage=name), wording=wording)

        return PromptsOnDemand(source=SOURCE, split=name, size=size, make=make)

    def name_the_defect(index: int) -> Demonstration:
        clip = recipe.clip(index, stage="warm_up")
        asked = _prompt(clip, messages=ask_for_description(clip.video), wants_thinking=False)
        return Demonstration(prompt=asked, target=describe(clip.defect, medium="video"))

    def score_at_random(index: int) -> Demonstration:
        clip = recipe.clip(index, stage="cold_start")
        score = uninformative_score(clip.opinion.scale, rng=recipe.generator(index, stage="cold_start"))
        target = answer(wording, thought=describe(clip.defect, medium="video"), score=score)
        return Demonstration(prompt=_rating_prompt(clip, wording=wording), target=target)

    train = split("train", config.num_train)
    train.prompt(0)  # a wording that cannot be asked of a video is refused here
    return Data(
        train=train,
        test=split("test", config.num_test),
        warm_up=DemonstrationsOnDemand(source=SOURCE, stage="warm_up", make=name_the_defect),
        cold_start=DemonstrationsOnDemand(source=SOURCE, stage="cold_start", make=score_at_random),
        max_videos=1,
    )


def _recipe(config: PhotoVideosConfig) -> ClipRecipe:
    return ClipRecipe(
        source=SOURCE,
        data_seed=config.data_seed,
        crop_size=config.crop_size,
        scale=declared_scale(config.scale),
    )


def _prompt(clip: Clip, *, messages: tuple[Message, ...], wants_thinking: bool) -> Prompt:
    return Prompt(
        prompt_id=clip.name,
        messages=messages,
        reference=clip.opinion,
        source=SOURCE,
        content_id=clip.content_id,
        wants_thinking=wants_thinking,
    )


def _rating_prompt(clip: Clip, *, wording: str) -> Prompt:
    messages = ask(wording, picture=clip.video, scale=clip.opinion.scale)
    return _prompt(clip, messages=messages, wants_thinking=asks_for_thinking(wording))
