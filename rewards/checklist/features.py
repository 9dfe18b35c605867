"""Labelled pairs as numbers: differences of answers in, a table to learn weights from out.

answers of both items --readings--> values [Q] each --difference--> row [Q], unless a tie or an unusable answer
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from rewards.checklist.answers import Answer
from rewards.checklist.readings import Units, feature_vector, read_answers
from rollout.checklist.questions import Checklist

Better = Literal["first", "second", "tie"]
Array = NDArray[np.float64]


@dataclass(frozen=True, kw_only=True, slots=True)
class AnsweredPair:
    """Two items, the answers about each, and which one people prefer."""

    cluster: str
    """Pairs of one prompt err together: they are drawn, and held out, as one."""
    first: Mapping[str, Answer]
    second: Mapping[str, Answer]
    better: Better


@dataclass(frozen=True, kw_only=True, slots=True)
class PreferenceTable:
    """N pairs with a preference and Q questions."""

    question_ids: tuple[str, ...]
    differences_NQ: Array
    """Values of the preferred item minus values of the other."""
    clusters_N: tuple[str, ...]
    num_ties: int
    """Pairs without a preference, left out."""
    num_unusable: int
    """Pairs left out because an answer cannot be used."""

    def __len__(self) -> int:
        return len(self.clusters_N)


def tabulate(
    pairs: Iterable[AnsweredPair], *, checklist: Checklist, units: Units, applies_gates: bool = True
) -> PreferenceTable:
    """The differences of all pairs with a preference and usable answers.

    Raises:
        ValueError: No pair is left.
    """
    rows: list[Array] = []
    clusters: list[str] = []
    num_ties = num_unusable = 0
    for pair in pairs:
        if pair.better == "tie":
            num_ties += 1
            continue
        values = [
            feature_vector(read_answers(one, checklist=checklist, applies_gates=applies_gates), units=units)
            for one in ((pair.first, pair.second) if pair.better == "first" else (pair.second, pair.first))
        ]
        if values[0] is None or values[1] is None:
            num_unusable += 1
            continue
        rows.append(values[0] - values[1])
        clusters.append(pair.cluster)
    if not rows:
        raise ValueError(
            f"no pair to learn from: {num_ties} are ties, {num_unusable} have an answer that is neither yes nor no"
        )
    return PreferenceTable(
        question_ids=checklist.ids,
        differences_NQ=np.stack(rows),
        clusters_N=tuple(clusters),
        num_ties=num_ties,
        num_unusable=num_unusable,
    )
