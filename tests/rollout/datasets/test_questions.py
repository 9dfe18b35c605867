"""The wording, to the byte, and the targets demonstrations show."""

from typing import get_args

import numpy as np
import pytest

from conf.base import Section
from conf.data import OpinionScoreConfig, PhotoDistortionsConfig
from rollout.datasets.questions import (
    WORDINGS,
    answer,
    ask,
    ask_for_description,
    describe,
    rating_question,
    uninformative_score,
)
from rollout.types import Media, Scale

ONE_TO_FIVE = Scale(minimum=1.0, maximum=5.0)
PICTURE = Media(kind="image", path="a.png")
QUESTION = (
    "You are doing the image quality assessment task. Here is the question: What is your overall rating on"
    " the quality of this picture? The rating should be a float between 1 and 5, rounded to two decimal"
    " places, with 1 representing very poor quality and 5 representing excellent quality."
)
THINKING = (
    " First output the thinking process in <think> </think> tags and then output the final answer with only"
    " one score in <answer> </answer> tags."
)
NO_THINKING = " Please only output the final answer with only one score in <answer> </answer> tags."


def test_the_question_on_1_to_5_is_the_published_one() -> None:
    assert rating_question(ONE_TO_FIVE) == QUESTION


@pytest.mark.parametrize(
    ("wording", "suffix"),
    [("visualquality_r1", THINKING), ("visualquality_r1_no_thinking", NO_THINKING)],
)
def test_the_picture_comes_first_and_then_the_published_text(wording: str, suffix: str) -> None:
    (message,) = ask(wording, picture=PICTURE, scale=ONE_TO_FIVE)
    assert (message.role, message.content) == ("user", (PICTURE, QUESTION + suffix))


def test_the_declared_scale_fills_in_the_numbers() -> None:
    text = rating_question(Scale(minimum=0.5, maximum=100.0))
    assert "between 0.5 and 100, rounded" in text
    assert "with 0.5 representing very poor quality and 100 representing" in text


def test_the_description_prompt_is_the_published_one() -> None:
    (message,) = ask_for_description(PICTURE)
    assert message.content == (PICTURE, "Please describe the quality of this image.")


def test_a_description_is_one_sentence() -> None:
    assert describe("mild blur") == "This picture shows mild blur."


@pytest.mark.parametrize("section", [PhotoDistortionsConfig, OpinionScoreConfig])
def test_the_config_offers_the_wordings_that_exist(section: type[Section]) -> None:
    assert set(get_args(section.model_fields["prompt"].annotation)) == set(WORDINGS)


def test_an_unknown_wording_is_refused_with_the_known_ones() -> None:
    with pytest.raises(ValueError, match="known: visualquality_r1, visualquality_r1_no_thinking"):
        ask("visual_quality", picture=PICTURE, scale=ONE_TO_FIVE)


def test_a_thinking_answer_has_both_blocks() -> None:
    assert answer("visualquality_r1", thought="Sharp.", score=3.5) == "<think>Sharp.</think><answer>3.50</answer>"


def test_an_answer_without_thinking_has_the_score_only() -> None:
    assert answer("visualquality_r1_no_thinking", thought="Sharp.", score=3.5) == "<answer>3.50</answer>"


def test_uninformative_scores_are_uniform_over_the_scale() -> None:
    rng = np.random.default_rng(0)
    scores = np.array([uninformative_score(ONE_TO_FIVE, rng=rng) for _ in range(4000)])
    # Uniform on 1..5: mean 3, standard deviation 4 / sqrt(12) = 1.155; standard error of the mean 0.018.
    assert abs(scores.mean() - 3.0) < 0.08
    assert abs(scores.std() - 1.155) < 0.04


def test_uninformative_scores_reach_both_ends_and_stay_inside() -> None:
    rng = np.random.default_rng(0)
    scale = Scale(minimum=1.149, maximum=1.18)
    assert {uninformative_score(scale, rng=rng) for _ in range(200)} == {1.15, 1.16, 1.17, 1.18}


def test_a_scale_without_a_two_decimal_number_is_refused() -> None:
    with pytest.raises(ValueError, match="no two-decimal score lies between"):
        uninformative_score(Scale(minimum=0.001, maximum=0.002), rng=np.random.default_rng(0))
