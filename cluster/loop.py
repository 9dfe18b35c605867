"""The training loop. Everything else in this repository is called from here.

    prompts -> rollouts.generate -> scorer.score -> algorithm.build_batch -> learner.step
                     ^                                                             |
                     +------------------- learner.push_weights <-------------------+

Generation and learning run side by side. Batch ``k`` may be generated once ``k - max_lag`` batches have
been learned from, so ``max_lag=0`` is strictly on-policy and larger lags overlap the two.
"""

import asyncio
import time
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from cluster.resampling import Refilled, refill
from learner.types import StepReport, TrainingBatch
from rewards.types import ScoredGroup
from rollout.types import Prompt, RolloutGroup


@dataclass(frozen=True, kw_only=True, slots=True)
class StepRecord:
    """All that one RL step did, for the journal."""

    step: int
    scored: Sequence[ScoredGroup]
    num_replaced: int
    """Groups sampled and thrown away, because they would have taught nothing."""
    report: StepReport | None
    """None when nothing in the batch had a gradient, so nothing was learned."""
    seconds: dict[str, float]
    """Wall seconds by part: generate, score, wait, learn, push."""
    num_waiting: int
    """Scored batches that wait for the learner."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Schedule:
    """Which steps are run, and how far generation may run ahead of learning."""

    first_step: int
    num_steps: int
    max_lag: int


Scored = tuple[Refilled, dict[str, float]]
"""A scored batch, and the wall seconds of its parts."""


class Prompts(Protocol):
    """Which prompts a step asks; a pure function of the step."""

    def batch(self, step: int) -> Sequence[Prompt]: ...
    def more(self, step: int, *, round_number: int, num_prompts: int) -> Sequence[Prompt]:
        """Prompts to sample in place of some of the batch's."""
        ...


OnEnd = Callable[[Prompt, str], None]
"""Told the text of each completion as it ends."""


class Rollouts(Protocol):
    """Samples a group per prompt with the weights pushed last."""

    async def generate(
        self, prompts: Sequence[Prompt], *, step: int, round_number: int, on_end: OnEnd | None
    ) -> list[RolloutGroup]: ...


class Scoring(Protocol):
    """Gives every completion a reward."""

    @property
    def on_end(self) -> OnEnd | None:
        """What may be begun while others are still being sampled; None when nothing is worth it."""
        ...

    async def score(self, groups: Sequence[RolloutGroup]) -> list[ScoredGroup]: ...


class Credit(Protocol):
    """Turns rewards into advantages."""

    @property
    def max_rounds(self) -> int:
        """Rounds of sampling per step, in search of informative groups."""
        ...

    def is_informative(self, scored: ScoredGroup) -> bool: ...
    def build_batch(self, scored: Sequence[ScoredGroup]) -> TrainingBatch: ...


class Learner(Protocol):
    """Takes one optimizer step, and gives the engines the result."""

    async def step(self, batch: TrainingBatch, *, step: int) -> StepReport: ...
    async def push_weights(self) -> None: ...


class StepObserver(Protocol):
    """What happens between steps."""

    async def after_step(self, record: StepRecord) -> bool:
        """Journal, evaluate, checkpoint; True ends the run after this step."""
        ...


class StepClock:
    """Counts batches learned from, and lets generation wait for the count."""

    def __init__(self, now: int) -> None:
        self.now = now
        self._changed = asyncio.Condition()

    async def advance(self) -> None:
        async with self._changed:
            self.now += 1
            self._changed.notify_all()

    async def reached(self, step: int) -> None:
        async with self._changed:
            await self._changed.wait_for(lambda: self.now >= step)


class Stopwatch:
    """Wall seconds of the named parts of one step."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}
        self._since = time.perf_counter()

    def lap(self, part: str) -> None:
        """Book the time since the last lap to ``part``."""
        now = time.perf_counter()
        self.seconds[part] = now - self._since
        self._since = now


class Sampling:
    """Generates and scores the groups of a step, and those that replace some of them."""

    def __init__(self, prompts: Prompts, rollouts: Rollouts, scorer: Scoring, algorithm: Credit) -> None:
        self._prompts, self._rollouts, self._scorer, self._algorithm = prompts, rollouts, scorer, algorithm

    async def first(self, step: int) -> list[RolloutGroup]:
        """Sample the step's own prompts."""
        return await self._generate(self._prompts.batch(step), step=step, round_number=0)

    async def score(self, step: int, groups: list[RolloutGroup], watch: Stopwatch) -> Scored:
        """Score the groups, and sample again in place of those that teach nothing if the algorithm wants it."""

        async def again(round_number: int, num_prompts: int) -> list[ScoredGroup]:
            questions = self._prompts.more(step, round_number=round_number, num_prompts=num_prompts)
            return await self._scorer.score(await self._generate(questions, step=step, round_number=round_number))

        refilled = await refill(
            await self._scorer.score(groups),
            is_informative=self._algorithm.is_informative,
            max_rounds=self._algorithm.max_rounds,
            sample=again,
        )
        watch.lap("score")
        return refilled, watch.seconds

    async def _generate(self, questions: Sequence[Prompt], *, step: int, round_number: int) -> list[RolloutGroup]:
        return await self._rollouts.generate(
            questions, step=step, round_number=round_number, on_end=self._scorer.on_end
        )


async def both(generate: Coroutine[Any, Any, None], learn: Coroutine[Any, Any, int]) -> int:
    """Run the two sides; the end of learning ends generation, and the first error ends both and is raised."""
    try:
        async with asyncio.TaskGroup() as tasks:
            generating = tasks.create_task(generate, name="generate")
            learning = tasks.create_task(learn, name="learn")
            learning.add_done_callback(lambda _: generating.cancel())
    except BaseExceptionGroup as failures:
        raise first_cause(failures) from None
    return learning.result()


def first_cause(failures: BaseExceptionGroup[BaseException]) -> BaseException:
    """The first failure of a group, however deep; what followed from it helps nobody."""
    cause: BaseException = failures
    while isinstance(cause, BaseExceptionGroup):
        cause = cause.exceptions[0]
    return cause


async def train(
    schedule: Schedule,
    *,
    prompts: Prompts,
    rollouts: Rollouts,
    scorer: Scoring,
    algorithm: Credit,
    learner: Learner,
    observer: StepObserver,
) -> int:
    """Run steps ``first_step .. num_steps - 1`` and return the first step that was not run.

    The engines must hold the learner's weights already. An error on either side stops both and is raised.
    """
    steps = range(schedule.first_step, schedule.num_steps)
    clock = StepClock(schedule.first_step)
    sampling = Sampling(prompts, rollouts, scorer, algorithm)
    ready: asyncio.Queue[asyncio.Task[Scored]] = asyncio.Queue()

    async def generate() -> None:
        async with asyncio.TaskGroup() as scoring:  # a judge may still think while the next batch is generated
            for step in steps:
                await clock.reached(step - schedule.max_lag)
                watch = Stopwatch()
                groups = await sampling.first(step)
                watch.lap("generate")
                await ready.put(scoring.create_task(sampling.score(step, groups, watch), name=f"score {step}"))

    async def learn() -> int:
        for step in steps:
            watch = Stopwatch()
            refilled, seconds = await (await ready.get())
            watch.lap("wait")
            batch = algorithm.build_batch(refilled.scored)
            report = None
            if batch.has_gradient:
                report = await learner.step(batch, step=step)
                watch.lap("learn")
                await learner.push_weights()
                watch.lap("push")
            record = StepRecord(
                step=step,
                scored=refilled.scored,
                num_replaced=refilled.num_replaced,
                report=report,
                seconds=seconds | watch.seconds,
                num_waiting=ready.qsize(),
            )
            if await observer.after_step(record):
                return step + 1
            await clock.advance()  # also after a step without credit, or max_lag=0 would wait forever
        return schedule.num_steps

    return await both(generate(), learn())
