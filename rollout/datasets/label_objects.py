"""Labels as published JSON objects: one object in, one checked ``LabelRow`` out, and back again without a loss.

    visualquality_r1   {"id", "dataset_name", "image", "conversations": [human, gpt]}
    aes_r1             {"messages": [user, assistant], "images"}
    refine_iqa         {"image" or "video", "question", "solution", "type"}

A row keeps the object it was read from. Written in the same format it is that object again, with only those values
replaced that were changed in between.
"""

import copy
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Literal, Protocol, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from rollout.datasets.label_rows import LabelRow, Original, answer_like, read_answer
from rollout.datasets.problems import RowError, row_error
from rollout.types import Scale
from rollout.wordings import MEDIUM, look_up

Fields = dict[str, Any]
Row = TypeVar("Row", bound=BaseModel)
Text = Annotated[str, Field(min_length=1)]
OneName = Text | Annotated[list[Text], Field(min_length=1, max_length=1)]

_NAMED_SCALE = re.compile(r"float between (-?\d+(?:\.\d+)?) and (-?\d+(?:\.\d+)?),")


class ObjectFormat(Protocol):
    """How one JSON object is read and written."""

    @property
    def name(self) -> str:
        """What ``data.label_format`` calls it."""
        ...

    @property
    def dataset_name(self) -> str | None:
        """Name of the data set of objects that give none; None where they have to."""
        ...

    def parse(self, fields: Mapping[str, Any], *, where: str) -> LabelRow:
        """The row an object holds.

        Raises:
            RowError: The object is not of this format.
        """
        ...

    def make(self, row: LabelRow) -> Fields:
        """A new object for a row, whatever it was read from.

        Raises:
            RowError: The format has no place for what the row shows.
        """
        ...

    def write(self, row: LabelRow) -> Fields:
        """The object of a row: the one it was read from where that was of this format, else a new one.

        Raises:
            RowError: The format has no place for what the row shows.
        """
        ...


@dataclass(frozen=True, kw_only=True, slots=True)
class ChatFormat:
    """A question and the label as its answer, in a list of turns."""

    name: str
    model: type[BaseModel]
    """Checks the types of an object; keys it does not name are of no effect on what is trained, and are kept."""
    turns: str
    """Key of the turns; ``speaker`` and ``said`` are the keys in one."""
    speaker: str
    said: str
    asks: str
    """Who asks; ``answers`` is who gives the label."""
    answers: str
    media: str
    """Key of the picture's name, or of a list with one name."""
    dataset_name: str | None
    """Name of the data set where an object gives none; None where it has to."""
    wording: str
    """The prompt text whose question an object without one is given."""
    is_text: bool
    """Whether a new object has the label as text, the picture's name outside a list, and a mark where it is shown."""

    def parse(self, fields: Mapping[str, Any], *, where: str) -> LabelRow:
        """The row an object holds; raises ``RowError``."""
        validated(self.model, fields)
        label = read_answer(self._turn(fields, self.answers)[self.said])
        asked = self._turn(fields, self.asks)[self.said]
        if not isinstance(asked, str):
            raise RowError("field", f"the {self.asks!r} turn must be text, found {asked}")
        given = fields[self.media]
        media = given if isinstance(given, str) else given[0]
        return LabelRow(
            where=where,
            media=media,
            label=label,
            content=media,
            dataset_name=str(fields.get("dataset_name") or self.dataset_name),
            row_id=fields.get("id"),
            question=_bare(asked) or None,
            original=Original(label_format=self.name, fields=fields),
        )

    def make(self, row: LabelRow) -> Fields:
        """A new object; raises ``RowError``."""
        name = only_picture(row)
        turns = [
            {self.speaker: self.asks, self.said: _asked(row, wording=self.wording, marked=self.is_text)},
            {self.speaker: self.answers, self.said: repr(row.label) if self.is_text else row.label},
        ]
        numbered = {} if row.row_id is None else {"id": row.row_id}
        named = {} if row.dataset_name == self.dataset_name else {"dataset_name": row.dataset_name}
        return {**numbered, **named, self.media: name if self.is_text else [name], self.turns: turns}

    def write(self, row: LabelRow) -> Fields:
        """The original object brought up to date, or a new one; raises ``RowError``."""
        if row.original is None or row.original.label_format != self.name:
            return self.make(row)
        fields = copy.deepcopy(dict(row.original.fields))
        before = self.parse(fields, where=row.where)
        if row.media != before.media:
            fields[self.media] = [only_picture(row)] if isinstance(fields[self.media], list) else only_picture(row)
        if row.dataset_name != before.dataset_name:
            fields["dataset_name"] = row.dataset_name
        if row.row_id != before.row_id:
            fields["id"] = row.row_id
        if _is_outdated(before.question, row=row):
            marked = MEDIUM in self._turn(fields, self.asks)[self.said]
            self._turn(fields, self.asks)[self.said] = _asked(row, wording=self.wording, marked=marked)
        if row.label != before.label:
            turn = self._turn(fields, self.answers)
            turn[self.said] = answer_like(turn[self.said], row.label)
        return fields

    def _turn(self, fields: Mapping[str, Any], role: str) -> Fields:
        found: list[Fields] = [turn for turn in fields[self.turns] if turn[self.speaker] == role]
        if len(found) != 1:
            raise RowError("field", f"expected one {role!r} turn in {self.turns}, found {len(found)}")
        return found[0]


@dataclass(frozen=True, kw_only=True, slots=True)
class SolutionFormat:
    """A question and its solution, side by side."""

    name: str
    model: type[BaseModel]
    dataset_name: str
    wording: str

    def parse(self, fields: Mapping[str, Any], *, where: str) -> LabelRow:
        """The row an object holds; raises ``RowError``."""
        validated(self.model, fields)
        kind, media = one_medium(fields)
        return LabelRow(
            where=where,
            media=media,
            kind=kind,
            label=read_answer(fields["solution"]),
            content=media,
            dataset_name=self.dataset_name,
            question=_bare(fields["question"]) or None,
            original=Original(label_format=self.name, fields=fields),
        )

    def make(self, row: LabelRow) -> Fields:
        """A new object."""
        asked = _asked(row, wording=self.wording, marked=False)
        return {row.kind: row.media, "solution": row.label, "question": asked, "type": f"scoring_{row.kind}"}

    def write(self, row: LabelRow) -> Fields:
        """The original object brought up to date, or a new one."""
        if row.original is None or row.original.label_format != self.name:
            return self.make(row)
        fields = dict(row.original.fields)
        before = self.parse(fields, where=row.where)
        if row.media != before.media:
            fields[row.kind] = row.media
        if _is_outdated(before.question, row=row):
            fields["question"] = _asked(row, wording=self.wording, marked=False)
        if row.label != before.label:
            fields["solution"] = answer_like(fields["solution"], row.label)
        return fields


class _VisualQualityTurn(BaseModel):
    model_config = ConfigDict(strict=True)

    role: Literal["human", "gpt"] = Field(alias="from")
    value: str | float


class _VisualQualityRow(BaseModel):
    model_config = ConfigDict(strict=True)

    id: int | str | None = None
    dataset_name: Text
    image: OneName
    conversations: list[_VisualQualityTurn]


class _AesTurn(BaseModel):
    model_config = ConfigDict(strict=True)

    role: Literal["system", "user", "assistant"]
    content: str | float


class _AesRow(BaseModel):
    model_config = ConfigDict(strict=True)

    id: int | str | None = None
    dataset_name: Text | None = None
    images: OneName
    messages: list[_AesTurn]


class _RefineRow(BaseModel):
    model_config = ConfigDict(strict=True)

    image: Text | None = None
    video: Text | None = None
    solution: str | float
    question: str


PUBLISHED_OBJECTS: dict[str, ObjectFormat] = {
    "visualquality_r1": ChatFormat(
        name="visualquality_r1",
        model=_VisualQualityRow,
        turns="conversations",
        speaker="from",
        said="value",
        asks="human",
        answers="gpt",
        media="image",
        dataset_name=None,
        wording="visualquality_r1",
        is_text=False,
    ),
    "aes_r1": ChatFormat(
        name="aes_r1",
        model=_AesRow,
        turns="messages",
        speaker="role",
        said="content",
        asks="user",
        answers="assistant",
        media="images",
        dataset_name="Aes-R1",  # its code gives all rows one name
        wording="aes_r1",
        is_text=True,
    ),
    "refine_iqa": SolutionFormat(
        name="refine_iqa", model=_RefineRow, dataset_name="Refine-IQA", wording="refine_iqa_published"
    ),
}
"""``data.label_format`` -> how its objects are read and written."""


def validated(model: type[Row], fields: Mapping[str, Any]) -> Row:
    """The fields as the model has them.

    Raises:
        RowError: They are not what it asks for.
    """
    try:
        return model.model_validate(fields)
    except ValidationError as error:
        raise row_error(error) from error


def one_medium(fields: Mapping[str, Any]) -> tuple[Literal["image", "video"], str]:
    """What an object shows, and its name.

    Raises:
        RowError: It names a picture and a video, or neither.
    """
    image, video = fields.get("image"), fields.get("video")
    if (image is None) == (video is None):
        raise RowError("field", "expected exactly one of image and video")
    return ("video", str(video)) if image is None else ("image", str(image))


def only_picture(row: LabelRow) -> str:
    """The name of the row's picture.

    Raises:
        RowError: The row shows a video.
    """
    if row.kind != "image":
        raise RowError("field", f"{row.media} is a {row.kind}, which the format has no field for")
    return row.media


def named_scale(question: str | None) -> Scale | None:
    """The scale a question names, if it does: "a float between 1 and 5"."""
    found = _NAMED_SCALE.search(question or "")
    if found is None or float(found[1]) >= float(found[2]):
        return None
    return Scale(minimum=float(found[1]), maximum=float(found[2]))


def _bare(asked: str) -> str:
    return asked.replace(MEDIUM, "").strip()


def _is_outdated(question: str | None, *, row: LabelRow) -> bool:
    """Whether a row's question is no longer the one it was read with; a row without one goes by its scale."""
    if row.question is not None:
        return row.question != question
    return row.scale is not None and named_scale(question) not in (None, row.scale)


def _asked(row: LabelRow, *, wording: str, marked: bool) -> str:
    """The row's question; where it brings none, that of ``wording`` on the scale of the label."""
    asked = row.question
    if asked is None:
        asked = "" if row.scale is None else _worded(wording, row=row, scale=row.scale)
    return MEDIUM + asked if marked and MEDIUM not in asked else asked


def _worded(wording: str, *, row: LabelRow, scale: Scale) -> str:
    text = look_up(wording)
    return text.question(row.kind, scale=scale) or text.text(row.kind, scale=scale)
