"""Files of one JSON object per line, one line in memory at a time."""

from collections.abc import Iterator
from pathlib import Path
from typing import TypeVar

from pydantic import BaseModel, ValidationError

R = TypeVar("R", bound=BaseModel)


def read_lines(path: Path, *, row: type[R], expected: str) -> Iterator[tuple[str, R]]:
    """Every row with its place, ``file:line``; lines of white space are none.

    Raises:
        ValueError: A line is no such row; names the place, what is ``expected`` and the field.
    """
    with path.open("rb") as lines:
        for number, line in enumerate(lines, start=1):
            if not line.strip():
                continue
            place = f"{path}:{number}"
            try:
                read = row.model_validate_json(line)
            except ValidationError as error:
                first = error.errors(include_url=False)[0]
                where = ".".join(map(str, first["loc"]))
                what = f"{where}: {first['msg']}" if where else first["msg"]
                raise ValueError(f"{place}: expected {expected}; {what}") from error
            yield place, read
