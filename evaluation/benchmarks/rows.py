"""Rows of the benchmarks' files, checked at the door: every problem of a file at once, with line and field.

Which row type a line has is told by its keys: VL-RewardBench exists in its own layout (``query``, ``response``,
``human_ranking``) and in R1-Reward's (``prompt``, ``chosen``, ``rejected``).
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Annotated, Literal, Self

from pydantic import AliasChoices, BaseModel, ConfigDict, Field, ValidationError, model_validator

from evaluation.benchmarks.categories import (
    VlSplit,
    mm_rlhf_category,
    multimodal_subcategory,
    vl_rewardbench_category,
)
from rollout.types import Choice

BenchmarkName = Literal["vl_rewardbench", "mm_rlhf_rewardbench", "multimodal_rewardbench"]

MAX_LISTED = 20

Name = Annotated[str, Field(min_length=1)]


class BenchmarkProblems(ValueError):
    """Everything found wrong with a benchmark's files before anything was asked; ``problems`` has the whole list."""

    def __init__(self, problems: Iterable[str]) -> None:
        self.problems = tuple(problems)
        listed = [f"  {problem}" for problem in self.problems[:MAX_LISTED]]
        if len(self.problems) > MAX_LISTED:
            listed.append(f"  ... and {len(self.problems) - MAX_LISTED} more")
        plural = "s" if len(self.problems) > 1 else ""
        super().__init__("\n".join([f"{len(self.problems)} problem{plural}; nothing was asked", *listed]))


@dataclass(frozen=True, kw_only=True, slots=True)
class BenchmarkRow:
    """One pair of answers as its file gives it, whatever the layout."""

    row_id: str
    """Names a question; several pairs may share it."""
    index: int
    """Place in the file, counted from 0."""
    where: str
    """The same for error messages: file and line."""
    question: str
    responses: tuple[str, str]
    """In the order of the file; where it has ``chosen`` and ``rejected``, in that order."""
    better: Choice
    """Which of ``responses`` is the better one."""
    media_kind: Literal["image", "video"]
    media_path: str
    """As the file gives it."""
    category: str
    subcategory: str | None
    """Where the benchmark divides a category further."""
    fields: Mapping[str, object]
    """Everything the row holds; result files repeat it."""


class Row(BaseModel):
    """Fields not named here are kept and mean nothing."""

    model_config = ConfigDict(strict=True, extra="allow")


class _ChosenRow(Row):
    id: Name
    prompt: str
    chosen: str
    rejected: str


class _VlChosenRow(_ChosenRow):
    image: Name


class _VlRankedRow(Row):
    id: Name
    query: str
    response: Annotated[list[str], Field(min_length=2, max_length=2)]
    human_ranking: list[int]
    """Rank of each response, 0 being the better one."""
    image: Name = Field(validation_alias=AliasChoices("image_path", "image"))

    @model_validator(mode="after")
    def _is_strict(self) -> Self:
        if sorted(self.human_ranking) != [0, 1]:
            raise ValueError(f"human_ranking: expected [0, 1] or [1, 0], got {self.human_ranking}")
        return self


class _MmRlhfRow(_ChosenRow):
    image: Name | None = None
    video: Name | None = None

    @model_validator(mode="after")
    def _has_one_medium(self) -> Self:
        if (self.image is None) == (self.video is None):
            raise ValueError("expected either image or video, got both or neither")
        return self


class _MultimodalRow(Row):
    ID: Name
    # The released list leaves it out of most rows; the benchmark's download script fills it in.
    Text: Name
    Image: Name
    Output1: str
    Output2: str
    Better: Literal["Output1", "Output2"]
    Category: Name


@dataclass(frozen=True, kw_only=True, slots=True)
class RawRow:
    """One entry of a file, before it is checked."""

    index: int
    """Place in the file, counted from 0."""
    where: str
    """The same for error messages: file and line."""
    fields: Mapping[str, object]


def read_row(raw: RawRow, *, name: BenchmarkName, split: VlSplit) -> BenchmarkRow:
    """One checked row; ``split`` is how VL-RewardBench is divided and means nothing to the others.

    Raises:
        ValueError: One line per problem, each beginning with the field.
    """
    try:
        match name:
            case "vl_rewardbench":
                return _vl_row(raw, split=split)
            case "mm_rlhf_rewardbench":
                return _mm_rlhf_row(raw)
            case "multimodal_rewardbench":
                return _multimodal_row(raw)
    except ValidationError as error:
        raise ValueError(findings(error)) from error


def findings(error: ValidationError) -> str:
    """One line per problem of a row, each beginning with the field."""
    return "\n".join(_finding(finding) for finding in error.errors(include_url=False))


def _vl_row(raw: RawRow, *, split: VlSplit) -> BenchmarkRow:
    if "human_ranking" in raw.fields:
        ranked = _VlRankedRow.model_validate(raw.fields)
        row_id, question, image = ranked.id, ranked.query, ranked.image
        responses = (ranked.response[0], ranked.response[1])
        better: Choice = 1 if ranked.human_ranking == [0, 1] else 2
    else:
        chosen = _VlChosenRow.model_validate(raw.fields)
        row_id, question, image = chosen.id, chosen.prompt, chosen.image
        responses, better = (chosen.chosen, chosen.rejected), 1
    return BenchmarkRow(
        row_id=row_id,
        index=raw.index,
        where=raw.where,
        question=question,
        responses=responses,
        better=better,
        media_kind="image",
        media_path=image,
        category=vl_rewardbench_category(row_id, split=split),
        subcategory=None,
        fields=raw.fields,
    )


def _mm_rlhf_row(raw: RawRow) -> BenchmarkRow:
    row = _MmRlhfRow.model_validate(raw.fields)
    path = row.image or row.video or ""
    try:
        category = mm_rlhf_category(path)
    except ValueError as error:
        raise ValueError(f"{'video' if row.image is None else 'image'}: {error}") from error
    return BenchmarkRow(
        row_id=row.id,
        index=raw.index,
        where=raw.where,
        question=row.prompt,
        responses=(row.chosen, row.rejected),
        better=1,
        media_kind="video" if row.image is None else "image",
        media_path=path,
        category=category,
        subcategory=None,
        fields=raw.fields,
    )


def _multimodal_row(raw: RawRow) -> BenchmarkRow:
    row = _MultimodalRow.model_validate(raw.fields)
    return BenchmarkRow(
        row_id=row.ID,
        index=raw.index,
        where=raw.where,
        question=row.Text,
        responses=(row.Output1, row.Output2),
        better=1 if row.Better == "Output1" else 2,
        media_kind="image",
        media_path=row.Image,
        category=row.Category,
        subcategory=multimodal_subcategory(row.Category, row_id=row.ID),
        fields=raw.fields,
    )


_TYPES = ("str", "int")


def _finding(finding: Mapping[str, object]) -> str:
    location, message = finding["loc"], str(finding["msg"]).removeprefix("Value error, ")
    assert isinstance(location, tuple)
    # Besides names and places, pydantic names the alternatives of a field that has several types.
    known = (part for part in location if isinstance(part, int) or (part.isidentifier() and part not in _TYPES))
    field = ".".join(str(part) for part in known)
    return f"{field}: {message}" if field else message
