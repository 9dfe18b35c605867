"""Tables of labels without a header, columns separated by white space: VisualQuality-R1's evaluation sets."""

from dataclasses import dataclass
from typing import Literal

from rollout.datasets.label_rows import LabelRow, read_number, read_std
from rollout.datasets.problems import RowError

Column = Literal["reference", "image", "score", "std"]


@dataclass(frozen=True, kw_only=True, slots=True)
class TableFormat:
    """One row per line; the whole file is of one data set."""

    dataset_name: str
    columns: tuple[Column, ...]

    def parse(self, text: str, *, where: str) -> LabelRow:
        """The row a line holds.

        Raises:
            RowError: The line is not of this format.
        """
        cells = text.split()
        if len(cells) != len(self.columns):
            expected = " ".join(self.columns)
            raise RowError("columns", f"expected {len(self.columns)} columns ({expected}), found {len(cells)}")
        row = dict(zip(self.columns, cells, strict=True))
        return LabelRow(
            where=where,
            media=row["image"],
            label=read_number(row["score"], name="score"),
            std=read_std(read_number(row["std"], name="std")) if "std" in row else None,
            content=row.get("reference", row["image"]),
            dataset_name=self.dataset_name,
        )

    def write(self, row: LabelRow) -> str:
        """The line of a row.

        Raises:
            RowError: The row does not fit into the columns.
        """
        if row.kind != "image":
            raise RowError("field", f"{row.media} is a {row.kind}, the table is of pictures")
        if row.dataset_name != self.dataset_name:
            what = f"the row is of {row.dataset_name!r}, and every line of this table is read as {self.dataset_name!r}"
            raise RowError("dataset_name", what)
        cells: dict[Column, str | None] = {
            "reference": row.content,
            "image": row.media,
            "score": repr(row.label),
            "std": None if row.std is None else repr(row.std),
        }
        return " ".join(_cell(cells[column], column=column) for column in self.columns)


def _cell(text: str | None, *, column: Column) -> str:
    if text is None:
        raise RowError("columns", f"the table has a column {column}, the row has none")
    if len(text.split()) != 1:
        raise RowError("columns", f"{column} {text!r} holds white space, which separates columns")
    return text


TABLES: dict[str, TableFormat] = {
    "kadid": TableFormat(dataset_name="KADID-10K", columns=("reference", "image", "score", "std")),
    "agiqa": TableFormat(dataset_name="AGIQA-3K", columns=("image", "score", "std")),
    "koniq": TableFormat(dataset_name="KONIQ-10K", columns=("image", "score", "std")),
    "spaq": TableFormat(dataset_name="SPAQ", columns=("image", "score", "std")),
    "livec": TableFormat(dataset_name="LIVEC", columns=("image", "score", "std")),
    "bid": TableFormat(dataset_name="BID", columns=("image", "score")),
    "pipal": TableFormat(dataset_name="PIPAL", columns=("reference", "image", "score")),
    "tid2013": TableFormat(dataset_name="TID2013", columns=("reference", "image", "score")),
    "csiq": TableFormat(dataset_name="CSIQ", columns=("reference", "image", "score")),
    "deblur": TableFormat(dataset_name="Deblur", columns=("reference", "image", "score")),
    "cviu": TableFormat(dataset_name="CVIU", columns=("reference", "image", "score")),
    "shrq": TableFormat(dataset_name="SHRQ", columns=("reference", "image", "score")),
    "dehaze": TableFormat(dataset_name="dehaze", columns=("reference", "image", "score")),
    "sriqa": TableFormat(dataset_name="SRIQA-Bench", columns=("reference", "image", "score")),
}
"""``data.label_format`` -> the columns of its lines."""
