"""What a completion is read as."""

import dataclasses

import pytest

from rewards.tags import (
    STATUSES,
    FormatMode,
    check_scale,
    matches_format,
    parse,
    parse_choice,
    parse_group,
    possible_statuses,
    read_number,
)
from rollout.types import Scale
from tests.builders import (
    ONE_TO_FIVE,
    make_answer,
    make_check_prompt,
    make_defect_prompt,
    make_group,
    make_pair_prompt,
    make_prompt,
)

STRICT: FormatMode = "strict"
TOLERANT: FormatMode = "tolerant"
NUMBER: FormatMode = "number"
ANSWER: FormatMode = "answer"


@pytest.mark.parametrize(
    ("text", "status", "score"),
    [
        ("<answer>3.5</answer>", "ok", 3.5),
        ("<answer> 4\n</answer>", "ok", 4.0),
        ("<answer>+4.5</answer>", "ok", 4.5),
        ("<answer>Score: 4.32</answer>", "ok", 4.32),
        ("<answer>\nScore:4.4\n</answer>", "ok", 4.4),
        ("<answer>1</answer>", "ok", 1.0),
        ("<answer>5.00</answer>", "ok", 5.0),
        ("<answer>2</answer> or <answer>3</answer>", "ok", 3.0),
        ("<answer>2</answer> or <answer>3", "ok", 2.0),
        ("I use <answer> tags: <answer>3.5</answer>", "ok", 3.5),
        ("<answer>3.3333333333333333</answer>", "ok", 10 / 3),
        ("<answer>-1.2</answer>", "out_of_range", -1.2),
        ("<answer>.5</answer>", "out_of_range", 0.5),
        ("<answer>0.20</answer>", "out_of_range", 0.2),
        ("<answer>999999</answer>", "out_of_range", 999999.0),
        ("<answer>4/5</answer>", "no_number", None),
        ("<answer>1,5</answer>", "no_number", None),
        ("<answer>5.</answer>", "no_number", None),
        ("<answer>4e0</answer>", "no_number", None),
        ("<answer>nan</answer>", "no_number", None),
        ("<answer>inf</answer>", "no_number", None),
        ("<answer>1234567</answer>", "no_number", None),
        ("<answer>٣</answer>", "no_number", None),
        ("<answer>- 3</answer>", "no_number", None),
        ("<answer>**3.5**</answer>", "no_number", None),
        ("<answer>Quality 2: 3.7</answer>", "no_number", None),
        ("<answer>4.2 out of 5</answer>", "no_number", None),
        ("<answer>Score: 4.2 out of 5</answer>", "no_number", None),
        ("<answer>score: 4.2</answer>", "no_number", None),
        ("<answer>Score:</answer>", "no_number", None),
        ("<answer></answer>", "no_number", None),
        ("<answer>2</answer><answer>unsure</answer>", "no_number", None),
        ("28 mm lens, about 4.2", "no_tag", None),
        ("<answer>3.5", "no_tag", None),
        ("<Answer>3.5</Answer>", "no_tag", None),
        ("", "no_tag", None),
    ],
)
def test_an_answer_is_read_by_the_published_policy(text: str, status: str, score: float | None) -> None:
    parsed = parse(text, scale=ONE_TO_FIVE)
    assert parsed.status == status
    assert parsed.score == pytest.approx(score)


def test_the_declared_scale_decides_what_is_out_of_range() -> None:
    assert parse("<answer>0.25</answer>", scale=Scale(minimum=0, maximum=1)).status == "ok"


def test_the_raw_texts_are_kept() -> None:
    parsed = parse("<think> grainy </think><answer> 4/5 </answer>", scale=ONE_TO_FIVE)
    assert (parsed.think, parsed.answer) == (" grainy ", " 4/5 ")


def test_a_missing_think_block_is_none_and_the_score_still_counts() -> None:
    parsed = parse("<answer>3</answer>", scale=ONE_TO_FIVE)
    assert (parsed.think, parsed.score, parsed.has_format) == (None, 3.0, False)


def test_parsing_twice_gives_the_same_even_without_an_answer() -> None:
    assert parse("no idea", scale=ONE_TO_FIVE) == parse("no idea", scale=ONE_TO_FIVE)


@pytest.mark.parametrize(
    ("text", "status", "choice"),
    [
        ("<answer>1</answer>", "ok", 1),
        ("<answer> 2\n</answer>", "ok", 2),
        ("<answer>2</answer> so <answer>2 </answer>", "ok", 2),
        ("<answer>2</answer><answer>1</answer>", "no_choice", None),
        ("<answer>1 or 2</answer>", "no_choice", None),
        ("<answer>3</answer>", "no_choice", None),
        ("<answer>2.0</answer>", "no_choice", None),
        ("<answer></answer>", "no_choice", None),
        ("<answer>2", "no_tag", None),
        ("Response 2", "no_tag", None),
    ],
)
def test_a_choice_is_read_strictly(text: str, status: str, choice: int | None) -> None:
    parsed = parse_choice(text)
    assert (parsed.status, parsed.choice, parsed.score) == (status, choice, None)


def test_every_status_belongs_to_a_task() -> None:
    scored = [make_prompt(), make_pair_prompt()]
    prompts = [*scored, make_defect_prompt(), make_defect_prompt(task="area"), make_check_prompt()]
    assert {status for prompt in prompts for status in possible_statuses(prompt)} == set(STATUSES)


def test_a_long_runaway_literal_is_no_number() -> None:
    assert read_number("9" * 400) is None


@pytest.mark.parametrize(
    ("text", "passes"),
    [
        ("<think>a</think><answer>3</answer>", True),
        ("<think>a\nb</think>\n \n<answer>3</answer>", True),
        ("<think></think><answer></answer>", True),
        ("<think>a</think><answer>2</answer><answer>3</answer>", True),
        (" <think>a</think><answer>3</answer>", False),
        ("<think>a</think><answer>3</answer>\n", False),
        ("<think>a</think> so <answer>3</answer>", False),
        ("<answer>3</answer>", False),
        ("<think>a</think><answer>3", False),
        ("3", False),
    ],
)
def test_strict_format_passes_and_fails_what_the_published_expression_does(text: str, *, passes: bool) -> None:
    assert matches_format(text, mode=STRICT) is passes


@pytest.mark.parametrize(
    ("text", "passes"),
    [
        ("<think>a</think><answer>3</answer>", True),
        ("\n<think>a</think>\n<answer>3</answer>\n", True),
        ("<think></think><answer></answer>", True),
        ("<think>a < b > c</think><answer>good</answer>", True),
        ("<think>a</think><answer>2</answer><answer>3</answer>", False),
        ("<think>a</think><think>b</think><answer>3</answer>", False),
        ("<think>a<think>b</think><answer>3</answer>", False),
        ("<think>I use <answer> tags</think><answer>3</answer>", False),
        ("<think>a</think> so <answer>3</answer>", False),
        ("<think>a</think><answer>3</answer> done", False),
        ("<answer>3</answer><think>a</think>", False),
        ("<answer>3</answer>", False),
    ],
)
def test_tolerant_format_wants_one_block_of_each_and_nothing_else(text: str, *, passes: bool) -> None:
    assert matches_format(text, mode=TOLERANT) is passes


@pytest.mark.parametrize(
    ("answer", "passes"),
    [("3", True), (" 3.5 ", True), ("0.2", True), ("", False), ("good", False), ("4/5", False)],
)
def test_number_format_also_wants_a_number_in_range_or_not(answer: str, *, passes: bool) -> None:
    assert matches_format(make_answer(answer), mode=NUMBER) is passes


@pytest.mark.parametrize(
    ("text", "passes"),
    [
        ("<answer>3.5</answer>", True),
        ("\n<answer> 3.5 </answer>\n", True),
        ("<answer>0.2</answer>", True),
        ("<answer>good</answer>", False),
        ("<answer></answer>", False),
        ("<answer>2</answer><answer>3</answer>", False),
        ("<answer>3.5</answer> done", False),
        ("Sure: <answer>3.5</answer>", False),
        ("<think>a</think><answer>3.5</answer>", False),
        ("<think><answer>3.5</answer>", False),
        ("<answer>3.5", False),
        ("3.5", False),
    ],
)
def test_answer_format_wants_one_number_in_one_block_and_no_thinking(text: str, *, passes: bool) -> None:
    assert matches_format(text, mode=ANSWER) is passes


@pytest.mark.parametrize(
    ("text", "with_thinking", "without"),
    [
        ("<think>a</think><answer>3</answer>", True, False),
        ("<answer>3</answer>", False, True),
        ("<answer>good</answer>", False, True),
        ("3", False, False),
    ],
)
def test_the_prompt_decides_which_format_counts(text: str, *, with_thinking: bool, without: bool) -> None:
    for wants_thinking, has_format in ((True, with_thinking), (False, without)):
        assert parse(text, scale=ONE_TO_FIVE, wants_thinking=wants_thinking).has_format is has_format


def test_a_group_is_read_as_its_prompt_asks() -> None:
    group = make_group(["<answer>3</answer>"], prompt=dataclasses.replace(make_prompt(), wants_thinking=False))
    assert parse_group(group)[0].has_format


def test_a_label_on_another_scale_is_refused_by_name() -> None:
    stranger = make_prompt("p7", opinion=0.25, scale=Scale(minimum=0, maximum=1), source="aesthetics")
    with pytest.raises(ValueError, match="'p7' of 'aesthetics'"):
        check_scale([make_group(["x"], prompt=stranger)], scale=ONE_TO_FIVE)
