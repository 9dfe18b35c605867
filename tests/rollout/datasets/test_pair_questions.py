"""The wording of pairwise questions."""

from typing import get_args

import pytest

from conf.data import PairWording
from rollout.datasets.pair_questions import PAIR_WORDINGS, ask_pair, choose, conclude
from rollout.datasets.traces import shown_choice
from rollout.types import Media

PICTURES = [Media(kind="image", path="a.png"), Media(kind="image", path="b.png")]


def test_every_wording_of_the_schema_is_there() -> None:
    assert set(PAIR_WORDINGS) == set(get_args(PairWording))


@pytest.mark.parametrize("wording", get_args(PairWording))
def test_media_come_first_in_their_order(wording: PairWording) -> None:
    (message,) = ask_pair(wording, media=PICTURES, question="Which?", responses=("A.", "B."))
    assert (message.role, message.content[:2], len(message.content)) == ("user", tuple(PICTURES), 3)


@pytest.mark.parametrize("wording", get_args(PairWording))
def test_question_and_answers_come_once_and_in_their_order(wording: PairWording) -> None:
    (message,) = ask_pair(wording, media=[], question="Which one?", responses=("First it.", "Second it."))
    (text,) = message.content
    assert isinstance(text, str)
    assert [text.count(part) for part in ("Which one?", "First it.", "Second it.")] == [1, 1, 1]
    assert text.index("Which one?") < text.index("First it.") < text.index("Second it.")


@pytest.mark.parametrize("wording", get_args(PairWording))
def test_braces_in_an_answer_stay_as_they_are(wording: PairWording) -> None:
    (message,) = ask_pair(wording, media=[], question="{first}", responses=("{second}", "{0} {"))
    (text,) = message.content
    assert isinstance(text, str)
    assert [text.count(part) for part in ("{first}", "{second}", "{0} {")] == [1, 1, 1]


@pytest.mark.parametrize("wording", get_args(PairWording))
def test_the_form_of_the_answer_is_asked_for(wording: PairWording) -> None:
    for tag in ("<think>", "</think>", "<answer>", "</answer>"):
        assert tag in PAIR_WORDINGS[wording]


def test_what_demonstrations_choose_can_be_read_back() -> None:
    assert [shown_choice(choose(choice, thought=conclude(choice))) for choice in (1, 2)] == [1, 2]
