"""Files of a benchmark in, checked pairs with their pictures out.

Nothing is asked of a judge before every row is valid and every picture has been decoded once.
"""

import csv
import hashlib
import io
import json
import logging
import os
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import get_args

from conf.data import VideoConfig
from conf.errors import did_you_mean
from evaluation.benchmarks.categories import VlSplit
from evaluation.benchmarks.rows import BenchmarkName, BenchmarkProblems, BenchmarkRow, RawRow, read_row
from rollout.media import inspect_image
from rollout.types import Media
from rollout.videos import open_video

logger = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True, slots=True)
class Benchmark:
    """Pairs of one file, and their pictures."""

    name: BenchmarkName
    path: Path
    sha256: str
    """Of the file, so that answers to another one are not mistaken for these."""
    split: VlSplit
    """How the rows were divided, where there is a choice."""
    rows: tuple[BenchmarkRow, ...]
    media: Mapping[str, Media]
    """What a judge looks at, by ``BenchmarkRow.media_path``."""

    @property
    def num_by_category(self) -> dict[str, int]:
        """Pairs per category, in the order of the file."""
        return dict(Counter(row.category for row in self.rows))


def load_benchmark(name: str, path: Path, *, media_folder: Path, split: VlSplit, video: VideoConfig) -> Benchmark:
    """Everything needed to ask about a benchmark's pairs; ``split`` divides VL-RewardBench.

    Raises:
        ValueError: No benchmark of that name.
        BenchmarkProblems: Lists every invalid row, or every picture that is missing or cannot be decoded.
    """
    rows = read_pairs(name, path, split=split)
    media, problems = _open_media(rows, folder=media_folder, video=video)
    if problems:
        raise BenchmarkProblems(problems)
    benchmark = Benchmark(
        name=known_benchmark(name),
        path=path,
        sha256=hashlib.sha256(_content(path)).hexdigest(),
        split=split,
        rows=rows,
        media=media,
    )
    logger.info("benchmark name=%s pairs=%d categories=%s", name, len(rows), benchmark.num_by_category)
    return benchmark


def read_pairs(name: str, path: Path, *, split: VlSplit) -> tuple[BenchmarkRow, ...]:
    """The rows of a benchmark's file alone: ``.jsonl``, ``.json`` with one list, or ``.csv``.

    Raises:
        ValueError: No benchmark of that name.
        BenchmarkProblems: Lists every row that cannot be used.
    """
    benchmark = known_benchmark(name)
    rows: list[BenchmarkRow] = []
    problems: list[str] = []
    for raw in _raw_rows(path):
        if isinstance(raw, str):
            problems.append(raw)
            continue
        try:
            rows.append(read_row(raw, name=benchmark, split=split))
        except ValueError as error:
            problems += [f"{raw.where}: {line}" for line in str(error).splitlines()]
    if not rows and not problems:
        problems.append(f"{path}: holds no rows")
    if problems:
        raise BenchmarkProblems(problems)
    return tuple(rows)


def known_benchmark(name: str) -> BenchmarkName:
    """The name itself.

    Raises:
        ValueError: It is no benchmark's.
    """
    names: tuple[BenchmarkName, ...] = get_args(BenchmarkName)
    for known in names:
        if name == known:
            return known
    raise ValueError(f"benchmark {name!r} is unknown{did_you_mean(name, names)}; known: {', '.join(names)}")


def _content(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise BenchmarkProblems([f"{path}: cannot be read: {error.strerror}"]) from error


def _raw_rows(path: Path) -> Iterator[RawRow | str]:
    """Each entry of the file, or what is wrong with it."""
    reader = _READERS.get(path.suffix)
    if reader is None:
        known = ", ".join(_READERS)
        raise BenchmarkProblems(
            [f"{path}: expected a file ending in {known}; docs/benchmarks-judges.md says how to convert others"]
        )
    try:
        text = _content(path).decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise BenchmarkProblems([f"{path}: not UTF-8: {error.reason} at byte {error.start}"]) from error
    return reader(text, path)


def _read_lines(text: str, path: Path) -> Iterator[RawRow | str]:
    lines = [(number, line) for number, line in enumerate(text.split("\n"), start=1) if line.strip()]
    for index, (number, line) in enumerate(lines):
        where = f"{path}:{number}"
        try:
            yield _raw_row(json.loads(line), index=index, where=where)
        except json.JSONDecodeError as error:
            yield f"{where}: not JSON: {error.msg} at column {error.colno}"


def _read_list(text: str, path: Path) -> Iterator[RawRow | str]:
    try:
        entries = json.loads(text)
    except json.JSONDecodeError as error:
        yield f"{path}:{error.lineno}: not JSON: {error.msg}"
        return
    if not isinstance(entries, list):
        yield f"{path}: expected one list of rows, got {type(entries).__name__}"
        return
    for index, entry in enumerate(entries):
        yield _raw_row(entry, index=index, where=f"{path}[{index}]")


def _read_table(text: str, path: Path) -> Iterator[RawRow | str]:
    reader = csv.DictReader(io.StringIO(text, newline=""), strict=True)
    try:
        for index, entry in enumerate(reader):
            where = f"{path}:{reader.line_num}"
            if None in entry or None in entry.values():
                yield f"{where}: expected {len(reader.fieldnames or ())} columns as in the first line"
            else:
                yield _raw_row(entry, index=index, where=where)
    except csv.Error as error:
        yield f"{path}:{reader.line_num}: not CSV: {error}"


_READERS: Mapping[str, Callable[[str, Path], Iterator[RawRow | str]]] = {
    ".jsonl": _read_lines,
    ".json": _read_list,
    ".csv": _read_table,
}


def _raw_row(entry: object, *, index: int, where: str) -> RawRow | str:
    if not isinstance(entry, dict):
        return f"{where}: expected an object with named fields, got {type(entry).__name__}"
    return RawRow(index=index, where=where, fields=entry)


def _open_media(
    rows: Sequence[BenchmarkRow], *, folder: Path, video: VideoConfig
) -> tuple[dict[str, Media], list[str]]:
    """Each picture and video, decoded once, and what is wrong with the others; threads help, decoding lets them run."""
    if not folder.is_dir():
        return {}, [f"{folder}: no such folder of pictures"]
    first_rows = {row.media_path: row for row in reversed(rows)}
    distinct = sorted(first_rows.values(), key=lambda row: row.index)
    with ThreadPoolExecutor(max_workers=min(8, os.cpu_count() or 1)) as pool:
        found = list(pool.map(lambda row: _open(row, folder=folder, video=video), distinct))
    opened = {row.media_path: one for row, one in zip(distinct, found, strict=True) if isinstance(one, Media)}
    return opened, [one for one in found if isinstance(one, str)]


def _open(row: BenchmarkRow, *, folder: Path, video: VideoConfig) -> Media | str:
    path = folder / row.media_path
    if not path.exists():
        return f"{row.where}: no {'picture' if row.media_kind == 'image' else 'video or folder of frames'} {path}"
    try:
        if row.media_kind == "video":
            return open_video(path, config=video)
        picture = Media(kind="image", path=str(path))
        inspect_image(picture)
    except ValueError as error:
        return f"{row.where}: {error}"
    return picture
