"""The loop's order, lag, errors and end, with hand-written stand-ins for the rooms it calls."""

import asyncio
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest

from cluster.loop import OnEnd, Schedule, StepRecord, train
from learner.batching import assemble
from learner.types import StepReport, TrainingBatch
from rewards.types import ScoredGroup
from rollout.prompts import PromptStream
from rollout.types import Prompt, RolloutGroup
from tests.builders import make_prompt, make_scored_group


class World:
    """One run's stand-ins; they write down what happened, in order."""

    def __init__(self, *, credit: bool = True, stop_after: int | None = None) -> None:
        self.events: list[tuple[str, int]] = []
        self.ended: list[str] = []
        self.records: list[StepRecord] = []
        self.version = self.pushed = 0
        self.staleness: list[int] = []
        self._credit, self._stop_after = credit, stop_after

    def batch(self, step: int) -> Sequence[Prompt]:
        return [make_prompt(f"p{step}")]

    async def generate(
        self, prompts: Sequence[Prompt], *, step: int, round_number: int, on_end: OnEnd | None
    ) -> list[RolloutGroup]:
        if on_end is not None:
            on_end(prompts[0], "")
        self.events.append(("generate", step))
        self.staleness.append(step - self.pushed)
        await asyncio.sleep(0)
        totals = [0.0, 1.0] if self._credit else [1.0, 1.0]
        return [make_scored_group(totals).group for _ in prompts]

    max_rounds = 1

    def more(self, step: int, *, round_number: int, num_prompts: int) -> Sequence[Prompt]:
        raise AssertionError(f"one round is enough, but step {step} wants {num_prompts} prompts for {round_number}")

    def is_informative(self, scored: ScoredGroup) -> bool:
        return bool(scored.rewards)

    def on_end(self, prompt: Prompt, text: str) -> None:
        self.ended.append(prompt.prompt_id)

    async def score(self, groups: Sequence[RolloutGroup]) -> list[ScoredGroup]:
        totals = [0.0, 1.0] if self._credit else [1.0, 1.0]
        return [make_scored_group(totals, group=group) for group in groups]

    def build_batch(self, scored: Sequence[ScoredGroup]) -> TrainingBatch:
        advantages = [-0.5, 0.5] if self._credit else [0.0, 0.0]
        return assemble(scored, [np.array(advantages) for _ in scored])

    async def step(self, batch: TrainingBatch, *, step: int) -> StepReport:
        assert batch.has_credit
        self.events.append(("learn", step))
        for _ in range(50):  # slower than generation, so that a lag is used up
            await asyncio.sleep(0)
        self.version += 1
        return StepReport(policy_version=self.version, metrics={})

    async def push_weights(self) -> None:
        self.events.append(("push", self.version))
        self.pushed = self.version

    async def after_step(self, record: StepRecord) -> bool:
        self.records.append(record)
        return record.step + 1 == self._stop_after


async def run(world: World, *, num_steps: int, max_lag: int, first_step: int = 0) -> int:
    return await asyncio.wait_for(
        train(
            Schedule(first_step=first_step, num_steps=num_steps, max_lag=max_lag),
            prompts=world,
            rollouts=world,
            scorer=world,
            algorithm=world,
            learner=world,
            observer=world,
        ),
        timeout=10,
    )


def test_without_lag_every_batch_is_sampled_by_the_newest_weights() -> None:
    world = World()
    asyncio.run(run(world, num_steps=4, max_lag=0))
    assert world.staleness == [0, 0, 0, 0]
    assert world.events[:6] == [
        ("generate", 0), ("learn", 0), ("push", 1), ("generate", 1), ("learn", 1), ("push", 2),
    ]  # fmt: skip


@pytest.mark.parametrize("max_lag", [1, 2, 3])
def test_generation_never_runs_further_ahead_than_the_lag(max_lag: int) -> None:
    world = World()
    asyncio.run(run(world, num_steps=12, max_lag=max_lag))
    assert max(world.staleness) == max_lag


def test_with_lag_generation_of_the_next_batch_starts_before_learning_ends() -> None:
    world = World()
    asyncio.run(run(world, num_steps=3, max_lag=1))
    assert world.events.index(("generate", 1)) < world.events.index(("learn", 0))


@pytest.mark.parametrize("max_lag", [0, 2])
def test_a_step_without_credit_is_skipped_and_still_advances_the_clock(max_lag: int) -> None:
    world = World(credit=False)
    assert asyncio.run(run(world, num_steps=3, max_lag=max_lag)) == 3
    assert [record.report for record in world.records] == [None, None, None]


def test_a_resumed_run_starts_at_its_first_step() -> None:
    world = World()
    asyncio.run(run(world, num_steps=5, max_lag=0, first_step=3))
    assert [record.step for record in world.records] == [3, 4]


def test_an_observer_that_says_stop_ends_the_run_after_that_step() -> None:
    world = World(stop_after=2)
    assert asyncio.run(run(world, num_steps=100, max_lag=1)) == 2


def test_scoring_hears_of_completions_as_they_end() -> None:
    world = World()
    asyncio.run(run(world, num_steps=2, max_lag=0))
    assert world.ended == ["p0", "p1"]


class BrokenEngine(World):
    async def generate(
        self, prompts: Sequence[Prompt], *, step: int, round_number: int, on_end: OnEnd | None
    ) -> list[RolloutGroup]:
        if step == 2:
            raise RuntimeError("engine 0 died")
        return await super().generate(prompts, step=step, round_number=round_number, on_end=on_end)


class BrokenLearner(World):
    async def step(self, batch: TrainingBatch, *, step: int) -> StepReport:
        raise ArithmeticError("the gradient is not finite")


@pytest.mark.parametrize("max_lag", [0, 1])
def test_a_dead_engine_stops_the_learner_and_is_the_error_that_is_raised(max_lag: int) -> None:
    with pytest.raises(RuntimeError, match="engine 0 died"):
        asyncio.run(run(BrokenEngine(), num_steps=9, max_lag=max_lag))


@pytest.mark.parametrize("max_lag", [0, 1])
def test_a_failing_learner_stops_generation_and_is_the_error_that_is_raised(max_lag: int) -> None:
    world = BrokenLearner()
    with pytest.raises(ArithmeticError, match="not finite"):
        asyncio.run(run(world, num_steps=1000, max_lag=max_lag))
    assert len([event for event in world.events if event[0] == "generate"]) <= 2


def test_every_step_says_where_its_time_went() -> None:
    world = World()
    asyncio.run(run(world, num_steps=1, max_lag=0))
    assert set(world.records[0].seconds) == {"generate", "score", "wait", "learn", "push"}


class Pictures:
    """As many prompts as asked for."""

    source = "pictures"

    def __init__(self, num: int) -> None:
        self._num = num

    def __len__(self) -> int:
        return self._num

    def prompt(self, index: int) -> Prompt:
        return make_prompt(f"p{index}")


class Epochs(World):
    """A run over a data set, whose learner takes several optimizer steps on each batch."""

    def __init__(self, *, num_prompts: int, per_step: int, num_updates: int) -> None:
        super().__init__()
        self._stream = PromptStream(Pictures(num_prompts), prompts_per_step=per_step, seed=3)
        self._num_updates = num_updates
        self.learned: list[list[str]] = []

    def batch(self, step: int) -> Sequence[Prompt]:
        return self._stream.batch(step)

    async def generate(
        self, prompts: Sequence[Prompt], *, step: int, round_number: int, on_end: OnEnd | None
    ) -> list[RolloutGroup]:
        groups = await super().generate(prompts, step=step, round_number=round_number, on_end=on_end)
        return [replace(group, prompt=prompt) for group, prompt in zip(groups, prompts, strict=True)]

    def build_batch(self, scored: Sequence[ScoredGroup]) -> TrainingBatch:
        self.learned.append([one.group.prompt.prompt_id for one in scored])
        return assemble(scored, [np.array([-0.5, 0.5]) for _ in scored])

    async def step(self, batch: TrainingBatch, *, step: int) -> StepReport:
        for update in range(self._num_updates):
            self.events.append((f"update {update}", step))
            await asyncio.sleep(0)
        return await super().step(batch, step=step)


@pytest.mark.parametrize("max_lag", [0, 1])
@pytest.mark.parametrize("num_updates", [1, 2, 3])
def test_every_prompt_of_an_epoch_is_learned_from_in_one_step_however_many_updates_a_step_takes(
    num_updates: int, max_lag: int
) -> None:
    world = Epochs(num_prompts=12, per_step=3, num_updates=num_updates)
    asyncio.run(run(world, num_steps=8, max_lag=max_lag))
    for epoch in (world.learned[:4], world.learned[4:]):
        assert Counter(name for names in epoch for name in names) == {f"p{index}": 1 for index in range(12)}
    taken = Counter(step for event, step in world.events if event.startswith("update"))
    assert taken == dict.fromkeys(range(8), num_updates)


@pytest.mark.parametrize("stop", [1, 2, 3, 4, 5])
@pytest.mark.parametrize("num_updates", [1, 2])
def test_a_run_that_goes_on_after_an_odd_or_an_even_step_learns_from_what_was_left(stop: int, num_updates: int) -> None:
    # Steps of 3 over 10 prompts: the fourth, the seventh and so on begin in one epoch and end in the next.
    whole, first, second = (Epochs(num_prompts=10, per_step=3, num_updates=num_updates) for _ in range(3))
    asyncio.run(run(whole, num_steps=7, max_lag=0))
    asyncio.run(run(first, num_steps=stop, max_lag=0))
    asyncio.run(run(second, num_steps=7, max_lag=0, first_step=stop))
    assert [*first.learned, *second.learned] == whole.learned
    assert len(first.learned) == stop
    assert Counter(name for names in whole.learned for name in names).most_common(1)[0][1] == 3  # 21 of 10
