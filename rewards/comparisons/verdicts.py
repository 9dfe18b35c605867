"""Verdicts on pairs, their counts, and the simple scores that need no model."""

from collections import defaultdict, deque
from collections.abc import Sequence
from dataclasses import dataclass
from math import isfinite
from typing import Literal

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
Outcome = Literal["first", "second", "tie"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Comparison:
    """One verdict on two items, counted from 0, in the order they were shown."""

    first: int
    second: int
    outcome: Outcome
    weight: float
    """How many plain verdicts it counts for."""

    def __post_init__(self) -> None:
        if self.first == self.second or min(self.first, self.second) < 0:
            raise ValueError(f"a comparison needs two different items from 0 on, got {self.first} and {self.second}")
        if self.outcome not in ("first", "second", "tie"):
            raise ValueError(f"an outcome is first, second or tie, got {self.outcome!r}")
        if not (isfinite(self.weight) and self.weight > 0):
            raise ValueError(f"a comparison weighs more than 0, got {self.weight}; leave it out instead")

    @property
    def winner(self) -> int | None:
        """The better item; None for a tie."""
        return {"first": self.first, "second": self.second, "tie": None}[self.outcome]


@dataclass(frozen=True, kw_only=True, slots=True)
class Tally:
    """Verdicts on N items, counted with their weights."""

    wins_NN: Array
    """Row beat column."""
    ties_NN: Array
    """Symmetric: one tie of a pair stands in both places."""

    def __post_init__(self) -> None:
        shape = self.wins_NN.shape
        if len(shape) != 2 or shape[0] != shape[1] or self.ties_NN.shape != shape or not shape[0]:
            raise ValueError(f"expected two square matrices of counts, got shapes {shape} and {self.ties_NN.shape}")
        for name, counts_NN in (("wins_NN", self.wins_NN), ("ties_NN", self.ties_NN)):
            if not (np.isfinite(counts_NN).all() and (counts_NN >= 0).all()):
                raise ValueError(f"{name} holds a negative or infinite count")
            if np.diagonal(counts_NN).any():
                raise ValueError(f"{name} compares an item with itself; its diagonal must be 0")
        if not np.array_equal(self.ties_NN, self.ties_NN.T):
            raise ValueError("ties_NN must be symmetric; a tie of a pair stands in both places")

    @property
    def num_items(self) -> int:
        """N."""
        return len(self.wins_NN)

    @property
    def verdicts(self) -> Array:
        """Weight of all verdicts on each pair, ``[N, N]``; symmetric."""
        return self.wins_NN + self.wins_NN.T + self.ties_NN

    @property
    def points(self) -> Array:
        """Wins of row over column, a tie being half a win for each, ``[N, N]``."""
        return self.wins_NN + 0.5 * self.ties_NN


@dataclass(frozen=True, kw_only=True, slots=True)
class MergedOrders:
    """Verdicts after both orders of a pair became one."""

    comparisons: tuple[Comparison, ...]
    num_agreed: int
    """Merged verdicts that name the same item, or a tie, in both orders."""
    num_disagreed: int
    """Merged verdicts that do not, and became ties."""
    num_alone: int
    """Verdicts without a counterpart in the other order, kept as they are."""


def tally(comparisons: Sequence[Comparison], *, num_items: int) -> Tally:
    """Count verdicts; items that no verdict names have empty rows.

    Raises:
        ValueError: A verdict names an item from ``num_items`` on.
    """
    wins_NN, ties_NN = np.zeros((2, num_items, num_items))
    for comparison in comparisons:
        first, second = comparison.first, comparison.second
        if max(first, second) >= num_items:
            raise ValueError(f"a verdict on items {first} and {second}, but num_items={num_items}")
        if comparison.outcome == "tie":
            ties_NN[[first, second], [second, first]] += comparison.weight
        else:
            pair = (first, second) if comparison.outcome == "first" else (second, first)
            wins_NN[pair] += comparison.weight
    return Tally(wins_NN=wins_NN, ties_NN=ties_NN)


def merge_orders(comparisons: Sequence[Comparison]) -> MergedOrders:
    """One verdict for each two on the same pair in opposite orders; where they disagree, a tie.

    A win in one order and a tie in the other disagree. Asked more than once, a pair's verdicts are matched in
    the order given. A merged verdict counts once, with the mean of both weights.
    """
    waiting: defaultdict[tuple[int, int], deque[Comparison]] = defaultdict(deque)
    matched: list[tuple[Comparison, Comparison]] = []
    for comparison in comparisons:
        counterparts = waiting[comparison.second, comparison.first]
        if counterparts:
            matched.append((counterparts.popleft(), comparison))
        else:
            waiting[comparison.first, comparison.second].append(comparison)
    alone = [comparison for queue in waiting.values() for comparison in queue]
    num_agreed = sum(one.winner == other.winner for one, other in matched)
    return MergedOrders(
        comparisons=(*(_merge(one, other) for one, other in matched), *alone),
        num_agreed=num_agreed,
        num_disagreed=len(matched) - num_agreed,
        num_alone=len(alone),
    )


def win_rates(counts: Tally) -> Array:
    """Share of its verdicts that each item won, a tie being half, ``[N]``; NaN for an item never compared."""
    num_verdicts_N = counts.verdicts.sum(axis=1)
    rates_N = np.full(counts.num_items, np.nan)
    np.divide(counts.points.sum(axis=1), num_verdicts_N, out=rates_N, where=num_verdicts_N > 0)
    return rates_N


def _merge(one: Comparison, other: Comparison) -> Comparison:
    return Comparison(
        first=one.first,
        second=one.second,
        outcome=one.outcome if one.winner == other.winner else "tie",
        weight=0.5 * (one.weight + other.weight),
    )
