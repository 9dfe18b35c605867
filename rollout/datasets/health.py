"""What is worth knowing about a data set before training on it: labels, sizes, what is the same, what leaks.

rows of each split --look_at--> Health: counts and findings      (cluster/health_page.py shows it)
"""

import os
from collections import Counter
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from conf.data import VideoConfig
from rollout.datasets.label_checks import MediaFolders, noun_of
from rollout.datasets.label_rows import LabelRow
from rollout.datasets.lookalikes import Fingerprint, Pair, find_pairs, fingerprint
from rollout.datasets.problems import Problem, ProblemKind
from rollout.media import load_image
from rollout.types import Media
from rollout.videos import load_frames, open_video

VIDEO = VideoConfig(fps=1.0, max_frames=4, max_pixels=768 * 28 * 28, total_pixels=None)
"""Of a video, the first of these frames stands for it."""


_KINDS: Mapping[str, tuple[ProblemKind, ProblemKind]] = {
    "image": ("missing_image", "unreadable_image"),
    "video": ("missing_video", "unreadable_video"),
}


@dataclass(frozen=True, kw_only=True, slots=True)
class Entry:
    """One row in its split."""

    split: str
    row: LabelRow
    print: Fingerprint | None
    """None where there is nothing that can be opened."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Labels:
    """The labels of one data set in one split."""

    split: str
    dataset_name: str
    values: tuple[float, ...]
    num_with_std: int
    num_scenes: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Finding:
    """Two rows that show the same, or nearly."""

    first: Entry
    second: Entry
    kind: Literal["equal", "alike", "scene"]
    """Equal pixels, look-alikes, or the same scene in two splits."""

    @property
    def crosses_splits(self) -> bool:
        """Whether it leaks from one split into another."""
        return self.first.split != self.second.split


@dataclass(frozen=True, kw_only=True, slots=True)
class Health:
    """Everything found."""

    entries: tuple[Entry, ...]
    problems: tuple[Problem, ...]
    labels: tuple[Labels, ...]
    findings: tuple[Finding, ...]

    def count(self, kind: Literal["equal", "alike", "scene"], *, across: bool) -> int:
        """Findings of a kind within splits, or across them."""
        return sum(one.kind == kind and one.crosses_splits == across for one in self.findings)

    @property
    def sizes(self) -> Counter[tuple[int, int]]:
        """How many pictures have which width and height."""
        return Counter((one.print.width, one.print.height) for one in self.entries if one.print is not None)


def find_unreadable(rows: Sequence[LabelRow], *, folders: MediaFolders) -> list[Problem]:
    """Every picture and video that is missing, torn or damaged; each is decoded once."""
    return [one for one in _open_all(rows, folders=folders) if isinstance(one, Problem)]


def look_at(splits: Mapping[str, Sequence[LabelRow]], *, folders: MediaFolders) -> Health:
    """Open every picture once, and compare them all."""
    rows = [(split, row) for split, members in splits.items() for row in members]
    seen = _open_all([row for _, row in rows], folders=folders)
    prints = [None if isinstance(one, Problem) else one for one in seen]
    entries = tuple(Entry(split=split, row=row, print=one) for (split, row), one in zip(rows, prints, strict=True))
    return Health(
        entries=entries,
        problems=tuple(one for one in seen if isinstance(one, Problem)),
        labels=tuple(_labels(splits)),
        findings=(*_same_pictures(entries), *_shared_scenes(entries)),
    )


def _open_all(rows: Sequence[LabelRow], *, folders: MediaFolders) -> list[Fingerprint | Problem]:
    with ThreadPoolExecutor(max_workers=min(8, os.cpu_count() or 1)) as pool:  # decoding releases the interpreter lock
        return list(pool.map(lambda row: _fingerprint(row, path=folders.path(row)), rows))


def _fingerprint(row: LabelRow, *, path: Path) -> Fingerprint | Problem:
    missing, unreadable = _KINDS[row.kind]
    if not path.exists():
        return Problem(kind=missing, where=row.where, what=f"no {noun_of(row)} {path}")
    try:
        if row.kind == "video":
            return fingerprint(load_frames(open_video(path, config=VIDEO))[0])
        return fingerprint(load_image(Media(kind="image", path=str(path))))
    except ValueError as error:
        return Problem(kind=unreadable, where=row.where, what=str(error))


def _labels(splits: Mapping[str, Sequence[LabelRow]]) -> list[Labels]:
    grouped: dict[tuple[str, str], list[LabelRow]] = {}
    for split, members in splits.items():
        for row in members:
            grouped.setdefault((split, row.dataset_name), []).append(row)
    return [
        Labels(
            split=split,
            dataset_name=dataset_name,
            values=tuple(row.label for row in rows),
            num_with_std=sum(row.std is not None for row in rows),
            num_scenes=len({row.scene for row in rows}),
        )
        for (split, dataset_name), rows in grouped.items()
    ]


def _same_pictures(entries: Sequence[Entry]) -> list[Finding]:
    readable = [(entry, entry.print) for entry in entries if entry.print is not None]
    pairs: list[Pair] = find_pairs([one for _, one in readable], scenes=[entry.row.scene for entry, _ in readable])
    return [
        Finding(first=readable[one.first][0], second=readable[one.second][0], kind="equal" if one.is_equal else "alike")
        for one in pairs
    ]


def _shared_scenes(entries: Sequence[Entry]) -> list[Finding]:
    """Of every scene that is in several splits, its first row in each of the others with the very first one."""
    first_in: dict[tuple[str, str], dict[str, Entry]] = {}
    for entry in entries:
        first_in.setdefault(entry.row.scene, {}).setdefault(entry.split, entry)
    return [
        Finding(first=first, second=other, kind="scene")
        for first, *others in (tuple(splits.values()) for splits in first_in.values())
        for other in others
    ]
