"""What the files of benchmarks and rankings hold: rows with their places, and the pictures and videos they name."""

import csv
import io
import json
import os
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar

from conf.data import VideoConfig
from evaluation.benchmarks.rows import BenchmarkProblems, RawRow
from rollout.datasets.pair_rows import MediaSource
from rollout.media import inspect_image
from rollout.types import Media
from rollout.videos import open_video

T = TypeVar("T")


def file_content(path: Path) -> bytes:
    """All of a file.

    Raises:
        BenchmarkProblems: It cannot be read.
    """
    try:
        return path.read_bytes()
    except OSError as error:
        raise BenchmarkProblems([f"{path}: cannot be read: {error.strerror}"]) from error


def read_rows(path: Path, *, read: Callable[[RawRow], T]) -> tuple[T, ...]:
    """The rows of a ``.jsonl``, ``.json`` (one list) or ``.csv`` file; ``read`` raises one line per problem of a row.

    Raises:
        BenchmarkProblems: Lists everything wrong with the file.
    """
    rows: list[T] = []
    problems: list[str] = []
    for raw in _raw_rows(path):
        if isinstance(raw, str):
            problems.append(raw)
            continue
        try:
            rows.append(read(raw))
        except ValueError as error:
            problems += [f"{raw.where}: {line}" for line in str(error).splitlines()]
    if not rows and not problems:
        problems.append(f"{path}: holds no rows")
    if problems:
        raise BenchmarkProblems(problems)
    return tuple(rows)


def open_media(
    wanted: Mapping[MediaSource, str], *, folder: Path, video: VideoConfig
) -> tuple[dict[MediaSource, Media], list[str]]:
    """Each picture and video, decoded once, and what is wrong with the others; ``wanted`` says where each is named."""
    if wanted and not folder.is_dir():
        return {}, [f"{folder}: no such folder of pictures"]
    with ThreadPoolExecutor(max_workers=min(8, os.cpu_count() or 1)) as pool:  # decoding lets other threads run
        found = list(pool.map(lambda source: _open(source, wanted[source], folder=folder, video=video), wanted))
    opened = {source: one for source, one in zip(wanted, found, strict=True) if isinstance(one, Media)}
    return opened, [one for one in found if isinstance(one, str)]


def _raw_rows(path: Path) -> Iterator[RawRow | str]:
    """Each entry of the file, or what is wrong with it."""
    reader = _READERS.get(path.suffix)
    if reader is None:
        known = ", ".join(_READERS)
        raise BenchmarkProblems(
            [f"{path}: expected a file ending in {known}; docs/benchmarks-judges.md says how to convert others"]
        )
    try:
        text = file_content(path).decode("utf-8-sig")
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


def _open(source: MediaSource, where: str, *, folder: Path, video: VideoConfig) -> Media | str:
    paths = [folder / name for name in source.names]
    missing = [path for path in paths if not path.exists()]
    if missing:
        return f"{where}: no {'picture' if source.kind == 'image' else 'video or folder of frames'} {missing[0]}"
    try:
        if source.kind == "video":
            return open_video(paths[0] if len(paths) == 1 else paths, config=video)
        picture = Media(kind="image", path=str(paths[0]))
        inspect_image(picture)
    except ValueError as error:
        return f"{where}: {error}"
    return picture
