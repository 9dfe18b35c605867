"""Completions of a group compared with one another by the judge."""

import asyncio
from collections.abc import Sequence
from typing import Literal

import numpy as np
import pytest

from conf.reward_terms import ComparisonTermConfig
from judge_client.types import ComparisonQuestion, Outcome, Question, Verdict
from rewards.terms.comparison import ComparisonTerm
from rewards.types import Noted, Score
from tests.builders import make_group, make_pair_prompt
from tests.rewards.judges import ScriptedJudge

UNLINKED = Noted(score=None, note="unlinked")


def by_length(question: Question) -> Verdict:
    """The longer text wins."""
    assert isinstance(question, ComparisonQuestion)
    outcomes: dict[int, Outcome] = {1: "first", 0: "tie", -1: "second"}
    return Verdict(outcome=outcomes[int(np.sign(len(question.first) - len(question.second)))])


def silent_on_z(question: Question) -> Verdict:
    assert isinstance(question, ComparisonQuestion)
    return (
        Verdict(outcome="abstained", cause="timeout")
        if "z" in question.first + question.second
        else by_length(question)
    )


def score(
    texts: Sequence[str], judge: ScriptedJudge, *, plan: Literal["ring", "round_robin"] = "round_robin"
) -> list[Score]:
    config = ComparisonTermConfig(kind="comparison", weight=1.0, plan=plan)
    group = make_group(texts, prompt=make_pair_prompt())
    return asyncio.run(ComparisonTerm(config, judge=judge).score([group]))[0]


def numbers(texts: Sequence[str], judge: ScriptedJudge) -> list[float]:
    scores = score(texts, judge)
    assert all(isinstance(s, float) for s in scores)
    return [s for s in scores if isinstance(s, float)]


def test_the_better_a_completion_the_more_it_is_expected_to_win() -> None:
    first, second, third = numbers(["aaa", "a", "aa"], ScriptedJudge(by_length))
    assert 0 < second < third < first < 1


def test_a_win_and_a_loss_mirror_each_other() -> None:
    winner, loser = numbers(["aa", "a"], ScriptedJudge(by_length))
    assert winner == pytest.approx(1 - loser)


def test_a_tie_is_worth_half() -> None:
    assert score(["a", "b"], ScriptedJudge(by_length)) == [0.5, 0.5]


def test_equal_texts_are_compared_once_and_earn_the_same() -> None:
    judge = ScriptedJudge(by_length)
    scores = numbers(["a", "aa", "a"], judge)
    assert scores[0] == scores[2]
    assert len(judge.questions) == 1


def test_a_group_that_says_one_thing_is_not_compared() -> None:
    assert score(["a", "a"], ScriptedJudge(by_length)) == [None, None]


@pytest.mark.parametrize(("plan", "num_questions"), [("ring", 4), ("round_robin", 6)])
def test_the_plan_decides_how_many_questions_are_asked(
    plan: Literal["ring", "round_robin"], num_questions: int
) -> None:
    judge = ScriptedJudge(by_length)
    score(["a", "aa", "aaa", "aaaa"], judge, plan=plan)
    assert (len(judge.questions), judge.most_waiting) == (num_questions, num_questions)


def test_who_is_shown_first_does_not_depend_on_the_order_of_completions() -> None:
    one, other = ScriptedJudge(by_length), ScriptedJudge(by_length)
    score(["a", "bb", "c"], one)
    score(["c", "a", "bb"], other)
    assert one.questions == other.questions


def test_a_completion_that_no_verdict_links_abstains() -> None:
    first, second, third = score(["aa", "a", "z"], ScriptedJudge(silent_on_z))
    assert isinstance(first, float)
    assert isinstance(second, float)
    assert third == UNLINKED


def test_linked_completions_are_scored_as_if_the_others_were_not_there() -> None:
    assert score(["aa", "a", "z"], ScriptedJudge(silent_on_z))[:2] == pytest.approx(
        numbers(["aa", "a"], ScriptedJudge(by_length))
    )


def test_without_a_linked_majority_everybody_abstains() -> None:
    assert score(["aa", "a", "z", "zz"], ScriptedJudge(silent_on_z)) == [UNLINKED] * 4


def test_the_judge_reads_what_the_policy_was_asked() -> None:
    judge = ScriptedJudge(by_length)
    score(["a", "aa"], judge)
    assert isinstance(question := judge.questions[0], ComparisonQuestion)
    assert "Response 2: strong haze" in question.question
