"""Files of pairs: rows out, and everything wrong with the rows that are none.

train.jsonl | train.json | folder of train-00000.parquet ... --read_pairs--> PairRow, PairRow, ... and problems
"""

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from rollout.datasets.pair_rows import PAIR_FORMATS, PairFormat, PairRow
from rollout.datasets.problems import Problem, ProblemKind, RowError

PARQUET_ROWS = 64
"""Rows of a parquet file in memory at a time, beside those that were read."""


@dataclass(frozen=True, kw_only=True, slots=True)
class RawRow:
    """What stands in one place of a file."""

    where: str
    content: object


class UnreadableFile(Exception):
    """What is wrong with a whole file; of kinds other than json, without saying which file it is."""

    def __init__(self, kind: ProblemKind, what: str) -> None:
        super().__init__(what)
        self.kind: ProblemKind = kind


def read_pairs(
    path: Path, *, label_format: str, split: Literal["train", "test"]
) -> tuple[list[PairRow], list[Problem]]:
    """Every usable row of a split, in order, and everything wrong with the others.

    Raises:
        ValueError: No format of that name.
    """
    if label_format not in PAIR_FORMATS:
        raise ValueError(f"data.label_format={label_format!r} is unknown; known: {', '.join(PAIR_FORMATS)}")
    files = _files(path) if path.is_dir() else [path]
    read = [one for file in files for one in _read_file(file, reader=PAIR_FORMATS[label_format], split=split)]
    if not read:
        return [], [Problem(kind="empty_file", where=str(path), what=f"data.{split}_labels holds no rows")]
    rows = [row for row in read if isinstance(row, PairRow)]
    return rows, [problem for problem in read if isinstance(problem, Problem)]


def _files(folder: Path) -> list[Path]:
    """The files of a folder that hold rows, by name; what else is there (a readme) is none of ours."""
    return sorted(path for path in folder.iterdir() if path.suffix in _READERS)


def _read_file(path: Path, *, reader: PairFormat, split: str) -> Iterator[PairRow | Problem]:
    try:
        for raw in read_rows(path):
            yield _parse(raw, reader=reader)
    except UnreadableFile as problem:
        what = str(problem) if problem.kind == "json" else f"data.{split}_labels {problem}"
        yield Problem(kind=problem.kind, where=str(path), what=what)


def _parse(raw: RawRow, *, reader: PairFormat) -> PairRow | Problem:
    if isinstance(raw.content, Problem):
        return raw.content
    if not isinstance(raw.content, Mapping):
        what = f"expected an object with named fields, got {type(raw.content).__name__}"
        return Problem(kind="json", where=raw.where, what=what)
    try:
        return reader(raw.content, raw.where)
    except RowError as problem:
        return Problem(kind=problem.kind, where=raw.where, what=problem.what)


def read_rows(path: Path) -> Iterator[RawRow]:
    """The rows of a .jsonl, .json or .parquet file; what of a row cannot be decoded is a ``Problem``.

    Raises:
        UnreadableFile: It has another ending, is not there, or is not what its ending says.
    """
    if path.suffix not in _READERS:
        raise UnreadableFile("file_type", f"has the ending {path.suffix!r}")
    try:
        yield from _READERS[path.suffix](path)
    except OSError as error:
        raise UnreadableFile("missing_file", f"cannot be read: {error.strerror or error}") from error


def read_jsonl(path: Path) -> Iterator[RawRow]:
    """One row per line that is not empty; what cannot be decoded is a ``Problem``.

    Raises:
        OSError: The file cannot be read.
    """
    for number, line in enumerate(path.read_bytes().removeprefix(b"\xef\xbb\xbf").split(b"\n"), start=1):
        if line.strip():
            where = f"{path}:{number}"
            yield RawRow(where=where, content=_decoded_line(line, where=where))


def _decoded_line(line: bytes, *, where: str) -> object:
    try:
        return json.loads(line)
    except UnicodeDecodeError as error:
        return Problem(kind="encoding", where=where, what=f"not UTF-8: {error.reason} at byte {error.start}")
    except ValueError as error:
        return Problem(kind="json", where=where, what=f"not a JSON object: {error}")


def _read_json(path: Path) -> Iterator[RawRow]:
    try:
        content = json.loads(path.read_bytes())
    except ValueError as error:
        raise UnreadableFile("json", f"not a JSON list: {error}") from error
    if not isinstance(content, list):
        raise UnreadableFile(
            "json", f"expected a list of rows, got {type(content).__name__}; one row per line is .jsonl"
        )
    yield from (RawRow(where=f"{path}[{index}]", content=one) for index, one in enumerate(content))


def _read_parquet(path: Path) -> Iterator[RawRow]:
    from pyarrow import ArrowException  # noqa: PLC0415 - heavy, and most files are text
    from pyarrow.parquet import ParquetFile  # noqa: PLC0415

    try:
        with ParquetFile(path) as file:
            index = 0
            for batch in file.iter_batches(batch_size=PARQUET_ROWS):
                for fields in batch.to_pylist():
                    yield RawRow(where=f"{path}[{index}]", content=fields)
                    index += 1
    except ArrowException as error:
        raise UnreadableFile("json", f"not a parquet file: {error}") from error


_READERS: dict[str, Callable[[Path], Iterator[RawRow]]] = {
    ".jsonl": read_jsonl,
    ".json": _read_json,
    ".parquet": _read_parquet,
}
