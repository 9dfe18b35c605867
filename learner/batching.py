"""Which completion goes to which rank and micro-batch, and scored groups to samples. Arithmetic only.

Every rank runs the same number of micro-batches: under ZeRO-3 each forward pass is a collective, and a rank
with one pass less would leave the others waiting forever.
"""

from collections.abc import Sequence

from learner.advantage import Floats
from learner.types import TrainingBatch, TrainingSample
from rewards.types import ScoredGroup

MicroBatch = tuple[int, ...]
"""Sample indices of one forward pass; empty when the rank only keeps the others company."""


def assemble(scored: Sequence[ScoredGroup], advantages: Sequence[Floats]) -> TrainingBatch:
    """Zip groups with their ``[G]`` advantages; those with advantage 0 stay, they count in the loss mean."""
    return TrainingBatch(
        samples=tuple(
            TrainingSample(
                prompt=one.group.prompt,
                prompt_token_ids=one.group.prompt_token_ids,
                completion=completion,
                advantage=float(advantage),
                group_index=index,
            )
            for index, (one, advantages_G) in enumerate(zip(scored, advantages, strict=True))
            for completion, advantage in zip(one.group.completions, advantages_G, strict=True)
        ),
        num_without_reward=sum(reward.total is None for one in scored for reward in one.rewards),
    )


def plan(lengths: Sequence[int], *, world_size: int, micro_batch_size: int) -> tuple[tuple[MicroBatch, ...], ...]:
    """Micro-batches of each rank: ``plan[rank][pass]`` are indices into ``lengths``.

    Rows are sorted by length and dealt out in rounds, so that rows of one pass are padded little and all
    ranks work on the same lengths at the same time. Longest first: what does not fit in memory fails in the
    first pass.

    Raises:
        ValueError: ``world_size`` or ``micro_batch_size`` is not positive.
    """
    if world_size < 1 or micro_batch_size < 1:
        raise ValueError(f"world_size={world_size} and micro_batch_size={micro_batch_size} must be 1 or more")
    order = sorted(range(len(lengths)), key=lambda index: (-lengths[index], index))
    per_pass = world_size * micro_batch_size
    rounds = [order[start : start + per_pass] for start in range(0, len(order), per_pass)]
    return tuple(tuple(tuple(one[rank::world_size]) for one in rounds) for rank in range(world_size))
