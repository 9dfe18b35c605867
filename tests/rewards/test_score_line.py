"""Refine-IQA's format and answer rewards: the worked example, what published expressions let through, and statuses."""

import asyncio
from collections.abc import Sequence
from typing import Literal

import pytest

from conf.errors import ConfigError
from conf.load import load_run_config
from conf.reward_terms import FormatTermConfig, ScoreLineTermConfig
from rewards.metrics import reward_metrics
from rewards.score_line import LineStatus, read_score_line
from rewards.scorer import build_scorer
from rewards.terms.format import FormatTerm
from rewards.terms.score_line import ScoreLineTerm
from rewards.types import Noted, Score, ScoredGroup
from rollout.types import Scale
from tests.builders import ONE_TO_FIVE, make_group, make_prompt

OPINION = 4.400806947958697
T = "<think>sharp</think>"
WORKED_EXAMPLE = [
    f"{T}<answer>Score: 4.32</answer>",
    f"{T} <answer>Score:4.90</answer>",
    f"{T}<answer>Score: 3.90</answer>",
    f"{T}<answer>Score: 4.4</answer>",
    f"ok {T}<answer>Score: 4.40</answer>",
    f"{T}<answer>Score: 2.10</answer><answer>Score: 4.10</answer>",
    "<answer>Score: 4.40</answer>",
    "<think></think><answer>Score: 4.40</answer>",
]
STRICT_STATUSES: list[LineStatus] = [
    "ok", "ok", "ok", "wrong_decimals", "outside_text", "several_answers", "outside_text", "outside_text",
]  # fmt: skip
Mode = Literal["strict", "released"]


def grade(
    texts: Sequence[str], *, mode: Mode, opinion: float = OPINION, fraction: float = 0.125, scale: Scale = ONE_TO_FIVE
) -> list[Score]:
    term = ScoreLineTerm(ScoreLineTermConfig(kind="score_line", weight=1.0, mode=mode, full_fraction=fraction))
    return asyncio.run(term.score([make_group(texts, prompt=make_prompt(opinion=opinion, scale=scale))]))[0]


def has_format(text: str, *, mode: Literal["refine_iqa", "score_line"]) -> bool:
    term = FormatTerm(FormatTermConfig(kind="format", weight=1.0, mode=mode))
    return asyncio.run(term.score([make_group([text])]))[0] == [1.0]


def right(score: float, *, mode: Mode, opinion: float, fraction: float = 0.125) -> bool:
    """Whether a well-formed answer is within the threshold."""
    return grade([f"{T}<answer>Score: {score:.2f}</answer>"], mode=mode, opinion=opinion, fraction=fraction) == [1.0]


def scored_by(rewards: str) -> ScoredGroup:
    """The worked example under a shipped choice of rewards."""
    config = load_run_config([f"rewards={rewards}", "data.prompt=refine_iqa"]).rewards
    scorer = build_scorer(config, scale=ONE_TO_FIVE, judge=None)
    group = make_group(WORKED_EXAMPLE, prompt=make_prompt(opinion=OPINION))
    return asyncio.run(scorer.score([group]))[0]


def test_the_released_rewards_are_those_of_the_worked_example() -> None:
    rewards = scored_by("refine_iqa_released").rewards
    assert [reward.parts["format"] for reward in rewards] == [1, 1, 1, 0, 1, 1, 0, 0]
    assert [reward.parts["answer"] for reward in rewards] == [1, 1, 0, 0, 0, 1, 0, 0]
    assert [reward.total for reward in rewards] == [2, 2, 1, 0, 1, 2, 0, 0]


def test_the_strict_rewards_pay_neither_surroundings_nor_second_answers() -> None:
    rewards = scored_by("refine_iqa").rewards
    assert [reward.parts["format"] for reward in rewards] == [1, 1, 1, 0, 0, 0, 0, 0]
    assert [reward.parts["answer"] for reward in rewards] == [1, 1, 0, 0, 0, 0, 0, 0]


def test_what_was_read_instead_of_a_score_is_counted_by_name() -> None:
    metrics = reward_metrics([scored_by("refine_iqa")])
    named = {key.removeprefix("rewards/answer/num_"): n for key, n in metrics.items() if "/answer/num_" in key}
    assert named == {"wrong_decimals": 1.0, "outside_text": 3.0, "several_answers": 1.0}


@pytest.mark.parametrize("name", ["refine_iqa", "refine_iqa_released"])
def test_a_right_answer_has_the_format(name: str) -> None:
    assert all(r.parts["format"] == 1.0 for r in scored_by(name).rewards if r.parts["answer"] == 1.0)


def test_the_one_parser_reads_scores_that_are_announced() -> None:
    answers = scored_by("refine_iqa").answers
    assert [answer.score for answer in answers] == [4.32, 4.90, 3.90, 4.4, 4.40, 4.10, 4.40, 4.40]


@pytest.mark.parametrize(
    ("text", "form", "answer"),
    [
        (f"{T}\n<answer>\nScore:\n4.32\n</answer>", True, True),
        (f"{T}<answer>Score: 4.32</answer> and more", True, True),
        (f"{T}<answer>Score: 9.99</answer>", True, False),
        (f"\n{T}<answer>Score: 4.32</answer>", True, False),
        (f"{T} so <answer>Score: 4.32</answer>", False, False),
        (f"{T}<answer>Score: 4.320</answer>", False, False),
        (f"{T}<answer>Score: 14.32</answer>", False, False),
        (f"{T}<answer>4.32</answer>", False, False),
        (f"{T}<answer>Score: 4.32", False, False),
    ],
)
def test_what_the_published_expressions_let_through(text: str, *, form: bool, answer: bool) -> None:
    assert has_format(text, mode="refine_iqa") is form
    assert (grade([text], mode="released") == [1.0]) is answer


@pytest.mark.parametrize(("text", "status"), list(zip(WORKED_EXAMPLE, STRICT_STATUSES, strict=True)))
def test_the_strict_reading_names_what_it_refuses(text: str, status: LineStatus) -> None:
    line = read_score_line(text, scale=ONE_TO_FIVE, wants_thinking=True)
    assert line.status == status
    assert (line.score is None) is (status != "ok")


@pytest.mark.parametrize(
    ("answer", "status", "score"),
    [
        ("Score: 5.00", "ok", 5.0),
        ("Score: 0.99", "out_of_range", 0.99),
        ("Score: 10.00", "out_of_range", 10.0),
        ("Score: -4.00", "out_of_range", -4.0),
        ("Score: 4", "wrong_decimals", None),
        ("Score: 4.321", "wrong_decimals", None),
        ("Score: .50", "wrong_decimals", None),
        ("4.32", "no_score_line", None),
        ("Score: four", "no_score_line", None),
        ("Score: 4.32/5", "no_score_line", None),
        ("score: 4.32", "no_score_line", None),
        ("", "no_score_line", None),
    ],
)
def test_the_strict_reading_of_an_answer(answer: str, status: LineStatus, score: float | None) -> None:
    line = read_score_line(f"{T}<answer>{answer}</answer>", scale=ONE_TO_FIVE, wants_thinking=True)
    assert (line.status, line.score) == (status, score)


@pytest.mark.parametrize("text", ["", "Score: 4.32", f"{T}<answer>Score: 4.32"])
def test_without_a_complete_block_there_is_no_answer(text: str) -> None:
    assert read_score_line(text, scale=ONE_TO_FIVE, wants_thinking=True).status == "no_answer"


def test_outer_white_space_means_nothing_to_the_strict_reading() -> None:
    assert grade([f"\n {T}\n<answer> Score: 4.32 </answer>\n"], mode="strict") == [1.0]


def test_a_thought_of_white_space_is_none() -> None:
    text = "<think> \n</think><answer>Score: 4.32</answer>"
    assert read_score_line(text, scale=ONE_TO_FIVE, wants_thinking=True).status == "outside_text"


def test_a_prompt_without_thinking_wants_the_answer_alone() -> None:
    alone, thought = "<answer>Score: 4.32</answer>", f"{T}<answer>Score: 4.32</answer>"
    found = [read_score_line(text, scale=ONE_TO_FIVE, wants_thinking=False).status for text in (alone, thought)]
    assert found == ["ok", "outside_text"]


def test_the_declared_scale_decides_what_is_out_of_range() -> None:
    text = f"{T}<answer>Score: 60.00</answer>"
    assert grade([text], mode="strict", opinion=55.0, scale=Scale(minimum=0, maximum=100)) == [1.0]
    assert grade([text], mode="strict") == [Noted(score=0.0, note="out_of_range")]


def test_an_out_of_range_score_has_the_format_and_is_never_right() -> None:
    text = f"{T}<answer>Score: 5.01</answer>"
    assert has_format(text, mode="score_line")
    assert grade([text], mode="strict", opinion=5.0) == [Noted(score=0.0, note="out_of_range")]


@pytest.mark.parametrize("mode", ["strict", "released"])
def test_the_threshold_is_inclusive(mode: Mode) -> None:
    assert right(3.50, mode=mode, opinion=4.0)
    assert not right(3.49, mode=mode, opinion=4.0)


@pytest.mark.parametrize("mode", ["strict", "released"])
@pytest.mark.parametrize(("fraction", "is_right"), [(0.125, True), (0.0875, False)])
def test_both_published_thresholds_are_at_hand(mode: Mode, fraction: float, *, is_right: bool) -> None:
    # 0.5 and 0.35 on the scale 1..5; the answer is 0.4 off.
    assert right(3.60, mode=mode, opinion=4.0, fraction=fraction) is is_right


def test_an_edge_that_floating_point_oversteps_is_right_to_us_and_wrong_as_released() -> None:
    assert abs(3.90 - 4.40) > 0.5
    assert right(3.90, mode="strict", opinion=4.40)
    assert not right(3.90, mode="released", opinion=4.40)


@pytest.mark.parametrize("rewards", ["refine_iqa", "refine_iqa_released"])
def test_a_prompt_that_does_not_ask_for_a_score_line_is_refused_with_one_that_does(rewards: str) -> None:
    with pytest.raises(ConfigError, match=r'wants the answer "Score: d\.dd", .*use data\.prompt=refine_iqa$'):
        load_run_config([f"rewards={rewards}", "data.prompt=visualquality_r1"])
