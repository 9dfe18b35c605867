"""Files of demonstrations: conversations with pictures and videos, and the answers to imitate.

    file.jsonl | file.json | file.parquet --read_demonstrations--> FileDemonstrations, or everything wrong with it

Two kinds of rows, told apart by their fields:

    {"messages": [{"role": "user", "content": "<image> How good?"}, {"role": "assistant", "content": "..."}],
     "images": ["a.png"]}                        sharegpt; also "conversations" of {"from": "human", "value": "..."}
    {"image": "a.png", "question": "How good?", "response": "<think>...</think><answer>3.20</answer>"}

Names of files are joined to the folder of the file they stand in.
"""

import hashlib
import logging
import os
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from conf.data import VideoConfig
from rollout.datasets.base import check_index
from rollout.datasets.pair_files import RawRow, UnreadableFile, read_rows
from rollout.datasets.problems import DatasetProblems, Problem, ProblemKind, RowError, row_error
from rollout.media import inspect_image
from rollout.types import Demonstration, Media, Message, Prompt, Role, Unlabelled
from rollout.videos import open_video

logger = logging.getLogger(__name__)

_ROLES: Mapping[str, Role] = {
    "system": "system", "user": "user", "human": "user", "assistant": "assistant", "gpt": "assistant",
}  # fmt: skip
_PLACEHOLDER = re.compile(r"(<image>|<video>)")

MediaKind = Literal["image", "video"]
Source = tuple[MediaKind, str]
"""A picture or video as a row names it."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Turn:
    """One message of a row, media by name."""

    role: Role
    content: tuple[str | Source, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class DemonstrationRow:
    """A conversation up to an answer, and the answer."""

    where: str
    number: int
    """Which answer of its row, counted from 0."""
    turns: tuple[Turn, ...]
    target: str

    @property
    def sources(self) -> tuple[Source, ...]:
        """What is shown, in reading order."""
        return tuple(part for turn in self.turns for part in turn.content if not isinstance(part, str))


class FileDemonstrations:
    """Checked rows; pictures are read from their files when a prompt is encoded."""

    def __init__(self, rows: Sequence[DemonstrationRow], *, name: str, media: Mapping[Source, Media]) -> None:
        self._rows, self._name, self._media = tuple(rows), name, dict(media)

    def __len__(self) -> int:
        """Number of answers."""
        return len(self._rows)

    def demonstration(self, index: int) -> Demonstration:
        """The answer at ``index`` and what it answers."""
        check_index(index, size=len(self), name=self._name)
        row = self._rows[index]
        messages = tuple(
            Message(
                role=turn.role,
                content=tuple(part if isinstance(part, str) else self._media[part] for part in turn.content),
            )
            for turn in row.turns
        )
        prompt = Prompt(
            prompt_id=f"{row.where}#{row.number}",
            messages=messages,
            reference=Unlabelled(),
            source=self._name,
            content_id=", ".join(name for _, name in row.sources) or row.where,
            wants_thinking="<think>" in row.target,
        )
        return Demonstration(prompt=prompt, target=row.target)

    def hold_out(self, fraction: float) -> tuple["FileDemonstrations", "FileDemonstrations | None"]:
        """What is learned from, and what the validation loss is measured on: this share of the contents shown.

        Rows that show the same stay together. Which contents are held out depends on their names alone, so that they
        are the same ones for every seed and order of rows.

        Raises:
            ValueError: There are too few different contents to do so.
        """
        if fraction == 0.0:
            return self, None
        contents = sorted({_content(row) for row in self._rows}, key=_digest)
        held_out = set(contents[: round(fraction * len(contents))])
        if not held_out or len(held_out) == len(contents):
            raise ValueError(
                f"cold_start.validation_fraction={fraction} of {len(contents)} different contents leaves "
                f"{len(held_out)} to validate on and {len(contents) - len(held_out)} to learn from; each needs one"
            )
        learned = [row for row in self._rows if _content(row) not in held_out]
        validated = [row for row in self._rows if _content(row) in held_out]
        return self._of(learned), self._of(validated)

    def longer_than(self, most: int, *, count: Callable[[Demonstration], int]) -> list[Problem]:
        """The demonstrations of more than ``most`` tokens, question and answer together."""
        lengths = [count(self.demonstration(index)) for index in range(len(self))]
        return [
            Problem(kind="too_long_demonstration", where=row.where, what=f"{length} tokens, room is for {most}")
            for row, length in zip(self._rows, lengths, strict=True)
            if length > most
        ]

    def _of(self, rows: Sequence[DemonstrationRow]) -> "FileDemonstrations":
        return FileDemonstrations(rows, name=self._name, media=self._media)


def read_demonstrations(path: Path, *, video: VideoConfig | None) -> FileDemonstrations:
    """Every answer of the file, in order; all media are opened once. ``video=None``: there may be no videos.

    Raises:
        DatasetProblems: Lists everything wrong with the file.
    """
    try:
        parsed = [one for raw in read_rows(path) for one in _parse(raw)]
    except UnreadableFile as error:
        what = str(error) if error.kind == "json" else f"cold_start.file {error}"
        raise DatasetProblems([Problem(kind=error.kind, where=str(path), what=what)]) from None
    problems = [one for one in parsed if isinstance(one, Problem)]
    rows = [one for one in parsed if isinstance(one, DemonstrationRow)]
    if not parsed:
        problems = [Problem(kind="empty_file", where=str(path), what="cold_start.file holds no rows")]
    media, media_problems = _find_media(rows, folder=path.parent, video=video)
    if problems or media_problems:
        raise DatasetProblems([*problems, *media_problems])
    logger.info("demonstrations file=%s answers=%d media=%d", path, len(rows), len(media))
    return FileDemonstrations(rows, name=path.stem, media=media)


def count_tokens(
    demonstration: Demonstration, *, of_prompt: Callable[[Prompt], int], of_target: Callable[[str], int]
) -> int:
    """Length of question and answer together, by the family's counts."""
    return of_prompt(demonstration.prompt) + of_target(demonstration.target)


Names = list[str]


class _Row(BaseModel):
    model_config = ConfigDict(extra="ignore", strict=True)

    images: Names = []
    videos: Names = []

    @field_validator("images", "videos", mode="before")
    @classmethod
    def _one_name_is_a_list_of_one(cls, value: object) -> object:
        return [value] if isinstance(value, str) else value


class _ShareGptTurn(BaseModel):
    model_config = ConfigDict(extra="ignore", strict=True)

    role: str = Field(alias="from")
    content: str = Field(alias="value")


class _MessageTurn(BaseModel):
    model_config = ConfigDict(extra="ignore", strict=True)

    role: str
    content: str


class _MessagesRow(_Row):
    messages: list[_MessageTurn] = Field(min_length=2)


class _ConversationsRow(_Row):
    conversations: list[_ShareGptTurn] = Field(min_length=2)


class _PlainRow(_Row):
    question: str = Field(min_length=1)
    response: str = Field(min_length=1)


def _parse(raw: RawRow) -> Iterator[DemonstrationRow | Problem]:
    if isinstance(raw.content, Problem):
        yield raw.content
        return
    try:
        yield from _answers(raw.content, where=raw.where)
    except RowError as problem:
        yield Problem(kind=problem.kind, where=raw.where, what=problem.what)


def _answers(content: object, *, where: str) -> Iterator[DemonstrationRow]:
    """One row per answer of the assistant, with everything said before it."""
    if not isinstance(content, Mapping):
        raise RowError("json", f"expected an object with named fields, got {type(content).__name__}")
    turns = _turns(_with_plural_names(content))
    answers = [index for index, turn in enumerate(turns) if turn.role == "assistant"]
    if not answers or answers[0] == 0 or turns[-1].role != "assistant":
        raise RowError("field", "messages must begin with a question and end with an answer of the assistant")
    for number, index in enumerate(answers):
        target = "".join(part for part in turns[index].content if isinstance(part, str))
        if not target.strip() or len(turns[index].content) != 1:
            raise RowError("field", f"messages.{index}: an answer must be text, and not empty")
        yield DemonstrationRow(where=where, number=number, turns=tuple(turns[:index]), target=target)


def _with_plural_names(content: Mapping[str, object]) -> dict[str, object]:
    """``image`` and ``video`` are other names of ``images`` and ``videos``."""
    row = dict(content)
    for one, many in (("image", "images"), ("video", "videos")):
        if one in row and many in row:
            raise RowError("field", f"has both {one} and {many}; keep one")
        if one in row:
            row[many] = row.pop(one)
    return row


def _turns(row: Mapping[str, object]) -> list[Turn]:
    try:
        if "messages" in row:
            by_role = _MessagesRow.model_validate(row)
            return _placed([(turn.role, turn.content) for turn in by_role.messages], by_role)
        if "conversations" in row:
            by_sender = _ConversationsRow.model_validate(row)
            return _placed([(turn.role, turn.content) for turn in by_sender.conversations], by_sender)
        plain = _PlainRow.model_validate(row)
    except ValidationError as error:
        raise row_error(error) from None
    return _placed([("user", plain.question), ("assistant", plain.response)], plain)


def _placed(said: Sequence[tuple[str, str]], row: _Row) -> list[Turn]:
    """The messages with media in their places; without a single placeholder they open the first question."""
    named: dict[str, list[Source]] = {
        "<image>": [("image", name) for name in row.images],
        "<video>": [("video", name) for name in row.videos],
    }
    texts = [text for _, text in said]
    if not any(_PLACEHOLDER.search(text) for text in texts):
        first = next((index for index, (role, _) in enumerate(said) if _ROLES.get(role) == "user"), 0)
        texts[first] = "<image>" * len(row.images) + "<video>" * len(row.videos) + texts[first]
    for placeholder, sources in named.items():
        num_places = sum(text.count(placeholder) for text in texts)
        if num_places != len(sources):
            raise RowError("field", f"{num_places} {placeholder} in the text, but {len(sources)} files are named")
    left = {placeholder: iter(sources) for placeholder, sources in named.items()}
    turns = []
    for (role, _), text in zip(said, texts, strict=True):
        if role not in _ROLES:
            raise RowError("field", f"role {role!r} is none of {', '.join(_ROLES)}")
        parts = [next(left[part]) if part in left else part for part in _PLACEHOLDER.split(text) if part]
        turns.append(Turn(role=_ROLES[role], content=tuple(parts)))
    return turns


def _find_media(
    rows: Sequence[DemonstrationRow], *, folder: Path, video: VideoConfig | None
) -> tuple[dict[Source, Media], list[Problem]]:
    """The media of all rows, and one problem for each that cannot be shown, at the first row that names it."""
    first: dict[Source, str] = {}
    for row in rows:
        for source in row.sources:
            first.setdefault(source, row.where)
    with ThreadPoolExecutor(max_workers=min(8, os.cpu_count() or 1)) as pool:  # decoding releases the interpreter lock
        found = list(pool.map(lambda one: _open(one, where=first[one], folder=folder, video=video), first))
    media = {source: one for source, one in zip(first, found, strict=True) if isinstance(one, Media)}
    return media, [one for one in found if isinstance(one, Problem)]


def _open(source: Source, *, where: str, folder: Path, video: VideoConfig | None) -> Media | Problem:
    kind, name = source
    path = folder / name
    missing: ProblemKind = "missing_image" if kind == "image" else "missing_video"
    unreadable: ProblemKind = "unreadable_image" if kind == "image" else "unreadable_video"
    if not path.exists():
        return Problem(kind=missing, where=where, what=f"no {kind} {path}")
    try:
        if kind == "image":
            media = Media(kind="image", path=str(path))
            inspect_image(media)
            return media
        if video is None:
            return Problem(kind="field", where=where, what="shows a video, but this data set has no section data.video")
        return open_video(path, config=video)
    except ValueError as error:
        return Problem(kind=unreadable, where=where, what=str(error))


def _content(row: DemonstrationRow) -> str:
    return "\n".join(name for _, name in row.sources) or row.where


def _digest(content: str) -> str:
    return hashlib.blake2b(content.encode(), digest_size=16).hexdigest()
