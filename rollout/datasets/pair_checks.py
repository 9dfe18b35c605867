"""What rows of pairs must not have in common, and what the chosen options ask of each."""

from collections.abc import Iterator, Sequence
from pathlib import Path

from conf.data import PreferencePairsConfig
from rollout.datasets.pair_media import identity
from rollout.datasets.pair_rows import PairRow
from rollout.datasets.problems import Problem


def find_problems(
    train: Sequence[PairRow], test: Sequence[PairRow], *, config: PreferencePairsConfig
) -> Iterator[Problem]:
    """Duplicates within a split, leakage between them, and answers that had to be known and are not."""
    folder = Path(config.image_folder)
    for rows in (train, test):
        yield from _find_duplicates(rows, folder=folder)
    yield from _find_leakage(train, test, folder=folder)
    if config.prompt != "as_given":
        yield from _find_hidden_responses([*train, *test], option=f"data.prompt={config.prompt}")
    elif config.order != "as_given":
        yield from _find_hidden_responses(train, option=f"data.order={config.order}")


def _find_duplicates(rows: Sequence[PairRow], *, folder: Path) -> Iterator[Problem]:
    first_by_id: dict[tuple[str, str], PairRow] = {}
    first_by_pair: dict[object, PairRow] = {}
    for row in rows:
        first = first_by_id.setdefault((row.source, row.row_id), row)
        if first is not row:
            what = f"id {row.row_id!r} was used before, at {first.where}"
            yield Problem(kind="duplicate", where=row.where, what=what)
            continue
        first = first_by_pair.setdefault(_pair_key(row, folder=folder), row)
        if first is not row:
            yield Problem(kind="duplicate", where=row.where, what=_repeated(row, first=first))


def _pair_key(row: PairRow, *, folder: Path) -> object:
    """Equal for two rows that ask the same, in whichever order."""
    shown = tuple(identity(source, folder=folder) for source in row.media)
    answers = frozenset(row.responses) if row.responses else row.turns
    return shown, row.question, answers


def _repeated(row: PairRow, *, first: PairRow) -> str:
    if row.responses is None or first.responses is None:
        return f"the same message stands at {first.where}"
    is_same_choice = row.responses[row.better - 1] == first.responses[first.better - 1]
    agreement = "with the same label" if is_same_choice else "where the other answer is called the better one"
    return f"the same pair stands at {first.where}, {agreement}"


def _find_leakage(train: Sequence[PairRow], test: Sequence[PairRow], *, folder: Path) -> Iterator[Problem]:
    trained_ids = {(row.source, row.row_id): row.where for row in train}
    trained_media = {identity(source, folder=folder): row.where for row in train for source in row.media}
    for row in test:
        if (where := trained_ids.get((row.source, row.row_id))) is not None:
            yield Problem(kind="leakage", where=row.where, what=f"id {row.row_id!r} is also trained on, at {where}")
            continue
        for source in row.media:
            if (where := trained_media.get(identity(source, folder=folder))) is not None:
                name = ", ".join(source.names) or "in the row"
                what = f"{source.kind} {name} is also trained on, at {where}"
                yield Problem(kind="leakage", where=row.where, what=what)


def _find_hidden_responses(rows: Sequence[PairRow], *, option: str) -> Iterator[Problem]:
    for row in rows:
        if row.responses is None:
            what = f"message: no [Question], [Response 1] and [Response 2] to be found, which {option} needs"
            yield Problem(kind="hidden_responses", where=row.where, what=what)
