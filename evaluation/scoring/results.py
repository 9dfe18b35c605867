"""The folder of results: rows as they come, what they were made under, and the same rows in other forms.

settings.json   everything that decides a score; another configuration is refused      scores.csv   the rows as a table
scores.jsonl    one row per item, written window by window; read back to go on          scores.txt   "path score" lines

A row is there whole or not at all: what a killed run left of its last line is cut off. Only ids are kept in memory.
"""

import csv
import json
import logging
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import Field, asdict
from pathlib import Path
from typing import IO, Any, ClassVar, Protocol, TypeVar

from pydantic import BaseModel, ConfigDict, JsonValue, ValidationError

from evaluation.scoring.rows import RowStatus

logger = logging.getLogger(__name__)

Settings = Mapping[str, JsonValue]
SETTINGS_FILE, ROWS_FILE, TABLE_FILE, LEGACY_FILE = "settings.json", "scores.jsonl", "scores.csv", "scores.txt"
COLUMNS = ("id", "path", "score", "status", "std", "reasoning", "text", "error", "seed", "model", "prompt")
"""Of the table; the samples stand in the rows alone."""
_ASKED_AGAIN: RowStatus = "failed"


class ResultsUnusable(ValueError):
    """A folder of results that this run can neither go on with nor read."""


class Row(Protocol):
    """A frozen dataclass with an id and a status among its fields: ``ScoreRow`` is one."""

    __dataclass_fields__: ClassVar[dict[str, Field[Any]]]

    @property
    def id(self) -> str: ...
    @property
    def status(self) -> RowStatus: ...
    @property
    def error(self) -> str | None: ...


class _StoredRow(BaseModel):
    """What must be in a line for us to trust it; the rest is for readers of the results."""

    model_config = ConfigDict(extra="allow", strict=True)

    id: str
    path: str
    status: RowStatus


class _StoredScore(_StoredRow):
    """The same of a score."""

    score: float | None


StoredT = TypeVar("StoredT", bound=_StoredRow)


class ScoreSheet:
    """Rows that are there, by id, and the place where further ones go."""

    def __init__(self, stream: IO[bytes], *, done: set[str], num_by_status: Counter[RowStatus]) -> None:
        self._stream, self._done = stream, done
        self.num_by_status = num_by_status
        """Of all rows, those of earlier runs included."""

    def __contains__(self, item_id: str) -> bool:
        return item_id in self._done

    def __len__(self) -> int:
        return len(self._done)

    def add(self, rows: Iterable[Row]) -> None:
        """Write rows at once; they are on their way to disk when this returns."""
        new = list(rows)
        self._stream.write(b"".join(_line(asdict(row)) for row in new))
        self._stream.flush()
        self._done.update(row.id for row in new)
        self.num_by_status.update(row.status for row in new)


@contextmanager
def open_sheet(folder: Path, *, settings: Settings, rows_file: str = ROWS_FILE) -> Iterator[ScoreSheet]:
    """The results in ``folder``, begun with ``settings`` or continued under the same.

    Raises:
        ResultsUnusable: They were made under other settings, or are no results.
    """
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / rows_file
    _check_settings(path, settings)
    done, num_by_status = set[str](), Counter[RowStatus]()
    num_bytes, num_failed = 0, 0
    for line, row in _stored(path, kind=_StoredScore if rows_file == ROWS_FILE else _StoredRow):
        num_bytes += len(line)
        num_failed += row.status == _ASKED_AGAIN
        if row.status != _ASKED_AGAIN:
            done.add(row.id)
            num_by_status[row.status] += 1
    if path.exists() and path.stat().st_size > num_bytes:
        logger.warning("torn last line cut off file=%s bytes=%d", path, path.stat().st_size - num_bytes)
        with path.open("r+b") as torn:
            torn.truncate(num_bytes)
    if num_failed:
        _drop_failed(path)
    with path.open("ab") as stream:
        yield ScoreSheet(stream, done=done, num_by_status=num_by_status)


def write_tables(folder: Path) -> None:
    """Write the rows of a folder as CSV, and as "path score" lines, of those that have one."""
    table, legacy = (folder / name for name in (TABLE_FILE, LEGACY_FILE))
    with (
        _scratch(table).open("w", encoding="utf-8", errors="surrogateescape", newline="") as cells,
        _scratch(legacy).open("w", encoding="utf-8", errors="surrogateescape") as lines,
    ):
        writer = csv.DictWriter(cells, COLUMNS, extrasaction="ignore")
        writer.writeheader()
        for _, row in _stored(folder / ROWS_FILE, kind=_StoredScore):
            writer.writerow(row.model_dump())
            if row.score is not None:
                lines.write(f"{row.path} {row.score}\n")
    for path in (table, legacy):
        _scratch(path).replace(path)


def _check_settings(rows: Path, settings: Settings) -> None:
    path = rows.with_name(SETTINGS_FILE)
    if not path.exists():
        if rows.exists():
            raise ResultsUnusable(
                f"{rows} is there and {SETTINGS_FILE} is not, so nobody knows what made these rows; "
                "choose another run.folder"
            )
        _scratch(path).write_text(json.dumps(settings, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
        _scratch(path).replace(path)
        return
    found = _read_settings(path)
    different = [
        f"  {name}: the folder has {_shown(found, name)}, this run has {_shown(settings, name)}"
        for name in dict.fromkeys([*settings, *found])
        if _shown(found, name) != _shown(settings, name)
    ]
    if different:
        what = f"{rows.parent} holds scores made under other settings; choose another run.folder, or the same settings"
        raise ResultsUnusable("\n".join([what, *different]))


def _read_settings(path: Path) -> Settings:
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ResultsUnusable(f"{path}: expected the settings a scoring run wrote: {error}") from error
    if not isinstance(found, dict):
        raise ResultsUnusable(f"{path}: expected the settings a scoring run wrote, got a {type(found).__name__}")
    return found


def _shown(settings: Settings, name: str) -> str:
    return json.dumps(settings[name], sort_keys=True, ensure_ascii=False) if name in settings else "nothing"


def _stored(path: Path, *, kind: type[StoredT]) -> Iterator[tuple[bytes, StoredT]]:
    """Whole lines with their rows, one at a time; the rest of a torn one is left out."""
    if not path.exists():
        return
    with path.open("rb") as lines:
        for number, line in enumerate(lines, start=1):
            if not line.endswith(b"\n"):
                return
            try:
                yield line, kind.model_validate(json.loads(line))
            except (ValidationError, ValueError) as error:
                raise ResultsUnusable(f"{path}:{number}: expected a row that a scoring run wrote: {error}") from error


def _drop_failed(path: Path) -> None:
    with _scratch(path).open("wb") as kept:
        kept.writelines(line for line, row in _stored(path, kind=_StoredRow) if row.status != _ASKED_AGAIN)
    _scratch(path).replace(path)


def _scratch(path: Path) -> Path:
    return path.with_name(f"{path.name}.new")


def _line(row: Mapping[str, object]) -> bytes:
    try:
        return (json.dumps(row, ensure_ascii=False, allow_nan=False) + "\n").encode()
    except UnicodeEncodeError:  # a file name whose bytes are no UTF-8
        return (json.dumps(row, allow_nan=False) + "\n").encode()
