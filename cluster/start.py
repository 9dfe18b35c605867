"""Brings the actors up and takes them down again.

ray.init -> placement group -> learner ranks and engines side by side -> weight transfer -> Stack
"""

import logging
import os
import socket
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import ray
from ray.exceptions import AuthenticationError, RayError
from ray.util.placement_group import (
    PlacementGroup,
    placement_group,
    placement_group_table,
    remove_placement_group,
)
from ray.util.scheduling_strategies import PlacementGroupSchedulingStrategy

from cluster.actors import EngineActor, LearnerActor
from cluster.learners import WeightLink
from cluster.remote import DeadlineExceeded, within
from cluster.topology import Placement, Seat, match_bundles
from conf.rules import effective_dtype
from conf.schema import RunConfig
from learner.types import Rendezvous
from rollout.worker_types import EngineOptions, MediaLimits

logger = logging.getLogger(__name__)

CONNECT_TIMEOUT_S = 10.0
"""Within one data centre an address answers in milliseconds or not at all."""
_NO_CLUSTER = (
    "no Ray cluster at cluster.ray_address={address}: start one with `ray start --head` and give HOST:6379 or its "
    "--port, or use cluster.ray_address=local"
)
_ATTEMPTS_VARIABLE = "RAY_gcs_server_port_wait_time_s"
"""How often Ray tries to join a cluster, 40 s each; its own choice is twenty times."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Room:
    """What Ray has booked for the run."""

    group: PlacementGroup
    bundles: tuple[int, ...]
    """Ray's bundle for each bundle of the plan."""

    def at(self, seat: Seat) -> PlacementGroupSchedulingStrategy:
        """Put an actor on its seat."""
        return PlacementGroupSchedulingStrategy(
            placement_group=self.group,
            placement_group_bundle_index=self.bundles[seat.bundles[0]],
            placement_group_capture_child_tasks=True,
        )


@dataclass(frozen=True, kw_only=True, slots=True)
class Stack:
    """Everything that runs outside the driver."""

    learners: list[Any]
    engines: list[Any]
    link: WeightLink
    group: PlacementGroup

    async def close(self) -> None:
        """End every actor and its processes, whatever state it is in."""
        try:
            await within([engine.close.remote() for engine in self.engines], 20.0, "engines closing")
        except (DeadlineExceeded, RayError) as error:
            logger.warning("engines did not close by themselves, killing them error=%s", error)
        for actor in (*self.engines, *self.learners):
            ray.kill(actor)
        remove_placement_group(self.group)


@contextmanager
def connected(config: RunConfig, placement: Placement) -> Iterator[None]:
    """Join the Ray cluster, or start one on this machine, and leave it at the end.

    Raises:
        ConnectionError: The cluster cannot be reached; says what to do.
    """
    address = config.cluster.ray_address
    if address != "local":
        check_listens(address)
    options: dict[str, Any] = {"logging_level": logging.WARNING, "log_to_driver": True}
    if address == "local":
        # Booked CPUs are a plan, not a measurement: on a small machine actors take turns.
        booked = sum(seat.num_cpus for seat in (*placement.learner, *placement.engines))
        options["num_cpus"] = max(booked, os.cpu_count() or 1)
        options["num_gpus"] = config.cluster.gpus_per_node
        # A dashboard is a dozen processes, as long in starting as the rest of Ray; one that is wanted has `ray start`.
        options["include_dashboard"] = False
    # A Ray that we start ourselves makes its own token; only a foreign one needs the user's attention.
    logging.getLogger("ray._private.authentication").setLevel(logging.ERROR)
    try:
        with _one_attempt(address):
            ray.init(address=address, **options)
    except AuthenticationError as error:
        raise ConnectionError(
            f"Ray at {address} asks for a token: run `ray get-auth-token --generate` once on the head, copy the token "
            f"here, and set RAY_AUTH_MODE=token for this command ({str(error).splitlines()[0]})"
        ) from None
    except ConnectionError as error:
        raise ConnectionError(f"{_NO_CLUSTER.format(address=address)} ({str(error).splitlines()[0]})") from None
    try:
        yield
    finally:
        ray.shutdown()


def check_listens(address: str) -> None:
    """Refuse an address nobody listens on; what Ray itself looks up, such as "auto", is left to Ray.

    Raises:
        ConnectionError: Names the address, and what to do.
    """
    scheme, separator, _ = address.rpartition("://")
    try:
        place = urlsplit(address if separator else f"//{address}")
        host, port = place.hostname, place.port
    except ValueError:
        return  # Ray says what is wrong with it
    if scheme not in ("", "ray") or host is None or port is None:
        return
    try:
        socket.create_connection((host, port), timeout=CONNECT_TIMEOUT_S).close()
    except OSError as error:
        raise ConnectionError(f"{_NO_CLUSTER.format(address=address)} ({error.strerror or error})") from None


@contextmanager
def _one_attempt(address: str) -> Iterator[None]:
    """Have Ray give up on a cluster that does not answer after 40 s, unless the user has said otherwise."""
    if address == "local" or _ATTEMPTS_VARIABLE in os.environ:
        yield
        return
    os.environ[_ATTEMPTS_VARIABLE] = "1"
    try:
        yield
    finally:
        del os.environ[_ATTEMPTS_VARIABLE]


async def start(config: RunConfig, placement: Placement, *, model_folder: Path, limits: MediaLimits) -> Stack:
    """Start every actor of ``placement`` and connect learner and engines.

    Raises:
        DeadlineExceeded: The cluster has no room, or an actor does not come up in ``cluster.start_timeout_s``.
    """
    timeout_s = config.cluster.start_timeout_s
    options = engine_options(config, placement, model_folder=model_folder, limits=limits)
    room = await _find_room(config, placement)
    learners = [
        ray.remote(LearnerActor).options(**actor_options(seat, room, config, name=f"learner-{rank}")).remote()
        for rank, seat in enumerate(placement.learner)
    ]
    engines = _spawn_engines(config, placement, room, options=options)
    link = WeightLink(
        learners,
        engines,
        backend=placement.backend,
        colocated=placement.shares_gpus,
        timeout_s=config.cluster.step_timeout_s,
    )
    stack = Stack(learners=learners, engines=engines, link=link, group=room.group)
    try:
        ready = [engine.ready.remote() for engine in engines]
        if placement.shares_gpus:
            # vLLM measures free memory at its start, so nobody else may take any meanwhile.
            await within(ready, timeout_s, "engines loading the model")
            await link.sleep()
        built = await _build_learners(learners, config, model_folder=model_folder)
        await within([*built, *ready], timeout_s, "actors loading the model")
        await link.open(config.weights, workers_per_engine=config.rollout.tensor_parallel)
    except BaseException:  # whatever went wrong, no actor outlives the attempt
        await stack.close()
        raise
    return stack


async def start_engines(config: RunConfig, placement: Placement, *, model_folder: Path, limits: MediaLimits) -> Stack:
    """Start the engines alone, for work that learns nothing."""
    options = engine_options(config, placement, model_folder=model_folder, limits=limits)
    room = await _find_room(config, placement)
    engines = _spawn_engines(config, placement, room, options=options)
    link = WeightLink([], engines, backend=placement.backend, colocated=False, timeout_s=1.0)
    stack = Stack(learners=[], engines=engines, link=link, group=room.group)
    try:
        ready = [engine.ready.remote() for engine in engines]
        await within(ready, config.cluster.start_timeout_s, "engines loading the model")
    except BaseException:  # as above
        await stack.close()
        raise
    return stack


async def _find_room(config: RunConfig, placement: Placement) -> Room:
    group = placement_group([dict(bundle) for bundle in placement.bundles], strategy=placement.strategy)
    need, have = Counter[str](), ray.cluster_resources()
    for bundle in placement.bundles:
        need.update({name: int(amount) for name, amount in bundle.items()})
    asked = ", ".join(f"{amount} {name} of {have.get(name, 0.0):g}" for name, amount in need.items())
    await within([group.ready()], config.cluster.start_timeout_s, f"Ray, which was asked for {asked} in the cluster")
    nodes = placement_group_table(group)["bundles_to_node_id"]
    order = match_bundles(placement, [nodes[index] for index in range(len(placement.bundles))])
    return Room(group=group, bundles=order)


def _spawn_engines(config: RunConfig, placement: Placement, room: Room, *, options: EngineOptions) -> list[Any]:
    return [
        ray.remote(EngineActor)
        .options(**actor_options(seat, room, config, name=f"engine-{n}"))
        .remote(config.model, options)
        for n, seat in enumerate(placement.engines)
    ]


def engine_options(
    config: RunConfig, placement: Placement, *, model_folder: Path, limits: MediaLimits
) -> EngineOptions:
    """What every engine of the run is built from."""
    on_gpu = placement.mode != "no_gpu"
    return EngineOptions(
        folder=str(model_folder),
        dtype=effective_dtype(config),
        head_dtype=config.learner.head_dtype,
        rollout=config.rollout,
        media_limits=limits,
        transfer_backend=placement.backend,
        seed=config.run.seed,
        on_gpu=on_gpu,
        shares_gpu=placement.shares_gpus,
    )


async def _build_learners(learners: Sequence[Any], config: RunConfig, *, model_folder: Path) -> list[Any]:
    refs = [learners[0].address.remote()]
    ((host, port),) = await within(refs, config.cluster.start_timeout_s, "learner rank 0 starting")
    return [
        learner.build.remote(
            Rendezvous(
                master_address=host,
                master_port=port,
                rank=rank,
                world_size=len(learners),
                timeout_s=config.cluster.step_timeout_s,
            ),
            model=config.model,
            model_folder=str(model_folder),
            learner=config.learner,
            algorithm=config.algorithm,
            temperature=config.rollout.sampling.temperature,
            seed=config.run.seed,
        )
        for rank, learner in enumerate(learners)
    ]


def actor_options(seat: Seat, room: Room, config: RunConfig, *, name: str) -> dict[str, Any]:
    """What Ray needs to know to put one actor on its seat, under the name the dashboard shows."""
    return {
        "name": f"{config.run.name}/{name}",
        "num_cpus": seat.num_cpus,
        "num_gpus": seat.actor_gpus,
        "scheduling_strategy": room.at(seat),
        "runtime_env": {"env_vars": environment(seat, room, config)},
    }


def environment(seat: Seat, room: Room, config: RunConfig) -> dict[str, str]:
    """Environment variables of one actor's process; vLLM and torch read them when they are imported."""
    common = {
        "TOKENIZERS_PARALLELISM": "false",
        "VLLM_LOGGING_LEVEL": "ERROR",
        "VLLM_NO_USAGE_STATS": "1",
        "TRANSFORMERS_VERBOSITY": "error",
        "HF_HUB_DISABLE_PROGRESS_BARS": "1",
        "TORCH_CPP_LOG_LEVEL": "ERROR",
    }
    if seat.gpus:
        return common | {
            # CUDA IPC handles reach vLLM's worker as pickles; only processes of this job can send any.
            "VLLM_ALLOW_INSECURE_SERIALIZATION": "1",
            # A tensor-parallel engine's workers are Ray actors of vLLM's own, on the seat's other bundles.
            "VLLM_RAY_PER_WORKER_GPUS": str(seat.gpu_share),
            "VLLM_RAY_BUNDLE_INDICES": ",".join(str(room.bundles[bundle]) for bundle in seat.bundles),
        }
    return common | {
        "CUDA_VISIBLE_DEVICES": "",
        "OMP_NUM_THREADS": str(config.cluster.cpu_threads_per_actor),
        "VLLM_CPU_OMP_THREADS_BIND": "nobind",
        "DS_ACCELERATOR": "cpu",
        # To compile vLLM's few small functions takes each engine longer than it will ever run them, and a C++ compiler.
        "TORCH_COMPILE_DISABLE": "1",
    }
