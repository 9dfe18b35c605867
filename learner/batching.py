"""Scored groups to samples, samples to minibatches, ranks and micro-batches, and what each weighs. Arithmetic only.

Every rank runs the same number of micro-batches: under ZeRO-3 each forward pass is a collective, and a rank
with one pass less would leave the others waiting forever.
"""

import heapq
import math
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from conf.algorithms import Aggregation
from learner.advantage import Floats
from learner.types import Outcome, TrainingBatch, TrainingSample
from rewards.types import ScoredGroup

MicroBatch = tuple[int, ...]
"""Sample indices of one forward pass; empty when the rank only keeps the others company."""


@dataclass(frozen=True, kw_only=True, slots=True)
class RowSize:
    """A completion as ``plan_shared`` sees it."""

    group: int
    """Completions of one group have their prompt in common."""
    num_prompt_tokens: int
    num_tokens: int
    """Of the completion."""


def outcomes_of(scored: Sequence[ScoredGroup]) -> list[list[Outcome]]:
    """What each completion of each group earned."""
    return [
        [
            Outcome(reward=reward.total, parts=reward.parts, group_index=index, num_tokens=len(completion.token_ids))
            for completion, reward in zip(one.group.completions, one.rewards, strict=True)
        ]
        for index, one in enumerate(scored)
    ]


def assemble(scored: Sequence[ScoredGroup], advantages: Sequence[Floats | Sequence[Floats]]) -> TrainingBatch:
    """Zip groups with their advantages, one number per completion or one per token.

    Completions with advantage 0 stay: they count in the loss mean.
    """
    groups = zip(scored, outcomes_of(scored), advantages, strict=True)
    return TrainingBatch(
        samples=tuple(
            TrainingSample(
                prompt=one.group.prompt,
                prompt_token_ids=one.group.prompt_token_ids,
                completion=completion,
                outcome=outcome,
                advantages_T=np.full(outcome.num_tokens, advantage, dtype=np.float64),
            )
            for one, outcomes, given in groups
            for completion, outcome, advantage in zip(one.group.completions, outcomes, given, strict=True)
        ),
        num_without_reward=sum(reward.total is None for one in scored for reward in one.rewards),
    )


def minibatches(
    outcomes: Sequence[Outcome], *, num_minibatches: int, seed: int, step: int
) -> tuple[tuple[int, ...], ...]:
    """Deal out whole groups at random, the same way on every rank and in every run: indices by minibatch, ascending.

    Raises:
        ValueError: There are fewer groups than minibatches.
    """
    groups = sorted({one.group_index for one in outcomes})
    if len(groups) < num_minibatches:
        raise ValueError(
            f"algorithm.num_minibatches={num_minibatches} needs as many groups or more, step={step} has {len(groups)}"
        )
    shuffled = np.random.default_rng((seed, step)).permutation(groups)
    dealt_to = {int(group): place % num_minibatches for place, group in enumerate(shuffled)}
    return tuple(
        tuple(index for index, one in enumerate(outcomes) if dealt_to[one.group_index] == minibatch)
        for minibatch in range(num_minibatches)
    )


def loss_weights(outcomes: Sequence[Outcome], *, aggregation: Aggregation, max_tokens: int | None) -> Floats:
    """What a token's loss weighs, by completion: the summed products are the loss of one optimizer step.

    Raises:
        ValueError: Token sums are to be divided by ``max_tokens`` and it is unknown.
    """
    lengths = np.array([max(one.num_tokens, 1) for one in outcomes], dtype=np.float64)
    match aggregation:
        case "token_mean":
            return np.full(len(outcomes), 1.0 / max(sum(one.num_tokens for one in outcomes), 1))
        case "seq_mean_token_mean":
            return 1.0 / (len(outcomes) * lengths)
        case "seq_mean_token_sum_norm":
            if max_tokens is None:
                raise ValueError("algorithm.aggregation=seq_mean_token_sum_norm needs the batch to know max_tokens")
            return np.full(len(outcomes), 1.0 / (len(outcomes) * max_tokens))
        case "prompt_mean":
            tokens = Counter[int]()
            for one in outcomes:
                tokens[one.group_index] += one.num_tokens
            return np.array([1.0 / (len(tokens) * max(tokens[one.group_index], 1)) for one in outcomes])


def plan(
    lengths: Sequence[int], *, world_size: int, micro_batch_size: int, pack_tokens: int | None
) -> tuple[tuple[MicroBatch, ...], ...]:
    """Micro-batches of each rank: ``plan[rank][pass]`` are indices into ``lengths``.

    Padded rows are sorted by length and dealt out ``micro_batch_size`` to a pass in rounds, so that rows of one pass
    are padded little and all ranks work on the same lengths at the same time. Rows that are packed fill passes of at
    most ``pack_tokens`` tokens, few of them and about equally full; one longer than that goes alone.
    Longest first either way: what does not fit in memory fails in the first pass.

    Raises:
        ValueError: A size is not positive.
    """
    _check_sizes(world_size=world_size, micro_batch_size=micro_batch_size, pack_tokens=pack_tokens)
    order = sorted(range(len(lengths)), key=lambda index: (-lengths[index], index))
    if pack_tokens is not None:
        passes = _packed(lengths, order, multiple=world_size, pack_tokens=pack_tokens)
        return tuple(tuple(passes[rank::world_size]) for rank in range(world_size))
    per_pass = world_size * micro_batch_size
    rounds = [order[start : start + per_pass] for start in range(0, len(order), per_pass)]
    return tuple(tuple(tuple(one[rank::world_size]) for one in rounds) for rank in range(world_size))


def plan_shared(
    rows: Sequence[RowSize], *, world_size: int, micro_batch_size: int, pack_tokens: int | None
) -> tuple[tuple[MicroBatch, ...], ...]:
    """The same for completions that share their prompt with siblings in the same pass.

    Groups stay whole where they fit into a pass, which takes ``micro_batch_size`` completions, or ``pack_tokens``
    tokens with each prompt counted once. Those that do not, and all of them where there are fewer than ranks, are cut
    into pieces of about the same size, each of which computes the prompt again.

    Raises:
        ValueError: A size is not positive.
    """
    _check_sizes(world_size=world_size, micro_batch_size=micro_batch_size, pack_tokens=pack_tokens)
    pieces = _pieces(rows, world_size=world_size, micro_batch_size=micro_batch_size, pack_tokens=pack_tokens)
    tokens = [_num_tokens(rows, piece) for piece in pieces]
    costs, budget = ([len(one) for one in pieces], micro_batch_size) if pack_tokens is None else (tokens, pack_tokens)
    order = sorted(range(len(pieces)), key=lambda place: (-costs[place], -tokens[place], place))
    filled = _packed(costs, order, multiple=world_size, pack_tokens=budget)
    filled.sort(key=lambda one: -sum(tokens[place] for place in one))
    passes = [tuple(index for place in one for index in pieces[place]) for one in filled]
    return tuple(tuple(passes[rank::world_size]) for rank in range(world_size))


def _pieces(
    rows: Sequence[RowSize], *, world_size: int, micro_batch_size: int, pack_tokens: int | None
) -> list[MicroBatch]:
    """Groups, whole or cut so that each piece fits into a pass, longest completions first."""
    groups = defaultdict[int, list[int]](list)
    for index in sorted(range(len(rows)), key=lambda index: (-rows[index].num_tokens, index)):
        groups[rows[index].group].append(index)
    pieces: list[MicroBatch] = []
    for members in groups.values():
        num_pieces = min(math.ceil(world_size / len(groups)), len(members))
        while not _all_fit(rows, cut := _cut(members, num_pieces), micro_batch_size, pack_tokens):
            num_pieces += 1
        pieces += cut
    return pieces


def _cut(members: Sequence[int], num_pieces: int) -> list[MicroBatch]:
    return [tuple(members[start::num_pieces]) for start in range(num_pieces)]


def _all_fit(rows: Sequence[RowSize], pieces: Sequence[MicroBatch], num_most: int, pack_tokens: int | None) -> bool:
    if pack_tokens is None:
        return all(len(piece) <= num_most for piece in pieces)
    return all(len(piece) == 1 or _num_tokens(rows, piece) <= pack_tokens for piece in pieces)


def _num_tokens(rows: Sequence[RowSize], piece: MicroBatch) -> int:
    return rows[piece[0]].num_prompt_tokens + sum(rows[index].num_tokens for index in piece)


def _check_sizes(*, world_size: int, micro_batch_size: int, pack_tokens: int | None) -> None:
    if min(world_size, micro_batch_size, 1 if pack_tokens is None else pack_tokens) < 1:
        raise ValueError(
            f"world_size={world_size}, micro_batch_size={micro_batch_size}, pack_tokens={pack_tokens} must be 1 or more"
        )


def _packed(lengths: Sequence[int], order: Sequence[int], *, multiple: int, pack_tokens: int) -> list[MicroBatch]:
    """Passes, fullest first, whose number is a multiple of the ranks'; some may be empty."""
    num_tokens = sum(min(length, pack_tokens) for length in lengths)
    num_passes = multiple * math.ceil(num_tokens / (multiple * pack_tokens))
    while (passes := _spread(lengths, order, num_passes=num_passes, pack_tokens=pack_tokens)) is None:
        num_passes += multiple
    return sorted(passes, key=lambda one: -sum(lengths[index] for index in one))


def _spread(
    lengths: Sequence[int], order: Sequence[int], *, num_passes: int, pack_tokens: int
) -> list[MicroBatch] | None:
    """Each row, longest first, to the pass with the fewest tokens; None when one does not fit there."""
    passes: list[MicroBatch] = [()] * num_passes
    fill = [(0, place) for place in range(num_passes)]
    for index in order:
        num_tokens, place = heapq.heappop(fill)
        if num_tokens and num_tokens + lengths[index] > pack_tokens:
            return None
        passes[place] += (index,)
        heapq.heappush(fill, (num_tokens + lengths[index], place))
    return passes
