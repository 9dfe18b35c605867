"""The wording of the questions, and of the answers demonstrations show.

The wording is VisualQuality-R1's (arXiv 2505.14460), kept to the byte for a scale of 1 to 5 so that published
checkpoints are asked what they were trained on; the declared scale fills in its numbers.
"""

import math
from collections.abc import Callable

import numpy as np

from conf.data import WORDINGS_WITHOUT_THINKING
from rollout.types import Media, Message, Scale

_THINK_FIRST = (
    " First output the thinking process in <think> </think> tags and then output the final answer with only"
    " one score in <answer> </answer> tags."
)
_ANSWER_ONLY = " Please only output the final answer with only one score in <answer> </answer> tags."


def rating_question(scale: Scale) -> str:
    """The question without instructions on the answer's form, as VisualQuality-R1's label files hold it."""
    low, high = _number(scale.minimum), _number(scale.maximum)
    return (
        "You are doing the image quality assessment task. Here is the question: What is your overall rating"
        f" on the quality of this picture? The rating should be a float between {low} and {high}, rounded"
        f" to two decimal places, with {low} representing very poor quality and {high} representing excellent"
        " quality."
    )


def _thinking(scale: Scale) -> str:
    return rating_question(scale) + _THINK_FIRST


def _no_thinking(scale: Scale) -> str:
    return rating_question(scale) + _ANSWER_ONLY


WORDINGS: dict[str, Callable[[Scale], str]] = {
    "visualquality_r1": _thinking,
    "visualquality_r1_no_thinking": _no_thinking,
}
"""``data.prompt`` -> the user text for a scale."""


def ask(wording: str, *, picture: Media, scale: Scale) -> tuple[Message, ...]:
    """One user turn: the picture, then the question.

    Raises:
        ValueError: No wording of that name.
    """
    return (Message(role="user", content=(picture, _look_up(wording)(scale))),)


def asks_for_thinking(wording: str) -> bool:
    """Whether an answer to the wording has a think block first.

    Raises:
        ValueError: No wording of that name.
    """
    _look_up(wording)
    return wording not in WORDINGS_WITHOUT_THINKING


def ask_for_description(picture: Media) -> tuple[Message, ...]:
    """One user turn: the picture, then VisualQuality-R1's request to describe it."""
    return (Message(role="user", content=(picture, "Please describe the quality of this image.")),)


def describe(defect: str) -> str:
    """The sentence that answers ``ask_for_description``, e.g. "This picture shows mild blur."."""
    return f"This picture shows {defect}."


def answer(wording: str, *, thought: str, score: float) -> str:
    """The assistant text the wording asks for; ``thought`` is left out where it asks for the answer only.

    Raises:
        ValueError: No wording of that name.
    """
    final = f"<answer>{score:.2f}</answer>"
    return f"<think>{thought}</think>{final}" if asks_for_thinking(wording) else final


def uninformative_score(scale: Scale, *, rng: np.random.Generator) -> float:
    """A two-decimal score drawn uniformly from the scale, without a look at any picture.

    Raises:
        ValueError: The scale holds no two-decimal number.
    """
    # Rounding guards 1.15 * 100 = 114.99999999999999 and its like.
    low, high = math.ceil(round(scale.minimum * 100, 6)), math.floor(round(scale.maximum * 100, 6))
    if low > high:
        raise ValueError(f"no two-decimal score lies between {scale.minimum} and {scale.maximum}; widen data.scale")
    return int(rng.integers(low, high + 1)) / 100


def _look_up(wording: str) -> Callable[[Scale], str]:
    if wording not in WORDINGS:
        raise ValueError(f"data.prompt={wording!r} is unknown; known: {', '.join(WORDINGS)}")
    return WORDINGS[wording]


def _number(bound: float) -> str:
    return str(int(bound)) if float(bound).is_integer() else repr(bound)
