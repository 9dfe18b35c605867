"""Which of two answered items people prefer: a file of pairs, joined with the answers.

    {"first": ID, "second": ID, "better": "first" | "second" | "tie", "group": ...}

Pairs of one group (a prompt, a scene) err together, so they are held out and redrawn as one; where a line names none,
it is the prompt that both items were made from.
"""

from collections.abc import Iterator, Mapping
from pathlib import Path

from pydantic import BaseModel, ConfigDict

from conf.errors import did_you_mean
from evaluation.checklist.rows import AnsweredItem
from evaluation.lines import read_lines
from rewards.checklist.features import AnsweredPair, Better


class _Line(BaseModel):
    model_config = ConfigDict(strict=True, extra="forbid")

    first: str | int
    second: str | int
    better: Better
    group: str | None = None


_EXPECTED = (
    '{"first": ID, "second": ID, "better": "first", "second" or "tie"}, with "group" where prompts do not tell it'
)


def read_labelled_pairs(path: Path, *, items: Mapping[str, AnsweredItem]) -> Iterator[AnsweredPair]:
    """Every pair of a file with the answers of its items.

    Raises:
        ValueError: A line cannot be read, names an item that has no answers, or says nothing about its group.
    """
    for place, row in read_lines(path, row=_Line, expected=_EXPECTED):
        yield _joined(row, place=place, items=items)


def _joined(row: _Line, *, place: str, items: Mapping[str, AnsweredItem]) -> AnsweredPair:
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
