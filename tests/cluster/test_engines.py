"""Prompts are spread by load and groups come back in order."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from typing import Any

import pytest

from cluster.engines import RolloutPool
from cluster.remote import DeadlineExceeded
from conf.schema import SamplingConfig
from rollout.types import Prompt, RolloutGroup
from rollout.worker_types import EndedText, FirstTokens, GenerationOrder, QuestionOrder
from tests.builders import make_group, make_prompt

SAMPLING = SamplingConfig(temperature=1.0, top_p=1.0, max_tokens=8)


class FakeMethod:
    """Looks like a remote method: ``.remote()`` returns something to await."""

    def __init__(self, call: Any) -> None:
        self.remote = call

    def options(self, *, num_returns: str) -> "FakeMethod":
        assert num_returns == "streaming"
        return self


class FakeEngine:
    def __init__(self, gate: asyncio.Event | None = None) -> None:
        self.served: list[list[str]] = []
        self._gate = gate
        self.generate = FakeMethod(self._generate)
        self.stream = FakeMethod(self._stream)
        self.first_tokens = FakeMethod(self._first_tokens)

    async def _first_tokens(self, order: QuestionOrder) -> list[FirstTokens]:
        self.served += [[prompt.prompt_id for prompt in item] for item in order.items]
        return [FirstTokens(logprobs=tuple({prompt.prompt_id: 0.0} for prompt in item)) for item in order.items]

    async def _generate(self, order: GenerationOrder) -> list[RolloutGroup]:
        self.served.append([prompt.prompt_id for prompt in order.prompts])
        if self._gate is not None:
            await self._gate.wait()
        return [make_group(["a"], prompt=prompt) for prompt in order.prompts]

    async def _stream(self, order: GenerationOrder) -> AsyncIterator[Any]:
        """Yield what is to be awaited, as Ray's streaming generators do."""
        groups = await self._generate(order)
        yield self._soon([EndedText(prompt_index=index, text="a") for index in reversed(range(len(groups)))])
        yield self._soon(groups)

    async def _soon(self, value: object) -> object:
        return value


def pool_of(engines: Sequence[FakeEngine]) -> RolloutPool:
    return RolloutPool(engines, num_completions=2, sampling=SAMPLING, seed=0, timeout_s=5.0)


def prompts(count: int) -> list[Prompt]:
    return [make_prompt(f"p{index}") for index in range(count)]


def test_groups_come_back_in_the_order_of_the_prompts() -> None:
    pool = pool_of([FakeEngine(), FakeEngine(), FakeEngine()])
    groups = asyncio.run(pool.generate(prompts(8), step=0))
    assert [group.prompt.prompt_id for group in groups] == [f"p{index}" for index in range(8)]


def test_all_questions_about_an_item_go_to_one_engine_and_come_back_in_order() -> None:
    engines, asked = [FakeEngine(), FakeEngine()], prompts(8)
    items = [tuple(asked[:3]), tuple(asked[3:5]), tuple(asked[5:])]
    pool = pool_of(engines)
    found = asyncio.run(pool.first_tokens(QuestionOrder(items=items, spellings=("yes",))))
    assert [[*logprobs] for one in found for logprobs in one.logprobs] == [[f"p{index}"] for index in range(8)]
    assert [engine.served for engine in engines] == [[["p0", "p1", "p2"], ["p5", "p6", "p7"]], [["p3", "p4"]]]
    assert pool.num_pending == 0


def test_idle_engines_share_evenly() -> None:
    engines = [FakeEngine(), FakeEngine()]
    asyncio.run(pool_of(engines).generate(prompts(6), step=0))
    assert [len(engine.served[0]) for engine in engines] == [3, 3]


def test_an_engine_with_nothing_to_do_is_not_called() -> None:
    engines = [FakeEngine(), FakeEngine(), FakeEngine()]
    asyncio.run(pool_of(engines).generate(prompts(2), step=0))
    assert engines[2].served == []


def test_a_busy_engine_gets_fewer_prompts() -> None:
    async def scenario() -> list[FakeEngine]:
        gate = asyncio.Event()
        engines = [FakeEngine(gate), FakeEngine(gate)]
        pool = pool_of(engines)
        first = asyncio.create_task(pool.generate(prompts(3), step=0))  # 2 on engine 0, 1 on engine 1
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        second = asyncio.create_task(pool.generate(prompts(3), step=1))
        await asyncio.sleep(0)
        gate.set()
        await asyncio.gather(first, second)
        return engines

    engines = asyncio.run(scenario())
    assert sum(map(len, engines[0].served)) == sum(map(len, engines[1].served)) == 3


def test_nothing_is_pending_after_a_failure() -> None:
    class DeadEngine(FakeEngine):
        async def _generate(self, order: GenerationOrder) -> list[RolloutGroup]:
            raise RuntimeError("dead")

    async def scenario() -> int:
        pool = pool_of([DeadEngine()])
        try:
            await pool.generate(prompts(2), step=0)
        except RuntimeError:
            return pool.num_pending
        return -1

    assert asyncio.run(scenario()) == 0


def test_each_text_is_passed_on_with_its_prompt_and_the_groups_still_come_in_order() -> None:
    ended: list[tuple[str, str]] = []
    pool = pool_of([FakeEngine(), FakeEngine()])
    groups = asyncio.run(
        pool.generate(prompts(5), step=0, on_end=lambda prompt, text: ended.append((prompt.prompt_id, text)))
    )
    assert sorted(ended) == [(f"p{index}", "a") for index in range(5)]
    assert [group.prompt.prompt_id for group in groups] == [f"p{index}" for index in range(5)]


def test_a_stream_that_stalls_is_given_up_and_the_error_says_who_was_waited_for() -> None:
    pool = RolloutPool([FakeEngine(asyncio.Event())], num_completions=2, sampling=SAMPLING, seed=0, timeout_s=0.05)
    with pytest.raises(DeadlineExceeded, match="engine 0 generating 3 groups"):
        asyncio.run(pool.generate(prompts(3), step=0, on_end=lambda prompt, text: None))
