"""What the rows of pairs show: each picture and video found, opened and decoded once.

rows --find_media--> {MediaSource: Media} and everything missing, torn or damaged
"""

import hashlib
import logging
import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from conf.data import PreferencePairsConfig
from rollout.datasets.pair_rows import MediaSource, PairRow
from rollout.datasets.problems import Problem, ProblemKind
from rollout.media import inspect_image
from rollout.types import Media
from rollout.videos import open_video

logger = logging.getLogger(__name__)


def find_media(
    rows: Sequence[PairRow], *, config: PreferencePairsConfig
) -> tuple[dict[MediaSource, Media], list[Problem]]:
    """The media of all rows, and one problem for each that cannot be shown, at the first row that names it."""
    first_row: dict[MediaSource, PairRow] = {}
    for row in rows:
        for source in row.media:
            first_row.setdefault(source, row)
    logger.info("checking media=%d rows=%d folder=%s", len(first_row), len(rows), config.image_folder)
    with ThreadPoolExecutor(max_workers=min(8, os.cpu_count() or 1)) as pool:  # decoding releases the interpreter lock
        found = list(pool.map(lambda source: _open(source, where=first_row[source].where, config=config), first_row))
    opened = zip(first_row, found, strict=True)
    media = {source: one for source, one in opened if isinstance(one, Media)}
    return media, [one for one in found if isinstance(one, Problem)]


def identity(source: MediaSource, *, folder: Path) -> str:
    """What two rows that show the same have in common, whatever they call it."""
    if source.data is not None:
        return hashlib.blake2b(source.data, digest_size=16).hexdigest()
    return "\n".join(str((folder / name).resolve()) for name in source.names)


def content_of(source: MediaSource) -> str:
    """Names what is shown, for reports."""
    return ", ".join(source.names) or hashlib.blake2b(source.data or b"", digest_size=8).hexdigest()


def _open(source: MediaSource, *, where: str, config: PreferencePairsConfig) -> Media | Problem:
    paths = [Path(config.image_folder) / name for name in source.names]
    missing = [path for path in paths if not path.exists()]
    try:
        if source.kind == "image":
            if missing:
                return Problem(kind="missing_image", where=where, what=f"no picture {missing[0]}")
            media = Media(kind="image", path=str(paths[0]) if paths else None, data=source.data)
            inspect_image(media)
            return media
        if missing:
            return Problem(kind="missing_video", where=where, what=f"no video {missing[0]}")
        return open_video(paths[0] if len(paths) == 1 else paths, config=config.video)
    except ValueError as error:
        kind: ProblemKind = "unreadable_image" if source.kind == "image" else "unreadable_video"
        return Problem(kind=kind, where=where, what=str(error))
