"""What a set of verdicts can tell: which items it links, whether it contradicts itself, how often it ties."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.sparse.csgraph import connected_components

from rewards.comparisons.verdicts import Tally


@dataclass(frozen=True, kw_only=True, slots=True)
class Structure:
    """The graph of a tally: items are nodes, compared pairs are edges."""

    component_N: NDArray[np.intp]
    """Which set of linked items each belongs to. Nothing compares items of two sets, directly or through third
    ones: whatever a model says of their difference is the prior's."""
    is_compared_N: NDArray[np.bool_]
    """Whether any verdict names the item."""
    num_components: int
    num_strong_components: int
    """Sets of items joined both ways by wins and ties. With more sets than components some item is unbeaten from
    outside its set, or winless: how far it is ahead or behind is the prior's (Ford's condition)."""
    num_triples: int
    """Triples whose three pairs were all decided, each by more wins one way than the other."""
    num_cycles: int
    """Those among them in which the first beats the second, the second the third, and the third the first."""
    tie_fraction: float | None
    """Ties by weight, of all verdicts; None without verdicts."""

    @property
    def cycle_fraction(self) -> float | None:
        """Share of decided triples that are cycles; None without such triples. Coin flips give 1/4."""
        return self.num_cycles / self.num_triples if self.num_triples else None

    def can_compare(self, first: int, second: int) -> bool:
        """Whether verdicts link two items."""
        return bool(self.component_N[first] == self.component_N[second])


def structure(counts: Tally) -> Structure:
    """Describe a tally."""
    verdicts_NN = counts.verdicts
    num_components, component_N = connected_components(verdicts_NN > 0, directed=False)
    num_strong, _ = connected_components(counts.points > 0, directed=True, connection="strong")
    beats_NN = (counts.wins_NN > counts.wins_NN.T).astype(np.float64)
    weight = float(verdicts_NN.sum())
    return Structure(
        component_N=component_N.astype(np.intp),
        is_compared_N=verdicts_NN.sum(axis=1) > 0,
        num_components=int(num_components),
        num_strong_components=int(num_strong),
        num_triples=_closed_walks(beats_NN + beats_NN.T) // 6,
        num_cycles=_closed_walks(beats_NN) // 3,
        tie_fraction=float(counts.ties_NN.sum()) / weight if weight else None,
    )


def _closed_walks(edges_NN: NDArray[np.float64]) -> int:
    """Walks of three steps that end where they began; exact while the counts stay below 2^53."""
    return int(np.sum((edges_NN @ edges_NN) * edges_NN.T))
