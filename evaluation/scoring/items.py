"""What is to be scored: files, folders, globs and lists, found again each time they are asked for and never held.

    words of the command line --Listing--> Item, Item, ...

Folders are read with everything below them, in alphabetical order; hidden files are none. Of a folder, files that by
their ending are neither picture nor video are left out and counted; what is named itself, or matches a glob, is taken
as it is.
"""

import glob
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict

from evaluation.lines import read_lines
from rollout.videos import VIDEO_ENDINGS
from rollout.wordings import Kind

PICTURE_ENDINGS = frozenset({".bmp", ".gif", ".jpeg", ".jpg", ".png", ".tif", ".tiff", ".webp"})
LIST_ENDING = ".jsonl"
RowKey = Literal["question", "prompt"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Item:
    """One picture or video."""

    item_id: str
    """Names its row; the path, unless a list says otherwise."""
    path: str
    question: str | None = None
    """Asked in place of ``score.prompt``; from a list."""
    prompt: str | None = None
    """The text it was made from; from a list for a checklist."""

    @property
    def kind(self) -> Kind:
        """What it is shown as. A folder is a video of frames; only a list can name one."""
        is_video = Path(self.path).suffix.lower() in VIDEO_ENDINGS or Path(self.path).is_dir()
        return "video" if is_video else "image"


@dataclass(frozen=True, kw_only=True, slots=True)
class Survey:
    """What a listing holds, counted."""

    num_items: int
    num_asked_alike: int
    """Those without a question of their own."""
    kinds: frozenset[Kind]
    kinds_asked_alike: frozenset[Kind]
    num_repeated: int
    """Named once more, and scored once."""
    num_left_out: int
    """Files of folders that are neither pictures nor videos."""


class Listing:
    """Everything the words of a command line name; only ids are remembered while it is iterated.

    A row of a list may have a question, or else a prompt, whichever the command ``reads``.
    """

    def __init__(self, words: Sequence[str], *, reads: RowKey = "question") -> None:
        self._words, self._reads = tuple(words), reads

    def __iter__(self) -> Iterator[Item]:
        seen: dict[str, int] = {}
        for found in self._found():
            if isinstance(found, Item) and _is_new(found, seen):
                yield found

    def survey(self) -> Survey:
        """Count once through, so that mistakes come before any work.

        Raises:
            ValueError: A word names nothing, a list cannot be read, or one id stands for two different rows.
        """
        seen: dict[str, int] = {}
        kinds, kinds_asked_alike = set[Kind](), set[Kind]()
        num_asked_alike = num_repeated = num_left_out = 0
        for found in self._found():
            if not isinstance(found, Item):
                num_left_out += 1
            elif not _is_new(found, seen):
                num_repeated += 1
            else:
                kinds.add(found.kind)
                if found.question is None:
                    kinds_asked_alike.add(found.kind)
                    num_asked_alike += 1
        return Survey(
            num_items=len(seen),
            num_asked_alike=num_asked_alike,
            kinds=frozenset(kinds),
            kinds_asked_alike=frozenset(kinds_asked_alike),
            num_repeated=num_repeated,
            num_left_out=num_left_out,
        )

    def _found(self) -> Iterator[Item | Path]:
        """Items, and files that are left out."""
        for word in self._words:
            path = Path(word)
            if path.exists():
                yield from _below(path, reads=self._reads)
            elif glob.has_magic(word):
                matches = sorted(glob.glob(word, recursive=True))  # noqa: PTH207 - Path.glob takes no absolute pattern
                if not matches:
                    raise ValueError(f"{word}: matches no file")
                for match in matches:
                    yield from _below(Path(match), reads=self._reads)
            else:
                raise ValueError(f"{word}: no such file or folder (~ is not expanded)")


class _Row(BaseModel):
    model_config = ConfigDict(strict=True, extra="forbid")

    path: str
    id: str | int | None = None


class _QuestionRow(_Row):
    question: str | None = None


class _PromptRow(_Row):
    prompt: str | None = None


def _below(path: Path, *, reads: RowKey) -> Iterator[Item | Path]:
    if path.is_dir():
        yield from _in_folder(path)
    elif path.suffix.lower() == LIST_ENDING:
        yield from _in_list(path, reads=reads)
    else:
        yield Item(item_id=str(path), path=str(path))


def _in_folder(folder: Path) -> Iterator[Item | Path]:
    for place, folders, files in os.walk(folder):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for name in sorted(files):
            if name.startswith("."):
                continue
            path = Path(place) / name
            is_shown = path.suffix.lower() in PICTURE_ENDINGS | VIDEO_ENDINGS
            yield Item(item_id=str(path), path=str(path)) if is_shown else path


def _in_list(path: Path, *, reads: RowKey) -> Iterator[Item]:
    kind: type[_Row] = _QuestionRow if reads == "question" else _PromptRow
    expected = f'{{"path": ..., "id": ..., "{reads}": ...}}, of which only path must be given'
    for _, row in read_lines(path, row=kind, expected=expected):
        yield Item(
            item_id=row.path if row.id is None else str(row.id),
            path=str(path.parent / row.path),
            question=row.question if isinstance(row, _QuestionRow) else None,
            prompt=row.prompt if isinstance(row, _PromptRow) else None,
        )


def _is_new(item: Item, seen: dict[str, int]) -> bool:
    content = hash((item.path, item.question, item.prompt))
    if item.item_id not in seen:
        seen[item.item_id] = content
        return True
    if seen[item.item_id] != content:
        raise ValueError(f"id {item.item_id!r} stands for two different rows, one of them {item.path}; give each an id")
    return False
