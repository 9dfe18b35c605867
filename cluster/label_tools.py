"""Label files in, label files out: another format, another scale, splits by scene, several files as one.

Everything is checked before anything is written, nothing is overwritten, and what a format has no place for is counted.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from rich.console import Console

from conf.errors import ConfigError
from rollout.datasets.combine import combine, find_off_scale, on_known_scale, shared_names
from rollout.datasets.label_files import read_labels, written_labels
from rollout.datasets.label_rows import LabelRow
from rollout.datasets.label_tables import TABLES
from rollout.datasets.normalise import LinearMap, observed_range
from rollout.datasets.problems import DatasetProblems, Problem
from rollout.datasets.splits import split_by_scene, split_kadid, with_scenes
from rollout.types import Scale

THIS_FILE: Literal["file"] = "file"
"""In place of a range: from the lowest to the highest label of the file that is converted."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Formats:
    """What files are read as and written as."""

    given: str
    wanted: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Rescaling:
    """From which range to which scale."""

    given: Scale | Path | Literal["file"] | None
    """A range, the file whose labels span it (the training split), or the converted file itself; None: what the rows or
    their questions say."""
    target: Scale | None
    higher_is_better: bool
    clips: bool
    """Whether labels outside the range are set to its nearest end, where they are refused otherwise."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Shares:
    """A split in parts of given size."""

    shares: tuple[float, ...]
    seed: int


def convert(
    source: Path,
    target: Path,
    *,
    formats: Formats,
    rescaling: Rescaling,
    dataset: str | None,
    scene: re.Pattern[str] | None,
    console: Console,
) -> None:
    """One file in another format, under another name of the data set, or on another scale.

    Raises:
        ConfigError: ``target`` exists, or options lack what they need.
        DatasetProblems: Rows cannot be used; nothing is written.
    """
    refuse_existing(target)
    rows = rows_of(source, label_format=formats.given)
    if dataset is not None:
        rows = [replace(row, dataset_name=dataset) for row in rows]
    given = _range_of(rescaling, rows, label_format=formats.given)
    rows = [on_known_scale(row, given=given) for row in _in_scenes(rows, scene=scene)]
    if rescaling.target is not None:
        rows = _rescaled(rows, target=rescaling.target, rescaling=rescaling, console=console)
    elif rescaling.clips or not rescaling.higher_is_better:
        raise ConfigError(["--clip and --lower-is-better need --scale LOW,HIGH, what the labels are mapped to"])
    elif given is not None:
        raise_any(find_off_scale(rows))
    _write({target: rows}, label_format=formats.wanted, console=console)


def split(
    source: Path,
    folder: Path,
    *,
    formats: Formats,
    rule: Shares | Literal["kadid"],
    scene: re.Pattern[str] | None,
    console: Console,
) -> None:
    """A file for each split, in ``folder``.

    Raises:
        ConfigError: A file is there already.
        DatasetProblems: Rows cannot be used; nothing is written.
        ValueError: The shares cannot be dealt out.
    """
    rows = _in_scenes(rows_of(source, label_format=formats.given), scene=scene)
    if isinstance(rule, Shares):
        splits = split_by_scene(rows, shares=rule.shares, seed=rule.seed)
        if all(row.content == row.media for row in rows):
            say(console, "every picture counts as a scene of its own; where several show one scene, give --scene REGEX")
    else:
        splits, problems = split_kadid(rows)
        raise_any(problems)
    ending = ".txt" if formats.wanted in TABLES else ".json" if source.suffix == ".json" else ".jsonl"
    files = {folder / f"{name}{ending}": members for name, members in splits.items()}
    for file in files:
        refuse_existing(file)
    folder.mkdir(parents=True, exist_ok=True)
    _write(files, label_format=formats.wanted, console=console)


def combine_files(
    sources: Sequence[Path],
    target: Path,
    *,
    formats: Formats,
    folders: Mapping[str, str],
    given: Scale | None,
    is_rank_only: bool,
    console: Console,
) -> None:
    """Several files as one, numbered anew.

    Raises:
        ConfigError: ``target`` exists.
        DatasetProblems: Rows cannot be used, or are on different scales; nothing is written.
    """
    refuse_existing(target)
    every = [row for source in sources for row in rows_of(source, label_format=formats.given)]
    rows, problems = combine(every, folders=folders, given=given, is_rank_only=is_rank_only)
    raise_any(problems)
    shared = shared_names(rows)
    if shared:
        say(
            console,
            f"{len(shared)} names occur in more than one data set, such as {shared[0]}: give each data set its folder, "
            "here with --images NAME=FOLDER or in the run with 'data.image_folder={NAME: FOLDER, ...}'",
        )
    _write({target: rows}, label_format=formats.wanted, console=console)


def rows_of(path: Path, *, label_format: str) -> list[LabelRow]:
    """All rows of a file.

    Raises:
        DatasetProblems: The file cannot be read, or a row of it.
    """
    rows, problems = read_labels(path, label_format=label_format, called="the label file")
    raise_any(problems)
    return rows


def raise_any(problems: Iterable[Problem]) -> None:
    """Raise when there are problems.

    Raises:
        DatasetProblems: There are.
    """
    found = list(problems)
    if found:
        raise DatasetProblems(found)


def refuse_existing(path: Path) -> None:
    """Refuse to overwrite.

    Raises:
        ConfigError: There is a file or folder of that name.
    """
    if path.exists():
        raise ConfigError([f"{path}: exists, and nothing is overwritten; remove it or choose another name"])


def say(console: Console, text: str) -> None:
    """Print text as it is."""
    console.print(text, highlight=False, markup=False, soft_wrap=True)


def _in_scenes(rows: Sequence[LabelRow], *, scene: re.Pattern[str] | None) -> list[LabelRow]:
    if scene is None:
        return list(rows)
    found = list(with_scenes(rows, pattern=scene))
    raise_any(one for one in found if isinstance(one, Problem))
    return [one for one in found if isinstance(one, LabelRow)]


def _range_of(rescaling: Rescaling, rows: Sequence[LabelRow], *, label_format: str) -> Scale | None:
    if isinstance(rescaling.given, Path):
        return observed_range(rows_of(rescaling.given, label_format=label_format))
    return observed_range(rows) if isinstance(rescaling.given, str) else rescaling.given


def _rescaled(rows: Sequence[LabelRow], *, target: Scale, rescaling: Rescaling, console: Console) -> list[LabelRow]:
    what = "neither the row nor its question says what range its label is in"
    raise_any(Problem(kind="scale", where=row.where, what=what) for row in rows if row.scale is None)
    outside = list(find_off_scale(rows))
    if outside and rescaling.clips:
        say(console, f"{len(outside)} labels outside their range were set to its nearest end")
    elif outside:
        raise DatasetProblems(outside)
    maps = {
        scale: LinearMap(given=scale, target=target, higher_is_better=rescaling.higher_is_better)
        for scale in {row.scale for row in rows}
        if scale is not None
    }
    return [maps[row.scale].row(row) for row in rows if row.scale is not None]


def _write(files: Mapping[Path, Sequence[LabelRow]], *, label_format: str, console: Console) -> None:
    written = {
        path: written_labels(rows, label_format=label_format, as_list=path.suffix == ".json")
        for path, rows in files.items()
    }
    raise_any(problem for one in written.values() for problem in one.problems)
    for path, one in written.items():
        try:
            path.write_text(one.text, encoding="utf-8")
        except OSError as error:
            raise ConfigError([f"{path}: cannot be written: {error.strerror}"]) from error
        lost = "".join(f"; {name} of {count} left out, it has no place there" for name, count in one.left_out.items())
        scenes = len({row.scene for row in files[path]})
        say(console, f"{path}: {len(files[path])} rows of {scenes} scenes{lost}")
