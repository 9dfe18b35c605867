"""Questions about one picture or video, and the answers demonstrations show; the texts are ``rollout.wordings``."""

import math

import numpy as np

from rollout.types import Media, Message, Scale
from rollout.wordings import look_up


def rating_question(scale: Scale) -> str:
    """The question without instructions on the answer's form, as VisualQuality-R1's label files hold it."""
    question = look_up("visualquality_r1").question("image", scale=scale)
    assert question is not None, "its label files hold the question"
    return question


def ask(wording: str, *, picture: Media, scale: Scale) -> tuple[Message, ...]:
    """One user turn about a picture or a video; ``wording`` is a name or a text file.

    Raises:
        ValueError: There is no such wording, or it does not ask about media of that kind.
    """
    return (look_up(wording).message(picture, scale=scale),)


def asks_for_thinking(wording: str) -> bool:
    """Whether an answer to the wording has a think block first.

    Raises:
        ValueError: There is no such wording.
    """
    return look_up(wording).wants_thinking


def ask_for_description(picture: Media) -> tuple[Message, ...]:
    """One user turn: the picture or video, and the request to describe its quality."""
    return (look_up("description").message(picture, scale=None),)


def describe(defect: str, *, medium: str = "picture") -> str:
    """The sentence that answers ``ask_for_description``, e.g. "This picture shows mild blur."."""
    return f"This {medium} shows {defect}."


def answer(wording: str, *, thought: str, score: float) -> str:
    """The assistant text the wording asks for; ``thought`` is left out where it asks for the answer only.

    Raises:
        ValueError: There is no such wording.
    """
    return look_up(wording).target(thought=thought, score=score)


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
