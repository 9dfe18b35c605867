"""The data set ``photo_videos``: how good is this short clip?

The clips and their synthetic opinion scores come from ``clips``. ``prompt(i)`` depends on nothing but the data seed,
the split and ``i``, so both splits stay the same across run seeds.
"""

from typing import Literal

from conf.data import PhotoVideosConfig
from rollout.datasets import photographs
from rollout.datasets.base import Data, check_index, declared_scale
from rollout.datasets.clips import Clip, ClipRecipe
from rollout.datasets.distorted_photographs import NUM_DEMONSTRATIONS
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


class PhotoVideos:
    """One split; clips are made when asked for."""

    def __init__(self, config: PhotoVideosConfig, *, split: photographs.Split) -> None:
        self._config, self._split = config, split
        self._recipe = _recipe(config)

    @property
    def source(self) -> str:
        """The name metrics are split by."""
        return SOURCE

    def __len__(self) -> int:
        """Number of clips, as configured."""
        return self._config.num_train if self._split == "train" else self._config.num_test

    def prompt(self, index: int) -> Prompt:
        """The clip at ``index`` with the rating question; its opinion score is synthetic."""
        check_index(index, size=len(self), name=f"{SOURCE}/{self._split}")
        return _rating_prompt(self._recipe.clip(index, stage=self._split), wording=self._config.prompt)


class PhotoVideoDemonstrations:
    """Clips of training photographs, a fresh one for every index.

    The warm-up says in words what is wrong with them; the cold start answers with scores drawn without a look at them.
    """

    def __init__(self, config: PhotoVideosConfig, *, stage: Literal["warm_up", "cold_start"]) -> None:
        self._config = config
        self._stage: Literal["warm_up", "cold_start"] = stage
        self._recipe = _recipe(config)

    def __len__(self) -> int:
        """Far more than a run uses."""
        return NUM_DEMONSTRATIONS

    def demonstration(self, index: int) -> Demonstration:
        """The example at ``index``."""
        check_index(index, size=len(self), name=f"{SOURCE}/{self._stage}")
        clip, wording = self._recipe.clip(index, stage=self._stage), self._config.prompt
        said = describe(clip.defect, medium="video")
        if self._stage == "warm_up":
            asked = _prompt(clip, messages=ask_for_description(clip.video), wants_thinking=False)
            return Demonstration(prompt=asked, target=said)
        rng = self._recipe.generator(index, stage=self._stage)
        score = uninformative_score(clip.opinion.scale, rng=rng)
        target = answer(wording, thought=said, score=score)
        return Demonstration(prompt=_rating_prompt(clip, wording=wording), target=target)


def build_photo_videos(config: PhotoVideosConfig) -> Data:
    """Both splits and both supervised phases.

    Raises:
        ValueError: ``crop_size`` is too large for the smallest photograph, or the wording asks about pictures.
        FileNotFoundError: A package with photographs is not installed.
    """
    train = PhotoVideos(config, split="train")
    train.prompt(0)  # a wording that cannot be asked of a video is refused here
    return Data(
        train=train,
        test=PhotoVideos(config, split="test"),
        warm_up=PhotoVideoDemonstrations(config, stage="warm_up"),
        cold_start=PhotoVideoDemonstrations(config, stage="cold_start"),
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
