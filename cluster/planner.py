"""``arbiter plan``: how long a step will take, what bounds it, and how the GPUs are dealt out best."""

import os
from collections.abc import Iterator, Sequence
from pathlib import Path

from rich.console import Console

from cluster.label_tools import say
from cluster.planning.configured import layout_of, scenario_of
from cluster.planning.measured import Measured, measure
from cluster.planning.report import simulated_text, source_lines, split_table, stage_lines, workload_lines
from cluster.planning.scenario import Layout, Scenario
from cluster.planning.splits import best_of, choices
from cluster.topology import plan
from conf.errors import ConfigError
from conf.load import load_run_config, refuse_idle
from conf.rules import needs_a_judge, placement_of
from conf.schema import RunConfig

NUM_SIMULATED = 60
"""Steps of the simulation."""


def show_plan(overrides: Sequence[str], console: Console, *, metrics: str | None) -> int:
    """Print the plan of a configuration; ``metrics``: the run folder whose journal it is reckoned from.

    Raises:
        ConfigError: The configuration or the run folder cannot be used.
        ValueError: The placement does not fit the machines.
    """
    config = load_run_config(overrides)
    refuse_idle(_idle(config), overrides)
    if config.loop.num_steps == 0:
        raise ConfigError(["loop.num_steps=0 leaves out the RL phase, which is what a plan is about"])
    plan(config.cluster, config.rollout, config.learner, config.weights)
    cores = len(os.sched_getaffinity(0))
    measured = None if metrics is None else measure(Path(metrics), base=config, num_cores=cores)
    scenario = scenario_of(
        config,
        num_cores=cores,
        observed=None if measured is None else measured.observed,
        corrections=None if measured is None else measured.corrections,
    )
    for line in plan_lines(config, scenario, measured):
        say(console, line)
    return 0


def plan_lines(config: RunConfig, scenario: Scenario, measured: Measured | None) -> Iterator[str]:
    """What the command prints."""
    layout, max_lag = layout_of(config), config.loop.max_lag
    yield f"{config.run.name}: {_layout_text(config, layout)}; nothing is started"
    stages, pace = scenario.stages(layout), scenario.pace(layout, max_lag=max_lag)
    pairs = [*source_lines(scenario, measured), *workload_lines(scenario)]
    pairs += stage_lines(scenario, layout, stages=stages, pace=pace, max_lag=max_lag)
    pairs.append(("simulated", _simulated(config, scenario, layout)))
    yield from (f"{name:<11}{text}" for name, text in pairs)
    if scenario.cores is None:
        yield from _split_lines(config, scenario)


def _simulated(config: RunConfig, scenario: Scenario, layout: Layout) -> str:
    if config.loop.max_lag and scenario.crowds(layout):
        return "not simulated: engines and learner share cores"
    found = scenario.simulate(layout, max_lag=config.loop.max_lag, num_steps=NUM_SIMULATED, seed=config.run.seed)
    return simulated_text(found, layout)


def _split_lines(config: RunConfig, scenario: Scenario) -> Iterator[str]:
    num_gpus = config.cluster.num_nodes * config.cluster.gpus_per_node
    yield ""
    yield f"{num_gpus} GPUs dealt out, seconds of each part; * the shortest step that fits in memory"
    found = choices(config, scenario)
    yield from split_table(found)
    if config.loop.max_lag == 0:
        ahead = best_of(
            choices(config.model_copy(update={"loop": config.loop.model_copy(update={"max_lag": 1})}), scenario)
        )
        if ahead is not None and not ahead.layout.in_place:
            yield (
                f"with loop.max_lag=1 the best is {ahead.layout.num_ranks} + {ahead.layout.num_engines}: "
                f"{ahead.pace.step_s:.3g} s a step"
            )


def _layout_text(config: RunConfig, layout: Layout) -> str:
    ranks = f"{layout.num_ranks} learner rank{'s' if layout.num_ranks > 1 else ''}"
    engines = f"{layout.num_engines} engine{'s' if layout.num_engines > 1 else ''}"
    parallel = f" of {config.rollout.tensor_parallel} GPUs" if config.rollout.tensor_parallel > 1 else ""
    return f"{ranks}, {engines}{parallel}, placement {placement_of(config)}"


def _idle(config: RunConfig) -> dict[str, str]:
    """Settings of the section ``plan`` that change nothing here."""
    idle = {}
    if placement_of(config) == "no_gpu":
        idle["plan.gpu"] = "the run uses no GPU (cluster.gpus_per_node=0)"
    if not needs_a_judge(config):
        idle["plan.judge_latency_s"] = "no reward term asks a judge"
    return idle
