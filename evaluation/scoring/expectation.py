"""The probability-weighted score: the mean of the numbers a judge might have answered, weighed by how likely they were.

    text --integer_place--> where the score's integer digit stands
    log-probs there --over the scale's digits--> p(3) = 0.379, p(4) = 0.621 --mean--> 3.621
    with tenths: behind "3." and behind "4." again, over ten digits each --mean of means--> 3.0 + ..., 4.0 + ...

Exactly: the judge answers as it would anyway (greedily by default), and the answer's number is where it is. At its
integer digit, the probabilities of the integers of the scale are divided by their sum: what the judge would have said
instead of a digit, and digits off the scale, count for nothing. ``expectation`` is the mean of these integers; a judge
that answers 3.79 and 4.12 is thus taken to have said 3 and 4, so all scores lie about half a point lower than its
numbers, and the scale's integers must tell pictures apart. ``expectation_tenths`` writes each integer that has at least
``LEAST_LIKELY`` of the probability, and a point, into the answer in place of its number, and reads the tenths' digit
behind it in the same way, among the tenths that stay on the scale: the mean over all numbers with one decimal. Digits
further behind are left out.
"""

import math
import re
from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from rollout.types import Completion, Scale

DIGITS = tuple("0123456789")
"""What is watched while a judge answers."""
LEAST_LIKELY = 1e-3
"""Integers less likely than this are not followed to their tenths; together they weigh less than a hundredth."""
_DIGIT = re.compile(r"[0-9]")
_ROUNDING = 1e-9


def integer_place(text: str, *, answer: str | None) -> int | None:
    """Where in a completion the integer digit of its score stands, given the text of its last answer block.

    None where there is no block or no digit in it, and for numbers without an integer part or below zero.
    """
    digit = None if answer is None else _DIGIT.search(answer)
    if answer is None or digit is None or answer[: digit.start()].rstrip().endswith((".", "-")):
        return None
    opening = "<answer>"
    # The last block with this text is the last block: a later one would be read instead.
    return text.rindex(f"{opening}{answer}</answer>") + len(opening) + digit.start()


def digit_logprobs(completion: Completion, *, place: int) -> NDArray[np.float64]:
    """Log-probabilities of the ten digits, ``[10]``, where a digit of the completion's text stands.

    Raises:
        ValueError: The tokenizer does not write digits one by one.
    """
    watched = completion.watched
    assert watched is not None, "the order watches the digits"
    at_T = np.flatnonzero(np.isin(completion.token_ids, watched.token_ids))
    if len(at_T) != len(_DIGIT.findall(completion.text)):
        raise ValueError(
            f"{len(at_T)} digit tokens stand for {len(_DIGIT.findall(completion.text))} digits: the tokenizer joins "
            "digits, so score.answer=expectation is not defined for this model; use score.answer=numeric"
        )
    number = len(_DIGIT.findall(completion.text[:place]))
    return np.asarray(watched.logprobs[at_T[number]], dtype=np.float64)


def integers_on(scale: Scale) -> tuple[int, ...]:
    """The integers a score on the scale can begin with; all have one digit."""
    return tuple(range(math.floor(scale.minimum), math.floor(scale.maximum) + 1))


def tenths_on(scale: Scale, *, integer: int) -> tuple[int, ...]:
    """The tenths that may follow an integer without leaving the scale."""
    low, high = scale.minimum - _ROUNDING, scale.maximum + _ROUNDING
    return tuple(tenth for tenth in range(10) if low <= integer + tenth / 10 <= high)


def share_of(digits: Sequence[int], *, logprobs_10: NDArray[np.float64]) -> dict[int, float]:
    """The probability of each digit among those given; they add up to 1.

    Raises:
        ValueError: None of them was possible.
    """
    chosen = logprobs_10[list(digits)]
    if not np.isfinite(chosen.max()):
        raise ValueError(f"none of the digits {', '.join(map(str, digits))} was possible")
    weights = np.exp(chosen - chosen.max())
    shares = weights / weights.sum()
    return dict(zip(digits, shares.tolist(), strict=True))


def likely(shares: Mapping[int, float]) -> dict[int, float]:
    """Those that are likely enough to be followed, adding up to 1 again."""
    kept = {digit: share for digit, share in shares.items() if share >= LEAST_LIKELY}
    total = math.fsum(kept.values())
    return {digit: share / total for digit, share in kept.items()}


def expected(shares: Mapping[int, float] | Mapping[float, float]) -> float:
    """The mean of numbers with these weights, which add up to 1."""
    return math.fsum(number * share for number, share in shares.items())
