"""Rows dealt out to splits by what they show: all pictures of one scene go to the same split.

    rows --scenes, sorted--> seeded shuffle --shares--> train, val, test       or the split of KADID-10K by name

Nothing depends on the order of the rows or on Python's hash seed.
"""

import re
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

import numpy as np

from rollout.datasets.label_rows import LabelRow
from rollout.datasets.problems import Problem

SPLITS: Mapping[int, tuple[str, ...]] = {2: ("train", "test"), 3: ("train", "val", "test")}
"""What two or three shares are shares of."""

KADID_REFERENCES = range(1, 82)
KADID_VAL = frozenset({7, 12, 14, 15, 16, 27, 32, 35, 36, 41, 44, 49, 55, 66, 67, 70})
KADID_TEST = frozenset({19, 29, 30, 34, 37, 38, 43, 50, 64, 71, 72, 73, 74, 78, 80, 81})
"""The reference pictures VisualQuality-R1 was committed with; its script draws other ones each time. The rest, 49, are
trained on."""
_KADID_NAME = re.compile(r"I(\d\d)(_\d\d_\d\d)?\.png")


def split_by_scene(rows: Sequence[LabelRow], *, shares: Sequence[float], seed: int) -> dict[str, list[LabelRow]]:
    """The rows of each split in their order; of every data set each split gets its share of the scenes.

    Raises:
        ValueError: There are not two or three positive shares, or a split would be empty.
    """
    if len(shares) not in SPLITS or min(shares) <= 0:
        raise ValueError(f"expected two shares (train:test) or three (train:val:test), all above 0, got {list(shares)}")
    names = SPLITS[len(shares)]
    split_of: dict[tuple[str, str], str] = {}
    for dataset, scenes in _scenes(rows).items():
        order = np.random.default_rng((seed, *dataset.encode())).permutation(len(scenes))
        bounds = np.cumsum([0, *_counts(len(scenes), shares=shares)])
        for name, start, end in zip(names, bounds, bounds[1:], strict=False):
            split_of |= {scenes[place]: name for place in order[start:end]}
    dealt = {name: [row for row in rows if split_of[row.scene] == name] for name in names}
    empty = [name for name, members in dealt.items() if not members]
    if empty:
        raise ValueError(f"{len(split_of)} scenes leave nothing for {' and '.join(empty)}; give it a larger share")
    return dealt


def split_kadid(rows: Sequence[LabelRow]) -> tuple[dict[str, list[LabelRow]], list[Problem]]:
    """KADID-10K as VisualQuality-R1 was committed with it, and rows that are not of KADID-10K."""
    dealt: dict[str, list[LabelRow]] = {name: [] for name in SPLITS[3]}
    problems: list[Problem] = []
    for row in rows:
        found = _KADID_NAME.fullmatch(row.content.rpartition("/")[2])
        number = int(found[1]) if found else 0
        if number not in KADID_REFERENCES:
            what = f"{row.content} is no picture of KADID-10K, which are called I01_01_01.png to I81_25_05.png"
            problems.append(Problem(kind="field", where=row.where, what=what))
            continue
        dealt["val" if number in KADID_VAL else "test" if number in KADID_TEST else "train"].append(row)
    return dealt, problems


def with_scenes(rows: Sequence[LabelRow], *, pattern: re.Pattern[str]) -> Iterator[LabelRow | Problem]:
    """The rows with the first group of ``pattern`` in their file's name as their scene, where the format names none."""
    for row in rows:
        found = pattern.search(row.media)
        if found is None:
            what = f"{pattern.pattern!r} finds no scene in the name {row.media}"
            yield Problem(kind="field", where=row.where, what=what)
        else:
            yield replace(row, content=found[1])


def _scenes(rows: Sequence[LabelRow]) -> dict[str, list[tuple[str, str]]]:
    """Scenes of each data set, both in alphabetical order."""
    found: dict[str, set[tuple[str, str]]] = defaultdict(set)
    for row in rows:
        found[row.dataset_name].add(row.scene)
    return {dataset: sorted(found[dataset]) for dataset in sorted(found)}


def _counts(total: int, *, shares: Sequence[float]) -> list[int]:
    """Whole numbers that sum to ``total``, each within 1 of its share; the largest remainders are rounded up."""
    exact = [total * share / sum(shares) for share in shares]
    counts = [int(one) for one in exact]
    by_remainder = sorted(range(len(shares)), key=lambda place: counts[place] - exact[place])
    for place in by_remainder[: total - sum(counts)]:
        counts[place] += 1
    return counts
