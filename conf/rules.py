"""What settings of different sections demand of one another; each rule returns the problems it finds.

``RunConfig`` runs every rule, so a configuration that exists is free of contradictions.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Literal

from conf.algorithm_rules import algorithm_disagreements, compares_within_groups
from conf.algorithms import ScaledConfig
from conf.data import PhotoPairsConfig, PreferencePairsConfig
from conf.data_rules import data_disagreements
from conf.machine import Placement, resolve_backend, resolve_placement
from conf.tasks import Task, tasks_of

if TYPE_CHECKING:
    from conf.schema import RunConfig


def disagreements(config: RunConfig) -> list[str]:
    """One line per contradiction, naming the keys, their values, and what to change."""
    return [problem for rule in _RULES for problem in rule(config)]


def placement_of(config: RunConfig) -> Placement:
    """The placement this run uses."""
    return resolve_placement(
        config.cluster,
        num_learner_gpus=config.learner.world_size,
        num_engine_gpus=config.rollout.num_engines * config.rollout.tensor_parallel,
    )


def task_of(config: RunConfig) -> Task | None:
    """The one thing the data asks for; None where a run mixes tasks."""
    tasks = tasks_of(config.data)
    return next(iter(tasks)) if len(tasks) == 1 else None


def asks_for_a_choice(config: RunConfig) -> bool:
    """Whether all the data asks is which of two answers is better."""
    return task_of(config) == "choice"


def needs_a_judge(config: RunConfig) -> bool:
    """Whether a consistency judge is asked anything in this run."""
    return any(term.kind in ("consistency", "comparison") for term in config.rewards.terms.values())


def effective_dtype(config: RunConfig) -> Literal["float32", "bfloat16"]:
    """What ``learner.dtype`` means on these machines; engines and learner use the same."""
    if config.learner.dtype == "auto":
        return "float32" if placement_of(config) == "no_gpu" else "bfloat16"
    return "float32" if config.learner.dtype == "float32" else "bfloat16"


def _the_algorithm_agrees_with_itself(config: RunConfig) -> Iterator[str]:
    if config.loop.num_steps:
        yield from algorithm_disagreements(config.algorithm)


def _a_group_relative_algorithm_needs_a_group(config: RunConfig) -> Iterator[str]:
    if not config.loop.num_steps or config.rollout.num_completions > 1:
        return
    if compares_within_groups(config.algorithm):
        yield (
            "rollout.num_completions=1 gives a group-relative algorithm nothing to compare; "
            "use rollout.num_completions=2 or more"
        )
    elif config.algorithm.dynamic_sampling.max_rounds > 1:
        yield (
            "rollout.num_completions=1 leaves no group with a spread of rewards; "
            "use algorithm.dynamic_sampling.max_rounds=1"
        )


def _minibatches_divide_the_step(config: RunConfig) -> Iterator[str]:
    num_prompts, num_minibatches = config.rollout.prompts_per_step, config.algorithm.num_minibatches
    if config.loop.num_steps and num_prompts % num_minibatches:
        yield (
            f"algorithm.num_minibatches={num_minibatches} must divide rollout.prompts_per_step={num_prompts}, "
            "because groups stay whole"
        )


def _ranking_needs_partners(config: RunConfig) -> Iterator[str]:
    ranks = any(term.kind == "ranking" for term in config.rewards.terms.values())
    if ranks and config.loop.num_steps and config.rollout.prompts_per_step < 2:
        yield (
            "the ranking reward compares pictures within a step; "
            f"rollout.prompts_per_step={config.rollout.prompts_per_step} must be at least 2"
        )
    is_alone = config.rollout.num_completions < 2 and not compares_within_groups(config.algorithm)
    if ranks and config.loop.num_steps and is_alone:
        yield (
            "the ranking reward needs the spread of a picture's scores; "
            f"rollout.num_completions={config.rollout.num_completions} must be at least 2"
        )


def _chunks_of_pictures_divide_the_step(config: RunConfig) -> Iterator[str]:
    num_prompts = config.rollout.prompts_per_step
    for name, term in config.rewards.terms.items():
        size = term.chunk_size if term.kind == "ranking" else None
        if config.loop.num_steps and size is not None and num_prompts % size:
            yield (
                f"rewards.terms.{name}.chunk_size={size} must divide rollout.prompts_per_step={num_prompts}, "
                "so that every picture has as many to be compared with; null compares the whole step"
            )


def _the_learning_rate_lasts(config: RunConfig) -> Iterator[str]:
    num_steps, decay_steps = config.loop.num_steps, config.learner.decay_steps
    if decay_steps is not None and num_steps and decay_steps < max(num_steps, config.learner.warmup_steps + 1):
        yield (
            f"learner.decay_steps={decay_steps} ends learning before loop.num_steps={num_steps} does, or before "
            f"learner.warmup_steps={config.learner.warmup_steps}; raise it, or use null for a constant learning rate"
        )


def _training_samples_from_the_trainers_distribution(config: RunConfig) -> Iterator[str]:
    sampling = config.rollout.sampling
    if config.loop.num_steps and (sampling.temperature == 0.0 or sampling.top_p != 1.0):
        yield (
            "rollout.sampling must have a temperature above 0 and top_p=1: the trainer scores all tokens at the "
            f"temperature they were sampled at, got temperature={sampling.temperature} top_p={sampling.top_p}"
        )


def _batches_divide(config: RunConfig) -> Iterator[str]:
    world_size = config.learner.world_size
    sizes: dict[str, int] = {}
    if config.warm_up.num_steps:
        sizes["warm_up.batch_size"] = config.warm_up.batch_size
    if config.cold_start.num_steps:
        sizes["cold_start.batch_size"] = config.cold_start.batch_size
    if config.loop.num_steps:
        num_sequences = config.rollout.prompts_per_step * config.rollout.num_completions
        sizes["rollout.prompts_per_step * rollout.num_completions"] = num_sequences
    for key, size in sizes.items():
        if size % world_size:
            down = size - size % world_size
            near = f"{down} or {down + world_size}" if down else str(down + world_size)
            yield f"learner.world_size={world_size} must divide {key}={size}; try {near}"


def _answers_fit_the_model_length(config: RunConfig) -> Iterator[str]:
    longest = max(config.rollout.sampling.max_tokens, config.evaluation.sampling.max_tokens)
    if longest >= config.rollout.max_model_len:
        yield (
            f"rollout.max_model_len={config.rollout.max_model_len} leaves no room for a prompt beside "
            f"{longest} sampled tokens; raise it or lower max_tokens"
        )


def _every_term_is_weighed(config: RunConfig) -> Iterator[str]:
    for name, term in config.rewards.terms.items():
        if term.weight == 0 and config.loop.num_steps:
            yield f"rewards.terms.{name}.weight=0 has no effect; remove the term with ~rewards.terms.{name}"


def _calibration_keeps_its_size(config: RunConfig) -> Iterator[str]:
    algorithm = config.algorithm
    scales = algorithm.scale_by_std if isinstance(algorithm, ScaledConfig) else algorithm.kind in _SCALES_GROUPS
    for name, term in config.rewards.terms.items():
        if term.kind == "calibration" and config.loop.num_steps and scales:
            instead = ", or algorithm.scale_by_std=false" if isinstance(algorithm, ScaledConfig) else ""
            yield (
                f"algorithm={algorithm.kind} divides rewards by the spread of their group, after which "
                f"rewards.terms.{name} no longer tells how far off a probability is; use algorithm=rloo or "
                f"dr_grpo{instead}"
            )


_SCALES_GROUPS = ("positive_grpo", "gdpo")
"""Algorithms that always divide by the spread within a group."""


def _references_come_from_somewhere(config: RunConfig) -> Iterator[str]:
    for name, term in config.rewards.terms.items():
        if not config.loop.num_steps or term.kind != "comparison" or term.against != "references":
            continue
        key = f"rewards.terms.{name}.against"
        if isinstance(config.data, PreferencePairsConfig) and config.data.traces is not None:
            if config.data.order != "as_given":
                yield (
                    f"{key}=references needs data.order=as_given: traces name the answers by their numbers in the "
                    f"file, and data.order={config.data.order} asks half of the prompts the other way round"
                )
        elif not isinstance(config.data, PhotoPairsConfig):
            has_traces = isinstance(config.data, PreferencePairsConfig)
            where = "data.traces=null" if has_traces else f"data.kind={config.data.kind}"
            yield (
                f"{key}=references needs reference answers, of which there are none with {where}; give the traces of a "
                f"teacher (data=preference_pairs, data.traces), or use {key}=group"
            )


def _placement_matches_the_machines(config: RunConfig) -> Iterator[str]:
    cluster, has_gpus = config.cluster, config.cluster.gpus_per_node > 0
    if not has_gpus and cluster.placement in ("split", "colocated", "one_gpu"):
        yield (
            f"cluster.placement={cluster.placement} needs GPUs, but cluster.gpus_per_node=0; "
            "set cluster.gpus_per_node, or cluster.placement=no_gpu"
        )
    if has_gpus and cluster.placement == "no_gpu":
        yield (
            f"cluster.placement=no_gpu leaves cluster.gpus_per_node={cluster.gpus_per_node} unused; "
            "set cluster.gpus_per_node=0"
        )
    if cluster.ray_address == "local" and cluster.num_nodes > 1:
        yield (
            f"cluster.num_nodes={cluster.num_nodes} needs a running Ray cluster, but "
            "cluster.ray_address=local starts Ray on this machine only; set cluster.ray_address=auto"
        )


def _the_cpu_stack_has_no_gpu_features(config: RunConfig) -> Iterator[str]:
    if placement_of(config) != "no_gpu":
        return
    if config.rollout.tensor_parallel > 1:
        yield f"rollout.tensor_parallel={config.rollout.tensor_parallel} needs GPUs; without them use 1"
    if config.learner.attention == "flash_attention_2":
        yield "learner.attention=flash_attention_2 needs GPUs; without them use auto, sdpa or eager"


def _weights_can_travel(config: RunConfig) -> Iterator[str]:
    placement = placement_of(config)
    backend = resolve_backend(config.weights, placement)
    shares_gpus = placement in ("colocated", "one_gpu")
    if backend == "ipc" and not shares_gpus:
        yield (
            f"weights.backend=ipc needs learner and engine on the same GPU, but the placement is "
            f"{placement}; use weights.backend=auto or cluster.placement=colocated"
        )
    if backend == "nccl" and placement == "no_gpu":
        yield "weights.backend=nccl needs GPUs, but cluster.gpus_per_node=0; use weights.backend=auto or gloo"
    if backend == "nccl" and shares_gpus:
        yield (
            f"weights.backend=nccl refuses two processes on one GPU, but the placement is {placement}; "
            "use weights.backend=auto or ipc"
        )


def _overlap_needs_engines_of_their_own(config: RunConfig) -> Iterator[str]:
    placement = placement_of(config)
    if config.loop.max_lag and placement in ("colocated", "one_gpu"):
        yield (
            f"loop.max_lag={config.loop.max_lag} has generation overlap learning, but the placement is "
            f"{placement}, where engines sleep while the learner works; use loop.max_lag=0 "
            "or cluster.placement=split"
        )


_RULES: tuple[Callable[[RunConfig], Iterator[str]], ...] = (
    _the_algorithm_agrees_with_itself,
    _a_group_relative_algorithm_needs_a_group,
    _minibatches_divide_the_step,
    _ranking_needs_partners,
    _chunks_of_pictures_divide_the_step,
    _the_learning_rate_lasts,
    _training_samples_from_the_trainers_distribution,
    _batches_divide,
    _answers_fit_the_model_length,
    _every_term_is_weighed,
    _calibration_keeps_its_size,
    data_disagreements,
    _references_come_from_somewhere,
    _placement_matches_the_machines,
    _the_cpu_stack_has_no_gpu_features,
    _weights_can_travel,
    _overlap_needs_engines_of_their_own,
)
