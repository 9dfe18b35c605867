"""What is wrong with rows of labels beyond their format: ranges, duplicates, leakage, and files that are not there."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from rollout.datasets.label_rows import LabelRow
from rollout.datasets.problems import Problem
from rollout.types import Scale

_ROUNDING = 1e-9
"""Share of a range a label may lie outside: published files hold 100.00000000000001."""


KINDS = frozenset({"image", "video"})

ByKind = str | Mapping[str, str]
Folders = ByKind | Mapping[str, ByKind]
"""One folder for all; or one for pictures and one for videos, {image: FOLDER, video: FOLDER}; or either of these for
each data set by name."""


class MediaFolders:
    """Where the files of each data set lie, pictures and videos in one folder or in two."""

    def __init__(self, given: Folders, *, called: str) -> None:
        """``called`` is what messages call the setting."""
        self._called = called
        self._common = given if isinstance(given, str) else _by_kind(given)
        self._by_name: Mapping[str, ByKind] = {} if isinstance(given, str) else given

    def path(self, row: LabelRow) -> Path:
        """The file a row names; an absolute name stays as it is."""
        found, _ = self._find(row)
        folder = found.get(row.kind) if isinstance(found, Mapping) else found
        return Path(folder or "") / row.media

    def problems(self, rows: Sequence[LabelRow]) -> Iterator[Problem]:
        """Folders that are not there, and data sets or kinds that have none; one problem each."""
        if isinstance(self._common, str):
            yield from _missing(self._common, called=self._called)
            return
        first_row: dict[tuple[str, str], LabelRow] = {}
        for row in rows:
            first_row.setdefault((row.dataset_name, row.kind), row)
        told: set[tuple[str, str]] = set()
        for row in first_row.values():
            for problem in self._problems_of(row):
                if (problem.kind, problem.what) not in told:
                    told.add((problem.kind, problem.what))
                    yield problem

    def _find(self, row: LabelRow) -> tuple[ByKind | None, str]:
        """What is given for the row's data set, if anything is, and what messages call it."""
        if self._common is not None:
            return self._common, self._called
        return self._by_name.get(row.dataset_name), f"{self._called}.{row.dataset_name}"

    def _problems_of(self, row: LabelRow) -> Iterator[Problem]:
        found, called = self._find(row)
        if found is None:
            what = f"{self._called} has no folder for {row.dataset_name!r}, only for {', '.join(self._by_name)}"
            yield Problem(kind="no_folder", where=row.where, what=what)
        elif isinstance(found, str):
            yield from _missing(found, called=called)
        elif row.kind in found:
            yield from _missing(found[row.kind], called=f"{called}.{row.kind}")
        else:
            what = f"{called} has no folder for {noun_of(row)}s, only one for {', '.join(found)}"
            yield Problem(kind="no_folder", where=row.where, what=what)


def _by_kind(given: Mapping[str, ByKind]) -> Mapping[str, str] | None:
    """The same where it names kinds of media and not data sets, else None."""
    of_kinds = {name: folder for name, folder in given.items() if name in KINDS and isinstance(folder, str)}
    return of_kinds if len(of_kinds) == len(given) else None


def _missing(folder: str, *, called: str) -> Iterator[Problem]:
    if not Path(folder).is_dir():
        found = "a file" if Path(folder).exists() else "nothing"
        what = f"{called} must be an existing folder, found {found} there"
        yield Problem(kind="missing_folder", where=folder, what=what)


def is_within(label: float, *, given: Scale) -> bool:
    """Whether a label lies on its range, rounding errors forgiven."""
    slack = _ROUNDING * (given.maximum - given.minimum)
    return given.minimum - slack <= label <= given.maximum + slack


def find_out_of_range(rows: Sequence[LabelRow], *, given: Scale, called: str) -> Iterator[Problem]:
    """Labels outside the scale their row declares, or outside ``given`` where it declares none."""
    for row in rows:
        scale = row.scale or given
        if not is_within(row.label, given=scale):
            whose = "the row's own scale" if row.scale else called
            what = f"label {row.label} of {row.media} lies outside {whose} {scale.minimum:g}..{scale.maximum:g}"
            yield Problem(kind="range", where=row.where, what=what)


def find_duplicates(rows: Sequence[LabelRow], *, folders: MediaFolders) -> Iterator[Problem]:
    """Files labelled twice."""
    first_by_path: dict[Path, str] = {}
    for row in rows:
        first = first_by_path.setdefault(folders.path(row).resolve(), row.where)
        if first != row.where:
            what = f"{noun_of(row)} {row.media} was labelled before, at {first}"
            yield Problem(kind="duplicate", where=row.where, what=what)


def find_repeated_ids(rows: Sequence[LabelRow]) -> Iterator[Problem]:
    """Ids used twice in one file."""
    first_by_id: dict[int | str, str] = {}
    for row in rows:
        if row.row_id is None:
            continue
        first = first_by_id.setdefault(row.row_id, row.where)
        if first != row.where:
            yield Problem(kind="duplicate", where=row.where, what=f"id {row.row_id!r} was used before, at {first}")


def find_leakage(train: Sequence[LabelRow], test: Sequence[LabelRow], *, folders: MediaFolders) -> Iterator[Problem]:
    """Test rows whose file, or whose scene, is also trained on."""
    trained_files = {folders.path(row).resolve(): row.where for row in train}
    trained_scenes = {row.scene: row.where for row in train}
    for row in test:
        file, scene = trained_files.get(folders.path(row).resolve()), trained_scenes.get(row.scene)
        if file is not None:
            what = f"test {noun_of(row)} {row.media} is also trained on, at {file}"
            yield Problem(kind="leakage", where=row.where, what=what)
        elif scene is not None:
            what = f"test {noun_of(row)} {row.media} shows {row.content}, a scene also trained on, at {scene}"
            yield Problem(kind="leakage", where=row.where, what=what)


def noun_of(row: LabelRow) -> str:
    """What messages call the row's medium."""
    return "picture" if row.kind == "image" else "video"
