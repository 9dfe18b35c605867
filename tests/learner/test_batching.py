"""Which completion goes where."""

from itertools import chain

import numpy as np
import pytest

from learner.advantage import center
from learner.batching import assemble, plan
from tests.builders import make_group, make_scored_group

LENGTHS = [5, 90, 17, 33, 8, 8, 61, 2, 40, 11, 29]


@pytest.mark.parametrize("world_size", [1, 2, 3, 4])
@pytest.mark.parametrize("micro_batch_size", [1, 2, 5])
def test_every_row_is_planned_exactly_once(world_size: int, micro_batch_size: int) -> None:
    planned = plan(LENGTHS, world_size=world_size, micro_batch_size=micro_batch_size)
    assert sorted(chain.from_iterable(chain.from_iterable(planned))) == list(range(len(LENGTHS)))


@pytest.mark.parametrize("world_size", [1, 2, 3, 4])
def test_every_rank_makes_the_same_number_of_passes(world_size: int) -> None:
    planned = plan(LENGTHS, world_size=world_size, micro_batch_size=2)
    assert len({len(passes) for passes in planned}) == 1


@pytest.mark.parametrize("micro_batch_size", [1, 2, 5])
def test_no_pass_is_larger_than_allowed(micro_batch_size: int) -> None:
    planned = plan(LENGTHS, world_size=2, micro_batch_size=micro_batch_size)
    assert max(len(one) for passes in planned for one in passes) <= micro_batch_size


def test_ranks_differ_by_one_row_at_most() -> None:
    sizes = [sum(len(one) for one in passes) for passes in plan(LENGTHS, world_size=3, micro_batch_size=2)]
    assert max(sizes) - min(sizes) <= 1


def test_a_rank_without_rows_in_the_last_pass_keeps_the_others_company() -> None:
    assert plan([3, 2, 1], world_size=2, micro_batch_size=1) == (((0,), (2,)), ((1,), ()))


def test_long_rows_share_a_pass_with_long_rows() -> None:
    assert plan([1, 50, 2, 60], world_size=1, micro_batch_size=2) == (((3, 1), (2, 0)),)


def test_equal_lengths_keep_their_order() -> None:
    assert plan([4, 4, 4, 4], world_size=1, micro_batch_size=2) == (((0, 1), (2, 3)),)


@pytest.mark.parametrize(("world_size", "micro_batch_size"), [(0, 1), (1, 0)])
def test_sizes_below_one_are_refused(world_size: int, micro_batch_size: int) -> None:
    with pytest.raises(ValueError, match="must be 1 or more"):
        plan(LENGTHS, world_size=world_size, micro_batch_size=micro_batch_size)


def test_completions_without_credit_stay_in_the_batch() -> None:
    scored = [make_scored_group([1.0, 1.0], group=make_group(["ab", "cdef"]))]
    batch = assemble(scored, [center(np.array([1.0, 1.0]))])
    assert (batch.num_loss_tokens, batch.has_credit) == (6, False)
