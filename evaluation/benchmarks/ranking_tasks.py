"""Files of questions with several answers each, to be ranked: checked tasks with their pictures out.

    {"id": ..., "question": ..., "responses": [a, b, c, ...], "image": ...}    image | images | video | videos | none

Nothing is asked of a judge before every row is valid and every picture has been decoded once.
"""

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Self

from pydantic import Field, ValidationError, model_validator

from conf.data import VideoConfig
from evaluation.benchmarks.files import file_content, open_media, read_rows
from evaluation.benchmarks.rows import BenchmarkProblems, Name, RawRow, Row, findings
from rollout.datasets.pair_rows import MediaSource, Names
from rollout.types import Media


@dataclass(frozen=True, kw_only=True, slots=True)
class RankingTask:
    """Answers to be ranked."""

    task_id: str
    question: str
    media: tuple[Media, ...]
    responses: tuple[str, ...]
    fields: Mapping[str, object]
    """Everything the row holds; result files repeat it."""


@dataclass(frozen=True, kw_only=True, slots=True)
class TaskFile:
    """The tasks of one file."""

    path: Path
    sha256: str
    """Of the file, so that answers to another one are not mistaken for these."""
    tasks: tuple[RankingTask, ...]


_MEDIA_FIELDS = ("image", "images", "video", "videos")


class _TaskRow(Row):
    id: Name | int
    question: Name
    responses: Annotated[list[str], Field(min_length=2)]
    image: Name | None = None
    images: Annotated[list[Name], Field(min_length=1)] | None = None
    video: Names | None = None
    videos: Annotated[list[Names], Field(min_length=1)] | None = None

    @model_validator(mode="after")
    def _has_one_kind_of_media(self) -> Self:
        if len(given := self.media_fields) > 1:
            raise ValueError(f"{given[1]}: expected one of {', '.join(_MEDIA_FIELDS)}, or none; got {given[0]} too")
        return self

    @model_validator(mode="after")
    def _has_different_responses(self) -> Self:
        for index, response in enumerate(self.responses):
            first = self.responses.index(response)
            if first < index:
                raise ValueError(f"responses.{index}: the same text as responses.{first}; nobody can tell them apart")
        return self

    @property
    def sources(self) -> tuple[MediaSource, ...]:
        """What is shown, in order."""
        pictures = self.images or ([] if self.image is None else [self.image])
        videos = self.videos or ([] if self.video is None else [self.video])
        return (
            *(MediaSource(kind="image", names=(name,)) for name in pictures),
            *(MediaSource(kind="video", names=_names(name)) for name in videos),
        )

    @property
    def media_fields(self) -> list[str]:
        """The field that names what is shown."""
        values = (self.image, self.images, self.video, self.videos)
        return [name for name, value in zip(_MEDIA_FIELDS, values, strict=True) if value is not None]


@dataclass(frozen=True, kw_only=True, slots=True)
class _Checked:
    row: _TaskRow
    raw: RawRow


def load_tasks(path: Path, *, media_folder: Path, video: VideoConfig) -> TaskFile:
    """The tasks of a ``.jsonl`` or ``.json`` file, with their pictures and videos.

    Raises:
        BenchmarkProblems: Lists every invalid row, or every picture that is missing or cannot be decoded.
    """
    rows = read_rows(path, read=_checked)
    if problems := list(_repeated_ids(rows)):
        raise BenchmarkProblems(problems)
    wanted: dict[MediaSource, str] = {}
    for one in rows:
        for source in one.row.sources:
            wanted.setdefault(source, f"{one.raw.where}: {one.row.media_fields[0]}")
    media, problems = open_media(wanted, folder=media_folder, video=video)
    if problems:
        raise BenchmarkProblems(problems)
    tasks = tuple(
        RankingTask(
            task_id=str(one.row.id),
            question=one.row.question,
            media=tuple(media[source] for source in one.row.sources),
            responses=tuple(one.row.responses),
            fields=one.raw.fields,
        )
        for one in rows
    )
    return TaskFile(path=path, sha256=hashlib.sha256(file_content(path)).hexdigest(), tasks=tasks)


def _checked(raw: RawRow) -> _Checked:
    try:
        return _Checked(row=_TaskRow.model_validate(raw.fields), raw=raw)
    except ValidationError as error:
        raise ValueError(findings(error)) from error


def _repeated_ids(rows: Sequence[_Checked]) -> Iterable[str]:
    first_by_id: dict[str, _Checked] = {}
    for one in rows:
        first = first_by_id.setdefault(str(one.row.id), one)
        if first is not one:
            yield f"{one.raw.where}: id: {one.row.id!r} was used before, at {first.raw.where}"


def _names(given: str | Sequence[str]) -> tuple[str, ...]:
    return (given,) if isinstance(given, str) else tuple(given)
