"""``arbiter train --dry-run``: what a run would sample, learn and need, before anything is started or written."""

from collections.abc import Iterator, Sequence
from pathlib import Path

from rich.console import Console

from cluster.budget import GIB, memory_budget
from cluster.label_tools import say
from cluster.topology import describe, plan
from conf.data import OpinionScoreConfig, PartConfig, PreferencePairsConfig
from conf.effective import config_digest
from conf.errors import ConfigError
from conf.load import load_run_config, refuse_ineffective
from conf.schema import RunConfig
from conf.tasks import parts_of
from rollout.datasets import build_data
from rollout.datasets.opinion_score import mixture_of, read_split
from rollout.datasets.pair_files import read_pairs
from rollout.datasets.problems import DatasetProblems, Problem
from rollout.families.folders import check_model
from rollout.families.shapes import shape_of
from rollout.mixture import MixedOrder


def dry_run(overrides: Sequence[str], console: Console) -> int:
    """Print pictures, rollouts, steps, epochs, placement and memory; label files are read, pictures are not opened.

    Raises:
        ConfigError: The configuration cannot be used; or the model folder is missing, the rest having been printed.
        DatasetProblems: Label files cannot be used; everything else has been printed.
        ValueError: The placement does not fit the machines.
    """
    config = load_run_config(overrides)
    refuse_ineffective(config, overrides)
    placement = plan(config.cluster, config.rollout, config.learner, config.weights)
    model_problem = _problem_of_the_model(config)
    num_prompts, steps_per_epoch, problems = training_size(config)
    say(console, f"{config.run.name}, digest {config_digest(config)[:12]}; nothing is started")
    memory = [("model", "not there yet, so its memory is unknown")] if model_problem else _memory(config)
    for name, text in (*_amounts(config), *_epochs(config, num_prompts, steps_per_epoch), *memory):
        say(console, f"{name:<10} {text}")
    say(console, describe(placement))
    if problems:
        raise DatasetProblems(problems)
    if model_problem:
        raise ConfigError([model_problem])
    return 0


def _problem_of_the_model(config: RunConfig) -> str | None:
    """What is wrong with the model folder, which an earlier stage may still have to make."""
    try:
        check_model(config.model)
    except ValueError as error:
        return str(error)
    return None


def training_size(config: RunConfig) -> tuple[int, float, list[Problem]]:
    """Training prompts, steps in which each is shown once, and what is wrong with the label files."""
    per_step = config.rollout.prompts_per_step
    sizes = [_part_size(part) for part in parts_of(config.data).values()]
    num_prompts, problems = sum(size for size, _ in sizes), [problem for _, found in sizes for problem in found]
    if isinstance(config.data, OpinionScoreConfig) and not problems:
        mixture = mixture_of(read_split(config.data, split="train")[0], config=config.data)
        if mixture is not None:
            return num_prompts, MixedOrder(mixture, per_step=per_step, seed=config.run.seed).steps_per_epoch, []
    return num_prompts, num_prompts / per_step, problems


def _part_size(data: PartConfig) -> tuple[int, list[Problem]]:
    """Training prompts of one data set, without a look at pictures."""
    if isinstance(data, OpinionScoreConfig):
        rows, problems = read_split(data, split="train")
        return len(rows), problems
    if isinstance(data, PreferencePairsConfig):
        pairs, problems = read_pairs(Path(data.train_labels), label_format=data.label_format, split="train")
        return len(pairs) * (2 if data.order == "both" else 1), problems
    return len(build_data(data).train), []


def _amounts(config: RunConfig) -> Iterator[tuple[str, str]]:
    rollout, num_steps = config.rollout, config.loop.num_steps
    per_step = rollout.prompts_per_step * rollout.num_completions
    made_of = f"{rollout.prompts_per_step} x {rollout.num_completions}"
    longest = f"of at most {rollout.sampling.max_tokens} tokens"
    yield "prompts", f"{rollout.prompts_per_step} a step, {rollout.prompts_per_step * num_steps:,} in all"
    yield "rollouts", f"{per_step} a step ({made_of}), {per_step * num_steps:,} in all, {longest}"
    supervised = ", ".join(
        f"{phase.num_steps} of {name} x {phase.batch_size}"
        for name, phase in (("warm-up", config.warm_up), ("cold start", config.cold_start))
        if phase.num_steps
    )
    yield "steps", f"{num_steps} of RL" + (f", after {supervised}" if supervised else "")
    updates = config.algorithm.num_updates * config.algorithm.num_minibatches
    per_rank = per_step // config.learner.world_size
    learner = config.learner
    at_a_time = learner.micro_batch_size if learner.pack_tokens is None else f"up to {learner.pack_tokens:,} tokens"
    ranks = f"{learner.world_size} ranks, {at_a_time} at a time"
    yield "learner", f"{updates} update{'s' if updates > 1 else ''} a step; {per_rank} rollouts for each of {ranks}"


def _epochs(config: RunConfig, num_prompts: int, steps_per_epoch: float) -> Iterator[tuple[str, str]]:
    if num_prompts:
        epochs = config.loop.num_steps / steps_per_epoch
        yield "epochs", f"{epochs:.2f} of {num_prompts:,} training prompts, {steps_per_epoch:.1f} steps each"
    else:
        yield "epochs", "unknown without training labels"


def _memory(config: RunConfig) -> Iterator[tuple[str, str]]:
    shape = shape_of(config.model)
    if shape is None:
        made = f"model.size={config.model.size} is made when the run starts and needs less than 1 GiB"
        yield "memory", made if config.model.path is None else f"unknown: {config.model.path} is not on this machine"
        return
    need = memory_budget(config, shape)
    parts = (
        ("weights", need.weights),
        ("gradients", need.gradients),
        ("optimizer", need.optimizer),
        ("reference", need.reference),
        ("activations", need.activations),
    )
    yield "model", f"{sum(shape.num_parameters.values()) / 1e9:.2f} billion parameters"
    yield "memory", "rough, in GiB, without the libraries' own buffers"
    yield "", f"learner rank {need.learner / GIB:.1f}: " + ", ".join(f"{name} {size / GIB:.1f}" for name, size in parts)
    cached = f"{config.rollout.max_concurrent_sequences} sequences of {need.sequence_tokens} tokens"
    cache = f"key-value cache {need.engine_cache / GIB:.1f} ({cached})"
    yield "", f"engine {need.engine / GIB:.1f}: weights {need.engine_weights / GIB:.1f}, {cache}"
    if need.turns:
        yield "", f"a GPU they take turns on {need.shared_gpu / GIB:.1f}"
