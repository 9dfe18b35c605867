"""A scenario from a configuration, and from what a run has measured."""

import math
from dataclasses import dataclass, replace

from cluster.planning.costs import Engines, Learner, Model
from cluster.planning.hardware import GPUS, Processor, cpu
from cluster.planning.judging import Judging
from cluster.planning.scenario import Cores, Corrections, Layout, Scenario
from cluster.planning.workload import Lengths, Workload
from conf.data import OpinionScoreConfig, PartConfig, PhotoVideosConfig, PreferencePairsConfig
from conf.errors import ConfigError
from conf.rules import effective_dtype, needs_a_judge, placement_of
from conf.schema import RunConfig
from conf.tasks import parts_of
from learner.algorithms import build_algorithm
from rollout.families.shapes import MADE, ModelShape, shape_of

TEXT_TOKENS = 256
PIXELS_PER_TOKEN = 28 * 28
_CLIP_TOKENS_PER_CROP = 4
"""Eight frames, two to a token."""
_GIB = 2**30
_BYTES = {"float32": 4, "bfloat16": 2}


@dataclass(frozen=True, kw_only=True, slots=True)
class Observed:
    """What a run's journal says in place of assumptions."""

    prompt_tokens: float | None
    """None in journals that do not tell."""
    completion_tokens: float
    completion_spread: float
    judge_latency_s: float | None
    requests_per_completion: float | None


def layout_of(config: RunConfig) -> Layout:
    """That of the configuration."""
    in_place = placement_of(config) in ("colocated", "one_gpu")
    return Layout(num_ranks=config.learner.world_size, num_engines=config.rollout.num_engines, in_place=in_place)


def scenario_of(
    config: RunConfig, *, num_cores: int, observed: Observed | None = None, corrections: Corrections | None = None
) -> Scenario:
    """The configuration's; what ``plan`` says goes before what was observed, and that before assumptions.

    Raises:
        ConfigError: The model is not on this machine; a mean length is longer than the longest.
    """
    shape = planned_shape(config)
    has_gpus = placement_of(config) != "no_gpu"
    threads = config.cluster.cpu_threads_per_actor
    model = Model(
        shape=shape,
        bytes_per_value=_BYTES[effective_dtype(config)],
        trained_parameters=_num_trained(config, shape),
    )
    processor = _on_gpus(config) if has_gpus else cpu(threads)
    work = _workload(config, observed)
    return Scenario(
        work=work,
        model=model,
        processor=processor,
        engines=_engines(config, model, processor, has_gpus=has_gpus),
        learner=_learner(config, work),
        judging=_judging(config, observed) if needs_a_judge(config) else None,
        corrections=corrections or Corrections(),
        cores=None if has_gpus else Cores(num=num_cores, threads_per_actor=threads),
    )


def planned_shape(config: RunConfig) -> ModelShape:
    """The sizes of the model.

    Raises:
        ConfigError: They are not known here.
    """
    if config.model.size is not None:
        return MADE[config.model.size]
    shape = shape_of(config.model)
    if shape is None:
        what = "there is no config.json to reckon with; give a folder that has one, or a published name"
        raise ConfigError([f"model.path={config.model.path}: {what}"])
    return shape


def _on_gpus(config: RunConfig) -> Processor:
    gpu = GPUS[config.plan.gpu]
    return gpu if effective_dtype(config) == "bfloat16" else replace(gpu, flops_per_s=gpu.flops_per_s / 2)  # TF32


def _num_trained(config: RunConfig, shape: ModelShape) -> int:
    rank = config.learner.lora_rank
    by_part = shape.num_parameters if rank is None else shape.adapter_parameters(rank)
    return sum(count for part, count in by_part.items() if part not in config.learner.frozen)


def _workload(config: RunConfig, observed: Observed | None) -> Workload:
    plan, most = config.plan, config.rollout.sampling.max_tokens
    media, text = assumed_media_tokens(config), float(TEXT_TOKENS)
    mean, spread = most / 2, 0.5
    if observed is not None:
        mean, spread = min(observed.completion_tokens, most), observed.completion_spread
        if observed.prompt_tokens is not None:
            media = min(media, observed.prompt_tokens - 1)
            text = observed.prompt_tokens - media
    mean = mean if plan.completion_tokens is None else plan.completion_tokens
    if mean > most:
        raise ConfigError([f"plan.completion_tokens={mean:g} is a mean above rollout.sampling.max_tokens={most}"])
    return Workload(
        num_prompts=config.rollout.prompts_per_step,
        num_completions=config.rollout.num_completions,
        media_tokens=media if plan.media_tokens is None else plan.media_tokens,
        text_tokens=text if plan.text_tokens is None else plan.text_tokens,
        lengths=Lengths(
            mean=mean, spread=spread if plan.completion_spread is None else plan.completion_spread, most=most
        ),
    )


def assumed_media_tokens(config: RunConfig) -> float:
    """Of a prompt: the mean over the data sets."""
    parts = list(parts_of(config.data).values())
    return sum(_media_tokens(part, config) for part in parts) / len(parts)


def _media_tokens(part: PartConfig, config: RunConfig) -> float:
    if isinstance(part, OpinionScoreConfig | PreferencePairsConfig):
        return config.model.max_pixels / PIXELS_PER_TOKEN
    pixels = min(max(part.crop_size**2, config.model.min_pixels), config.model.max_pixels)
    return pixels / PIXELS_PER_TOKEN * (_CLIP_TOKENS_PER_CROP if isinstance(part, PhotoVideosConfig) else 1)


def _engines(config: RunConfig, model: Model, processor: Processor, *, has_gpus: bool) -> Engines:
    rollout = config.rollout
    cache_bytes = rollout.kv_cache_gib * _GIB
    if has_gpus:
        cache_bytes = (
            rollout.gpu_memory_fraction * processor.memory_bytes * rollout.tensor_parallel - model.weight_bytes
        )
        if cache_bytes <= 0:
            given = f"rollout.gpu_memory_fraction={rollout.gpu_memory_fraction} of {rollout.tensor_parallel} x"
            weights = f"{processor.name} holds less than {model.weight_bytes / 1e9:.0f} GB of weights"
            raise ConfigError([f"{given} {weights}; raise it, or rollout.tensor_parallel"])
    return Engines(
        num=rollout.num_engines,
        tensor_parallel=rollout.tensor_parallel,
        max_concurrent=rollout.max_concurrent_sequences,
        cache_bytes=cache_bytes,
    )


def _siblings(config: RunConfig, work: Workload) -> float:
    """A group is cut into as few pieces of one size as fit into a pass, and each computes the prompt."""
    learner = config.learner
    if learner.attention == "eager":
        return 1.0
    most = float(learner.micro_batch_size)
    if learner.pack_tokens is not None:
        most = max(1.0, (learner.pack_tokens - work.prompt_tokens) // work.lengths.mean)
    return work.num_completions / math.ceil(work.num_completions / most)


def _learner(config: RunConfig, work: Workload) -> Learner:
    learner, algorithm = config.learner, build_algorithm(config.algorithm)
    updates, frozen = config.algorithm.num_updates, learner.frozen
    scored = int(algorithm.needs_old_logprobs)
    beside = scored + int(algorithm.needs_reference)
    recomputed, weighed = int(learner.gradient_checkpointing), int(learner.lora_rank is None)
    # Gradients of activations go through the language model whatever in it is frozen: pictures come before it.
    text = 2 + recomputed + (weighed if "language" not in frozen else 0)
    vision = 1 if "vision" in frozen else 2 + recomputed + weighed
    is_packed = learner.pack_tokens is not None
    return Learner(
        num_ranks=learner.world_size,
        gpus_per_node=config.cluster.gpus_per_node,
        zero_stage=learner.zero_stage,
        rows_per_pass=None if is_packed else learner.micro_batch_size,
        tokens_per_pass=learner.pack_tokens,
        siblings=_siblings(config, work),
        text_passes=beside + updates * text,
        vision_passes=beside + updates * vision,
        num_forwards=scored + updates,
        num_backwards=updates,
        num_optimizer_steps=updates * config.algorithm.num_minibatches,
    )


def _judging(config: RunConfig, observed: Observed | None) -> Judging:
    judge, given = config.judge, config.plan.judge_latency_s
    latency, requests = (0.01 if judge.kind == "rule_server" else 1.0), float(judge.num_votes)
    if observed is not None:
        latency = latency if observed.judge_latency_s is None else observed.judge_latency_s
        requests = requests if observed.requests_per_completion is None else observed.requests_per_completion
    return Judging(
        latency_s=latency if given is None else given,
        requests_per_completion=requests,
        max_concurrent=judge.max_concurrent,
        requests_per_second=judge.requests_per_second,
    )
