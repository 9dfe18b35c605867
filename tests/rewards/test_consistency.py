"""What the judge is asked about a completion, what its verdicts are worth, and what its silence means."""

import asyncio
from typing import Literal

import pytest

from conf.reward_terms import ConsistencyTermConfig
from judge_client.types import CAUSES, Cause, ConsistencyQuestion, Outcome, Verdict
from rewards.questions import consistency_question
from rewards.terms.consistency import ConsistencyTerm
from rewards.types import Noted, Score
from rollout.types import RolloutGroup
from tests.builders import make_choice, make_group, make_pair_prompt, make_prompt
from tests.rewards.judges import RuleJudge, ScriptedJudge

Mode = Literal["signed", "binary"]


def config(mode: Mode = "signed") -> ConsistencyTermConfig:
    return ConsistencyTermConfig(kind="consistency", weight=0.5, mode=mode)


def group(*texts: str) -> RolloutGroup:
    return make_group(texts, prompt=make_pair_prompt())


def score(judge: RuleJudge | ScriptedJudge, *groups: RolloutGroup, mode: Mode = "signed") -> list[list[Score]]:
    return asyncio.run(ConsistencyTerm(config(mode), judge=judge).score(groups))


@pytest.mark.parametrize(
    ("mode", "outcome", "worth"),
    [
        ("signed", "consistent", 1.0),
        ("signed", "inconsistent", -1.0),
        ("binary", "consistent", 1.0),
        ("binary", "inconsistent", 0.0),
    ],
)
def test_the_worth_of_a_verdict(mode: Mode, outcome: Outcome, worth: float) -> None:
    assert score(ScriptedJudge(lambda _: Verdict(outcome=outcome)), group(make_choice(2)), mode=mode) == [[worth]]


@pytest.mark.parametrize("cause", CAUSES)
def test_no_verdict_is_no_number_and_keeps_its_cause(cause: Cause) -> None:
    judge = ScriptedJudge(lambda _: Verdict(outcome="abstained", cause=cause))
    assert score(judge, group(make_choice(2))) == [[Noted(score=None, note=cause)]]


def test_reasoning_for_the_other_answer_is_inconsistent() -> None:
    assert score(RuleJudge(), group(make_choice(2), make_choice(2, favoured=1))) == [[1.0, -1.0]]


def test_whether_the_answer_is_right_does_not_matter() -> None:
    assert score(RuleJudge(), group(make_choice(1))) == [[1.0]]


@pytest.mark.parametrize("text", ["", " \n"])
def test_an_empty_completion_is_inconsistent_and_nobody_is_asked(text: str) -> None:
    judge = ScriptedJudge(lambda _: Verdict(outcome="consistent"))
    assert (score(judge, group(text)), judge.questions) == ([[-1.0]], [])


def test_equal_texts_of_a_prompt_share_a_question() -> None:
    judge = ScriptedJudge(lambda _: Verdict(outcome="consistent"))
    score(judge, group(make_choice(2), make_choice(1), make_choice(2)))
    assert len(judge.questions) == 2


def test_equal_texts_of_two_prompts_are_two_questions() -> None:
    judge = ScriptedJudge(lambda _: Verdict(outcome="consistent"))
    prompts = [make_pair_prompt("p/1"), make_pair_prompt("q/1")]
    score(judge, *(make_group([make_choice(2)], prompt=prompt) for prompt in prompts))
    assert len(judge.questions) == 2


def test_questions_are_asked_side_by_side() -> None:
    judge = ScriptedJudge(lambda _: Verdict(outcome="consistent"))
    score(judge, group(make_choice(2), make_choice(1)), group("<answer>2</answer>"))
    assert judge.most_waiting == 3


def test_a_pairwise_question_is_put_to_the_judge_whole() -> None:
    text = make_choice(2, favoured=1)
    assert consistency_question(make_pair_prompt(), text) == ConsistencyQuestion(
        question="Which defect has this picture?",
        reasoning="Response 1 is better.",
        answer="2",
        completion=text,
        task="choice",
    )


def test_a_scoring_question_is_put_in_the_words_of_its_prompt() -> None:
    question = consistency_question(make_prompt(), "<think>sharp</think><answer>4</answer>")
    assert (question.question, question.task) == ("How good is this picture?", "score")


def test_without_a_think_block_the_reasoning_is_what_comes_before_the_answer() -> None:
    question = consistency_question(make_pair_prompt(), "The second is right. <answer>2</answer> So there.")
    assert (question.reasoning, question.answer) == ("The second is right. ", "2")


def test_without_an_answer_block_there_is_no_answer() -> None:
    question = consistency_question(make_pair_prompt(), "The second is right.")
    assert (question.reasoning, question.answer) == ("The second is right.", None)
