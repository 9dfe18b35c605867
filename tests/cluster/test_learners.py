"""The order of calls in a weight push, and who gets which rank, with stand-ins for the actors."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

import pytest

from cluster.learners import LearnerGroup, WeightLink
from cluster.remote import DeadlineExceeded
from conf.machine import WeightsConfig
from learner.types import StepReport, TrainingBatch
from rollout.weights.manifest import TensorEntry, WeightManifest

WEIGHTS = WeightsConfig(backend="auto", bucket_mib=1, verify=True)
MANIFEST = WeightManifest(entries=(TensorEntry(name="w", dtype_name="float32", shape=(2,)),))
ADDRESS = {"master_address": "here", "master_port": 1}


class Actor:
    """Every attribute is a remote method that notes its call and answers from ``answers``."""

    def __init__(self, name: str, log: list[tuple[str, str]], answers: dict[str, Any]) -> None:
        self._name, self._log, self._answers = name, log, answers
        self.calls: dict[str, tuple[Any, ...]] = {}

    def __getattr__(self, method: str) -> Any:
        return Method(lambda *args, **options: self._call(method, (*args, *options.values())))

    async def _call(self, method: str, arguments: tuple[Any, ...]) -> Any:
        self._log.append((self._name, method))
        self.calls[method] = arguments
        await asyncio.sleep(0)
        answer = self._answers.get(method)
        if isinstance(answer, Exception):
            raise answer
        if isinstance(answer, asyncio.Event):
            await answer.wait()
        return answer


class Method:
    def __init__(self, call: Callable[..., Awaitable[Any]]) -> None:
        self.remote = call


class Rig:
    """Two learner ranks and two engines."""

    def __init__(self, backend: str, *, colocated: bool = False, engine_answers: dict[str, Any] | None = None) -> None:
        self.log: list[tuple[str, str]] = []
        answers: dict[str, Any] = {
            "open_transfer": ADDRESS if backend != "ipc" else {},
            "join_transfer": {"bucket_bytes": 1 << 20} if backend != "ipc" else {},
            "parameter_metadata": MANIFEST,
            "policy_step": StepReport(policy_version=1, metrics={}),
        }
        self.learners = [Actor(f"learner-{rank}", self.log, answers) for rank in range(2)]
        self.engines = [Actor(f"engine-{n}", self.log, engine_answers or {}) for n in range(2)]
        self.link = WeightLink(self.learners, self.engines, backend=backend, colocated=colocated, timeout_s=5.0)

    def open(self, *, workers_per_engine: int = 1) -> None:
        asyncio.run(self.link.open(WEIGHTS, workers_per_engine=workers_per_engine))
        self.log.clear()

    def methods(self, names: Sequence[str]) -> list[str]:
        return [method for name, method in self.log if name in names]


@pytest.mark.parametrize("backend", ["gloo", "nccl"])
def test_only_rank_zero_opens_the_group_and_every_engine_worker_gets_a_rank_of_its_own(backend: str) -> None:
    rig = Rig(backend)
    rig.open(workers_per_engine=4)
    assert "open_transfer" not in rig.learners[1].calls
    assert rig.learners[0].calls["join_transfer"] == (8,)
    offsets = [engine.calls["init_transfer"][0]["rank_offset"] for engine in rig.engines]
    assert offsets == [1, 5]
    assert rig.engines[0].calls["init_transfer"][0]["world_size"] == 9


def test_over_ipc_every_rank_sends_and_no_group_is_formed() -> None:
    rig = Rig("ipc")
    rig.open()
    assert all("open_transfer" in learner.calls for learner in rig.learners)
    assert [engine.calls["init_transfer"] for engine in rig.engines] == [({},), ({},)]


@pytest.mark.parametrize("backend", ["gloo", "nccl"])
def test_a_push_stops_the_engines_first_and_lets_them_go_last(backend: str) -> None:
    rig = Rig(backend)
    rig.open()
    asyncio.run(rig.link.push(7))
    assert rig.methods(["engine-0"]) == ["begin_update", "receive", "finish_update"]
    assert rig.log[:2] == [("engine-0", "begin_update"), ("engine-1", "begin_update")]
    assert rig.log[-2:] == [("engine-0", "finish_update"), ("engine-1", "finish_update")]
    assert rig.engines[1].calls["finish_update"] == (7,)


def test_every_rank_takes_part_in_a_push_because_shards_are_gathered() -> None:
    rig = Rig("gloo")
    rig.open()
    asyncio.run(rig.link.push(1))
    assert rig.methods(["learner-0", "learner-1"]) == ["publish", "publish"]


def test_engines_learn_names_types_shapes_and_buckets_with_the_push() -> None:
    rig = Rig("gloo")
    rig.open()
    asyncio.run(rig.link.push(1))
    assert rig.engines[0].calls["receive"] == (
        {"names": ["w"], "dtype_names": ["float32"], "shapes": [[2]], "bucket_bytes": 1 << 20},
    )


def test_over_ipc_the_sender_itself_hands_out_the_chunks() -> None:
    rig = Rig("ipc")
    rig.open()
    asyncio.run(rig.link.push(1))
    assert rig.methods(["engine-0"]) == ["begin_update", "finish_update"]


def test_a_failing_receiver_ends_the_push_with_its_own_error() -> None:
    rig = Rig("gloo", engine_answers={"receive": RuntimeError("digest differs")})
    rig.open()
    with pytest.raises(RuntimeError, match="digest differs"):
        asyncio.run(rig.link.push(1))
    assert "finish_update" not in rig.methods(["engine-0"])


def test_engines_that_share_gpus_sleep_while_the_learner_works() -> None:
    rig = Rig("ipc", colocated=True)
    rig.open()
    group = LearnerGroup(rig.learners, rig.link, timeout_s=5.0)

    async def step_and_push() -> None:
        await group.step(TrainingBatch(samples=(), num_without_reward=0), step=0)
        await group.push_weights()

    asyncio.run(step_and_push())
    order = [method for name, method in rig.log if name in ("engine-0", "learner-0")]
    assert order == ["sleep", "policy_step", "release_memory", "wake_up", "begin_update", "publish", "finish_update"]


def test_engines_with_gpus_of_their_own_stay_awake() -> None:
    rig = Rig("nccl")
    rig.open()
    group = LearnerGroup(rig.learners, rig.link, timeout_s=5.0)
    asyncio.run(group.step(TrainingBatch(samples=(), num_without_reward=0), step=0))
    assert rig.methods(["engine-0"]) == []


def test_a_hang_becomes_an_error_that_says_who_was_waited_for() -> None:
    async def scenario() -> None:
        rig = Rig("gloo", engine_answers={"begin_update": asyncio.Event()})
        link = WeightLink(rig.learners, rig.engines, backend="gloo", colocated=False, timeout_s=0.05)
        await link.push(1)

    with pytest.raises(DeadlineExceeded, match=r"within 0\.05 s from engines stopping for new weights"):
        asyncio.run(scenario())
