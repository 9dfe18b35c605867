"""The classes that Ray runs, which ``start.py`` makes remote. Each imports its heavy libraries in its own process.

The methods only pass calls on; they are spelled out so that the Ray dashboard and timeline name them.
"""

import socket
from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Any

import ray

from conf.algorithms import AlgorithmConfig
from conf.machine import ModelConfig, WeightsConfig
from conf.schema import LearnerConfig
from learner.phases import PhaseName
from learner.types import Rendezvous, ScoringRequest, StepReport, TrainerScore, TrainingBatch
from rollout.types import Demonstration, RolloutGroup
from rollout.weights.manifest import WeightManifest
from rollout.weights.sender import Sender
from rollout.worker_types import (
    EndedText,
    EngineOptions,
    EngineView,
    FirstTokens,
    ForcedToken,
    GenerationOrder,
    QuestionOrder,
)


class EngineActor:
    """One vLLM engine."""

    def __init__(self, model: ModelConfig, options: EngineOptions) -> None:
        from rollout.worker import RolloutWorker  # noqa: PLC0415 - vLLM loads in the actor, not in the driver

        self._worker = RolloutWorker(model, options)

    async def ready(self) -> None:
        """Returns once the engine is up."""

    async def generate(self, order: GenerationOrder) -> list[RolloutGroup]:
        return await self._worker.generate(order)

    async def stream(self, order: GenerationOrder) -> AsyncIterator[list[EndedText] | list[RolloutGroup]]:
        async for part in self._worker.stream(order):
            yield part

    async def view(self, order: GenerationOrder) -> list[EngineView]:
        return await self._worker.view(order)

    async def forced_logprobs(self, tokens: Sequence[ForcedToken]) -> list[float]:
        return await self._worker.forced_logprobs(tokens)

    async def first_tokens(self, order: QuestionOrder) -> list[FirstTokens]:
        return await self._worker.first_tokens(order)

    async def init_transfer(self, options: Mapping[str, object]) -> None:
        await self._worker.init_transfer(options)

    async def begin_update(self) -> None:
        await self._worker.begin_update()

    async def receive(self, update: Mapping[str, object]) -> None:
        await self._worker.receive(update)

    async def finish_update(self, policy_version: int) -> None:
        await self._worker.finish_update(policy_version)

    async def sleep(self) -> None:
        await self._worker.sleep()

    async def wake_up(self) -> None:
        await self._worker.wake_up()

    async def close(self) -> None:
        await self._worker.close()


class LearnerActor:
    """One learner rank, and on the sending ranks the learner's end of the weight transport."""

    def __init__(self) -> None:
        self._sender: Sender | None = None

    def address(self) -> tuple[str, int]:
        """A host and a free port of this machine, for the ranks to meet at."""
        with socket.socket() as probe:
            probe.bind(("", 0))
            return ray.util.get_node_ip_address(), int(probe.getsockname()[1])

    def build(
        self,
        rendezvous: Rendezvous,
        *,
        model: ModelConfig,
        model_folder: str,
        learner: LearnerConfig,
        algorithm: AlgorithmConfig,
        temperature: float,
        seed: int,
    ) -> None:
        """Join the other ranks and load the model."""
        from learner.worker import LearnerWorker  # noqa: PLC0415 - DeepSpeed loads in the actor
        from rollout.families import build_family  # noqa: PLC0415

        self._worker = LearnerWorker(
            rendezvous,
            model_folder=model_folder,
            family_factory=lambda folder: build_family(model, folder=folder),
            learner=learner,
            algorithm=algorithm,
            temperature=temperature,
            seed=seed,
        )

    def open_transfer(
        self, backend: str, *, weights: WeightsConfig, timeout_s: float, engines: list[Any]
    ) -> dict[str, object]:
        """Make this rank a sender; returns what receivers need to connect."""
        self._sender = make_sender(backend, weights=weights, timeout_s=timeout_s, engines=engines)
        return dict(self._sender.receiver_options())

    def join_transfer(self, num_receivers: int) -> dict[str, object]:
        """Complete the group; returns the constant part of every update request."""
        if self._sender is None:
            raise RuntimeError("open_transfer() comes first")
        self._sender.join(num_receivers=num_receivers)
        return dict(self._sender.update_options())

    def publish(self) -> None:
        self._worker.publish(self._sender)

    def parameter_metadata(self) -> WeightManifest:
        return self._worker.parameter_metadata()

    def start_phase(self, name: PhaseName, *, reference_folder: str | None) -> None:
        self._worker.start_phase(name, reference_folder=reference_folder)

    def supervised_step(
        self, demonstrations: Sequence[Demonstration], *, step: int, learning_rate: float
    ) -> dict[str, float]:
        return self._worker.supervised_step(demonstrations, step=step, learning_rate=learning_rate)

    def supervised_loss(self, demonstrations: Sequence[Demonstration]) -> float:
        return self._worker.supervised_loss(demonstrations)

    def policy_step(self, batch: TrainingBatch, *, step: int) -> StepReport:
        return self._worker.policy_step(batch, step=step)

    def completion_logprobs(self, requests: Sequence[ScoringRequest]) -> list[TrainerScore]:
        return self._worker.completion_logprobs(requests)

    def release_memory(self) -> None:
        self._worker.release_memory()

    def save_checkpoint(self, folder: str) -> None:
        self._worker.save_checkpoint(folder, extra={})

    def load_checkpoint(self, folder: str) -> None:
        self._worker.load_checkpoint(folder)

    def export(self, folder: str) -> None:
        self._worker.export(folder)

    def close(self) -> None:
        self._worker.shutdown()


def make_sender(backend: str, *, weights: WeightsConfig, timeout_s: float, engines: list[Any]) -> Sender:
    """Build the learner's end of a transport."""
    host = ray.util.get_node_ip_address()
    bucket_bytes = weights.bucket_mib * 2**20
    if backend == "gloo":
        from rollout.weights.gloo import GlooSender  # noqa: PLC0415

        return GlooSender(host=host, bucket_bytes=bucket_bytes, timeout_s=timeout_s, verify=weights.verify)
    from rollout.weights.vllm_senders import IpcSender, NcclSender  # noqa: PLC0415

    if backend == "nccl":
        return NcclSender(host=host, bucket_bytes=bucket_bytes)

    def deliver(update: dict[str, object]) -> None:
        ray.get([engine.receive.remote(update) for engine in engines])

    return IpcSender(bucket_bytes=bucket_bytes, deliver=deliver)
