"""Groups that teach nothing are replaced, a step keeps its size, and everything thrown away is counted."""

import asyncio
from collections.abc import Sequence

from cluster.resampling import Refilled, refill
from rewards.types import ScoredGroup
from tests.builders import make_scored_group

USEFUL, IDLE = make_scored_group([0.0, 1.0]), make_scored_group([1.0, 1.0])


def teaches(scored: ScoredGroup) -> bool:
    return len({reward.total for reward in scored.rewards}) > 1


def refilled(
    scored: Sequence[ScoredGroup], *, max_rounds: int, rounds: Sequence[Sequence[ScoredGroup]]
) -> tuple[Refilled, list[tuple[int, int]]]:
    asked: list[tuple[int, int]] = []

    async def sample(round_number: int, num_prompts: int) -> list[ScoredGroup]:
        asked.append((round_number, num_prompts))
        return list(rounds[round_number - 1])

    result = asyncio.run(refill(scored, is_informative=teaches, max_rounds=max_rounds, sample=sample))
    return result, asked


def test_a_step_that_teaches_everywhere_is_not_sampled_again() -> None:
    result, asked = refilled([USEFUL, USEFUL], max_rounds=3, rounds=[])
    assert (result.scored, result.num_replaced, asked) == ([USEFUL, USEFUL], 0, [])


def test_only_what_is_missing_is_sampled_again() -> None:
    result, asked = refilled([USEFUL, IDLE, IDLE], max_rounds=3, rounds=[[USEFUL, IDLE], [USEFUL]])
    assert asked == [(1, 2), (2, 1)]
    assert result.scored == [USEFUL, USEFUL, USEFUL]
    assert result.num_replaced == 3


def test_after_the_last_round_the_step_is_filled_with_idle_groups() -> None:
    result, asked = refilled([IDLE, IDLE], max_rounds=2, rounds=[[USEFUL, IDLE]])
    assert asked == [(1, 2)]
    assert result.scored == [USEFUL, IDLE]
    assert result.num_replaced == 2


def test_one_round_replaces_nothing() -> None:
    result, asked = refilled([IDLE, USEFUL], max_rounds=1, rounds=[])
    assert (len(result.scored), result.num_replaced, asked) == (2, 0, [])
