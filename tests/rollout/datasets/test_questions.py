"""Questions by the name of their wording, and the targets demonstrations show."""

import numpy as np
import pytest

from rollout.datasets.questions import (
    answer,
    ask,
    ask_for_description,
    asks_for_thinking,
    describe,
    rating_question,
    uninformative_score,
)
from rollout.types import Media, Scale

ONE_TO_FIVE = Scale(minimum=1.0, maximum=5.0)
PICTURE = Media(kind="image", path="a.png")
VIDEO = Media(kind="video", path="a.mp4", indices=(0, 1), fps=1.0)


def test_the_rating_question_is_the_beginning_of_what_visualquality_r1_is_asked() -> None:
    (message,) = ask("visualquality_r1", picture=PICTURE, scale=ONE_TO_FIVE)
    shown, text = message.content
    assert shown == PICTURE
    assert isinstance(text, str)
    assert text.startswith(rating_question(ONE_TO_FIVE))


def test_the_description_prompt_is_the_published_one() -> None:
    (message,) = ask_for_description(PICTURE)
    assert message.content == (PICTURE, "Please describe the quality of this image.")


def test_a_video_is_described_as_one() -> None:
    (message,) = ask_for_description(VIDEO)
    assert message.content == (VIDEO, "Please describe the quality of this video.")
    assert describe("mild blur", medium="video") == "This video shows mild blur."


def test_a_description_is_one_sentence() -> None:
    assert describe("mild blur") == "This picture shows mild blur."


def test_an_unknown_wording_is_refused_with_the_known_ones() -> None:
    with pytest.raises(ValueError, match=r"known: .*visualquality_r1, visualquality_r1_no_thinking"):
        ask("visual", picture=PICTURE, scale=ONE_TO_FIVE)


def test_a_wording_says_whether_it_asks_for_thinking() -> None:
    assert asks_for_thinking("visualquality_r1")
    assert not asks_for_thinking("visualquality_r1_no_thinking")


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
