"""Label files: checked rows out, and everything wrong with the rows that are none; and rows back into a file.

    KADID-10K_train_set.txt --LABEL_FORMATS["kadid"]--> LabelRow, LabelRow, ... and the lines that are none

The format is declared by ``data.label_format`` and never guessed. A file of JSON objects holds one per line, or all of
them in one list: no object begins with a bracket.
"""

import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from rollout.datasets.label_objects import PUBLISHED_OBJECTS, ObjectFormat
from rollout.datasets.label_plain import PlainFormat
from rollout.datasets.label_rows import LabelRow
from rollout.datasets.label_tables import TABLES, TableFormat
from rollout.datasets.problems import Problem, RowError

LabelFormat = TableFormat | ObjectFormat

PLAIN = PlainFormat(name="plain", published=PUBLISHED_OBJECTS)

LABEL_FORMATS: dict[str, LabelFormat] = {
    PLAIN.name: PLAIN,
    **PUBLISHED_OBJECTS,
    **TABLES,
}
"""``data.label_format`` -> how its rows are read and written."""

_BYTE_ORDER_MARK = b"\xef\xbb\xbf"


def read_labels(path: Path, *, label_format: str, called: str) -> tuple[list[LabelRow], list[Problem]]:
    """Every usable row of a file in order, and everything wrong with the others. Empty lines are skipped.

    ``called`` is what messages call the file.

    Raises:
        ValueError: No format of that name.
    """
    reader = look_up_format(label_format)
    try:
        content = path.read_bytes().removeprefix(_BYTE_ORDER_MARK)
    except OSError as error:
        what = f"{called} cannot be read: {error.strerror}"
        return [], [Problem(kind="missing_file", where=str(path), what=what)]
    is_list = not isinstance(reader, TableFormat) and content.lstrip().startswith(b"[")
    items = _listed(content, path=path) if is_list else _lines(content, path=path)
    parsed = [_parse(item, where=where, reader=reader) for where, item in items]
    if not parsed:
        return [], [Problem(kind="empty_file", where=str(path), what=f"{called} holds no labels")]
    rows = [row for row in parsed if isinstance(row, LabelRow)]
    return rows, [problem for problem in parsed if isinstance(problem, Problem)]


@dataclass(frozen=True, kw_only=True, slots=True)
class WrittenLabels:
    """The text of a label file."""

    text: str
    problems: tuple[Problem, ...]
    """Every row the format cannot hold; the text is without them."""
    left_out: Mapping[str, int]
    """What the format has no place for, and of how many rows."""


def written_labels(rows: Sequence[LabelRow], *, label_format: str, as_list: bool) -> WrittenLabels:
    """The rows as one JSON list, or a row per line.

    Raises:
        ValueError: No format of that name, or a list was asked of a table.
    """
    writer = look_up_format(label_format)
    if as_list and isinstance(writer, TableFormat):
        raise ValueError(f"{label_format} is a table, which cannot be a JSON list; name a file that ends in .txt")
    items: list[object] = []
    problems: list[Problem] = []
    left_out = Counter[str]()
    for row in rows:
        try:
            item = writer.write(row)
            left_out.update(_left_out(row, item, writer=writer))
        except RowError as problem:
            problems.append(Problem(kind=problem.kind, where=row.where, what=problem.what))
            continue
        items.append(item)
    return WrittenLabels(text=_text(items, as_list=as_list), problems=tuple(problems), left_out=left_out)


def _left_out(row: LabelRow, item: object, *, writer: LabelFormat) -> Iterator[str]:
    """Names of what reading the item gives back differently. A plain row asks nothing, yet its question is not lost:
    the scale tells it, or the original that it carries."""
    if isinstance(writer, TableFormat):
        assert isinstance(item, str)
        back = writer.parse(item, where=row.where)
    else:
        assert isinstance(item, dict)
        back = writer.parse(item, where=row.where)
    yield from (
        name
        for name, kept, given in (
            ("std", back.std, row.std),
            ("content", back.content, row.content),
            ("id", back.row_id, row.row_id),
            ("question", back.question, row.question),
        )
        if kept != given and not (name == "question" and (given is None or isinstance(writer, PlainFormat)))
    )


def _text(items: Sequence[object], *, as_list: bool) -> str:
    if as_list:
        return json.dumps(items, ensure_ascii=False, allow_nan=False, indent=2) + "\n"
    lines = (item if isinstance(item, str) else json.dumps(item, ensure_ascii=False, allow_nan=False) for item in items)
    return "".join(f"{line}\n" for line in lines)


def look_up_format(name: str) -> LabelFormat:
    """The format of that name.

    Raises:
        ValueError: There is none.
    """
    if name not in LABEL_FORMATS:
        raise ValueError(f"data.label_format={name!r} is unknown; known: {', '.join(LABEL_FORMATS)}")
    return LABEL_FORMATS[name]


def unnamed_in(label_format: str) -> str | None:
    """The data set that rows without a name of their own are of; None where they give one, and for tables, whose format
    gives it."""
    found = look_up_format(label_format)
    return None if isinstance(found, TableFormat) else found.dataset_name


def _lines(content: bytes, *, path: Path) -> Iterator[tuple[str, object]]:
    for number, line in enumerate(content.split(b"\n"), start=1):
        if line.strip():
            yield f"{path}:{number}", line


def _listed(content: bytes, *, path: Path) -> Iterator[tuple[str, object]]:
    try:
        items = json.loads(content)
    except ValueError as error:
        yield str(path), Problem(kind="json", where=str(path), what=f"begins as a JSON list and is none: {error}")
        return
    yield from ((f"{path}[{index}]", item) for index, item in enumerate(items))


def _parse(item: object, *, where: str, reader: LabelFormat) -> LabelRow | Problem:
    if isinstance(item, Problem):
        return item
    try:
        if isinstance(reader, TableFormat):
            assert isinstance(item, bytes)
            return reader.parse(item.decode("utf-8").strip(), where=where)
        return reader.parse(_object(item), where=where)
    except UnicodeDecodeError as error:
        return Problem(kind="encoding", where=where, what=f"not UTF-8: {error.reason} at byte {error.start}")
    except RowError as problem:
        return Problem(kind=problem.kind, where=where, what=problem.what)


def _object(item: object) -> Mapping[str, object]:
    """The object a line holds, or an item of a list is."""
    if isinstance(item, bytes):
        text = item.decode("utf-8")
        try:
            item = json.loads(text)
        except ValueError as error:
            raise RowError("json", f"not a JSON object: {error}") from error
    if not isinstance(item, dict):
        raise RowError("json", f"expected a JSON object, got {type(item).__name__}")
    return item
