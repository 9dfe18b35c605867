"""Placement arithmetic, by hand-worked plans and by what must hold for every plan."""

from itertools import product

import pytest

from cluster.topology import Gpu, Placement, describe, describe_crowding, match_bundles, plan
from conf.load import load_run_config

ON_GPUS = ["model=qwen2_5_vl_7b", "learner=zero3", "warm_up.num_steps=0", "cold_start.num_steps=0"]


def planned(
    *,
    nodes: int,
    gpus: int,
    ranks: int,
    engines: int,
    tensor_parallel: int = 1,
    placement: str = "auto",
) -> Placement:
    """The plan of a run that needs these processes on these machines."""
    config = load_run_config(
        [
            *ON_GPUS,
            "cluster.ray_address=auto",
            f"cluster.num_nodes={nodes}",
            f"cluster.gpus_per_node={gpus}",
            f"cluster.placement={placement}",
            f"learner.world_size={ranks}",
            "rollout.prompts_per_step=840",
            f"rollout.num_engines={engines}",
            f"rollout.tensor_parallel={tensor_parallel}",
        ]
    )
    return plan(config.cluster, config.rollout, config.learner, config.weights)


def places(placement: Placement) -> tuple[list[list[tuple[int, int]]], list[list[tuple[int, int]]]]:
    """(node, gpu) pairs of every rank and of every engine."""
    ranks, engines = (
        [[(gpu.node, gpu.index) for gpu in seat.gpus] for seat in seats]
        for seats in (placement.learner, placement.engines)
    )
    return ranks, engines


def test_learner_and_engines_that_both_fit_are_split() -> None:
    placement = planned(nodes=1, gpus=8, ranks=4, engines=2, tensor_parallel=2)
    assert placement.mode == "split"
    assert places(placement) == (
        [[(0, 0)], [(0, 1)], [(0, 2)], [(0, 3)]],
        [[(0, 4), (0, 5)], [(0, 6), (0, 7)]],
    )


def test_a_split_run_pushes_over_nccl_and_owns_its_gpus() -> None:
    placement = planned(nodes=1, gpus=8, ranks=4, engines=4)
    assert placement.backend == "nccl"
    assert not placement.shares_gpus
    assert {seat.gpu_share for seat in (*placement.learner, *placement.engines)} == {1.0}


def test_learner_and_engines_that_do_not_both_fit_take_turns() -> None:
    placement = planned(nodes=1, gpus=8, ranks=8, engines=4, tensor_parallel=2)
    assert placement.mode == "colocated"
    ranks, engines = places(placement)
    assert ranks == [[(0, i)] for i in range(8)]
    assert engines == [[(0, 0), (0, 1)], [(0, 2), (0, 3)], [(0, 4), (0, 5)], [(0, 6), (0, 7)]]


def test_a_colocated_run_pushes_over_ipc_and_books_half_gpus() -> None:
    placement = planned(nodes=1, gpus=2, ranks=2, engines=2)
    assert placement.backend == "ipc"
    assert placement.shares_gpus
    assert [seat.gpu_share for seat in placement.engines] == [0.5, 0.5]
    assert placement.bundles == ({"CPU": 2.0, "GPU": 1.0}, {"CPU": 2.0, "GPU": 1.0})


def test_one_gpu_holds_one_rank_and_one_engine() -> None:
    placement = planned(nodes=1, gpus=1, ranks=1, engines=1)
    assert (placement.mode, placement.backend) == ("one_gpu", "ipc")
    assert places(placement) == ([[(0, 0)]], [[(0, 0)]])
    assert placement.bundles == ({"CPU": 2.0, "GPU": 1.0},)


def test_without_gpus_every_actor_has_a_bundle_of_its_own() -> None:
    placement = planned(nodes=1, gpus=0, ranks=2, engines=3)
    assert (placement.mode, placement.backend) == ("no_gpu", "gloo")
    assert [seat.bundles for seat in (*placement.learner, *placement.engines)] == [
        (0,),
        (1,),
        (2,),
        (3,),
        (4,),
    ]
    assert placement.bundles == ({"CPU": 1.0},) * 5


def test_a_rank_that_leaves_an_odd_number_of_gpus_moves_engines_to_the_next_machine() -> None:
    placement = planned(nodes=2, gpus=4, ranks=3, engines=2, tensor_parallel=2, placement="split")
    assert places(placement)[1] == [[(1, 0), (1, 1)], [(1, 2), (1, 3)]]


def test_a_tensor_parallel_engine_books_through_its_workers() -> None:
    placement = planned(nodes=1, gpus=8, ranks=4, engines=2, tensor_parallel=2)
    assert [seat.actor_gpus for seat in placement.engines] == [0.0, 0.0]
    assert [seat.actor_gpus for seat in placement.learner] == [1.0] * 4
    assert placement.engines[0].bundles == (4, 5)
    assert placement.bundles[5] == {"CPU": 1.0, "GPU": 1.0}


def test_a_plan_on_one_machine_insists_on_one_machine() -> None:
    assert planned(nodes=2, gpus=4, ranks=2, engines=2).strategy == "STRICT_PACK"
    assert planned(nodes=2, gpus=2, ranks=2, engines=2).strategy == "PACK"


def test_a_split_run_that_does_not_fit_says_what_is_needed_and_what_there_is() -> None:
    expected = r"the learner needs 8 GPUs, the engines 4 x 2 = 8 of their own .* cluster has 1 x 8 = 8"
    with pytest.raises(ValueError, match=expected):
        planned(nodes=1, gpus=8, ranks=8, engines=4, tensor_parallel=2, placement="split")


def test_gpus_that_suffice_only_across_machines_do_not_make_an_engine() -> None:
    with pytest.raises(ValueError, match="each engine's on one machine"):
        planned(nodes=2, gpus=3, ranks=2, engines=2, tensor_parallel=2, placement="split")


def test_an_engine_wider_than_a_machine_is_refused() -> None:
    with pytest.raises(ValueError, match=r"rollout.tensor_parallel=8 spans machines of cluster.gpus_per_node=4"):
        planned(nodes=4, gpus=4, ranks=1, engines=1, tensor_parallel=8)


def test_more_ranks_than_gpus_are_refused() -> None:
    with pytest.raises(ValueError, match=r"placement colocated: the learner needs 16 GPUs"):
        planned(nodes=1, gpus=8, ranks=16, engines=1)


def test_two_engines_on_one_gpu_are_refused() -> None:
    with pytest.raises(ValueError, match=r"one_gpu holds one learner rank and one engine"):
        planned(nodes=1, gpus=1, ranks=1, engines=2)


SHAPES = [
    shape
    for shape in product((1, 2, 3), (1, 2, 4, 8), (1, 2, 4, 7), (1, 2, 3), (1, 2, 4), ("auto", "colocated", "split"))
    if shape[0] * shape[1] > 1
]


def fitting_plans() -> list[Placement]:
    """Every plan out of a grid of shapes that exists."""
    plans: list[Placement] = []
    base = load_run_config([*ON_GPUS, "cluster=two_nodes8"])
    for nodes, gpus, ranks, engines, tensor_parallel, mode in SHAPES:
        cluster = base.cluster.model_copy(update={"num_nodes": nodes, "gpus_per_node": gpus, "placement": mode})
        rollout = base.rollout.model_copy(update={"num_engines": engines, "tensor_parallel": tensor_parallel})
        learner = base.learner.model_copy(update={"world_size": ranks})
        try:
            plans.append(plan(cluster, rollout, learner, base.weights))
        except ValueError:
            continue
    return plans


@pytest.fixture(scope="module")
def plans() -> list[Placement]:
    found = fitting_plans()
    assert len(found) > 200
    return found


def test_no_gpu_has_two_owners_when_split(plans: list[Placement]) -> None:
    for placement in plans:
        if placement.mode == "split":
            used = [gpu for seat in (*placement.learner, *placement.engines) for gpu in seat.gpus]
            assert len(used) == len(set(used))


def test_no_gpu_is_overbooked(plans: list[Placement]) -> None:
    for placement in plans:
        booked: dict[Gpu, float] = {}
        for seat in (*placement.learner, *placement.engines):
            for gpu in seat.gpus:
                booked[gpu] = booked.get(gpu, 0.0) + seat.gpu_share
        assert max(booked.values()) <= 1.0


def test_no_engine_spans_machines(plans: list[Placement]) -> None:
    assert all(len({gpu.node for gpu in seat.gpus}) == 1 for p in plans for seat in p.engines)


def test_actors_of_a_bundle_fit_its_cpus(plans: list[Placement]) -> None:
    for placement in plans:
        for number, bundle in enumerate(placement.bundles):
            here = [s for s in (*placement.learner, *placement.engines) if s.bundles[0] == number]
            assert sum(seat.num_cpus for seat in here) <= bundle["CPU"]


def test_a_bundle_stands_for_one_gpu(plans: list[Placement]) -> None:
    for placement in plans:
        pairs = {
            (bundle, gpu)
            for seat in (*placement.learner, *placement.engines)
            for bundle, gpu in zip(seat.bundles, seat.gpus, strict=True)
        }
        assert len(pairs) == len({b for b, _ in pairs}) == len({g for _, g in pairs}) == len(placement.bundles)


def test_bundles_that_ray_mixed_up_are_sorted_by_machine() -> None:
    placement = planned(nodes=2, gpus=2, ranks=2, engines=1, tensor_parallel=2, placement="split")
    matched = match_bundles(placement, ["b", "a", "b", "a"])
    assert {matched[0], matched[1]} == {0, 2}
    assert {matched[2], matched[3]} == {1, 3}


def test_bundles_spread_in_other_numbers_are_refused() -> None:
    placement = planned(nodes=2, gpus=2, ranks=2, engines=1, tensor_parallel=2, placement="split")
    with pytest.raises(ValueError, match=r"uses \[2, 2\] GPUs per machine.* only as \[3, 1\]"):
        match_bundles(placement, ["a", "a", "a", "b"])


def test_on_cpu_bundles_stay_as_they_are() -> None:
    assert match_bundles(planned(nodes=1, gpus=0, ranks=1, engines=1), ["a", "b"]) == (0, 1)


def test_the_table_names_every_actor_and_its_gpus() -> None:
    assert describe(planned(nodes=1, gpus=4, ranks=2, engines=1, tensor_parallel=2)).splitlines() == [
        "placement split, weights over nccl",
        "  learner 0  node 0  gpu 0",
        "  learner 1  node 0  gpu 1",
        "  engine 0   node 0  gpu 2, 3",
    ]


@pytest.mark.parametrize(
    ("ranks", "engines", "threads", "overlaps", "cores", "advised"),
    [
        (1, 1, 2, True, 2, 1),
        (1, 1, 2, False, 2, None),
        (1, 1, 2, True, 4, None),
        (1, 1, 4, False, 2, 2),
        (2, 1, 2, False, 3, 1),
        (2, 3, 4, True, 16, 3),
        (2, 2, 1, True, 2, None),
    ],
)
def test_actors_that_would_wait_for_one_anothers_cores_are_warned_of(
    *, ranks: int, engines: int, threads: int, overlaps: bool, cores: int, advised: int | None
) -> None:
    placement = planned(nodes=1, gpus=0, ranks=ranks, engines=engines)
    said = describe_crowding(placement, threads_per_actor=threads, overlaps=overlaps, num_cores=cores)
    assert (said is None) == (advised is None)
    assert said is None or said.endswith(f"use cluster.cpu_threads_per_actor={advised}")


def test_actors_on_gpus_do_not_crowd_the_cores() -> None:
    placement = planned(nodes=1, gpus=2, ranks=1, engines=1)
    assert describe_crowding(placement, threads_per_actor=4, overlaps=True, num_cores=2) is None
