"""Labels as plain objects, Arbiter's own: {"id", "image" or "video", "score", "std", "dataset", "content", "scale"}."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field

from rollout.datasets.label_objects import Fields, ObjectFormat, Text, one_medium, validated
from rollout.datasets.label_rows import LabelRow, Original, read_answer, read_std
from rollout.datasets.problems import RowError
from rollout.types import Scale

NO_DATASET = "opinion_score"
"""Name of the data set where the rows give none."""


class _Carried(BaseModel):
    """An object of another format, where plain fields would not be enough to make it anew."""

    model_config = ConfigDict(strict=True, extra="forbid")

    format: Text
    row: dict[str, Any]


class _PlainRow(BaseModel):
    model_config = ConfigDict(strict=True, extra="forbid")

    id: int | str | None = None
    image: Text | None = None
    video: Text | None = None
    score: float
    std: float | None = None
    dataset: Text = NO_DATASET
    content: Text | None = None
    scale: Annotated[list[float], Field(min_length=2, max_length=2)] | None = None
    original: _Carried | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class PlainFormat:
    """Every field of a row under a name of its own; a misspelt name is refused."""

    name: str
    published: Mapping[str, ObjectFormat]
    """The formats whose objects a row may carry along."""
    dataset_name: str = NO_DATASET

    def parse(self, fields: Mapping[str, Any], *, where: str) -> LabelRow:
        """The row an object holds; raises ``RowError``."""
        row = validated(_PlainRow, fields)
        kind, media = one_medium(fields)
        before = None if row.original is None else self._giver(row.original.format).parse(row.original.row, where=where)
        return LabelRow(
            where=where,
            media=media,
            kind=kind,
            label=read_answer(row.score),
            std=read_std(row.std),
            content=row.content or media,
            dataset_name=row.dataset,
            row_id=row.id,
            scale=_scale(row.scale),
            original=Original(label_format=self.name, fields=fields) if before is None else before.original,
        )

    def make(self, row: LabelRow) -> Fields:
        """The object of a row; what it was read from comes along where it could not be made anew."""
        fields = {
            "id": row.row_id,
            row.kind: row.media,
            "score": row.label,
            "std": row.std,
            "dataset": None if row.dataset_name == NO_DATASET else row.dataset_name,
            "content": None if row.content == row.media else row.content,
            "scale": row.scale and [row.scale.minimum, row.scale.maximum],
            "original": self._carried(row),
        }
        return {name: value for name, value in fields.items() if value is not None}

    def write(self, row: LabelRow) -> Fields:
        """The object of a row."""
        return self.make(row)

    def _carried(self, row: LabelRow) -> Fields | None:
        if row.original is None or row.original.label_format == self.name:
            return None
        giver = self._giver(row.original.label_format)
        given = giver.write(row)
        # The question is the run's; where its scale tells the rest, it need not be kept.
        if giver.make(replace(row, question=None)) == given:
            return None
        return {"format": giver.name, "row": given}

    def _giver(self, name: str) -> ObjectFormat:
        if name not in self.published:
            raise RowError("field", f"original.format: {name!r} is not one of {', '.join(self.published)}")
        return self.published[name]


def _scale(bounds: list[float] | None) -> Scale | None:
    if bounds is None:
        return None
    low, high = bounds
    if not low < high:
        raise RowError("field", f"scale: expected [lowest, highest], got {bounds}")
    return Scale(minimum=low, maximum=high)
