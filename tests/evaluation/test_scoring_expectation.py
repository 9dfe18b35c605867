"""The probability-weighted score, worked out by hand and by going through every number."""

import math
from collections.abc import Mapping

import numpy as np
import pytest
from numpy.typing import NDArray

from conf.data import ScaleConfig
from conf.score import ScoreConfig
from evaluation.scoring.expectation import (
    DIGITS,
    digit_logprobs,
    expected,
    integer_place,
    integers_on,
    likely,
    share_of,
    tenths_on,
)
from rewards.tags import answer_blocks
from rollout.types import Completion, Scale, WatchedTokens
from tests.builders import ONE_TO_FIVE

ZERO_TO_ONE = Scale(minimum=0.0, maximum=1.0)


def logprobs(probabilities: Mapping[int, float]) -> NDArray[np.float64]:
    """Of the ten digits; those not given are impossible."""
    return np.array([math.log(probabilities[d]) if d in probabilities else -math.inf for d in range(10)])


def test_the_worked_number() -> None:
    shares = share_of(integers_on(ONE_TO_FIVE), logprobs_10=logprobs({3: 0.379, 4: 0.621}))
    assert expected(shares) == pytest.approx(3.621, abs=1e-12)


def test_what_else_the_judge_might_have_said_counts_for_nothing() -> None:
    # A fifth for a 3, three tenths for a 4; the rest went to the 9, off the scale, and to words.
    shares = share_of(integers_on(ONE_TO_FIVE), logprobs_10=logprobs({3: 0.2, 4: 0.3, 9: 0.1}))
    assert shares == pytest.approx({1: 0.0, 2: 0.0, 3: 0.4, 4: 0.6, 5: 0.0})
    assert expected(shares) == pytest.approx(3.6)


def test_a_judge_without_doubt_gets_its_digit() -> None:
    assert expected(share_of(integers_on(ONE_TO_FIVE), logprobs_10=logprobs({2: 1.0}))) == 2.0


def test_log_probabilities_far_below_zero_do_not_vanish() -> None:
    shares = share_of((3, 4), logprobs_10=logprobs({3: 0.5, 4: 0.5}) - 2000.0)
    assert shares == {3: 0.5, 4: 0.5}


def test_no_possible_digit_is_said_and_not_guessed() -> None:
    with pytest.raises(ValueError, match="none of the digits 1, 2, 3, 4, 5 was possible"):
        share_of(integers_on(ONE_TO_FIVE), logprobs_10=logprobs({9: 1.0}))


@pytest.mark.parametrize(
    ("scale", "integer", "tenths"),
    [
        (ONE_TO_FIVE, 1, tuple(range(10))),
        (ONE_TO_FIVE, 5, (0,)),
        (ZERO_TO_ONE, 0, tuple(range(10))),
        (ZERO_TO_ONE, 1, (0,)),
        (Scale(minimum=0.3, maximum=4.7), 0, (3, 4, 5, 6, 7, 8, 9)),
        (Scale(minimum=0.3, maximum=4.7), 4, (0, 1, 2, 3, 4, 5, 6, 7)),
    ],
)
def test_tenths_stay_on_the_scale(scale: Scale, integer: int, tenths: tuple[int, ...]) -> None:
    assert integer in integers_on(scale)
    assert tenths_on(scale, integer=integer) == tenths


def test_integers_and_tenths_together_are_every_number_of_one_decimal() -> None:
    numbers = [i + t / 10 for i in integers_on(ONE_TO_FIVE) for t in tenths_on(ONE_TO_FIVE, integer=i)]
    assert numbers == pytest.approx(list(np.arange(10, 51) / 10))


def test_unlikely_integers_are_left_out_and_the_others_still_add_up() -> None:
    shares = share_of(integers_on(ONE_TO_FIVE), logprobs_10=logprobs({1: 0.0005, 3: 0.4, 4: 0.5995}))
    assert likely(shares) == pytest.approx({3: 0.4 / 0.9995, 4: 0.5995 / 0.9995})


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("<answer>3.79</answer>", "3"),
        ("<think>2 of 10 is blurred</think><answer> 4.12 </answer>", "4"),
        ("<answer>Score: 4.32</answer>", "4"),
        ("<answer>2</answer> no, <answer>+5</answer>", "5"),
        ("<answer>3</answer> I said 3, <answer>3</answer> 9", "3"),
        ("<answer>.5</answer>", None),
        ("<answer>-1.2</answer>", None),
        ("<answer>good</answer>", None),
        ("about 4.2", None),
    ],
)
def test_the_integer_digit_is_found_in_the_last_answer(text: str, shown: str | None) -> None:
    blocks = answer_blocks(text)
    place = integer_place(text, answer=blocks[-1] if blocks else None)
    assert (None if place is None else text[place]) == shown


def test_the_last_of_two_equal_answers_is_the_place() -> None:
    text = "<answer>3</answer><answer>3</answer>"
    assert integer_place(text, answer="3") == text.rindex("3")


def watched_completion(text: str, *, tokens: list[str]) -> Completion:
    """A completion of these tokens, in which digit ``d`` has log-probability ``-d`` at place 0, ``-d - 100`` at place 1
    and so on; token ids are places in a small vocabulary that begins with the digits."""
    vocabulary = [*DIGITS, *(token for token in tokens if token not in DIGITS)]
    at_T = np.arange(len(tokens), dtype=np.float32)
    return Completion(
        text=text,
        token_ids=np.array([vocabulary.index(token) for token in tokens], dtype=np.int32),
        logprobs=np.zeros(len(tokens), dtype=np.float32),
        finish_reason="stop",
        policy_version=0,
        watched=WatchedTokens(
            token_ids=np.arange(10, dtype=np.int32),
            logprobs=-np.arange(10, dtype=np.float32)[None, :] - 100 * at_T[:, None],
        ),
    )


def test_the_digits_of_the_thought_are_passed_over() -> None:
    tokens = ["<think>", "2", "5", " of ", "9", "</think>", "<answer>", "3", ".", "7", "</answer>"]
    text = "".join(tokens)
    found = digit_logprobs(watched_completion(text, tokens=tokens), place=text.rindex("3"))
    assert found.tolist() == [-d - 100 * tokens.index("3") for d in range(10)]


def test_a_tokenizer_that_joins_digits_is_refused() -> None:
    tokens = ["<answer>", "37", "</answer>"]
    with pytest.raises(ValueError, match="0 digit tokens stand for 2 digits"):
        digit_logprobs(watched_completion("<answer>37</answer>", tokens=tokens), place=8)


@pytest.mark.parametrize(("low", "high"), [(0.0, 100.0), (1.0, 10.0), (-1.0, 1.0)])
def test_a_scale_with_two_digits_before_the_point_has_no_expectation(low: float, high: float) -> None:
    options = {"prompt": "quality", "num_samples": 1, "repetition_penalty": 1.0, "window": 1}
    scale = ScaleConfig(minimum=low, maximum=high)
    with pytest.raises(ValueError, match=r"scale must lie within 0 and 9\.99"):
        ScoreConfig.model_validate({**options, "answer": "expectation", "scale": scale})
    assert ScoreConfig.model_validate({**options, "answer": "numeric", "scale": scale}).scale == scale
