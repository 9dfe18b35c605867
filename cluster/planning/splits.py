"""The GPUs dealt out to learner and engines in every sensible way, and what each way would come to."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from cluster.budget import memory_budget
from cluster.planning.pipeline import Pace, Stages
from cluster.planning.scenario import Layout, Scenario
from conf.schema import RunConfig

LIBRARIES_SHARE = 1.2
"""Memory a learner really takes over what is reckoned (docs/running.md: add a fifth)."""
MOST_SPLITS = 16


@dataclass(frozen=True, kw_only=True, slots=True)
class Choice:
    """One way."""

    layout: Layout
    tensor_parallel: int
    max_lag: int
    """0 where GPUs are shared: there is nothing to overlap."""
    stages: Stages
    pace: Pace
    fits: bool
    """Whether memory suffices."""

    def idle_share(self, engines_busy: float, learner_busy: float) -> float:
        """Of all GPUs' time, from the shares of their time that engines and ranks work."""
        if self.layout.in_place:
            return 1 - engines_busy - learner_busy
        engine_gpus = self.layout.num_engines * self.tensor_parallel
        busy = engine_gpus * engines_busy + self.layout.num_ranks * learner_busy
        return 1 - busy / (engine_gpus + self.layout.num_ranks)


def choices(config: RunConfig, scenario: Scenario) -> list[Choice]:
    """Every way of dealing out the cluster's GPUs, each at the configured lag."""
    found = []
    for layout in _layouts(config):
        max_lag = 0 if layout.in_place else config.loop.max_lag
        found.append(
            Choice(
                layout=layout,
                tensor_parallel=config.rollout.tensor_parallel,
                max_lag=max_lag,
                stages=scenario.stages(layout),
                pace=scenario.pace(layout, max_lag=max_lag),
                fits=_fits(config, scenario, layout),
            )
        )
    return found


def best_of(found: Sequence[Choice]) -> Choice | None:
    """The shortest step among those that fit in memory."""
    return min((one for one in found if one.fits), key=lambda one: one.pace.step_s, default=None)


def _layouts(config: RunConfig) -> Iterator[Layout]:
    """All GPUs taking turns; and learner and engines side by side. Ranks must divide a step's rollouts, and no engine
    may be left without a prompt; of very many GPUs every sixteenth part is tried."""
    num_gpus, parallel = config.cluster.num_nodes * config.cluster.gpus_per_node, config.rollout.tensor_parallel
    num_prompts = config.rollout.prompts_per_step
    num_sequences = num_prompts * config.rollout.num_completions
    stride = max(1, num_gpus // MOST_SPLITS)
    for num_ranks in (num_gpus, *range(stride, num_gpus, stride)):
        in_place = num_ranks == num_gpus
        num_engines = (num_gpus if in_place else num_gpus - num_ranks) // parallel
        if num_sequences % num_ranks == 0 and 1 <= num_engines <= num_prompts:
            yield Layout(num_ranks=num_ranks, num_engines=num_engines, in_place=in_place)


def _fits(config: RunConfig, scenario: Scenario, layout: Layout) -> bool:
    placed = config.model_copy(
        update={
            "learner": config.learner.model_copy(update={"world_size": layout.num_ranks}),
            "rollout": config.rollout.model_copy(update={"num_engines": layout.num_engines}),
        }
    )
    need, memory = memory_budget(placed, scenario.model.shape), scenario.processor.memory_bytes
    if LIBRARIES_SHARE * need.learner > memory:
        return False
    # A shared GPU holds what the learner keeps between its turns beside all that the engine reserves.
    kept = need.learner - need.activations
    return not layout.in_place or kept + config.rollout.gpu_memory_fraction * memory <= memory
