"""Label files: one line in, one checked row out.

    KADID-10K_train_set.txt --LABEL_FORMATS["kadid"]--> LabelRow, LabelRow, ... and the lines that are none

The columns are declared by ``data.label_format`` and never guessed. The formats are VisualQuality-R1's:
its jsonl, and the space-separated tables of its evaluation sets.
"""

import math
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal, Protocol

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from rollout.datasets.problems import Problem, RowError, row_error

Column = Literal["reference", "image", "score", "std"]

# float() would also take "nan", "inf" and "1_000".
_NUMBER = re.compile(r"[+-]?(\d+(\.\d*)?|\.\d+)([eE][+-]?\d+)?")
_ANSWER_TAGS = re.compile(r"</?answer>")


@dataclass(frozen=True, kw_only=True, slots=True)
class LabelRow:
    """One labelled picture, numbers still in the file's own range."""

    where: str
    """``file:line``."""
    image: str
    """File name, to be joined to the image folder."""
    label: float
    std: float | None
    content: str
    """The reference picture's name where the format has one, else the picture's own."""
    dataset_name: str
    row_id: int | str | None = None
    question: str | None = None
    """The row's own wording of the question, if it brings one."""


class LabelFormat(Protocol):
    """How one line is read."""

    def parse(self, text: str, *, where: str) -> LabelRow:
        """The row a line holds.

        Raises:
            RowError: The line is not of this format.
        """
        ...


@dataclass(frozen=True, kw_only=True, slots=True)
class TextFormat:
    """A table without header, columns separated by white space."""

    dataset_name: str
    columns: tuple[Column, ...]

    def parse(self, text: str, *, where: str) -> LabelRow:
        """The row a line holds; raises ``RowError``."""
        cells = text.split()
        if len(cells) != len(self.columns):
            expected = " ".join(self.columns)
            raise RowError("columns", f"expected {len(self.columns)} columns ({expected}), found {len(cells)}")
        row = dict(zip(self.columns, cells, strict=True))
        std = _number(row["std"], name="std") if "std" in row else None
        if std is not None and std < 0:
            raise RowError("number", f"std {std} is negative")
        return LabelRow(
            where=where,
            image=row["image"],
            label=_number(row["score"], name="score"),
            std=std,
            content=row.get("reference", row["image"]),
            dataset_name=self.dataset_name,
        )


class _Turn(BaseModel):
    model_config = ConfigDict(strict=True)

    role: Literal["human", "gpt"] = Field(alias="from")
    value: str | float


class _JsonRow(BaseModel):
    """One object of a VisualQuality-R1 jsonl; keys not named here are of no effect there either."""

    model_config = ConfigDict(strict=True)

    id: int | str | None = None
    dataset_name: Annotated[str, Field(min_length=1)]
    image: Annotated[str, Field(min_length=1)] | Annotated[list[str], Field(min_length=1, max_length=1)]
    conversations: list[_Turn]


class VisualQualityR1Format:
    """One JSON object per line, as VisualQuality-R1 trains on."""

    def parse(self, text: str, *, where: str) -> LabelRow:
        """The row a line holds; raises ``RowError``."""
        try:
            row = _JsonRow.model_validate_json(text)
        except ValidationError as error:
            raise row_error(error) from error
        image = row.image if isinstance(row.image, str) else row.image[0]
        return LabelRow(
            where=where,
            image=image,
            label=_answered_number(_only_turn(row, role="gpt")),
            std=None,
            content=image,
            dataset_name=row.dataset_name,
            row_id=row.id,
            question=_question(row),
        )


LABEL_FORMATS: dict[str, LabelFormat] = {
    "visualquality_r1": VisualQualityR1Format(),
    "kadid": TextFormat(dataset_name="KADID-10K", columns=("reference", "image", "score", "std")),
    "agiqa": TextFormat(dataset_name="AGIQA-3K", columns=("image", "score", "std")),
    "koniq": TextFormat(dataset_name="KONIQ-10K", columns=("image", "score", "std")),
    "spaq": TextFormat(dataset_name="SPAQ", columns=("image", "score", "std")),
    "livec": TextFormat(dataset_name="LIVEC", columns=("image", "score", "std")),
    "bid": TextFormat(dataset_name="BID", columns=("image", "score")),
    "pipal": TextFormat(dataset_name="PIPAL", columns=("reference", "image", "score")),
    "tid2013": TextFormat(dataset_name="TID2013", columns=("reference", "image", "score")),
    "csiq": TextFormat(dataset_name="CSIQ", columns=("reference", "image", "score")),
    "deblur": TextFormat(dataset_name="Deblur", columns=("reference", "image", "score")),
    "cviu": TextFormat(dataset_name="CVIU", columns=("reference", "image", "score")),
    "shrq": TextFormat(dataset_name="SHRQ", columns=("reference", "image", "score")),
    "dehaze": TextFormat(dataset_name="dehaze", columns=("reference", "image", "score")),
    "sriqa": TextFormat(dataset_name="SRIQA-Bench", columns=("reference", "image", "score")),
}
"""``data.label_format`` -> how its lines are read."""


def read_labels(
    path: Path, *, label_format: str, split: Literal["train", "test"]
) -> tuple[list[LabelRow], list[Problem]]:
    """Every usable row of a split's label file, and everything wrong with the others. Empty lines are skipped.

    Raises:
        ValueError: No format of that name.
    """
    if label_format not in LABEL_FORMATS:
        raise ValueError(f"data.label_format={label_format!r} is unknown; known: {', '.join(LABEL_FORMATS)}")
    try:
        content = path.read_bytes()
    except OSError as error:
        what = f"data.{split}_labels cannot be read: {error.strerror}"
        return [], [Problem(kind="missing_file", where=str(path), what=what)]
    parsed = list(_parse_lines(content, name=str(path), reader=LABEL_FORMATS[label_format]))
    if not parsed:
        return [], [Problem(kind="empty_file", where=str(path), what=f"data.{split}_labels holds no labels")]
    rows = [row for row in parsed if isinstance(row, LabelRow)]
    return rows, [problem for problem in parsed if isinstance(problem, Problem)]


def _parse_lines(content: bytes, *, name: str, reader: LabelFormat) -> Iterator[LabelRow | Problem]:
    for number, line in enumerate(content.removeprefix(b"\xef\xbb\xbf").split(b"\n"), start=1):
        if line.strip():
            yield _parse_line(line, where=f"{name}:{number}", reader=reader)


def _parse_line(line: bytes, *, where: str, reader: LabelFormat) -> LabelRow | Problem:
    try:
        return reader.parse(line.decode("utf-8").strip(), where=where)
    except UnicodeDecodeError as error:
        return Problem(kind="encoding", where=where, what=f"not UTF-8: {error.reason} at byte {error.start}")
    except RowError as problem:
        return Problem(kind=problem.kind, where=where, what=problem.what)


def _number(text: str, *, name: str) -> float:
    if not _NUMBER.fullmatch(text) or not math.isfinite(float(text)):
        raise RowError("number", f"{name} {text!r} is not a finite number")
    return float(text)


def _answered_number(value: str | float) -> float:
    """The label of a gpt turn: a number, or text with a number between optional answer tags."""
    if isinstance(value, str):
        return _number(_ANSWER_TAGS.sub("", value).strip(), name="score")
    if not math.isfinite(value):
        raise RowError("number", f"score {value} is not a finite number")
    return float(value)


def _only_turn(row: _JsonRow, *, role: Literal["human", "gpt"]) -> str | float:
    turns = [turn.value for turn in row.conversations if turn.role == role]
    if len(turns) != 1:
        raise RowError("field", f"expected one {role!r} turn in conversations, found {len(turns)}")
    return turns[0]


def _question(row: _JsonRow) -> str | None:
    text = _only_turn(row, role="human")
    if not isinstance(text, str):
        raise RowError("field", f"the 'human' turn must be text, found {text}")
    return text.replace("<image>", "").strip() or None
