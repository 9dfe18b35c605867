"""What the rules take a text to conclude."""

import dataclasses

import pytest

from judge_client.prompt import Style, build_prompt
from judge_client.rule_judge import Conclusion, conclusion, judge_prompt
from judge_client.types import ComparisonQuestion, ConsistencyQuestion
from tests.judge_client.builders import make_question


def judged(question: ConsistencyQuestion | ComparisonQuestion, *, style: Style = "arbiter") -> str:
    return judge_prompt(build_prompt(question, style=style, is_structured=False).text)


def scored(reasoning: str, answer: str) -> str:
    question = ConsistencyQuestion(
        question="How good is it?",
        reasoning=reasoning,
        answer=answer,
        completion=f"<think>{reasoning}</think><answer>{answer}</answer>",
        task="score",
    )
    return judged(question)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("This picture shows mild blur. Response 2 is better.", "second"),
        ("Response 1 is better than response 2", "first"),
        ("Response 1 is worse than response 2.", "second"),
        ("Compared to response 2, response 1 is better", "first"),
        ("Response 1 is wrong and response 2 is right.", "second"),
        ("Response 2 says blur, which is right", "second"),
        ("I prefer the second one.", "second"),
        ("The first fits. The picture is sharp.", "first"),
        ("The better response is 2.", "second"),
        ("Answer B is the best.", "second"),
        ("So the answer is 1", "first"),
        ("There is no haze and response 1 is better", "first"),
        ("I would give a score of 3.7", 3.7),
        ("It deserves a rating of 4.", 4.0),
    ],
)
def test_a_conclusion_is_found_in_plain_words(text: str, expected: Conclusion) -> None:
    assert conclusion(text) == expected


def test_the_last_conclusion_counts() -> None:
    assert conclusion("Response 1 is better. On a second look, response 2 is better. It is a photograph.") == "second"


@pytest.mark.parametrize(
    "text",
    [
        "",
        "The picture shows mild blur.",
        "Both responses are equally good.",
        "Response 1 or response 2 is better.",
        "Response 1 is not better.",
        "Response 1 is better, response 2 is better",
        "At first glance it looks right.",
        "Response 1 mentions blur.",
    ],
)
def test_an_open_or_contradictory_text_concludes_nothing(text: str) -> None:
    assert conclusion(text) is None


@pytest.mark.parametrize(("style", "labels"), [("released", ("1", "0")), ("arbiter", ("consistent", "inconsistent"))])
@pytest.mark.parametrize("number", [0, 1])
def test_both_templates_are_judged_alike(number: int, style: Style, labels: tuple[str, str]) -> None:
    agreeing, opposed = make_question(number), make_question(number, is_consistent=False)
    assert (judged(agreeing, style=style), judged(opposed, style=style)) == labels


@pytest.mark.parametrize("answer", ["1", "2", "3", None])
def test_reasoning_without_a_conclusion_agrees_with_no_answer(answer: str | None) -> None:
    question = dataclasses.replace(make_question(), reasoning="Both are equally good.", answer=answer)
    assert judged(question) == "inconsistent"


@pytest.mark.parametrize(
    ("reasoning", "answer", "label"),
    [
        ("A score of 3.7 is fair.", "3.7", "consistent"),
        ("A score of about 4.", "3.7", "consistent"),
        ("A score of 3.7.", "3.68", "consistent"),
        ("A score of 3.7.", "3.6", "inconsistent"),
        ("A score of 2, no: a score of 4.", "2", "inconsistent"),
        ("It is blurred.", "2", "inconsistent"),
    ],
)
def test_a_score_agrees_within_the_decimals_of_the_reasoning(reasoning: str, answer: str, label: str) -> None:
    assert scored(reasoning, answer) == label


def test_of_two_candidates_the_one_that_agrees_with_itself_wins() -> None:
    good, bad = make_question(0).completion, make_question(0, is_consistent=False).completion
    pairs = [(good, bad), (bad, good), (good, good), (bad, bad)]
    questions = [ComparisonQuestion(question="Which?", first=first, second=second) for first, second in pairs]
    assert [judged(question) for question in questions] == ["A", "B", "tie", "tie"]


def test_a_wrong_verdict_is_another_one() -> None:
    text = build_prompt(make_question(), style="released", is_structured=False).text
    assert judge_prompt(text, is_wrong=True) == "0"
