"""Which of two answered items people prefer: a file of pairs, joined with the answers.

    {"first": ID, "second": ID, "better": "first" | "second" | "tie", "group": ...}

Pairs of one group (a prompt, a scene) err together, so they are held out and redrawn as one; where a line names none,
it is the prompt that both items were made from.
"""

from collections.abc import Iterator, Mapping
from pathlib import Path

from pydantic import BaseModel, ConfigDict, ValidationError

from conf.errors import did_you_mean
from evaluation.checklist.rows import AnsweredItem
from rewards.checklist.features import AnsweredPair, Better


class _Line(BaseModel):
    model_config = ConfigDict(strict=True, extra="forbid")

    first: str | int
    second: str | int
    better: Better
    group: str | None = None


def read_labelled_pairs(path: Path, *, items: Mapping[str, AnsweredItem]) -> Iterator[AnsweredPair]:
    """Every pair of a file with the answers of its items.

    Raises:
        ValueError: A line cannot be read, names an item that has no answers, or says nothing about its group.
    """
    with path.open("rb") as lines:
        for number, line in enumerate(lines, start=1):
            if line.strip():
                yield _joined(line, place=f"{path}:{number}", items=items)


def _joined(line: bytes, *, place: str, items: Mapping[str, AnsweredItem]) -> AnsweredPair:
    try:
        row = _Line.model_validate_json(line)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        raise ValueError(
            f'{place}: expected {{"first": ID, "second": ID, "better": "first", "second" or "tie"}}, with "group" '
            f"where prompts do not tell it; {'.'.join(map(str, first['loc']))}: {first['msg']}"
        ) from error
    names = str(row.first), str(row.second)
    for name in names:
        if name not in items:
            raise ValueError(f"{place}: {name!r} has no answers{did_you_mean(name, items)}")
    one, other = items[names[0]], items[names[1]]
    group = row.group
    if group is None and one.prompt is not None and one.prompt == other.prompt:
        group = one.prompt
    if group is None:
        raise ValueError(
            f"{place}: nothing says which pairs belong together; add group, the prompt or scene that both show"
        )
    return AnsweredPair(cluster=group, first=one.answers, second=other.answers, better=row.better)
