"""What number a completion is to the published code, and to ours."""

import dataclasses
from collections import Counter

import numpy as np
import pytest

from rewards.readings import Scores, read_scores
from rollout.types import RolloutGroup, Scale
from tests.builders import make_group, make_prompt

NUMBERS = [
    ("<answer>3.5</answer>", 3.5, 3.5),
    ("<answer>-1.2</answer>", -1.2, -1.2),
    ("<answer>.5</answer>", 0.5, 5.0),
    ("<answer>4/5</answer>", None, 4.0),
    ("<answer>1,5</answer>", None, 1.0),
    ("<answer>Quality 2: 3.7</answer>", None, 2.0),
    ("<answer>4.2 out of 5</answer>", None, 4.2),
    ("<answer>2</answer> or <answer>3</answer>", 3.0, 3.0),
    ("<answer>2</answer> or <answer>3", 2.0, 2.0),
    ("28 mm lens, about 4.2", None, 28.0),
    ("<answer>3.5", None, 3.5),
]
"""Completion, its score by our parser, its score as published code reads it in training."""
NOTHING = ["<answer></answer>", "<answer>unsure</answer>", "no idea", "", "<answer>3</answer><answer>?</answer>"]


def read(texts: list[str], *, scores: Scores = "released", prompt_id: str = "p") -> list[float]:
    return list(read_scores(make_group(texts, prompt=make_prompt(prompt_id)), scores=scores).tolist())


@pytest.mark.parametrize(("text", "ours", "published"), NUMBERS)
def test_a_number_is_read_by_either_policy(text: str, ours: float | None, published: float) -> None:
    assert read([text]) == [published]
    np.testing.assert_equal(read([text], scores="all"), [np.nan if ours is None else ours])


@pytest.mark.parametrize("text", [*NOTHING, "9" * 400])
def test_where_there_is_no_number_published_code_draws_one_of_five(text: str) -> None:
    assert read([text])[0] in (1.0, 2.0, 3.0, 4.0, 5.0)
    assert np.isnan(read([text], scores="all")[0])


def test_the_draw_repeats() -> None:
    assert read(NOTHING) == read(NOTHING)


def test_the_draw_depends_on_the_prompt_and_on_how_often_the_text_occurred() -> None:
    assert len(set(read(["?"] * 50))) == 5
    assert len({read(["?"], prompt_id=f"{i}")[0] for i in range(50)}) == 5


def test_every_number_is_drawn_about_as_often() -> None:
    counts = Counter(read(["?"] * 5000))
    assert all(900 < count < 1100 for count in counts.values())


def test_the_draw_is_on_one_to_five_whatever_the_scale() -> None:
    prompt = make_prompt(opinion=0.5, scale=Scale(minimum=0, maximum=1))
    drawn = read_scores(make_group(["?"] * 20, prompt=prompt), scores="released")
    assert drawn.min() >= 1.0


def test_permuting_completions_permutes_their_numbers() -> None:
    texts = ["<answer>2</answer>", "?", "<answer>3.5</answer>", "!"]
    assert read(texts[::-1]) == read(texts)[::-1]


@pytest.mark.parametrize(("scores", "outside"), [("all", 0.2), ("in_range", np.nan), ("released", 0.2)])
def test_a_number_off_the_scale_counts_unless_only_those_in_range_do(scores: Scores, outside: float) -> None:
    np.testing.assert_equal(read(["<answer>3</answer>", "<answer>0.2</answer>"], scores=scores), [3.0, outside])


def test_an_empty_group_has_no_numbers() -> None:
    group: RolloutGroup = dataclasses.replace(make_group(["x"]), completions=())
    assert read_scores(group, scores="released").shape == (0,)
