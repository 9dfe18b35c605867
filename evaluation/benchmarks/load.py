"""Files of a benchmark in, checked pairs with their pictures out.

Nothing is asked of a judge before every row is valid and every picture has been decoded once.
"""

import hashlib
import logging
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import get_args

from conf.data import VideoConfig
from conf.errors import did_you_mean
from evaluation.benchmarks.categories import VlSplit
from evaluation.benchmarks.files import file_content, open_media, read_rows
from evaluation.benchmarks.rows import BenchmarkName, BenchmarkProblems, BenchmarkRow, read_row
from rollout.datasets.pair_rows import MediaSource
from rollout.types import Media

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
        sha256=hashlib.sha256(file_content(path)).hexdigest(),
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
    return read_rows(path, read=lambda raw: read_row(raw, name=benchmark, split=split))


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


def _open_media(
    rows: Sequence[BenchmarkRow], *, folder: Path, video: VideoConfig
) -> tuple[dict[str, Media], list[str]]:
    """By path; what is wrong with a picture is told of the first row that names it."""
    first_row: dict[str, BenchmarkRow] = {}
    for row in rows:
        first_row.setdefault(row.media_path, row)
    wanted = {MediaSource(kind=row.media_kind, names=(path,)): row.where for path, row in first_row.items()}
    opened, problems = open_media(wanted, folder=folder, video=video)
    return {source.names[0]: media for source, media in opened.items()}, problems
