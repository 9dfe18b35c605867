"""Which learner rank and which engine sits on which GPU: arithmetic only, no Ray, no torch.

    split      [L0 L1 L2 L3 | E0 E0 | E1 E1]   learner and engines side by side, weights over NCCL
    colocated  [L0+E0 L1+E0 L2+E1 L3+E1]       engines sleep while the learner works, weights over CUDA IPC
    one_gpu    [L0+E0]                         the same on a single GPU
    no_gpu     every process on CPU, weights over gloo

Ray is asked for one bundle per GPU (one per actor on CPU). A bundle holds at most one rank and one engine
worker, so two actors that book half a GPU each in the same bundle share exactly that GPU; in one large bundle
Ray would pack two learner ranks onto a GPU. A tensor-parallel engine never spans machines: its all-reduces
would cross the network at every layer.
"""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from conf.machine import Backend, ClusterConfig, WeightsConfig, resolve_backend, resolve_placement
from conf.machine import Placement as Mode
from conf.schema import LearnerConfig, RolloutConfig


@dataclass(frozen=True, kw_only=True, slots=True, order=True)
class Gpu:
    """One GPU of the plan: machines and their GPUs are counted from 0."""

    node: int
    index: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Seat:
    """Where one actor runs."""

    gpus: tuple[Gpu, ...]
    """Empty on CPU; one for a learner rank; ``tensor_parallel`` many for an engine."""
    bundles: tuple[int, ...]
    """Bundle of each GPU; on CPU the actor's own bundle. The actor itself runs in the first."""
    gpu_share: float
    """Booked on each GPU: 1 when the actor owns it, 0.5 when it takes turns, 0 on CPU."""
    num_cpus: int
    """CPU cores the actor books."""

    @property
    def actor_gpus(self) -> float:
        """What the actor books itself: nothing for a tensor-parallel engine, whose workers book."""
        return self.gpu_share if len(self.gpus) == 1 else 0.0


@dataclass(frozen=True, kw_only=True, slots=True)
class Placement:
    """Every actor's seat and the Ray bundles that hold them."""

    mode: Mode
    backend: Backend
    learner: tuple[Seat, ...]
    """By rank."""
    engines: tuple[Seat, ...]
    """By engine number."""
    bundles: tuple[dict[str, float], ...]
    """Resources of each bundle of the placement group."""

    @property
    def shares_gpus(self) -> bool:
        """Whether engines and learner take turns on the same GPUs, so that engines must sleep in between."""
        return self.mode in ("colocated", "one_gpu")

    @property
    def strategy(self) -> str:
        """Ray's placement strategy: one machine is insisted on when the plan uses only one."""
        nodes = {gpu.node for seat in (*self.learner, *self.engines) for gpu in seat.gpus}
        return "STRICT_PACK" if len(nodes) == 1 else "PACK"


def plan(cluster: ClusterConfig, rollout: RolloutConfig, learner: LearnerConfig, weights: WeightsConfig) -> Placement:
    """Seat every learner rank and engine.

    Raises:
        ValueError: They do not fit the machines; says what is needed, what there is, and what to change.
    """
    mode = resolve_placement(
        cluster,
        num_learner_gpus=learner.world_size,
        num_engine_gpus=rollout.num_engines * rollout.tensor_parallel,
    )
    backend = resolve_backend(weights, mode)
    if mode == "no_gpu":
        return _on_cpu(rollout, learner, backend=backend)
    if mode == "one_gpu":
        _check_one_gpu(rollout, learner)
    if rollout.tensor_parallel > cluster.gpus_per_node:
        raise ValueError(
            f"rollout.tensor_parallel={rollout.tensor_parallel} spans machines of "
            f"cluster.gpus_per_node={cluster.gpus_per_node} GPUs; an engine must fit one machine"
        )
    every = [Gpu(node=node, index=i) for node in range(cluster.num_nodes) for i in range(cluster.gpus_per_node)]
    ranks = every[: learner.world_size]
    free = every[learner.world_size :] if mode == "split" else every
    engines = list(_groups_inside_nodes(free, rollout.tensor_parallel))[: rollout.num_engines]
    if len(ranks) < learner.world_size or len(engines) < rollout.num_engines:
        raise ValueError(_too_few(cluster, rollout, learner, mode=mode))
    alone = sorted({gpu for group in engines for gpu in group} - set(ranks))
    if backend == "ipc" and alone:
        raise ValueError(
            f"CUDA IPC shares weights inside a GPU, but {len(alone)} engine GPUs hold no learner rank; use "
            f"learner.world_size={len(ranks) + len(alone)}, fewer engines, or cluster.placement=split"
        )
    return _on_gpus(ranks, engines, mode=mode, backend=backend)


def match_bundles(placement: Placement, node_of_bundle: Sequence[str]) -> tuple[int, ...]:
    """Ray's bundle for each bundle of the plan, given the machine Ray put each of its bundles on.

    Ray promises which resources a bundle has, not which bundles are neighbours; as all are alike, those
    of one machine are dealt to one machine of the plan.

    Raises:
        ValueError: Ray spread the bundles over machines in other numbers than the plan has.
    """
    planned: dict[int, list[int]] = {}
    for seat in (*placement.learner, *placement.engines):
        for gpu, bundle in zip(seat.gpus, seat.bundles, strict=False):
            if bundle not in planned.setdefault(gpu.node, []):
                planned[gpu.node].append(bundle)
    if not planned:
        return tuple(range(len(placement.bundles)))
    given: dict[str, list[int]] = {}
    for bundle, node in enumerate(node_of_bundle):
        given.setdefault(node, []).append(bundle)
    ours = sorted(planned.values(), key=len, reverse=True)
    rays = sorted(given.values(), key=len, reverse=True)
    if [len(group) for group in ours] != [len(group) for group in rays]:
        raise ValueError(
            f"the plan uses {[len(group) for group in ours]} GPUs per machine, but Ray has free ones only as "
            f"{[len(group) for group in rays]}; wait for other jobs, or lower "
            "learner.world_size or rollout.num_engines"
        )
    pairs = [pair for own, ray in zip(ours, rays, strict=True) for pair in zip(own, ray, strict=True)]
    return tuple(ray for _, ray in sorted(pairs))


def describe(placement: Placement) -> str:
    """A table of who sits where, for the start of a run."""
    rows = [f"placement {placement.mode}, weights over {placement.backend}"]
    names = [f"learner {rank}" for rank in range(len(placement.learner))]
    names += [f"engine {number}" for number in range(len(placement.engines))]
    width = max(len(name) for name in names)
    for name, seat in zip(names, (*placement.learner, *placement.engines), strict=True):
        rows.append(f"  {name:<{width}}  {_place(seat)}")
    return "\n".join(rows)


def describe_crowding(placement: Placement, *, threads_per_actor: int, overlaps: bool, num_cores: int) -> str | None:
    """A warning where actors on CPU at work at the same time have more threads than the machine cores; else None.

    Threads wait for one another in busy loops, so that actors who share a core slow each other down far more than by
    half: a step of 2.0 s took 4.5 s with two actors of two threads on two cores. ``overlaps``: generation goes on while
    the learner works; otherwise they take turns.
    """
    num_ranks, num_engines = len(placement.learner), len(placement.engines)
    num_at_work = num_ranks + num_engines if overlaps else max(num_ranks, num_engines)
    if placement.mode != "no_gpu" or threads_per_actor == 1 or num_at_work * threads_per_actor <= num_cores:
        return None
    return (
        f"warning: {num_at_work} actors at work at a time, with cluster.cpu_threads_per_actor={threads_per_actor}, "
        f"share {num_cores} cores and will slow each other down; use cluster.cpu_threads_per_actor="
        f"{max(num_cores // num_at_work, 1)}"
    )


def _place(seat: Seat) -> str:
    if not seat.gpus:
        return "cpu"
    numbers = ", ".join(str(gpu.index) for gpu in seat.gpus)
    return f"node {seat.gpus[0].node}  gpu {numbers}{' (shared)' if seat.gpu_share < 1 else ''}"


def _on_cpu(rollout: RolloutConfig, learner: LearnerConfig, *, backend: Backend) -> Placement:
    if rollout.tensor_parallel > 1:
        raise ValueError(f"rollout.tensor_parallel={rollout.tensor_parallel} needs GPUs; without them use 1")
    # One core is booked whatever the number of threads: learner and engines take turns, and a head on a small machine
    # offers no more cores than it has.
    seats = [
        Seat(gpus=(), bundles=(number,), gpu_share=0.0, num_cpus=1)
        for number in range(learner.world_size + rollout.num_engines)
    ]
    return Placement(
        mode="no_gpu",
        backend=backend,
        learner=tuple(seats[: learner.world_size]),
        engines=tuple(seats[learner.world_size :]),
        bundles=tuple({"CPU": float(seat.num_cpus)} for seat in seats),
    )


def _on_gpus(ranks: list[Gpu], engines: list[tuple[Gpu, ...]], *, mode: Mode, backend: Backend) -> Placement:
    groups = [*((gpu,) for gpu in ranks), *engines]
    used = sorted({gpu for group in groups for gpu in group})
    share = 1.0 if mode == "split" else 0.5
    seats = [
        Seat(gpus=group, bundles=tuple(used.index(gpu) for gpu in group), gpu_share=share, num_cpus=1)
        for group in groups
    ]
    num_actors = Counter(seat.bundles[0] for seat in seats)
    return Placement(
        mode=mode,
        backend=backend,
        learner=tuple(seats[: len(ranks)]),
        engines=tuple(seats[len(ranks) :]),
        bundles=tuple({"CPU": float(max(num_actors[i], 1)), "GPU": 1.0} for i in range(len(used))),
    )


def _groups_inside_nodes(free: list[Gpu], size: int) -> Iterator[tuple[Gpu, ...]]:
    for node in sorted({gpu.node for gpu in free}):
        here = [gpu for gpu in free if gpu.node == node]
        for start in range(0, len(here) - size + 1, size):
            yield tuple(here[start : start + size])


def _check_one_gpu(rollout: RolloutConfig, learner: LearnerConfig) -> None:
    if learner.world_size != 1 or rollout.num_engines != 1 or rollout.tensor_parallel != 1:
        raise ValueError(
            "placement one_gpu holds one learner rank and one engine, got "
            f"learner.world_size={learner.world_size}, rollout.num_engines={rollout.num_engines} x "
            f"rollout.tensor_parallel={rollout.tensor_parallel}; set all three to 1, or give more GPUs "
            "(cluster.gpus_per_node)"
        )


def _too_few(cluster: ClusterConfig, rollout: RolloutConfig, learner: LearnerConfig, *, mode: Mode) -> str:
    num_gpus = cluster.num_nodes * cluster.gpus_per_node
    num_engine_gpus = rollout.num_engines * rollout.tensor_parallel
    also = ", or let them take turns with cluster.placement=colocated" if mode == "split" else ""
    return (
        f"placement {mode}: the learner needs {learner.world_size} GPUs, the engines "
        f"{rollout.num_engines} x {rollout.tensor_parallel} = {num_engine_gpus} "
        f"{'of their own' if mode == 'split' else 'of the same ones'} (each engine's on one machine), "
        f"but the cluster has {cluster.num_nodes} x {cluster.gpus_per_node} = {num_gpus}; lower "
        f"learner.world_size, rollout.num_engines or rollout.tensor_parallel{also}"
    )
