"""Every learner rank as one, and the push of its weights to the engines.

begin_update (engines stop) -> publish (ranks) || receive (engines) -> finish_update (caches dropped)
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from cluster.checkpoint import Phase
from cluster.remote import within
from conf.machine import WeightsConfig
from learner.types import ScoringRequest, StepReport, TrainerScore, TrainingBatch
from rollout.types import Demonstration


class WeightLink:
    """The open connection between learner ranks and engines."""

    def __init__(
        self,
        learners: Sequence[Any],
        engines: Sequence[Any],
        *,
        backend: str,
        colocated: bool,
        timeout_s: float,
    ) -> None:
        self._learners, self._engines = list(learners), list(engines)
        self._backend, self._colocated, self._timeout_s = backend, colocated, timeout_s
        self._update: dict[str, object] = {}
        self._asleep = False

    async def open(self, weights: WeightsConfig, *, workers_per_engine: int) -> None:
        """Rendezvous once per run."""
        senders = self._learners if self._backend == "ipc" else self._learners[:1]
        options = [
            sender.open_transfer.remote(
                self._backend, weights=weights, timeout_s=self._timeout_s, engines=self._engines
            )
            for sender in senders
        ]
        (where, *_) = await self._within(options, "learner opening the weight transfer")
        num_receivers = len(self._engines) * workers_per_engine
        ranks = (1 + engine * workers_per_engine for engine in range(len(self._engines)))
        group = {"world_size": num_receivers + 1}
        init = [{} if self._backend == "ipc" else {**where, **group, "rank_offset": rank} for rank in ranks]
        joining = [sender.join_transfer.remote(num_receivers) for sender in senders]
        connecting = [engine.init_transfer.remote(one) for engine, one in zip(self._engines, init, strict=True)]
        (update, *_) = await self._within([*joining, *connecting], "learner and engines joining the weight transfer")
        (manifest,) = await self._within(
            [self._learners[0].parameter_metadata.remote()], "learner naming its parameters"
        )
        self._update = {**manifest.columns(), **update}

    async def push(self, policy_version: int) -> None:
        """Give every engine the learner's weights; completions carry ``policy_version`` from then on."""
        await self.wake_up()
        await self._within([e.begin_update.remote() for e in self._engines], "engines stopping for new weights")
        sending = [learner.publish.remote() for learner in self._learners]
        if self._backend != "ipc":  # over IPC the sender itself hands every chunk to the engines
            sending += [engine.receive.remote(self._update) for engine in self._engines]
        await self._within(sending, "weights on their way to the engines")
        await self._within(
            [e.finish_update.remote(policy_version) for e in self._engines],
            "engines going on with new weights",
        )

    async def sleep(self) -> None:
        """On shared GPUs, let the learner have the engines' memory until ``wake_up``."""
        if self._colocated and not self._asleep:
            self._asleep = True
            await self._within([e.sleep.remote() for e in self._engines], "engines giving their memory back")

    async def wake_up(self) -> None:
        """End ``sleep``: the learner lets go of what it has only cached, the engines take their memory again."""
        if self._asleep:
            await self._within([one.release_memory.remote() for one in self._learners], "learner releasing memory")
            await self._within([e.wake_up.remote() for e in self._engines], "engines taking their memory again")
            self._asleep = False

    async def _within(self, refs: Sequence[Any], what: str) -> list[Any]:
        return await within(refs, self._timeout_s, what)


class LearnerGroup:
    """All ranks, called alike."""

    def __init__(self, learners: Sequence[Any], link: WeightLink, *, timeout_s: float) -> None:
        self._learners, self._link, self._timeout_s = list(learners), link, timeout_s
        self.policy_version = 0

    async def start_phase(self, phase: Phase, *, reference_folder: str | None) -> None:
        """Fresh optimizer moments; the KL reference for RL."""
        await self._link.sleep()
        refs = [one.start_phase.remote(phase, reference_folder=reference_folder) for one in self._learners]
        await self._within(refs, f"learner starting {phase}")

    async def supervised_step(
        self, demonstrations: Sequence[Demonstration], *, step: int, learning_rate: float
    ) -> dict[str, float]:
        """One supervised optimizer step; every rank takes its share. On shared GPUs the engines stay asleep."""
        await self._link.sleep()
        refs = [
            one.supervised_step.remote(demonstrations, step=step, learning_rate=learning_rate) for one in self._learners
        ]
        results: list[dict[str, float]] = await self._within(refs, f"learner at supervised step {step}")
        self.policy_version += 1
        return results[0]

    async def supervised_loss(self, demonstrations: Sequence[Demonstration]) -> float:
        """Mean loss in nats per answer token; nothing is learned."""
        await self._link.sleep()
        refs = [one.supervised_loss.remote(demonstrations) for one in self._learners]
        results: list[float] = await self._within(refs, "learner at a validation loss")
        return results[0]

    async def step(self, batch: TrainingBatch, *, step: int) -> StepReport:
        """Learn from one batch; every rank takes its share. The push that follows wakes engines on shared GPUs."""
        await self._link.sleep()
        refs = [one.policy_step.remote(batch, step=step) for one in self._learners]
        reports: list[StepReport] = await self._within(refs, f"learner at step {step}")
        self.policy_version += 1
        return StepReport(policy_version=self.policy_version, metrics=reports[0].metrics)

    async def push_weights(self) -> None:
        """Push to every engine."""
        await self._link.push(self.policy_version)

    async def wake_engines(self) -> None:
        """Make sure that engines on shared GPUs can generate."""
        await self._link.wake_up()

    async def completion_logprobs(self, requests: Sequence[ScoringRequest]) -> list[TrainerScore]:
        """Trainer log-probs of given completions."""
        refs = [one.completion_logprobs.remote(requests) for one in self._learners]
        results: list[list[TrainerScore]] = await self._within(refs, "learner scoring completions")
        return results[0]

    async def save_checkpoint(self, folder: Path) -> None:
        """Every rank writes its part into ``folder``."""
        refs = [one.save_checkpoint.remote(str(folder)) for one in self._learners]
        await self._within(refs, "learner writing a checkpoint")

    async def load_checkpoint(self, folder: Path) -> None:
        """Every rank reads its part from ``folder``."""
        refs = [one.load_checkpoint.remote(str(folder)) for one in self._learners]
        await self._within(refs, "learner reading a checkpoint")

    async def export(self, folder: Path) -> None:
        """Write a plain Hugging Face folder."""
        await self._within([one.export.remote(str(folder)) for one in self._learners], "learner exporting the model")

    async def _within(self, refs: Sequence[Any], what: str) -> list[Any]:
        return await within(refs, self._timeout_s, what)
