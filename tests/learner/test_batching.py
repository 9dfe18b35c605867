"""Which completion goes where."""

from collections.abc import Sequence
from itertools import chain

import numpy as np
import pytest

from conf.algorithms import Aggregation
from learner.advantage import center
from learner.batching import MicroBatch, RowSize, assemble, loss_weights, minibatches, plan, plan_shared
from learner.types import Outcome
from tests.builders import make_group, make_scored_group

LENGTHS = [5, 90, 17, 33, 8, 8, 61, 2, 40, 11, 29]


def packed(lengths: Sequence[int], *, world_size: int, pack_tokens: int) -> tuple[tuple[MicroBatch, ...], ...]:
    """The plan of rows laid end to end."""
    return plan(lengths, world_size=world_size, micro_batch_size=1, pack_tokens=pack_tokens)


@pytest.mark.parametrize("world_size", [1, 2, 3, 4])
@pytest.mark.parametrize("micro_batch_size", [1, 2, 5])
def test_every_row_is_planned_exactly_once(world_size: int, micro_batch_size: int) -> None:
    planned = plan(LENGTHS, world_size=world_size, micro_batch_size=micro_batch_size, pack_tokens=None)
    assert sorted(chain.from_iterable(chain.from_iterable(planned))) == list(range(len(LENGTHS)))


@pytest.mark.parametrize("world_size", [1, 2, 3, 4])
def test_every_rank_makes_the_same_number_of_passes(world_size: int) -> None:
    planned = plan(LENGTHS, world_size=world_size, micro_batch_size=2, pack_tokens=None)
    assert len({len(passes) for passes in planned}) == 1


@pytest.mark.parametrize("micro_batch_size", [1, 2, 5])
def test_no_pass_is_larger_than_allowed(micro_batch_size: int) -> None:
    planned = plan(LENGTHS, world_size=2, micro_batch_size=micro_batch_size, pack_tokens=None)
    assert max(len(one) for passes in planned for one in passes) <= micro_batch_size


def test_ranks_differ_by_one_row_at_most() -> None:
    sizes = [
        sum(len(one) for one in passes) for passes in plan(LENGTHS, world_size=3, micro_batch_size=2, pack_tokens=None)
    ]
    assert max(sizes) - min(sizes) <= 1


def test_a_rank_without_rows_in_the_last_pass_keeps_the_others_company() -> None:
    assert plan([3, 2, 1], world_size=2, micro_batch_size=1, pack_tokens=None) == (((0,), (2,)), ((1,), ()))


def test_long_rows_share_a_pass_with_long_rows() -> None:
    assert plan([1, 50, 2, 60], world_size=1, micro_batch_size=2, pack_tokens=None) == (((3, 1), (2, 0)),)


def test_equal_lengths_keep_their_order() -> None:
    assert plan([4, 4, 4, 4], world_size=1, micro_batch_size=2, pack_tokens=None) == (((0, 1), (2, 3)),)


@pytest.mark.parametrize(
    ("world_size", "micro_batch_size", "pack_tokens"), [(0, 1, None), (1, 0, None), (1, 1, 0), (0, 1, 8)]
)
def test_sizes_below_one_are_refused(world_size: int, micro_batch_size: int, pack_tokens: int | None) -> None:
    with pytest.raises(ValueError, match="must be 1 or more"):
        plan(LENGTHS, world_size=world_size, micro_batch_size=micro_batch_size, pack_tokens=pack_tokens)


@pytest.mark.parametrize("world_size", [1, 2, 3, 4])
@pytest.mark.parametrize("pack_tokens", [1, 40, 64, 100, 1000])
def test_packed_rows_are_planned_once_and_every_rank_makes_the_same_number_of_passes(
    world_size: int, pack_tokens: int
) -> None:
    planned = packed(LENGTHS, world_size=world_size, pack_tokens=pack_tokens)
    assert sorted(chain.from_iterable(chain.from_iterable(planned))) == list(range(len(LENGTHS)))
    assert len(planned) == world_size
    assert len({len(passes) for passes in planned}) == 1


@pytest.mark.parametrize("seed", range(20))
def test_packed_passes_keep_to_the_budget_and_only_a_longer_row_goes_beyond_it_alone(seed: int) -> None:
    lengths = np.random.default_rng(seed).integers(1, 60, 50).tolist()
    planned = packed(lengths, world_size=1 + seed % 3, pack_tokens=48)
    for indices in chain.from_iterable(planned):
        assert sum(lengths[index] for index in indices) <= 48 or len(indices) == 1


@pytest.mark.parametrize("seed", range(20))
def test_packing_takes_few_passes(seed: int) -> None:
    lengths = np.random.default_rng(seed).integers(1, 60, 200).tolist()
    (passes,) = packed(lengths, world_size=1, pack_tokens=512)
    assert len(passes) <= -(-sum(lengths) // 512) + 1


def test_what_fits_into_one_pass_is_one_pass() -> None:
    assert packed([3, 5, 2], world_size=1, pack_tokens=10) == (((1, 0, 2),),)


def test_packed_rows_are_spread_evenly_over_ranks() -> None:
    # 22 tokens would fit into passes of 10, 10 and 2 as well as of 8, 7 and 7.
    planned = packed([6, 5, 4, 3, 3, 1], world_size=3, pack_tokens=10)
    assert planned == (((1, 4),), ((0, 5),), ((2, 3),))


def test_a_rank_without_packed_rows_keeps_the_others_company() -> None:
    assert packed([3, 2, 2], world_size=2, pack_tokens=3) == (((0,), (2,)), ((1,), ()))


def test_the_fullest_packed_pass_comes_first() -> None:
    assert packed([30, 4, 2], world_size=1, pack_tokens=5) == (((0,), (1,), (2,)),)


def make_rows(*groups: tuple[int, Sequence[int]]) -> list[RowSize]:
    """Of prompts and completions of these lengths."""
    return [
        RowSize(group=group, num_prompt_tokens=prompt, num_tokens=length)
        for group, (prompt, lengths) in enumerate(groups)
        for length in lengths
    ]


def num_computed(rows: Sequence[RowSize], indices: MicroBatch) -> int:
    """Tokens of a pass, every prompt counted once."""
    prompts = {rows[index].group: rows[index].num_prompt_tokens for index in indices}
    return sum(prompts.values()) + sum(rows[index].num_tokens for index in indices)


@pytest.mark.parametrize("world_size", [1, 2, 3, 4])
@pytest.mark.parametrize(
    ("micro_batch_size", "pack_tokens"), [(1, None), (3, None), (20, None), (1, 1), (1, 60), (1, 999)]
)
@pytest.mark.parametrize("seed", range(3))
def test_shared_rows_are_planned_once_within_the_budget_and_every_rank_makes_the_same_number_of_passes(
    world_size: int, micro_batch_size: int, pack_tokens: int | None, seed: int
) -> None:
    draws = np.random.default_rng(seed)
    rows = make_rows(*((int(draws.integers(1, 40)), draws.integers(0, 30, 4).tolist()) for _ in range(6)))
    planned = plan_shared(rows, world_size=world_size, micro_batch_size=micro_batch_size, pack_tokens=pack_tokens)
    passes = list(chain.from_iterable(planned))
    assert sorted(chain.from_iterable(passes)) == list(range(len(rows)))
    assert len(planned) == world_size
    assert len({len(mine) for mine in planned}) == 1
    for indices in passes:
        if pack_tokens is None:
            assert len(indices) <= micro_batch_size
        else:
            assert num_computed(rows, indices) <= pack_tokens or len(indices) == 1


def test_siblings_share_a_pass() -> None:
    rows = make_rows((10, (1, 2)), (5, (3, 4)))
    assert plan_shared(rows, world_size=2, micro_batch_size=2, pack_tokens=None) == (((1, 0),), ((3, 2),))
    assert plan_shared(rows, world_size=1, micro_batch_size=1, pack_tokens=13) == (((1, 0), (3, 2)),)


def test_a_prompt_counts_once_in_a_pass() -> None:
    rows = make_rows((10, (1, 2)), (5, (3, 4)))
    # 10 + 1 + 2 and 5 + 3 + 4.
    assert plan_shared(rows, world_size=1, micro_batch_size=1, pack_tokens=25) == (((1, 0, 3, 2),),)
    assert plan_shared(rows, world_size=1, micro_batch_size=1, pack_tokens=24) == (((1, 0), (3, 2)),)


def test_a_group_that_does_not_fit_is_cut_into_pieces_of_about_the_same_size() -> None:
    rows = make_rows((10, (6, 5, 4, 3, 2)))
    assert plan_shared(rows, world_size=1, micro_batch_size=1, pack_tokens=22) == (((0, 2, 4), (1, 3)),)
    assert plan_shared(rows, world_size=1, micro_batch_size=3, pack_tokens=None) == (((0, 2, 4), (1, 3)),)


def test_a_completion_that_does_not_fit_with_its_prompt_goes_alone() -> None:
    rows = make_rows((10, (6, 1)), (2, (3,)))
    assert plan_shared(rows, world_size=1, micro_batch_size=1, pack_tokens=12) == (((0,), (1,), (2,)),)


def test_fewer_groups_than_ranks_are_cut_so_that_no_rank_is_idle() -> None:
    rows = make_rows((10, (4, 4, 4, 4)))
    assert plan_shared(rows, world_size=2, micro_batch_size=9, pack_tokens=None) == (((0, 2),), ((1, 3),))
    assert plan_shared(rows[:1], world_size=2, micro_batch_size=9, pack_tokens=None) == (((0,),), ((),))


def test_a_plan_of_shared_rows_refuses_sizes_below_one() -> None:
    with pytest.raises(ValueError, match="must be 1 or more"):
        plan_shared(make_rows((1, (1,))), world_size=1, micro_batch_size=0, pack_tokens=None)


def test_completions_without_credit_stay_in_the_batch() -> None:
    scored = [make_scored_group([1.0, 1.0], group=make_group(["ab", "cdef"]))]
    batch = assemble(scored, [center(np.array([1.0, 1.0]))])
    assert (batch.num_loss_tokens, batch.has_credit) == (6, False)


def test_an_advantage_per_completion_holds_for_each_of_its_tokens() -> None:
    scored = [make_scored_group([1.0, 3.0], group=make_group(["ab", "cde"]))]
    batch = assemble(scored, [np.array([-1.0, 1.0])])
    assert [sample.advantages_T.tolist() for sample in batch.samples] == [[-1.0, -1.0], [1.0, 1.0, 1.0]]


def test_advantages_per_token_are_kept() -> None:
    scored = [make_scored_group([1.0], group=make_group(["ab"]))]
    assert assemble(scored, [[np.array([0.5, 0.25])]]).samples[0].advantages_T.tolist() == [0.5, 0.25]


def test_advantages_of_another_length_than_the_completion_are_refused() -> None:
    scored = [make_scored_group([1.0], group=make_group(["abc"]))]
    with pytest.raises(ValueError, match="broadcast"):
        assemble(scored, [[np.array([0.5, 0.25])]])


def make_outcomes(lengths: Sequence[int], groups: Sequence[int]) -> list[Outcome]:
    """Completions that earned nothing."""
    pairs = zip(lengths, groups, strict=True)
    return [Outcome(reward=0.0, parts={}, group_index=group, num_tokens=length) for length, group in pairs]


FOUR = make_outcomes([1, 3, 4, 2], [0, 0, 1, 1])


def test_a_token_mean_weighs_all_tokens_alike() -> None:
    assert loss_weights(FOUR, aggregation="token_mean", max_tokens=None).tolist() == [0.1] * 4


def test_a_mean_of_token_means_weighs_all_completions_alike() -> None:
    weights = loss_weights(FOUR, aggregation="seq_mean_token_mean", max_tokens=None)
    np.testing.assert_allclose(weights, [1 / 4, 1 / 12, 1 / 16, 1 / 8])


def test_a_constant_length_divides_token_sums() -> None:
    assert loss_weights(FOUR, aggregation="seq_mean_token_sum_norm", max_tokens=5).tolist() == [1 / 20] * 4


def test_a_prompt_mean_weighs_all_prompts_alike() -> None:
    weights = loss_weights(FOUR, aggregation="prompt_mean", max_tokens=None)
    np.testing.assert_allclose(weights, [1 / 8, 1 / 8, 1 / 12, 1 / 12])


@pytest.mark.parametrize("aggregation", ["token_mean", "seq_mean_token_mean", "prompt_mean"])
def test_the_weights_of_all_tokens_add_up_to_one(aggregation: Aggregation) -> None:
    weights = loss_weights(FOUR, aggregation=aggregation, max_tokens=None)
    assert sum(weight * one.num_tokens for weight, one in zip(weights, FOUR, strict=True)) == pytest.approx(1.0)


def test_a_constant_length_must_be_known() -> None:
    with pytest.raises(ValueError, match="max_tokens"):
        loss_weights(FOUR, aggregation="seq_mean_token_sum_norm", max_tokens=None)


MANY = make_outcomes([1] * 24, [index // 3 for index in range(24)])


@pytest.mark.parametrize("num_minibatches", [1, 2, 4, 8])
def test_every_completion_is_in_one_minibatch(num_minibatches: int) -> None:
    dealt = minibatches(MANY, num_minibatches=num_minibatches, seed=0, step=0)
    assert sorted(chain.from_iterable(dealt)) == list(range(24))
    assert {len(part) for part in dealt} == {24 // num_minibatches}


def test_siblings_stay_together() -> None:
    for part in minibatches(MANY, num_minibatches=4, seed=0, step=0):
        assert all(part.count(index - index % 3 + other) for index in part for other in range(3))


def test_minibatches_repeat_with_seed_and_step_and_change_with_either() -> None:
    def dealt(seed: int, step: int) -> tuple[tuple[int, ...], ...]:
        return minibatches(MANY, num_minibatches=4, seed=seed, step=step)

    assert dealt(3, 5) == dealt(3, 5)
    assert len({dealt(3, 5), dealt(3, 6), dealt(4, 5)}) == 3


def test_a_single_minibatch_keeps_the_order() -> None:
    assert minibatches(MANY, num_minibatches=1, seed=1, step=1) == (tuple(range(24)),)


def test_more_minibatches_than_groups_are_refused() -> None:
    with pytest.raises(ValueError, match="num_minibatches=9 needs as many groups or more, step=7 has 8"):
        minibatches(MANY, num_minibatches=9, seed=0, step=7)
