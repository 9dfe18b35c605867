"""How several data sets share the steps: chunks of one data set, drawn by size or by name; a function of seed and step.

    data set a: [a a a a|a a a a|a]      epoch: [a a a a|b b b b|a a a a|...]      steps: so many chunks each
    data set b: [b b b b|b b]

An epoch shows whole chunks in whole steps, and nothing twice. What does not fill a chunk, or a step, sits out; every
epoch these are other items, so that none sits out twice before all others did.
"""

from collections.abc import Iterator, Mapping

import numpy as np
from numpy.typing import NDArray

from rollout.datasets.base import Mixture

Indices = NDArray[np.int64]

_WHO_SITS_OUT = 1
"""Part of the seed of the order in which items sit out, beside the seeds of the epochs."""


class MixedOrder:
    """Indices of each step. The order of the current epoch is cached; nothing else is remembered."""

    def __init__(self, mixture: Mixture, *, per_step: int, seed: int) -> None:
        if per_step % mixture.chunk_size:
            raise ValueError(f"data.chunk_size={mixture.chunk_size} must divide the {per_step} prompts of a step")
        names = np.asarray(mixture.names)
        members = {str(name): np.flatnonzero(names == name) for name in np.unique(names)}
        self._mixture, self._seed = mixture, seed
        self._num_chunks = _chunks_by_name(
            {name: len(indices) for name, indices in members.items()},
            chunk_size=mixture.chunk_size,
            chunks_per_step=per_step // mixture.chunk_size,
        )
        self._per_step = per_step
        self._queues = {
            name: np.random.default_rng((seed, _WHO_SITS_OUT, number)).permutation(indices)
            for number, (name, indices) in enumerate(members.items())
        }
        self._cached: tuple[int, Indices] = (-1, np.empty(0, dtype=np.int64))

    @property
    def steps_per_epoch(self) -> int:
        """Steps before an item may be shown again."""
        return sum(self._num_chunks.values()) * self._mixture.chunk_size // self._per_step

    def indices(self, step: int) -> list[int]:
        """The items of one step, in chunks of one data set each.

        Raises:
            ValueError: ``step`` is negative.
        """
        if step < 0:
            raise ValueError(f"steps count from 0, asked for {step}")
        epoch, place = divmod(step, self.steps_per_epoch)
        first = place * self._per_step
        return [int(index) for index in self._epoch(epoch)[first : first + self._per_step]]

    def _epoch(self, epoch: int) -> Indices:
        if self._cached[0] != epoch:
            self._cached = (epoch, self._arrange(epoch))
        return self._cached[1]

    def _arrange(self, epoch: int) -> Indices:
        rng = np.random.default_rng((self._seed, epoch))
        size = self._mixture.chunk_size
        chunks = {name: iter(rng.permutation(self._shown(name, epoch)).reshape(-1, size)) for name in self._num_chunks}
        turns = self._turns_by_size(rng) if self._mixture.rule == "proportional" else self._turns_by_name(rng)
        return np.concatenate([next(chunks[name]) for name in turns])

    def _shown(self, name: str, epoch: int) -> Indices:
        """The items of a data set that take part in an epoch: all but the next few in the queue."""
        queue = self._queues[name]
        num_shown = self._num_chunks[name] * self._mixture.chunk_size
        start = epoch * (len(queue) - num_shown)
        return np.roll(queue, -start)[len(queue) - num_shown :]

    def _turns_by_size(self, rng: np.random.Generator) -> Iterator[str]:
        names = [name for name, count in self._num_chunks.items() for _ in range(count)]
        yield from (names[place] for place in rng.permutation(len(names)))

    def _turns_by_name(self, rng: np.random.Generator) -> Iterator[str]:
        left = dict(self._num_chunks)
        while left:
            name = list(left)[int(rng.integers(len(left)))]
            yield name
            left[name] -= 1
            if not left[name]:
                del left[name]


def _chunks_by_name(sizes: Mapping[str, int], *, chunk_size: int, chunks_per_step: int) -> dict[str, int]:
    """Chunks of each data set in an epoch; what is too much for whole steps comes off the largest.

    Raises:
        ValueError: A data set is smaller than a chunk, or all of them are smaller than a step.
    """
    small = [f"{name} ({size})" for name, size in sizes.items() if size < chunk_size]
    if small:
        raise ValueError(
            f"data.chunk_size={chunk_size} is more than the prompts of {', '.join(small)}; lower it or leave them out"
        )
    chunks = {name: size // chunk_size for name, size in sizes.items()}
    total = sum(chunks.values())
    if total < chunks_per_step:
        raise ValueError(
            f"a step of {chunks_per_step * chunk_size} items is larger than the {total} whole chunks of {chunk_size}; "
            "lower the batch size or add data"
        )
    for _ in range(total % chunks_per_step):
        largest = max(chunks, key=lambda name: chunks[name])
        if chunks[largest] == 1:
            raise ValueError(
                f"steps of {chunks_per_step} chunks leave out some of {', '.join(chunks)} for good, which have one "
                f"chunk of data.chunk_size={chunk_size} each; lower it or change rollout.prompts_per_step"
            )
        chunks[largest] -= 1
    return chunks
