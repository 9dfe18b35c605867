"""What was answered: text, probabilities or a number in a file -> the probability of yes, or why there is none.

======================================================  ========  =====
answer                                                  status    p_yes
======================================================  ========  =====
``yes``, ``Yes``, ``\\tYES.``, ``yes<|eot_id|>``         ok        1
``no``, ``No!</s>``                                     ok        0
P(yes) = 0.6, P(no) = 0.2                               ok        0.75
``Yes, mostly``, ``maybe``, nothing                     unknown   none
a probability of neither word                           unknown   none
the request failed                                      failed    none
======================================================  ========  =====

An answer that is neither yes nor no is never taken for a no.
"""

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np
from pydantic import JsonValue
from scipy.special import expit

AnswerStatus = Literal["ok", "unknown", "failed"]

_TAIL = re.compile(r"(?:\s|<\|[^<>|]*\|>|</s>)+$")
"""White space and the end markers of chat templates."""
_WORDS = {"yes": True, "no": False}
_ROUNDING = 1e-6
"""What float32 log-probs of a certain token may lie above 0."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Answer:
    """One answer; hard ones have a probability of 0 or 1."""

    status: AnswerStatus
    p_yes: float | None = None
    """P(yes) / (P(yes) + P(no)); None unless the status is ok."""
    mass: float | None = None
    """P(yes) + P(no) where probabilities are known: how much the judge meant to answer at all."""
    text: str = ""
    """What was said where that is no answer, or why nothing was."""

    def __post_init__(self) -> None:
        if (self.status == "ok") != (self.p_yes is not None):
            raise ValueError(f"an answer has a probability where it is ok, got {self.p_yes} with {self.status!r}")
        if self.p_yes is not None and not 0.0 <= self.p_yes <= 1.0:
            raise ValueError(f"expected a probability of yes in 0..1, got {self.p_yes}")


SPELLINGS = tuple(f"{before}{word}" for before in ("", " ") for word in ("yes", "Yes", "YES", "no", "No", "NO"))
"""Of the two words as the one token that an answer is taken from; a tokenizer has some of them."""
YES_WORD, NO_WORD = "yes", "no"
"""As training data write them and training watches them."""
YES, NO = Answer(status="ok", p_yes=1.0), Answer(status="ok", p_yes=0.0)


def yes_or_no(text: str) -> bool | None:
    """Whether a reply is the word yes or the word no, whatever its case, white space, full stop and end markers."""
    word = _TAIL.sub("", text).strip()
    return _WORDS.get(re.sub(r"[.!]$", "", word).casefold())


def read_reply(text: str) -> Answer:
    """A hard answer."""
    is_yes = yes_or_no(text)
    if is_yes is None:
        return Answer(status="unknown", text=text)
    return YES if is_yes else NO


def read_probabilities(*, p_yes: float, p_no: float, min_mass: float) -> Answer:
    """A soft answer from the probabilities of the two words; unknown where they add up to less than ``min_mass``.

    Raises:
        ValueError: One is no probability.
    """
    for p in (p_yes, p_no):
        if not 0.0 <= p <= 1.0 + _ROUNDING:
            raise ValueError(f"expected probabilities in 0..1, got p_yes={p_yes} and p_no={p_no}")
    logs = [math.log(p) if p else -math.inf for p in (p_yes, p_no)]
    return _soft(log_yes=logs[0], log_no=logs[1], min_mass=min_mass)


def read_logprobs(logprobs: Mapping[str, float], *, min_mass: float) -> Answer:
    """A soft answer from the log-probs, in nats, of the first token; spellings of one word add up.

    Raises:
        ValueError: One is above 0 or NaN.
    """
    for token, logprob in logprobs.items():
        if not logprob <= _ROUNDING:
            raise ValueError(f"expected log-probs of at most 0, got {logprob} for {token!r}")
    by_word: dict[bool | None, list[float]] = {True: [], False: [], None: []}
    for token, logprob in logprobs.items():
        by_word[yes_or_no(token)].append(logprob)
    return _soft(log_yes=_log_sum(by_word[True]), log_no=_log_sum(by_word[False]), min_mass=min_mass)


def read_value(value: JsonValue) -> Answer:
    """An answer as files hold it: a word, true or false, a probability, -1 for no, or null where none was got.

    Raises:
        ValueError: It is a number that means no answer, or a list or object.
    """
    if value is None:
        return Answer(status="failed", text="null")
    if isinstance(value, str):
        return read_reply(value)
    if isinstance(value, bool):
        return YES if value else NO
    if isinstance(value, int | float) and (value == -1 or 0.0 <= value <= 1.0):
        return Answer(status="ok", p_yes=float(max(value, 0)))
    raise ValueError(f"expected yes, no, true, false, a probability in 0..1, -1 or null as an answer, got {value!r}")


def hardened(answer: Answer) -> Answer:
    """The likelier word; neither where both are equally likely."""
    if answer.p_yes is None:
        return answer
    if answer.p_yes == 0.5:
        return Answer(status="unknown", mass=answer.mass, text="yes and no are equally likely")
    return Answer(status="ok", p_yes=float(answer.p_yes > 0.5), mass=answer.mass)


def _soft(*, log_yes: float, log_no: float, min_mass: float) -> Answer:
    mass = min(math.exp(log_yes) + math.exp(log_no), 1.0)
    if mass == 0.0 or mass < min_mass:
        return Answer(status="unknown", mass=mass, text=f"yes and no have a probability of {mass:.3g} together")
    if -math.inf in (log_yes, log_no):
        return Answer(status="ok", p_yes=float(log_no == -math.inf), mass=mass)
    return Answer(status="ok", p_yes=float(expit(log_yes - log_no)), mass=mass)


def _log_sum(logprobs: list[float]) -> float:
    return float(np.logaddexp.reduce(logprobs)) if logprobs else -math.inf
