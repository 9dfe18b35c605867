"""Completions compared by the judge, with one another or with reference answers."""

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from math import exp
from typing import Literal, get_args

import numpy as np
import pytest

from conf.reward_terms import ComparisonTermConfig, StrengthModel
from judge_client.types import ComparisonQuestion, Outcome, Question, Verdict
from rewards.terms.base import EagerTerm
from rewards.terms.comparison import ReferenceComparison, comparison_term
from rewards.types import Noted, Score
from tests.builders import make_group, make_pair_prompt
from tests.rewards.judges import ScriptedJudge

UNLINKED = Noted(score=None, note="unlinked")
every_model = pytest.mark.parametrize("model", get_args(StrengthModel))


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


def always_first(_: Question) -> Verdict:
    return Verdict(outcome="first")


def configured(
    *,
    against: Literal["group", "references"] = "group",
    plan: Literal["ring", "round_robin"] = "round_robin",
    model: StrengthModel = "bradley_terry",
) -> ComparisonTermConfig:
    return ComparisonTermConfig(kind="comparison", weight=1.0, against=against, plan=plan, model=model)


def score(
    texts: Sequence[str],
    judge: ScriptedJudge,
    *,
    plan: Literal["ring", "round_robin"] = "round_robin",
    model: StrengthModel = "bradley_terry",
) -> list[Score]:
    group = make_group(texts, prompt=make_pair_prompt())
    return list(asyncio.run(comparison_term(configured(plan=plan, model=model), judge=judge).score([group]))[0])


def score_against(
    references: Sequence[str], texts: Sequence[str], judge: ScriptedJudge, *, model: StrengthModel = "bradley_terry"
) -> list[Score]:
    group = make_group(texts, prompt=replace(make_pair_prompt(), reference_answers=tuple(references)))
    term = ReferenceComparison(configured(against="references", model=model), judge=judge)
    return asyncio.run(term.score([group]))[0]


def known(scores: Sequence[Score]) -> list[float]:
    assert all(isinstance(s, float) for s in scores)
    return [s for s in scores if isinstance(s, float)]


def numbers(texts: Sequence[str], judge: ScriptedJudge, *, model: StrengthModel = "bradley_terry") -> list[float]:
    return known(score(texts, judge, model=model))


@every_model
def test_the_better_a_completion_the_more_it_is_expected_to_win(model: StrengthModel) -> None:
    first, second, third = numbers(["aaa", "a", "aa"], ScriptedJudge(by_length), model=model)
    assert 0 < second < third < first < 1


@every_model
def test_a_win_and_a_loss_mirror_each_other(model: StrengthModel) -> None:
    winner, loser = numbers(["aa", "a"], ScriptedJudge(by_length), model=model)
    assert winner == pytest.approx(1 - loser)


@every_model
def test_a_tie_is_worth_half(model: StrengthModel) -> None:
    assert score(["a", "b"], ScriptedJudge(by_length), model=model) == [0.5, 0.5]


def test_a_single_win_by_hand() -> None:
    # The strengths are d/2 and -d/2, and at the maximum 1 - P = d / (2 sigma^2) with sigma = 1.
    winner, _ = numbers(["aa", "a"], ScriptedJudge(by_length))
    half = np.log(winner / (1 - winner))  # the winner's strength above the average of 0
    assert 1 / (1 + exp(2 * half)) == pytest.approx(half)


def test_the_models_mean_the_same_by_the_prior() -> None:
    scores = {
        model: numbers(["a", "aa", "aaa"], ScriptedJudge(by_length), model=model) for model in get_args(StrengthModel)
    }
    assert scores["thurstone"] == pytest.approx(scores["bradley_terry"], abs=0.02)
    assert scores["thurstone"] != scores["bradley_terry"] != scores["davidson"]


@every_model
def test_a_cycle_leaves_all_equal(model: StrengthModel) -> None:
    beats = {("a", "b"), ("b", "c"), ("c", "a")}

    def in_a_circle(question: Question) -> Verdict:
        assert isinstance(question, ComparisonQuestion)
        return Verdict(outcome="first" if (question.first, question.second) in beats else "second")

    assert numbers(["a", "b", "c"], ScriptedJudge(in_a_circle), model=model) == pytest.approx([0.5] * 3)


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


# Against references


@every_model
def test_wins_against_references_are_worth_more_than_half_and_losses_less(model: StrengthModel) -> None:
    better, equal, worse = known(score_against(["bb"], ["aaa", "aa", "a"], ScriptedJudge(by_length), model=model))
    assert 0 < worse < equal < better < 1
    assert (equal, worse) == pytest.approx((0.5, 1 - better))


def test_beating_more_references_is_worth_more() -> None:
    best, middle = known(score_against(["b", "bbb"], ["aaaa", "aa"], ScriptedJudge(by_length)))
    (single,) = known(score_against(["b"], ["aaaa"], ScriptedJudge(by_length)))
    assert middle == pytest.approx(0.5)
    assert middle < single < best


def test_each_reference_is_compared_in_both_orders() -> None:
    judge = ScriptedJudge(by_length)
    score_against(["x", "y"], ["aa"], judge)
    shown = {(q.first, q.second) for q in judge.questions if isinstance(q, ComparisonQuestion)}
    assert shown == {("aa", "x"), ("x", "aa"), ("aa", "y"), ("y", "aa")}


def test_a_judge_that_favours_a_position_favours_nobody() -> None:
    assert score_against(["x"], ["a", "b"], ScriptedJudge(always_first)) == [0.5, 0.5]


def test_the_score_does_not_depend_on_siblings() -> None:
    (alone,) = score_against(["bb"], ["aaa"], ScriptedJudge(by_length))
    assert score_against(["bb"], ["a", "aaa", "aaaa"], ScriptedJudge(by_length))[1] == alone


def test_the_reference_itself_ties_and_nobody_is_asked() -> None:
    judge = ScriptedJudge(by_length)
    assert score_against(["same"], ["same"], judge) == [0.5]
    assert judge.questions == []


def test_a_prompt_without_references_abstains_and_says_so() -> None:
    assert score_against([], ["a", "b"], ScriptedJudge(by_length)) == [Noted(score=None, note="no_reference")] * 2


def test_without_a_verdict_on_any_reference_a_completion_abstains() -> None:
    first, second = score_against(["bb"], ["a", "z"], ScriptedJudge(silent_on_z))
    assert isinstance(first, float)
    assert second == UNLINKED


def test_a_reference_the_judge_is_silent_about_has_no_say() -> None:
    assert score_against(["bb", "z"], ["aaa"], ScriptedJudge(silent_on_z)) == pytest.approx(
        known(score_against(["bb"], ["aaa"], ScriptedJudge(by_length)))
    )


def test_only_comparisons_with_references_begin_before_the_siblings_end() -> None:
    judge = ScriptedJudge(by_length)
    assert isinstance(comparison_term(configured(against="references"), judge=judge), EagerTerm)
    assert not isinstance(comparison_term(configured(against="group"), judge=judge), EagerTerm)


def test_what_was_begun_is_not_asked_again() -> None:
    judge = ScriptedJudge(by_length)
    prompt = replace(make_pair_prompt(), reference_answers=("bb",))

    async def begun_early() -> list[list[Score]]:
        term = ReferenceComparison(configured(against="references"), judge=judge)
        term.begin(prompt, "aaa")
        return await term.score([make_group(["aaa", "aaa"], prompt=prompt)])

    scores = known(asyncio.run(begun_early())[0])
    assert (len(judge.questions), scores[0]) == (2, scores[1])


@pytest.mark.parametrize("against", ["group", "references"])
def test_the_judge_reads_what_the_policy_was_asked(against: Literal["group", "references"]) -> None:
    judge = ScriptedJudge(by_length)
    if against == "group":
        score(["a", "aa"], judge)
    else:
        score_against(["a"], ["aa"], judge)
    assert isinstance(question := judge.questions[0], ComparisonQuestion)
    assert "Response 2: strong haze" in question.question
