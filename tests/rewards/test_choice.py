"""Format and choice, answer by answer, as R1-Reward's released grader and as the strict reading see them."""

import asyncio

import pytest

from conf.reward_terms import ChoiceTermConfig
from rewards.lenient import grade_leniently
from rewards.tags import FormatMode, matches_format
from rewards.terms.choice import ChoiceTerm
from rewards.types import Noted, Score
from rollout.types import Choice
from tests.builders import make_answer, make_choice, make_group, make_pair_prompt, make_prompt

R1_REWARD: FormatMode = "r1_reward"
THINK = "<think>a</think>"

PUBLISHED: list[tuple[str, Choice, int, int]] = [
    (f"{THINK}<answer>2</answer>", 2, 1, 1),
    (f"{THINK}<answer> 2 </answer>", 2, 1, 1),
    (f"{THINK} <answer>2</answer>", 2, 0, 1),
    (f"{THINK}\n<answer>2</answer>", 2, 0, 1),
    (f"Sure. {THINK}<answer>2</answer>", 2, 0, 1),
    (f"{THINK}<answer>2</answer> Done.", 2, 0, 1),
    (f"{THINK}<answer>2</answer><answer>1</answer>", 2, 0, 1),
    (f"{THINK}<answer>1</answer><answer>2</answer>", 2, 0, 0),
    (f"{THINK}<answer>2</answer></answer>", 2, 1, 1),
    ("<think></think><answer>2</answer>", 2, 1, 1),
    (f"{THINK}<answer>Response 2</answer>", 2, 1, 1),
    (f"{THINK}<answer>2.0</answer>", 2, 1, 1),
    (f"{THINK}<answer>2.</answer>", 2, 1, 1),
    (f"{THINK}<answer>\\boxed{{2}}</answer>", 2, 1, 1),
    (f"{THINK}<answer>1 or 2</answer>", 2, 1, 1),
    (f"{THINK}<answer>4/2</answer>", 2, 1, 1),
    (f"{THINK}<answer>1, 2</answer>", 2, 1, 1),
    (f"{THINK}<answer>1 or 2</answer>", 1, 1, 0),
    (f"{THINK}<answer>1, 2</answer>", 1, 1, 0),
    (f"{THINK}<answer>1/2</answer>", 2, 1, 0),
    (f"{THINK}<answer></answer>", 2, 1, 0),
    (f"{THINK}<answer>two</answer>", 2, 1, 0),
    (f"{THINK}<answer>Neither</answer>", 2, 1, 0),
    ("The first is blurred, so Response 2 is better", 2, 0, 1),
    ("Final: 2", 2, 0, 1),
    ("Response 1 is better than Response 2", 2, 0, 1),
    (f"{THINK}<answer>2", 2, 0, 0),
    ("<THINK>a</THINK><ANSWER>2</ANSWER>", 2, 0, 0),
    ("<think>maybe <answer>1</answer></think><answer>2</answer>", 1, 0, 1),
    ("<think>maybe <answer>1</answer></think><answer>2</answer>", 2, 0, 0),
    ("", 2, 0, 0),
]
"""Completion, label, and what the published format check and grader were measured to give."""


def score(text: str, *, better: Choice, lenient: bool = False) -> Score:
    config = ChoiceTermConfig(kind="choice", weight=1.0, mode="lenient" if lenient else "strict")
    return asyncio.run(ChoiceTerm(config).score([make_group([text], prompt=make_pair_prompt(better=better))]))[0][0]


@pytest.mark.parametrize(("text", "better", "has_format", "_is_right"), PUBLISHED)
def test_the_published_format_check(text: str, better: Choice, has_format: int, _is_right: int) -> None:
    assert matches_format(text, mode=R1_REWARD) is bool(has_format)


@pytest.mark.parametrize(("text", "better", "_has_format", "is_right"), PUBLISHED)
def test_the_published_grader(text: str, better: Choice, _has_format: int, is_right: int) -> None:
    assert score(text, better=better, lenient=True) == float(is_right)


def test_the_published_format_check_ignores_white_space_around_the_whole() -> None:
    assert matches_format(f"\n {THINK}<answer>2</answer>\n", mode=R1_REWARD)


def test_a_repeated_closing_tag_fails_the_stricter_check() -> None:
    assert not matches_format(f"{THINK}<answer>2</answer></answer>", mode="choice")


@pytest.mark.parametrize(
    ("answer", "is_right"),
    [
        ("2", True),
        (" 2\n", True),
        ("1", False),
        ("1 or 2", False),
        ("4/2", False),
        ("2.0", False),
        ("Response 2", False),
        ("two", False),
        ("", False),
    ],
)
def test_the_strict_reading_wants_the_number_alone(answer: str, *, is_right: bool) -> None:
    assert score(make_answer(answer), better=2) == float(is_right)


@pytest.mark.parametrize("text", ["Final: 2", f"{THINK}<answer>2", "<ANSWER>2</ANSWER>", ""])
def test_the_strict_reading_wants_a_complete_block(text: str) -> None:
    assert score(text, better=2) == 0.0


def test_the_strict_reading_takes_two_blocks_that_differ_for_no_choice() -> None:
    text = f"{THINK}<answer>2</answer><answer>1</answer>"
    assert score(text, better=1) == score(text, better=2) == 0.0


def test_an_error_of_the_lenient_grader_earns_nothing_and_is_noted() -> None:
    assert score(f"{THINK}<answer>2/0</answer>", better=2, lenient=True) == Noted(score=0.0, note="grader_error")


def test_a_runaway_literal_is_no_number() -> None:
    assert not grade_leniently("<answer>" + "2" * 400 + "</answer>", better=2)


def test_a_question_for_a_score_has_no_choice() -> None:
    with pytest.raises(ValueError, match="'picture-0' of 'photographs' asks for a score"):
        asyncio.run(
            ChoiceTerm(ChoiceTermConfig(kind="choice", weight=1.0, mode="strict")).score(
                [make_group([make_choice(1)], prompt=make_prompt())]
            )
        )
