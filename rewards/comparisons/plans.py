"""Which pairs to ask about. A pair is (shown first, shown second), items counted from 0.

Every plan but ``both_orders`` asks about a pair once, and shows each item first about as often as second, so
that a judge who favours a position favours no item.
"""

from collections.abc import Sequence
from itertools import chain

import numpy as np

Pair = tuple[int, int]


def round_robin(num_items: int) -> tuple[Pair, ...]:
    """All ``n (n - 1) / 2`` pairs; an item is shown first as often as second, give or take one."""
    _check_items(num_items)
    return tuple(chain.from_iterable(_circle(range(num_items), offset) for offset in _offsets(num_items)))


def ring(num_items: int) -> tuple[Pair, ...]:
    """Each item against the next and the last against the first: ``n`` pairs, or one when ``n`` is 2."""
    _check_items(num_items)
    return tuple(_circle(range(num_items), 1))


def sparse(num_items: int, *, num_pairs: int, seed: int) -> tuple[Pair, ...]:
    """A random plan of ``num_pairs`` pairs in which every item is linked to every other, if only through third ones.

    The items sit on a circle in random order. Neighbours are asked about first, then all pairs at another
    distance, the distances in random order: no item is in more than two pairs more than another.

    Raises:
        ValueError: Fewer pairs than link all items (``n - 1``), or more than there are.
    """
    _check_items(num_items)
    most = num_items * (num_items - 1) // 2
    if not num_items - 1 <= num_pairs <= most:
        raise ValueError(f"{num_items} items need {num_items - 1}..{most} pairs to be linked once, got {num_pairs}")
    random = np.random.default_rng(seed)
    items = random.permutation(num_items).tolist()
    _, *further = _offsets(num_items)
    offsets = [1, *random.permutation(further).astype(int).tolist()]
    return tuple(chain.from_iterable(_circle(items, offset) for offset in offsets))[:num_pairs]


def both_orders(plan: Sequence[Pair]) -> tuple[Pair, ...]:
    """Each pair followed by the same pair the other way round."""
    return tuple(chain.from_iterable(((first, second), (second, first)) for first, second in plan))


def _offsets(num_items: int) -> range:
    """Distances on a circle of items."""
    return range(1, num_items // 2 + 1)


def _circle(items: Sequence[int], offset: int) -> list[Pair]:
    """All pairs at one distance; the widest distance of an even circle meets every pair from both ends."""
    num_pairs = len(items) // 2 if 2 * offset == len(items) else len(items)
    return [(items[i], items[(i + offset) % len(items)]) for i in range(num_pairs)]


def _check_items(num_items: int) -> None:
    if num_items < 2:
        raise ValueError(f"a pair needs two items, got {num_items}")
