"""Replies and probabilities -> yes, no, or why neither."""

import math

import pytest
from pydantic import JsonValue

from rewards.checklist.answers import (
    Answer,
    hardened,
    read_logprobs,
    read_probabilities,
    read_reply,
    read_value,
    yes_or_no,
)


@pytest.mark.parametrize(
    "text",
    ["yes", "Yes", " yes", "YES\n", "yes<|end_of_text|>", "yes<|eot_id|>", "Yes.<|im_end|>\n", "yes </s>", "yes!"],
)
def test_yes_is_yes_in_any_dress(text: str) -> None:
    assert read_reply(text) == Answer(status="ok", p_yes=1.0)


@pytest.mark.parametrize("text", ["no", "No.", "\tNO<|eot_id|>"])
def test_no_is_no_in_any_dress(text: str) -> None:
    assert read_reply(text) == Answer(status="ok", p_yes=0.0)


@pytest.mark.parametrize(
    "text",
    ["", "<|end_of_text|>", "maybe", "yes and no", "Yes, it is", "not", "nope", "yesterday", "y", "1", "yes?", "不"],
)
def test_any_other_text_is_flagged_and_kept(text: str) -> None:
    assert read_reply(text) == Answer(status="unknown", text=text)


def test_reading_its_own_output_changes_nothing() -> None:
    assert [yes_or_no(word) for word in ("yes", "no")] == [True, False]


def test_probabilities_are_taken_between_the_two_words() -> None:
    answer = read_probabilities(p_yes=0.95, p_no=0.04, min_mass=0.5)
    # The released helper's second softmax makes 0.713 of this.
    assert answer.p_yes == pytest.approx(0.95 / 0.99, abs=1e-12)
    assert answer.mass == pytest.approx(0.99, abs=1e-12)


@pytest.mark.parametrize(("p_yes", "p_no", "expected"), [(1.0, 0.0, 1.0), (0.0, 0.3, 0.0), (0.2, 0.2, 0.5)])
def test_certain_probabilities_are_hard_answers(p_yes: float, p_no: float, expected: float) -> None:
    assert read_probabilities(p_yes=p_yes, p_no=p_no, min_mass=0.0).p_yes == expected


@pytest.mark.parametrize(("p_yes", "p_no", "min_mass"), [(0.0, 0.0, 0.0), (0.06, 0.03, 0.1)])
def test_a_judge_that_says_neither_word_has_not_answered(p_yes: float, p_no: float, min_mass: float) -> None:
    answer = read_probabilities(p_yes=p_yes, p_no=p_no, min_mass=min_mass)
    assert (answer.status, answer.p_yes) == ("unknown", None)
    assert answer.mass == pytest.approx(p_yes + p_no)


def test_spellings_of_a_word_add_up() -> None:
    tokens = {"Yes": 0.3, " yes": 0.2, "YES": 0.1, "No": 0.15, "no": 0.05, "The": 0.2}
    answer = read_logprobs({token: math.log(p) for token, p in tokens.items()}, min_mass=0.5)
    assert answer.p_yes == pytest.approx(0.6 / 0.8, abs=1e-12)
    assert answer.mass == pytest.approx(0.8, abs=1e-12)


def test_adding_one_constant_to_the_log_probs_changes_only_the_mass() -> None:
    low = read_logprobs({"yes": -800.5, "no": -802.0}, min_mass=0.0)
    assert low.status == "unknown"
    near, far = (read_logprobs({"yes": -0.5 - d, "no": -2.0 - d}, min_mass=0.0).p_yes for d in (0.0, 600.0))
    assert near == pytest.approx(far, abs=1e-12)
    assert near == pytest.approx(1 / (1 + math.exp(-1.5)), abs=1e-12)


def test_tokens_without_either_word_are_no_answer() -> None:
    assert read_logprobs({"The": -0.1}, min_mass=0.0).status == "unknown"


def test_words_the_server_does_not_list_have_no_probability() -> None:
    assert read_logprobs({"yes": 0.0}, min_mass=0.5).p_yes == 1.0
    assert read_logprobs({"yes": -0.1, "no": -math.inf}, min_mass=0.5).p_yes == 1.0


@pytest.mark.parametrize("logprob", [0.5, math.nan])
def test_a_log_prob_that_is_none_is_refused(logprob: float) -> None:
    with pytest.raises(ValueError, match="expected log-probs of at most 0"):
        read_logprobs({"yes": logprob}, min_mass=0.0)


@pytest.mark.parametrize("p", [-0.1, 1.1, math.nan])
def test_a_probability_outside_zero_and_one_is_refused(p: float) -> None:
    with pytest.raises(ValueError, match=r"probabilities in 0\.\.1"):
        read_probabilities(p_yes=p, p_no=0.1, min_mass=0.0)


@pytest.mark.parametrize(
    ("value", "p_yes"),
    [
        ("Yes", 1.0),
        (True, 1.0),
        (False, 0.0),
        (1, 1.0),
        (0, 0.0),
        (-1, 0.0),
        (0.25, 0.25),
        ("perhaps", None),
        (None, None),
    ],
)
def test_values_of_files_are_read(value: JsonValue, p_yes: float | None) -> None:
    assert read_value(value).p_yes == p_yes


@pytest.mark.parametrize("value", [2, -0.5, math.nan, [1], {"yes": 1}])
def test_other_values_are_refused(value: JsonValue) -> None:
    with pytest.raises(ValueError, match="expected yes, no, true, false"):
        read_value(value)


@pytest.mark.parametrize(("p_yes", "expected"), [(0.51, 1.0), (0.49, 0.0), (0.5, None)])
def test_hardening_takes_the_likelier_word(p_yes: float, expected: float | None) -> None:
    assert hardened(Answer(status="ok", p_yes=p_yes)).p_yes == expected


def test_hardening_leaves_what_is_no_answer() -> None:
    assert hardened(Answer(status="failed", text="timeout")) == Answer(status="failed", text="timeout")


@pytest.mark.parametrize(("status", "p_yes"), [("ok", None), ("unknown", 0.5), ("ok", 1.5)])
def test_an_answer_without_sense_cannot_be_made(status: str, p_yes: float | None) -> None:
    with pytest.raises(ValueError, match="probability"):
        Answer(status=status, p_yes=p_yes)  # type: ignore[arg-type]
