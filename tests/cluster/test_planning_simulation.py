"""The simulated loop against the closed form where nothing varies, and against the loop itself."""

import asyncio
from itertools import pairwise

import numpy as np
import pytest

from cluster.planning.configured import layout_of, scenario_of
from cluster.planning.judging import Judging
from cluster.planning.pipeline import Stages, capacity, pace
from cluster.planning.scenario import Layout
from cluster.planning.simulation import Costs, Generation, Simulated, simulate
from conf.load import load_run_config
from tests.cluster.test_loop import World, run


def constant(stages: Stages) -> Costs:
    """A batch of one completion that always takes the same; the judge answers one question at a time."""
    one = Generation(num_tokens=1, ends_s=np.array([stages.generate]), engine_s=np.array([stages.generate]))
    judging = Judging(latency_s=stages.judge, requests_per_completion=1, max_concurrent=8, requests_per_second=None)
    return Costs(
        generate=lambda: one,
        learn=lambda _: stages.learn,
        push_s=stages.push,
        judging=judging,
        judge_latencies=None,
    )


def simulated(stages: Stages, *, max_lag: int) -> Simulated:
    """Sixty steps."""
    return simulate(constant(stages), max_lag=max_lag, num_steps=60)


SLOW_LEARNER = Stages(generate=2.0, judge=0.5, learn=3.0, push=0.25)
SLOW_ENGINES = Stages(generate=4.0, judge=0.5, learn=1.0, push=0.25)
SLOW_JUDGE = Stages(generate=1.0, judge=5.0, learn=1.0, push=0.25)


@pytest.mark.parametrize("stages", [SLOW_LEARNER, SLOW_ENGINES, SLOW_JUDGE])
def test_without_lag_a_step_is_the_sum_of_its_parts(stages: Stages) -> None:
    assert simulated(stages, max_lag=0).step_s == pytest.approx(stages.total)
    assert pace(stages, max_lag=0).step_s == pytest.approx(stages.total)
    assert simulated(stages, max_lag=0).staleness == {0: 1.0}


def test_far_ahead_a_step_is_the_slower_side_and_its_push() -> None:
    assert simulated(SLOW_LEARNER, max_lag=8).step_s == pytest.approx(3.25)
    assert simulated(SLOW_ENGINES, max_lag=8).step_s == pytest.approx(4.25)


def test_a_slow_judge_is_hidden_by_as_many_batches_as_may_be_under_way() -> None:
    # 7.25 s from beginning to push, shared by the batches under way; at best 1.25 s, the learner's own.
    for max_lag, expected in ((0, 7.25), (1, 7.25 / 2), (2, 7.25 / 3), (8, 1.25)):
        assert pace(SLOW_JUDGE, max_lag=max_lag).step_s == pytest.approx(expected)
        assert simulated(SLOW_JUDGE, max_lag=max_lag).step_s == pytest.approx(expected, rel=0.02)


@pytest.mark.parametrize("max_lag", [0, 1, 2, 3, 8])
@pytest.mark.parametrize("seed", range(8))
def test_simulation_and_closed_form_agree_where_nothing_varies(max_lag: int, seed: int) -> None:
    generate, judge, learn, push = np.random.default_rng(seed).uniform(0.1, 5.0, size=4).tolist()
    stages = Stages(generate=generate, judge=judge, learn=learn, push=push / 10)
    assert simulated(stages, max_lag=max_lag).step_s == pytest.approx(pace(stages, max_lag=max_lag).step_s, rel=0.03)


def test_idle_shares_are_what_the_step_leaves_over() -> None:
    found = simulated(SLOW_LEARNER, max_lag=2)
    assert found.learner_idle == pytest.approx(1 - 3 / 3.25)
    assert found.engines_idle == pytest.approx(1 - 2 / 3.25)


@pytest.mark.parametrize("max_lag", [1, 2, 3])
def test_staleness_reaches_the_lag_and_no_further_where_the_learner_is_slow(max_lag: int) -> None:
    assert simulated(SLOW_LEARNER, max_lag=max_lag).staleness == {max_lag: 1.0}


def test_a_longer_lag_never_makes_a_step_longer() -> None:
    steps = [pace(SLOW_JUDGE, max_lag=max_lag).step_s for max_lag in range(9)]
    assert all(later <= earlier for earlier, later in pairwise(steps))


@pytest.mark.parametrize("max_lag", [0, 1, 3])
def test_the_loop_begins_batches_as_the_capacity_says(max_lag: int) -> None:
    world, learned, begun, left = World(), 0, 0, []
    asyncio.run(run(world, num_steps=10, max_lag=max_lag))
    for kind, _ in world.events:
        if kind == "generate":
            assert capacity(learned=learned, begun=begun, max_lag=max_lag) >= 1
            begun += 1
        if kind == "push":
            left.append(capacity(learned=learned, begun=begun, max_lag=max_lag))
            learned += 1
    # Generation is the faster side there: it has used up the capacity whenever weights are pushed, but at the end.
    assert left[: 10 - max_lag] == [0] * (10 - max_lag)


def test_too_few_steps_are_refused() -> None:
    with pytest.raises(ValueError, match="max_lag=2 needs 10 steps or more, got 9"):
        simulate(constant(SLOW_LEARNER), max_lag=2, num_steps=9)


def kadid(*overrides: str) -> list[str]:
    """VisualQuality-R1 on KADID-10K."""
    files = ["data.image_folder=x", "data.train_labels=a", "data.test_labels=b"]
    return ["recipe=rl2r_kadid", *files, "plan.media_tokens=252", *overrides]


@pytest.mark.parametrize("max_lag", [0, 1])
def test_a_scenario_without_variance_is_simulated_as_reckoned(max_lag: int) -> None:
    layout = Layout(num_ranks=4, num_engines=4, in_place=False)
    scenario = scenario_of(load_run_config(kadid("plan.completion_spread=0")), num_cores=1)
    found = scenario.simulate(layout, max_lag=max_lag, num_steps=20, seed=0)
    assert found.step_s == pytest.approx(scenario.pace(layout, max_lag=max_lag).step_s, rel=1e-6)


def test_the_same_seed_simulates_the_same_and_another_something_near() -> None:
    config = load_run_config(kadid())
    scenario, layout = scenario_of(config, num_cores=1), layout_of(config)
    one, same, other = (scenario.simulate(layout, max_lag=0, num_steps=20, seed=seed) for seed in (0, 0, 1))
    assert one == same
    assert other.step_s != one.step_s
    assert other.step_s == pytest.approx(one.step_s, rel=0.05)


def test_twice_the_cluster_with_twice_the_prompts_takes_as_long() -> None:
    """But for the longest of twice as many completions, and the network between machines."""
    small = scenario_of(load_run_config(kadid("plan.completion_spread=0")), num_cores=1)
    doubled = ["rollout.prompts_per_step=128", "cluster.num_nodes=2", "learner.world_size=16", "rollout.num_engines=16"]
    large = scenario_of(load_run_config(kadid("plan.completion_spread=0", *doubled)), num_cores=1)
    one = small.stages(Layout(num_ranks=8, num_engines=8, in_place=True))
    two = large.stages(Layout(num_ranks=16, num_engines=16, in_place=True))
    assert two.generate == pytest.approx(one.generate)
    assert two.learn == pytest.approx(one.learn, rel=0.02)
