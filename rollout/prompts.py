"""Which prompts a step trains on: a pure function of seed and step, so resuming needs no data-loader state.

Each epoch is a permutation of the whole data set, and steps run over the epochs laid end to end: what an
epoch leaves over opens the next step, nothing is dropped, and no step holds the same item twice. Several data sets may
share the steps by another rule, see ``rollout/mixture.py``.
"""

import math
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from rollout.datasets.base import Dataset, Demonstrations, Mixture
from rollout.mixture import MixedOrder
from rollout.types import Demonstration, Prompt


class Order(Protocol):
    """Which items each step sees."""

    def indices(self, step: int) -> list[int]:
        """The items of one step, all different; equal calls give equal ones.

        Raises:
            ValueError: ``step`` is negative.
        """
        ...


class EpochOrder:
    """Indices of each step. The permutation of the current epoch is cached; nothing else is remembered."""

    def __init__(self, num_items: int, *, per_step: int, seed: int) -> None:
        if per_step < 1:
            raise ValueError(f"a step needs at least 1 item, asked for {per_step}")
        if per_step > num_items:
            raise ValueError(
                f"a step of {per_step} items is larger than the data set of {num_items}; "
                "lower the batch size or add data"
            )
        self._num_items = num_items
        self._per_step = per_step
        self._seed = seed
        self._orders: dict[int, NDArray[np.int64]] = {}

    def indices(self, step: int) -> list[int]:
        """The items of one step, ``per_step`` different ones.

        Raises:
            ValueError: ``step`` is negative.
        """
        if step < 0:
            raise ValueError(f"steps count from 0, asked for {step}")
        first = step * self._per_step
        places = (divmod(position, self._num_items) for position in range(first, first + self._per_step))
        return [int(self._epoch(epoch)[place]) for epoch, place in places]

    def _epoch(self, epoch: int) -> NDArray[np.int64]:
        if epoch not in self._orders:
            # A step touches at most two epochs, so the one before is all that is worth keeping.
            kept = {before: order for before, order in self._orders.items() if before == epoch - 1}
            self._orders = {**kept, epoch: self._arrange(epoch)}
        return self._orders[epoch]

    def _arrange(self, epoch: int) -> NDArray[np.int64]:
        """The epoch's permutation, its head free of what the step it shares has from the epoch before."""
        start = self._independent_epoch(epoch)
        order = self._shuffle(start)
        for following in range(start + 1, epoch + 1):
            num_carried = following * self._num_items % self._per_step
            num_head = (self._per_step - num_carried) % self._per_step
            carried = order[self._num_items - num_carried :]
            order = _postpone(self._shuffle(following), carried, num_head=num_head)
        return order

    def _independent_epoch(self, epoch: int) -> int:
        """The nearest epoch up to this one whose tail does not depend on the epochs before it."""
        # Every so many epochs one begins with a step of its own.
        period = self._per_step // math.gcd(self._num_items, self._per_step)
        aligned = epoch - epoch % period
        # Postponing moves nothing beyond the first step's worth, so a longer epoch's tail is as shuffled.
        return max(aligned, epoch - 1) if self._num_items >= 2 * self._per_step else aligned

    def _shuffle(self, epoch: int) -> NDArray[np.int64]:
        return np.random.default_rng((self._seed, epoch)).permutation(self._num_items)


class PromptStream:
    """The prompts of each RL step; ``mixture`` says how the data sets they are of share it."""

    def __init__(self, dataset: Dataset, *, prompts_per_step: int, seed: int, mixture: Mixture | None = None) -> None:
        self._dataset, self._seed = dataset, seed
        self._order: Order = (
            EpochOrder(len(dataset), per_step=prompts_per_step, seed=seed)
            if mixture is None
            else MixedOrder(mixture, per_step=prompts_per_step, seed=seed)
        )

    def batch(self, step: int) -> list[Prompt]:
        """``prompts_per_step`` different prompts; equal calls give equal prompts."""
        return [self._dataset.prompt(index) for index in self._order.indices(step)]

    def more(self, step: int, *, round_number: int, num_prompts: int) -> list[Prompt]:
        """Prompts in place of some of the step's, drawn from the whole data set; other ones every round."""
        rng = np.random.default_rng((self._seed, step, round_number))
        drawn = rng.choice(len(self._dataset), size=num_prompts, replace=num_prompts > len(self._dataset))
        return [self._dataset.prompt(int(index)) for index in drawn]


class DemonstrationStream:
    """The demonstrations of each supervised step."""

    def __init__(self, demonstrations: Demonstrations, *, batch_size: int, seed: int) -> None:
        self._demonstrations = demonstrations
        self._order = EpochOrder(len(demonstrations), per_step=batch_size, seed=seed)

    def batch(self, step: int) -> list[Demonstration]:
        """``batch_size`` different demonstrations; equal calls give equal ones."""
        return [self._demonstrations.demonstration(index) for index in self._order.indices(step)]


def _postpone(order: NDArray[np.int64], carried: NDArray[np.int64], *, num_head: int) -> NDArray[np.int64]:
    """The order with its first ``num_head`` items that were not ``carried`` over moved to the front."""
    head = np.flatnonzero(~np.isin(order, carried))[:num_head]
    return np.concatenate([order[head], np.delete(order, head)])
