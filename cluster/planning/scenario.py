"""A configuration as a scenario: what is sampled and learned, on which processors; and its seconds in any layout."""

import math
from dataclasses import dataclass, replace

import numpy as np

from cluster.planning.costs import (
    Engines,
    Learner,
    Model,
    Timeline,
    learn_seconds,
    push_seconds,
    share_of_prompts,
    timeline,
)
from cluster.planning.hardware import Processor
from cluster.planning.judging import JudgeServer, Judging
from cluster.planning.pipeline import Pace, Stages, pace
from cluster.planning.simulation import Costs, Generation, Simulated, latencies, simulate
from cluster.planning.workload import Floats, Ints, Workload

JUDGE_SPREAD = 0.5
"""Standard deviation of a judge's latency over its mean, in simulations."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Corrections:
    """Measured over reckoned seconds of a run; 1 without one."""

    generate: float = 1.0
    learn: float = 1.0
    push: float = 1.0


@dataclass(frozen=True, kw_only=True, slots=True)
class Cores:
    """What engines and learner share on a machine without GPUs."""

    num: int
    """As the system counts them: two to a physical core, whose arithmetic they share."""
    threads_per_actor: int

    @property
    def share_of_actor(self) -> float:
        """Of all physical cores, what an actor at work fills; one thread has its core to itself."""
        return max(self.threads_per_actor / 2, 1.0) / max(self.num / 2, 1.0)


@dataclass(frozen=True, kw_only=True, slots=True)
class Layout:
    """Who has how many GPUs (actors, without GPUs)."""

    num_ranks: int
    num_engines: int
    in_place: bool
    """Engines and learner take turns on the same GPUs."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Scenario:
    """Everything that seconds depend on but the layout."""

    work: Workload
    model: Model
    processor: Processor
    engines: Engines
    """``num`` is the layout's."""
    learner: Learner
    """``num_ranks`` is the layout's."""
    judging: Judging | None
    corrections: Corrections
    cores: Cores | None
    """None with GPUs."""

    def stages(self, layout: Layout) -> Stages:
        """Seconds of each part at the expected lengths."""
        work, fullest = self.work, share_of_prompts(self.work.num_prompts, layout.num_engines)[0]
        lengths = work.lengths.expected(fullest * work.num_completions)
        lengths[-1] = work.lengths.expected(work.num_sequences)[-1]  # some engine has the longest of all
        busiest = self._timeline(np.random.default_rng(0).permutation(lengths), num_prompts=fullest, layout=layout)
        generate_s = busiest.seconds * self.corrections.generate
        judge_s = judge_busy_s = 0.0
        if self.judging is not None:
            ends = np.resize(busiest.ends_s * self.corrections.generate, work.num_sequences)
            judge_s = JudgeServer(self.judging).last_answer(ends) - float(ends.max())
            judge_busy_s = self.judging.busy_seconds(work.num_sequences)
        return Stages(
            generate=generate_s,
            judge=judge_s,
            learn=self._learn(layout, tokens=work.lengths.mean),
            push=self._push(layout),
            judge_busy=judge_busy_s,
        )

    def prefill_share(self, layout: Layout) -> float:
        """Of generation, the share that reads prompts and pictures."""
        work, fullest = self.work, share_of_prompts(self.work.num_prompts, layout.num_engines)[0]
        whole = self._timeline(
            work.lengths.expected(fullest * work.num_completions), num_prompts=fullest, layout=layout
        )
        return whole.prefill_s / whole.seconds

    def pace(self, layout: Layout, *, max_lag: int) -> Pace:
        """The step in the long run, at the expected lengths."""
        stages = self.stages(layout)
        return pace(stages, max_lag=max_lag, shared_core_s=self._shared_core_s(stages, layout))

    def crowds(self, layout: Layout) -> bool:
        """Whether engines and learner, at work together, need more cores than there are."""
        actors = layout.num_ranks + layout.num_engines
        return self.cores is not None and actors * self.cores.share_of_actor > 1

    def simulate(self, layout: Layout, *, max_lag: int, num_steps: int, seed: int) -> Simulated:
        """The same with lengths and latencies drawn at random."""
        random, work = np.random.default_rng(seed), self.work
        push_s, shares = self._push(layout), share_of_prompts(work.num_prompts, layout.num_engines)

        def generate() -> Generation:
            drawn = work.lengths.drawn(work.num_sequences, random=random)
            bounds = np.cumsum([0, *(share * work.num_completions for share in shares)])
            parts = [
                self._timeline(drawn[start:stop], num_prompts=share, layout=layout)
                for share, start, stop in zip(shares, bounds[:-1], bounds[1:], strict=True)
                if share
            ]
            factor, idle = self.corrections.generate, [0.0] * shares.count(0)
            ends = np.concatenate([part.ends_s for part in parts]) * factor
            return Generation(
                num_tokens=int(drawn.sum()),
                ends_s=ends,
                engine_s=np.array([part.seconds * factor for part in parts] + idle),
            )

        def judge_latencies() -> Floats:
            assert self.judging is not None
            num = math.ceil(work.num_sequences * self.judging.requests_per_completion)
            spread = JUDGE_SPREAD if work.lengths.spread else 0.0
            return latencies(mean=self.judging.latency_s, spread=spread, num=num, random=random)

        costs = Costs(
            generate=generate,
            learn=lambda batch: self._learn(layout, tokens=batch.num_tokens / work.num_sequences),
            push_s=push_s,
            judging=self.judging,
            judge_latencies=judge_latencies if self.judging is not None else None,
        )
        return simulate(costs, max_lag=max_lag, num_steps=num_steps)

    def _timeline(self, lengths: Ints, *, num_prompts: int, layout: Layout) -> Timeline:
        engines = replace(self.engines, num=layout.num_engines)
        return timeline(
            lengths,
            num_prompts=num_prompts,
            work=self.work,
            model=self.model,
            engines=engines,
            processor=self.processor,
        )

    def _learn(self, layout: Layout, *, tokens: float) -> float:
        learner = replace(self.learner, num_ranks=layout.num_ranks)
        work = replace(self.work, lengths=replace(self.work.lengths, mean=tokens))
        seconds = learn_seconds(work, model=self.model, learner=learner, processor=self.processor)
        return seconds * self.corrections.learn

    def _push(self, layout: Layout) -> float:
        seconds = push_seconds(
            self.model,
            learner=replace(self.learner, num_ranks=layout.num_ranks),
            engines=replace(self.engines, num=layout.num_engines),
            in_place=layout.in_place,
            processor=self.processor,
        )
        return seconds * self.corrections.push

    def _shared_core_s(self, stages: Stages, layout: Layout) -> float:
        """Both sides at work on the cores they share; together they take no less."""
        if self.cores is None:
            return 0.0
        work = layout.num_engines * stages.generate + layout.num_ranks * stages.learn
        return work * self.cores.share_of_actor + stages.push
