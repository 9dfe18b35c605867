"""The questions about clips, and what the supervised phases show."""

import re

import pytest

from conf.data import PhotoVideosConfig, ScaleConfig
from rollout.datasets.base import Data
from rollout.datasets.photo_videos import build_photo_videos
from rollout.types import Demonstration


def build(prompt: str = "quality") -> Data:
    return build_photo_videos(
        PhotoVideosConfig(
            kind="photo_videos",
            scale=ScaleConfig(minimum=1, maximum=5),
            crop_size=56,
            num_train=24,
            num_test=8,
            prompt=prompt,
            data_seed=5,
        )
    )


def shown(phase: str, index: int) -> Demonstration:
    data = build()
    demonstrations = data.warm_up if phase == "warm_up" else data.cold_start
    assert demonstrations is not None
    return demonstrations.demonstration(index)


def test_a_prompt_shows_one_video_and_asks_about_it() -> None:
    data = build()
    (message,) = data.train.prompt(0).messages
    video, text = message.content
    assert not isinstance(video, str)
    assert video.kind == "video"
    assert isinstance(text, str)
    assert text.startswith("How good is the quality of this video? Rate it from 1 (very poor) to 5 (excellent).")
    assert data.max_videos == 1


def test_a_wording_about_pictures_is_refused_before_anything_starts() -> None:
    with pytest.raises(ValueError, match="visualquality_r1 asks about an image, not about a video"):
        build("visualquality_r1")


def test_the_warm_up_names_the_defect() -> None:
    targets = [shown("warm_up", index).target for index in range(30)]
    for target in targets:
        assert re.fullmatch(
            r"This video shows (no defects|(faint|mild|clear|strong|extreme) (flicker|blur|freeze|dropout))\.", target
        )
    assert len(set(targets)) > 10


def test_the_cold_start_answers_in_the_form_with_a_score_that_says_nothing() -> None:
    examples = [shown("cold_start", index) for index in range(40)]
    found = [
        re.fullmatch(r"<think>This video shows .*\.</think><answer>(\d\.\d\d)</answer>", e.target) for e in examples
    ]
    scores = [float(one[1]) for one in found if one is not None]
    assert len(scores) == 40
    assert max(scores) - min(scores) > 3
    errors = [abs(score - example.prompt.opinion.score) for score, example in zip(scores, examples, strict=True)]
    assert sum(errors) / 40 > 0.8


def test_a_no_thinking_wording_shows_answers_alone() -> None:
    data = build("refine_iqa_no_thinking")
    assert data.cold_start is not None
    assert re.fullmatch(r"<answer>Score:\d\.\d\d</answer>", data.cold_start.demonstration(0).target)
    assert not data.train.prompt(0).wants_thinking
