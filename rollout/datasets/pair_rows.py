"""Rows with a question and two answers: one object in, one checked ``PairRow`` out.

    {"id": ..., "question": ..., "responses": [a, b], "better": 1, "image": ...}    --"plain"--> PairRow
    {"message": "[{...}]", "question": ..., "answer": ["<answer>2</answer>"], ...}  --"r1_reward"--> PairRow

``r1_reward`` is what R1-Reward is trained on (arXiv 2505.02835): the whole chat as JSON inside a string, with the
picture named in it (its readme) or beside it in ``image`` (its files on the hub).
"""

import base64
import binascii
import hashlib
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Annotated, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from rollout.datasets.problems import RowError, row_error
from rollout.types import Choice, Role

Row = TypeVar("Row", bound=BaseModel)

NO_SOURCE = "preference_pairs"
"""Name of the data set where the rows give none."""

Text = Annotated[str, Field(min_length=1)]
Names = Text | Annotated[list[Text], Field(min_length=1)]
"""A file or folder, or the frames of a video."""

_ANSWER = re.compile(r"\s*(?:<answer>\s*([12])\s*</answer>|([12]))\s*")
_PLACEHOLDER = re.compile(r"<(?:image|video)>")
_END = r"#+ *\**Output Format"
_SECTIONS = re.compile(
    r"#+ *\[Question\]:.*?#+ *\[Response 1\]:\s*(?!#+ *\[Response 2\])(?P<first>\S.*?)\s*"
    rf"#+ *\[Response 2\]:\s*(?!{_END})(?P<second>\S.*?)\s*(?:{_END}.*)?\Z",
    re.DOTALL,
)
"""R1-Reward's question, from its first heading to its end."""


@dataclass(frozen=True, kw_only=True, slots=True)
class MediaSource:
    """A picture or video as a row gives it: names still to be joined to the folder, or the bytes of a picture."""

    kind: Literal["image", "video"]
    names: tuple[str, ...] = ()
    """One file or folder, or the frames of a video in order."""
    data: bytes | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Turn:
    """One turn of a message as a row gives it."""

    role: Role
    content: tuple[str | MediaSource, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class PairRow:
    """One question with two answers, in the order of the file."""

    where: str
    """File and line."""
    row_id: str
    source: str
    question: str
    responses: tuple[str, str] | None
    """None where they cannot be told apart from the rest of the message."""
    better: Choice
    media: tuple[MediaSource, ...]
    turns: tuple[Turn, ...] = ()
    """The whole message, where the format has one."""
    swapped_turns: tuple[Turn, ...] = ()
    """The same with the two answers exchanged, where they are known."""


PairFormat = Callable[[Mapping[str, object], str], PairRow]
"""From the fields of a row and where it stands to the row; raises ``RowError``."""


class _Strict(BaseModel):
    model_config = ConfigDict(strict=True, extra="forbid")


class _PlainRow(_Strict):
    id: str | int
    question: Text
    responses: Annotated[list[Text], Field(min_length=2, max_length=2)]
    better: Literal[1, 2]
    images: Annotated[list[Text], Field(min_length=1)] | None = None
    image: Text | None = None
    video: Names | None = None
    source: Text = NO_SOURCE


class _TextPart(_Strict):
    type: Literal["text"]
    text: str


class _ImagePart(_Strict):
    type: Literal["image"]
    image: Text | None = None


class _VideoPart(_Strict):
    type: Literal["video"]
    video: Names


class _Turn(_Strict):
    role: Role
    content: str | list[Annotated[_TextPart | _ImagePart | _VideoPart, Field(discriminator="type")]]


class _EncodedPicture(BaseModel):
    """What the library ``datasets`` writes for a picture."""

    model_config = ConfigDict(strict=True, extra="forbid")

    data: bytes = Field(alias="bytes", min_length=1)
    path: str | None = None


class _R1Row(_Strict):
    message: str
    question: Text
    answer: list[str]
    image: Text | _EncodedPicture | None = None


_TURNS = TypeAdapter(Annotated[list[_Turn], Field(min_length=1)])


def read_plain(fields: Mapping[str, object], where: str) -> PairRow:
    """A row of Arbiter's own format.

    Raises:
        RowError: The row is not of this format.
    """
    row = _validated(_PlainRow, fields)
    given = [row.images, row.image, row.video]
    if sum(one is not None for one in given) != 1:
        raise RowError("field", "expected exactly one of images, image and video")
    media = tuple(MediaSource(kind="image", names=(name,)) for name in _names(row.images or row.image or []))
    if row.video is not None:
        media = (MediaSource(kind="video", names=_names(row.video)),)
    first, second = row.responses
    if first == second:
        raise RowError("responses", "both answers are the same text")
    return PairRow(
        where=where,
        row_id=str(row.id),
        source=row.source,
        question=_checked_question(row.question),
        responses=(first, second),
        better=row.better,
        media=media,
    )


def read_r1_reward(fields: Mapping[str, object], where: str) -> PairRow:
    """A row of R1-Reward's reinforcement learning data.

    Raises:
        RowError: The row is not of this format.
    """
    if "message" in fields and not isinstance(fields["message"], str):
        raise RowError("field", f"message: expected a string that holds JSON, got {type(fields['message']).__name__}")
    row = _validated(_R1Row, fields)
    turns = _placed(_turns(row.message), column=row.image)
    media = tuple(part for turn in turns for part in turn.content if isinstance(part, MediaSource))
    if not media:
        raise RowError("field", "message: no picture and no video in it")
    swapped, responses = _exchanged(turns)
    return PairRow(
        where=where,
        row_id=_digest(row.message, *(one.data or b"" for one in media)),
        source=NO_SOURCE,
        question=row.question,
        responses=responses,
        better=_choice(row.answer),
        media=media,
        turns=turns,
        swapped_turns=swapped,
    )


PAIR_FORMATS: dict[str, PairFormat] = {"plain": read_plain, "r1_reward": read_r1_reward}
"""``data.label_format`` -> how its rows are read."""


def _validated(model: type[Row], fields: Mapping[str, object]) -> Row:
    try:
        return model.model_validate(fields)
    except ValidationError as error:
        raise row_error(error) from error


def _names(given: str | Sequence[str]) -> tuple[str, ...]:
    return (given,) if isinstance(given, str) else tuple(given)


def _checked_question(question: str) -> str:
    placeholder = _PLACEHOLDER.search(question)
    if placeholder is not None:
        what = f"question: holds {placeholder.group()}; leave it out, the fields of the row place what is shown"
        raise RowError("field", what)
    return question


def _choice(answer: Sequence[str]) -> Choice:
    found = _ANSWER.fullmatch(answer[0]) if len(answer) == 1 else None
    if found is None:
        raise RowError("answer", f"answer: expected a list of one text such as <answer>2</answer>, got {answer!r}")
    return 1 if (found[1] or found[2]) == "1" else 2


def _turns(message: str) -> list[_Turn]:
    try:
        return _TURNS.validate_json(message)
    except ValidationError as error:
        problem = row_error(error)
        raise RowError("field", f"message: {problem.what}") from error


def _placed(turns: Sequence[_Turn], *, column: str | _EncodedPicture | None) -> tuple[Turn, ...]:
    """The turns with their media; a picture in a column of its own takes the place of the one in the message."""
    parts = [part for turn in turns if not isinstance(turn.content, str) for part in turn.content]
    num_pictures = sum(isinstance(part, _ImagePart) for part in parts)
    if column is not None and num_pictures != 1:
        raise RowError("field", f"image: one picture for a message that places {num_pictures}")
    beside = None if column is None else _picture(column)
    return tuple(Turn(role=turn.role, content=tuple(_contents(turn, beside=beside))) for turn in turns)


def _contents(turn: _Turn, *, beside: MediaSource | None) -> Iterator[str | MediaSource]:
    if isinstance(turn.content, str):
        yield turn.content
        return
    for part in turn.content:
        if isinstance(part, _TextPart):
            yield part.text
        elif isinstance(part, _VideoPart):
            yield MediaSource(kind="video", names=_names(part.video))
        elif beside is not None:
            yield beside
        elif part.image is not None:
            yield MediaSource(kind="image", names=(part.image,))
        else:
            raise RowError("field", "message: a picture without a name, and no column image beside it")


def _picture(column: str | _EncodedPicture) -> MediaSource:
    if isinstance(column, _EncodedPicture):
        return MediaSource(kind="image", data=column.data)
    if "." in column:  # of a file name; base64 has no dots
        return MediaSource(kind="image", names=(column,))
    try:
        return MediaSource(kind="image", data=base64.b64decode(column, validate=True))
    except binascii.Error as error:
        raise RowError("field", f"image: neither a file name nor base64: {column[:40]!r} ({error})") from error


def _exchanged(turns: tuple[Turn, ...]) -> tuple[tuple[Turn, ...], tuple[str, str] | None]:
    """The turns with the two answers exchanged, and the answers; nothing where they cannot be told for certain."""
    texts = [part for turn in turns for part in turn.content if isinstance(part, str) and "[Response 1]" in part]
    found = _SECTIONS.search(texts[0]) if len(texts) == 1 else None
    if found is None or any(texts[0].count(f"[Response {number}]") != 1 for number in (1, 2)):
        return (), None
    text, first, second = texts[0], found["first"], found["second"]
    if first == second:
        raise RowError("responses", "both answers are the same text")
    between = text[found.end("first") : found.start("second")]
    swapped = text[: found.start("first")] + second + between + first + text[found.end("second") :]
    contents = (tuple(swapped if part is text else part for part in turn.content) for turn in turns)
    return tuple(replace(turn, content=content) for turn, content in zip(turns, contents, strict=True)), (first, second)


def _digest(message: str, *pictures: bytes) -> str:
    """Names a row that has no id of its own, wherever in its file it stands."""
    digest = hashlib.blake2b(message.encode(), digest_size=8)
    for picture in pictures:
        digest.update(picture)
    return digest.hexdigest()
