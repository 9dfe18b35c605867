"""Several label files as one: numbered anew, on one scale, pictures of different data sets kept apart."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace

from rollout.datasets.label_checks import is_within, noun_of
from rollout.datasets.label_objects import named_scale
from rollout.datasets.label_rows import LabelRow
from rollout.datasets.problems import Problem
from rollout.types import Scale


def combine(
    rows: Iterable[LabelRow], *, folders: Mapping[str, str], given: Scale | None, is_rank_only: bool
) -> tuple[list[LabelRow], list[Problem]]:
    """The rows with ids 1, 2, ..., and what keeps them from being one file.

    ``folders`` are put before the names of a data set's pictures, so that equal names do not collide; ``given`` is the
    scale of rows that declare none. Where only ranks within a data set are rewarded, scales may differ.
    """
    placed = [_placed(row, folders=folders) for row in rows]
    problems = list(_find_repeated(placed))
    if not is_rank_only:
        placed = [on_known_scale(row, given=given) for row in placed]
        problems += _find_mixed_scales(placed)
    return [replace(row, row_id=number) for number, row in enumerate(placed, start=1)], problems


def shared_names(rows: Iterable[LabelRow]) -> list[str]:
    """Names that pictures of more than one data set have, so that one folder cannot hold them."""
    datasets: dict[str, set[str]] = {}
    for row in rows:
        datasets.setdefault(row.media, set()).add(row.dataset_name)
    return [name for name, sets in datasets.items() if len(sets) > 1]


def on_known_scale(row: LabelRow, *, given: Scale | None) -> LabelRow:
    """The row with its scale: ``given`` if there is one, else what it declares, else what its question names.

    A question whose scale the label lies outside is not believed.
    """
    if given is not None:
        return replace(row, scale=given)
    named = named_scale(row.question)
    if row.scale is not None or named is None or not is_within(row.label, given=named):
        return row
    return replace(row, scale=named)


def find_off_scale(rows: Sequence[LabelRow]) -> Iterator[Problem]:
    """Labels outside the scale of their row."""
    for row in rows:
        if row.scale is not None and not is_within(row.label, given=row.scale):
            what = f"label {row.label} of {row.media} lies outside {row.scale.minimum:g}..{row.scale.maximum:g}"
            yield Problem(kind="scale", where=row.where, what=what)


def _placed(row: LabelRow, *, folders: Mapping[str, str]) -> LabelRow:
    folder = folders.get(row.dataset_name)
    return row if folder is None else replace(row, media=f"{folder.rstrip('/')}/{row.media}")


def _find_repeated(rows: Sequence[LabelRow]) -> Iterator[Problem]:
    first_by_key: dict[tuple[str, str], LabelRow] = {}
    for row in rows:
        first = first_by_key.setdefault(row.key, row)
        if first is not row:
            what = f"{noun_of(row)} {row.media} of {row.dataset_name} was labelled before, at {first.where}"
            yield Problem(kind="duplicate", where=row.where, what=what)


def _find_mixed_scales(rows: Sequence[LabelRow]) -> Iterator[Problem]:
    """The first row on each scale but the first one, and rows whose scale nobody says."""
    first_by_scale: dict[tuple[str, Scale | None], LabelRow] = {}
    for row in rows:
        first_by_scale.setdefault((row.dataset_name, row.scale), row)
    usual = next((row for row in rows if row.scale is not None), None)
    for row in first_by_scale.values():
        if row.scale is None:
            yield Problem(kind="scale", where=row.where, what=f"nothing says what scale {row.dataset_name} is on")
        elif usual is not None and row.scale != usual.scale:
            what = f"{row.dataset_name} is on {_shown(row.scale)}, {usual.dataset_name} on {_shown(usual.scale)}"
            yield Problem(kind="scale", where=row.where, what=what)
    yield from find_off_scale(rows)


def _shown(scale: Scale | None) -> str:
    return "no known scale" if scale is None else f"{scale.minimum:g}..{scale.maximum:g}"
