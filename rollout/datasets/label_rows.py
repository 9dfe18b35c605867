"""One labelled picture or video, whatever format it was read from."""

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from rollout.datasets.problems import RowError
from rollout.types import Scale

# float() would also take "nan", "inf" and "1_000".
_NUMBER = re.compile(r"[+-]?(\d+(\.\d*)?|\.\d+)([eE][+-]?\d+)?")
ANSWER_TAGS = re.compile(r"</?answer>")


@dataclass(frozen=True, kw_only=True, slots=True)
class Original:
    """The object a row was read from, so that writing it in the same format gives it back whole."""

    label_format: str
    fields: Mapping[str, object]


@dataclass(frozen=True, kw_only=True, slots=True)
class LabelRow:
    """One labelled picture or video, numbers still in the file's own range."""

    where: str
    """``file:line``, or ``file[index]``."""
    media: str
    """File name, to be joined to the image folder; of a video also a folder of frames."""
    kind: Literal["image", "video"] = "image"
    """What ``media`` names, as the format declares it."""
    label: float
    std: float | None = None
    content: str
    """The reference picture's name where the format has one, else the picture's own."""
    dataset_name: str
    row_id: int | str | None = None
    question: str | None = None
    """The row's own wording of the question, if it brings one."""
    scale: Scale | None = None
    """What the row says its label is on, if it does."""
    original: Original | None = None
    """None for a line of a table."""

    @property
    def key(self) -> tuple[str, str]:
        """What tells rows apart: the name is unique only within its data set."""
        return self.dataset_name, self.media

    @property
    def scene(self) -> tuple[str, str]:
        """What splits keep together, and statistics by content group by."""
        return self.dataset_name, self.content


def read_number(text: str, *, name: str) -> float:
    """A plain finite decimal number.

    Raises:
        RowError: It is none.
    """
    if not _NUMBER.fullmatch(text) or not math.isfinite(float(text)):
        raise RowError("number", f"{name} {text!r} is not a finite number")
    return float(text)


def read_answer(value: str | float) -> float:
    """A label in place of an answer: a number, or text with a number between optional answer tags.

    Raises:
        RowError: It is not a finite number.
    """
    if isinstance(value, str):
        return read_number(ANSWER_TAGS.sub("", value).strip(), name="score")
    if not math.isfinite(value):
        raise RowError("number", f"score {value} is not a finite number")
    return float(value)


def read_std(value: float | None) -> float | None:
    """A standard deviation.

    Raises:
        RowError: It is negative or not finite.
    """
    if value is not None and not (math.isfinite(value) and value >= 0):
        raise RowError("number", f"std {value} is {'negative' if value < 0 else 'not a finite number'}")
    return value


def answer_like(previous: object, label: float) -> str | float:
    """The label in the form of the one before it: a number, or text with or without answer tags."""
    if not isinstance(previous, str):
        return label
    return f"<answer>{label!r}</answer>" if "<answer>" in previous else repr(label)
