"""The configuration a run really has: what is saved, what identifies it, what in it does nothing."""

import hashlib
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml

from conf.algorithm_rules import idle_algorithm_options
from conf.data import OpinionScoreConfig, PreferencePairsConfig
from conf.judge import RuleServerJudgeConfig
from conf.machine import resolve_backend
from conf.rules import asks_for_a_choice, needs_a_judge, placement_of
from conf.schema import RunConfig, SupervisedConfig
from conf.tasks import tasks_of

_NOT_PART_OF_THE_RESULT = (
    "run.name",
    "run.folder",
    "run.resume",
    "loop.num_steps",
    "loop.evaluate_every",
    "loop.checkpoint_every",
    "loop.keep_checkpoints",
    "rollout.num_engines",
    "rollout.tensor_parallel",
    "rollout.max_concurrent_sequences",
    "rollout.kv_cache_gib",
    "rollout.gpu_memory_fraction",
    "rollout.enforce_eager",
    "learner.micro_batch_size",
    "learner.pack_tokens",
    "learner.gradient_checkpointing",
    "judge.base_urls",
    "judge.api_key_variable",
    "judge.timeout_s",
    "judge.max_attempts",
    "judge.max_concurrent",
    "judge.requests_per_second",
    "judge.cache",
    "judge.breaker_failures",
    "judge.max_consecutive_abstentions",
    "weights",
    "parity",
    "evaluation",
    "benchmark",
    "critiques",
    "rank",
    "plan",
    "score",
    "checklist",
    "journal",
    "cluster",
)
"""Names, durations, machine shapes and where the judge is: a run may be resumed with other ones (``loop.num_steps``:
longer)."""


def effective_yaml(config: RunConfig) -> str:
    """Every value of the run as YAML, in schema order; loading it again gives the same configuration."""
    header = f"# effective configuration; digest {config_digest(config)}\n"
    body: str = yaml.safe_dump(config.model_dump(mode="json"), sort_keys=False, allow_unicode=True)
    return header + body


def config_digest(config: RunConfig) -> str:
    """Sha256 (hex) over the settings that define what is learned; equal digests may resume one another.

    What the reward functions, label files and traces they name hold counts too; pictures are not looked at.
    """
    values: dict[str, Any] = config.model_dump(mode="json")
    for key in _NOT_PART_OF_THE_RESULT:
        section, _, name = key.partition(".")
        if name:
            values[section].pop(name, None)  # a choice of the section may lack it
        else:
            del values[section]
    if files := dict(_named_files(config)):
        values["files"] = {key: _content_digest(path) for key, path in files.items()}
    canonical = json.dumps(values, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(canonical.encode()).hexdigest()


def _named_files(config: RunConfig) -> Iterator[tuple[str, Path]]:
    for name, term in config.rewards.terms.items():
        if term.kind == "custom":
            yield f"rewards.terms.{name}.path", Path(term.path.rpartition(":")[0])
    if isinstance(config.data, OpinionScoreConfig | PreferencePairsConfig):
        yield from _each("data.train_labels", config.data.train_labels)
        yield from _each("data.test_labels", config.data.test_labels)
    if isinstance(config.data, PreferencePairsConfig) and config.data.traces is not None:
        yield "data.traces", Path(config.data.traces)
    if config.cold_start.file is not None:
        yield "cold_start.file", Path(config.cold_start.file)


def _each(key: str, files: str | list[str]) -> Iterator[tuple[str, Path]]:
    names = [files] if isinstance(files, str) else files
    yield from ((f"{key}.{number}", Path(name)) for number, name in enumerate(names))


def _content_digest(path: Path) -> str | None:
    """Sha256 (hex) of a file, or of the files of a folder; None for what cannot be read, which its reader refuses."""
    digest = hashlib.sha256()
    try:
        for one in sorted(filter(Path.is_file, path.iterdir())) if path.is_dir() else [path]:
            with one.open("rb") as file:
                digest.update(hashlib.file_digest(file, "sha256").digest())
    except OSError:
        return None
    return digest.hexdigest()


def ineffective_options(config: RunConfig) -> dict[str, str]:
    """Keys that change nothing in the mode this run is in, and why; refused on the command line."""
    reasons = dict(_idle_on_these_machines(config))
    reasons |= _idle_phase("warm_up", config.warm_up)
    reasons |= _idle_phase("cold_start", config.cold_start)
    reasons |= dict(idle_algorithm_options(config.algorithm))
    reasons |= dict(_idle_comparisons(config))
    asked_of_pairs = leaf_values(config.model_dump(include={"benchmark"}))
    reasons |= dict.fromkeys(asked_of_pairs, "only `arbiter benchmark` and `arbiter rank` read it")
    reasons |= IDLE_IN_RANK | IDLE_IN_BENCHMARK
    why = "only `arbiter score` and `arbiter compare` read it"
    reasons |= {key: why for key in leaf_values(config.model_dump()) if key.startswith("score.")}
    why = "only `arbiter checklist` reads it"
    reasons |= {key: why for key in leaf_values(config.model_dump()) if key.startswith("checklist.")}
    why = "only `arbiter collect-traces` reads it"
    reasons |= {key: why for key in leaf_values(config.model_dump()) if key.startswith("critiques.")}
    why = "only `arbiter plan` reads it"
    reasons |= {key: why for key in leaf_values(config.model_dump()) if key.startswith("plan.")}
    tasks = tasks_of(config.data)
    if "score" not in tasks:
        why = f"data.kind={config.data.kind} asks for a {' and a '.join(sorted(tasks))}, which has no score"
        reasons |= {"evaluation.out_of_range": why, "evaluation.min_spread": why}
    reasons |= ineffective_judge_settings(config)
    if config.loop.num_steps == 0:
        why = "loop.num_steps=0 leaves out the RL phase"
        reasons |= {key: why for key in leaf_values(config.model_dump()) if key.startswith(_RL_ONLY)}
    if config.evaluation.sampling.temperature == 0:
        reasons["evaluation.sampling.top_p"] = "evaluation.sampling.temperature=0 always takes the likeliest token"
    return reasons


IDLE_IN_RANK = dict.fromkeys(("benchmark.split", "benchmark.orders"), "only `arbiter benchmark` reads it")
IDLE_IN_BENCHMARK = dict.fromkeys(("rank.num_opponents", "rank.model"), "only `arbiter rank` reads it")

_DECIDED_BY_RULES = ("judge.structured", "judge.temperature", "judge.max_tokens", "judge.num_votes")
_ABOUT_VERDICTS = (*_DECIDED_BY_RULES, "judge.template", "judge.cache", "judge.max_consecutive_abstentions")


def ineffective_judge_settings(config: RunConfig) -> dict[str, str]:
    """Those of the section ``judge``, in every command that asks for verdicts."""
    keys = [key for key in leaf_values(config.model_dump()) if key.startswith("judge.")]
    if not needs_a_judge(config):
        return dict.fromkeys(keys, "no reward term asks a judge")
    reasons: dict[str, str] = {}
    if isinstance(config.judge, RuleServerJudgeConfig):
        reasons |= dict.fromkeys(_DECIDED_BY_RULES, "the verdicts of judge=rule_server do not depend on it")
    if not asks_for_a_choice(config) and not any(t.kind == "consistency" for t in config.rewards.terms.values()):
        reasons["judge.template"] = "it words the consistency question, which no reward term asks"
    return reasons


def ineffective_chat_settings() -> dict[str, str]:
    """Those of the section ``judge`` in a command that talks to its servers as to any chat model."""
    return dict.fromkeys(_ABOUT_VERDICTS, "the servers are asked for answers here, and not for verdicts")


_RL_ONLY = (
    "loop.max_lag",
    "loop.evaluate_every",
    "rollout.prompts_per_step",
    "rollout.num_completions",
    "rewards.",
    "algorithm.",
    "learner.learning_rate",
    "learner.warmup_steps",
    "learner.decay_steps",
    "parity.every",
    "journal.samples_per_step",
)


def _idle_on_these_machines(config: RunConfig) -> Iterator[tuple[str, str]]:
    if placement_of(config) == "no_gpu":
        why = "the run uses no GPU (cluster.gpus_per_node=0)"
        yield "rollout.gpu_memory_fraction", why
        yield "rollout.enforce_eager", why
    else:
        yield "rollout.kv_cache_gib", "on a GPU rollout.gpu_memory_fraction decides"
        yield "cluster.cpu_threads_per_actor", "the run computes on GPUs"
    if config.learner.pack_tokens is not None:
        yield "learner.micro_batch_size", "learner.pack_tokens decides how much a forward pass takes"
    if resolve_backend(config.weights, placement_of(config)) != "gloo":
        yield (
            "weights.verify",
            "vLLM's own transports carry no digest; parity.every compares log-probs instead",
        )


def _idle_comparisons(config: RunConfig) -> Iterator[tuple[str, str]]:
    for name, term in config.rewards.terms.items():
        if term.kind == "comparison" and term.against == "references":
            key = f"rewards.terms.{name}"
            yield f"{key}.plan", f"{key}.against=references compares no siblings"


def _idle_phase(section: str, phase: SupervisedConfig) -> dict[str, str]:
    if phase.num_steps:
        return {}
    why = f"{section}.num_steps=0 skips the phase"
    return {f"{section}.{name}": why for name in type(phase).model_fields if name != "num_steps"}


def leaf_values(tree: Mapping[str, Any], *, prefix: str = "") -> dict[str, object]:
    """Values of a nested configuration by dotted key."""
    found: dict[str, object] = {}
    for name, value in tree.items():
        if isinstance(value, Mapping):
            found |= leaf_values(value, prefix=f"{prefix}{name}.")
        else:
            found[f"{prefix}{name}"] = value
    return found
