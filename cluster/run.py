"""One run from the first checkpoint to the summary: the supervised phases, RL, and what happens between steps.

parity gate -> evaluate -> warm-up -> cold start -> evaluate -> RL (cluster/loop.py) -> evaluate -> export -> summary
"""

import asyncio
import logging
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from cluster.alarms import AlarmBell
from cluster.checkpoint import PHASES, CheckpointError, CheckpointFolder, Phase, RunState
from cluster.engines import RolloutPool
from cluster.heartbeat import Heartbeat
from cluster.held_out import judge_test_split
from cluster.journal import METRICS_FILE, Journal, read_rows
from cluster.learners import LearnerGroup
from cluster.loop import Schedule, StepRecord, train
from cluster.parity import compare, parity_bound, scoring_requests
from cluster.progress import ProgressDisplay
from cluster.records import RunRecords
from cluster.statistics import step_metrics
from conf.schema import RunConfig, SupervisedConfig
from evaluation.reports import one_line
from judge_client.types import Judge
from learner.algorithms import build_algorithm
from learner.algorithms.base import RunFacts
from learner.schedule import supervised_learning_rate
from rewards.scorer import build_scorer
from rollout.datasets.base import Data, Demonstrations, scale_of
from rollout.prompts import DemonstrationStream, PromptStream
from rollout.types import Demonstration
from rollout.worker_types import GenerationOrder

logger = logging.getLogger(__name__)

LEARNER_FOLDER = "learner"
NUM_VALIDATIONS = 10
"""How often the validation loss is measured in the cold start, about evenly."""
UNTRAINED, COLD_START, RL = "untrained", "cold_start", "rl"


@dataclass(frozen=True, kw_only=True, slots=True)
class Desk:
    """What a run writes to and is told by."""

    journal: Journal
    records: RunRecords
    checkpoints: CheckpointFolder
    display: ProgressDisplay
    heartbeat: Heartbeat
    stop: asyncio.Event
    """Set when the run is asked to save and end."""


class Run:
    """Drives one run; every collaborator is handed in."""

    def __init__(
        self,
        config: RunConfig,
        *,
        state: RunState,
        data: Data,
        pool: RolloutPool,
        learners: LearnerGroup,
        judge: Judge | None,
        desk: Desk,
    ) -> None:
        self._config, self._data, self._pool, self._learners = config, data, pool, learners
        self._judge = judge
        self._journal, self._records, self._checkpoints = desk.journal, desk.records, desk.checkpoints
        self._display, self._heartbeat, self._stop = desk.display, desk.heartbeat, desk.stop
        self._state = state
        self._engine_version: int | None = None
        self._parity_bound = parity_bound(config)
        last_row = read_rows(desk.records.folder / METRICS_FILE)[-1:]
        self._alarms = AlarmBell(desk.journal, say=desk.display.say, last_row=last_row[0] if last_row else {})

    async def execute(self, *, resumed: Path | None, model_folder: Path) -> bool:
        """Run what is left of the run; False when it was stopped before the end."""
        self._beat("start")
        if resumed is not None:
            reference = await self._reference_folder(self._state.phase, model_folder)
            await self._learners.start_phase(self._state.phase, reference_folder=reference)
            await self._learners.load_checkpoint(resumed / LEARNER_FOLDER)
            self._learners.policy_version = self._state.policy_version
        await self._push_if_stale()
        await self._parity_gate()
        if not self._records.has_evaluation(UNTRAINED):
            await self._evaluate(UNTRAINED)
        for phase in PHASES[PHASES.index(self._state.phase) :]:
            if not await self._run_phase(phase, resumed=resumed, model_folder=model_folder):
                return False
            resumed = None
        await self._evaluate(RL)
        await self._learners.export(self._records.folder / "model")
        return True

    async def after_step(self, record: StepRecord) -> bool:
        """Journal an RL step, then evaluate, check parity and save when it is their turn."""
        step = record.step + 1
        self._engine_version = self._learners.policy_version
        values = step_metrics(record, num_pending=self._pool.num_pending, policy_version=self._learners.policy_version)
        values |= self._judge.metrics() if self._judge is not None else {}
        values |= self._alarms.hear_step(values, step=step, global_step=self._state.global_step)
        self._journal.sample(record.scored, step=record.step, global_step=self._state.global_step)
        self._advance("rl", step, values)
        if self._is_due(step, self._config.parity.every):
            await self._parity_gate()
        if self._is_due(step, self._config.loop.evaluate_every) and step < self._config.loop.num_steps:
            await self._evaluate(f"rl-{step}")
        return await self._save_if_due(last=step == self._config.loop.num_steps)

    async def _run_phase(self, phase: Phase, *, resumed: Path | None, model_folder: Path) -> bool:
        if self._stop.is_set():
            return False  # the last finished phase has left a checkpoint
        if self._state.phase != phase:
            self._set_state(phase=phase, next_step=0)
        if resumed is None:
            await self._learners.start_phase(phase, reference_folder=await self._reference_folder(phase, model_folder))
        started, evaluating_s = time.perf_counter(), self._records.seconds().get("evaluation", 0.0)
        try:
            if phase == "rl":
                return await self._rl()
            supervised = {"warm_up": self._config.warm_up, "cold_start": self._config.cold_start}[phase]
            source = {"warm_up": self._data.warm_up, "cold_start": self._data.cold_start}[phase]
            finished = await self._supervised(phase, supervised, source)
            if finished and phase == "cold_start":
                await self._evaluate(COLD_START)
            return finished
        finally:
            evaluating_s = self._records.seconds().get("evaluation", 0.0) - evaluating_s
            self._records.add_seconds(phase, time.perf_counter() - started - evaluating_s)

    async def _supervised(self, phase: Phase, config: SupervisedConfig, source: Demonstrations | None) -> bool:
        if config.num_steps == 0:
            return True
        if source is None:
            raise ValueError(
                f"data.kind={self._config.data.kind} has no {phase} demonstrations; set {phase}.num_steps=0"
            )
        stream = DemonstrationStream(source, batch_size=config.batch_size, seed=self._config.run.seed)
        first = self._state.next_step
        upcoming: list[asyncio.Task[list[Demonstration]]] = []
        for step in range(first, config.num_steps):
            demonstrations = await upcoming.pop() if upcoming else stream.batch(step)
            if step + 1 < config.num_steps:
                # The next batch is made while the learner works on this one.
                upcoming.append(asyncio.create_task(asyncio.to_thread(stream.batch, step + 1)))
            rate = supervised_learning_rate(step, config=config)
            values = await self._learners.supervised_step(demonstrations, step=step, learning_rate=rate)
            values |= await self._validated(step + 1, phase=phase, config=config)
            self._advance(phase, step + 1, values)
            if await self._save_if_due(last=step + 1 == config.num_steps):
                return step + 1 == config.num_steps
        return True

    async def _validated(self, step: int, *, phase: Phase, config: SupervisedConfig) -> dict[str, float]:
        """The loss on what the cold start does not learn from, when it is its turn."""
        held_out = self._data.validation if phase == "cold_start" else None
        every = max(1, config.num_steps // NUM_VALIDATIONS)
        if held_out is None or not (self._is_due(step, every) or step == config.num_steps):
            return {}
        demonstrations = [held_out.demonstration(index) for index in range(len(held_out))]
        return {"supervised/validation_loss": await self._learners.supervised_loss(demonstrations)}

    async def _rl(self) -> bool:
        await self._push_if_stale()
        await self._parity_gate()
        config = self._config
        if config.loop.num_steps == 0:
            return True
        facts = RunFacts(
            max_tokens=config.rollout.sampling.max_tokens,
            term_weights={name: term.weight for name, term in config.rewards.terms.items()},
        )
        scorer = build_scorer(config.rewards, scale=scale_of(config.data), judge=self._judge, forcer=self._pool)
        try:
            done = await train(
                Schedule(
                    first_step=self._state.next_step, num_steps=config.loop.num_steps, max_lag=config.loop.max_lag
                ),
                prompts=PromptStream(
                    self._data.train,
                    prompts_per_step=config.rollout.prompts_per_step,
                    seed=config.run.seed,
                    mixture=self._data.mixture,
                ),
                rollouts=self._pool,
                scorer=scorer,
                algorithm=build_algorithm(config.algorithm, facts=facts),
                learner=self._learners,
                observer=self,
            )
        finally:
            await scorer.close()
        return done == config.loop.num_steps

    async def _evaluate(self, label: str) -> None:
        await self._push_if_stale()
        started = time.perf_counter()
        report = await judge_test_split(self._config, data=self._data, pool=self._pool, judge=self._judge)
        seconds = time.perf_counter() - started
        self._records.add_evaluation(label, report, global_step=self._state.global_step, seconds=seconds)
        self._display.say(f"evaluation {label}: {one_line(report)}")
        values = report.metrics()
        if label not in (UNTRAINED, COLD_START):
            # Between steps it belongs to the step before, whose checkpoint is yet to be written. The last one follows
            # the last checkpoint: a resume repeats it, and drops what it left.
            global_step = self._state.global_step - (label != RL)
            before = self._records.numbers(COLD_START)
            values |= self._alarms.hear_evaluation(values, cold_start=before, label=label, global_step=global_step)
        self._journal.record_evaluation(values, global_step=self._state.global_step)
        self._beat("evaluation")

    async def _parity_gate(self) -> None:
        parity = self._config.parity
        dataset = self._data.train
        order = GenerationOrder(
            prompts=[dataset.prompt(index) for index in range(min(parity.num_prompts, len(dataset)))],
            num_completions=2,
            sampling=self._config.rollout.sampling,
            seed=self._config.run.seed,
        )
        for engine, views in enumerate(await self._pool.view(order)):
            scores = await self._learners.completion_logprobs(scoring_requests(views))
            report = compare(views, scores, bound=self._parity_bound)
            self._journal.record_evaluation(report.metrics(), global_step=self._state.global_step)
            self._display.say(
                f"parity gate engine {engine}: {report.num_prompts} prompts, {report.num_tokens} tokens, "
                f"max |engine - trainer| {report.max_difference:.2e} nats"
            )
        self._beat("parity")

    async def _push_if_stale(self) -> None:
        if self._engine_version != self._learners.policy_version:
            await self._learners.push_weights()
            self._engine_version = self._learners.policy_version
        await self._learners.wake_engines()

    async def _save_if_due(self, *, last: bool) -> bool:
        stopping = self._stop.is_set()
        if stopping or last or self._is_due(self._state.global_step, self._config.loop.checkpoint_every):
            await self.save()
        return stopping

    async def save(self) -> None:
        """Write a checkpoint of the current state."""
        partial = self._checkpoints.begin(self._state.global_step)
        await self._learners.save_checkpoint(partial / LEARNER_FOLDER)
        await asyncio.to_thread(self._checkpoints.commit, partial, self._state)
        self._beat("checkpoint")

    async def _reference_folder(self, phase: Phase, model_folder: Path) -> str | None:
        """The model RL starts from, written once: a KL penalty refers to it, and other runs may start from it."""
        needs_it = self._config.algorithm.kl.coefficient > 0.0
        if phase != "rl":
            return None
        if not (self._config.warm_up.num_steps or self._config.cold_start.num_steps):
            return str(model_folder) if needs_it else None  # nothing moves it before RL
        folder = self._records.folder / "reference"
        if not folder.exists():
            if needs_it and self._state.phase == "rl" and self._state.next_step:
                raise CheckpointError(f"{folder} is gone: it held the KL reference this RL phase started from")
            if not self._state.next_step:
                await self._learners.export(folder)
        return str(folder) if needs_it else None

    def _advance(self, phase: Phase, done: int, values: Mapping[str, float]) -> None:
        self._journal.record(values, phase=phase, step=done - 1, global_step=self._state.global_step)
        self._set_state(phase=phase, next_step=done)
        self._beat("step")
        totals = {
            "warm_up": self._config.warm_up.num_steps,
            "cold_start": self._config.cold_start.num_steps,
            "rl": self._config.loop.num_steps,
        }
        shown = {name: values[key] for name, key in SHOWN.items() if key in values}
        self._display.step(phase, done=done, total=totals[phase], numbers=shown | self._records.headline())

    def _beat(self, doing: str) -> None:
        self._heartbeat.beat(doing, phase=self._state.phase, global_step=self._state.global_step)

    def _set_state(self, *, phase: Phase, next_step: int) -> None:
        stepped = next_step > 0
        self._state = RunState(
            phase=phase,
            next_step=next_step,
            global_step=self._state.global_step + stepped,
            policy_version=self._learners.policy_version,
            config_digest=self._state.config_digest,
            versions=self._state.versions,
        )

    @staticmethod
    def _is_due(step: int, every: int) -> bool:
        return every > 0 and step % every == 0


SHOWN = {
    "loss": "supervised/loss",
    "validation": "supervised/validation_loss",
    "reward": "rewards/total/mean",
    "format": "answers/format/fraction",
    "spread": "answers/spread/across",
    "tok/s": "rollout/tokens/per_s",
}
"""Journal keys the progress display shows, by the word it shows them under."""
