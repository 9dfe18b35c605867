"""What a run's journal measured: seconds of each part, lengths, the judge; and how far the arithmetic is off from it.

Seconds are means over the steps in which batches were sampled once and learned from, the first left out: it compiles
and fills caches. A correction is measured over reckoned seconds, for the run's own configuration and lengths; a plan
for another configuration multiplies with it, so that arithmetic is only asked for ratios.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError

from cluster.journal import METRICS_FILE, read_rows
from cluster.planning.configured import Observed, layout_of, scenario_of
from cluster.planning.scenario import Corrections
from cluster.planning.workload import spread_of
from conf.errors import ConfigError
from conf.problems import validation_problems
from conf.schema import RunConfig

_READ = ("loop", "model", "data", "rollout", "judge", "rewards", "algorithm", "learner", "weights", "cluster")
"""Sections that seconds depend on."""
PARTS = ("generate", "score", "learn", "push")
_NEEDED = {
    *(f"loop/{part}/seconds" for part in (*PARTS, "wait")),
    "rollout/tokens/total", "completions/length/mean", "completions/length/max",
}  # fmt: skip
"""What a row must hold; one of a step that learned nothing lacks the seconds of learning."""
MIN_STEPS = 3
Row = Mapping[str, float | str]


@dataclass(frozen=True, kw_only=True, slots=True)
class Measured:
    """A run's journal in a few numbers."""

    folder: Path
    config: RunConfig
    num_steps: int
    """That the means are over."""
    seconds: Mapping[str, float]
    """Mean by part."""
    step_s: float
    """Mean of what the learner's side of the loop took: waiting, learning, pushing."""
    tokens_per_step: float
    observed: Observed
    corrections: Corrections

    @property
    def tokens_per_s(self) -> float:
        """Sampled while generating."""
        return self.tokens_per_step / self.seconds["generate"]

    @property
    def learn_s_per_1000_tokens(self) -> float:
        """Sampled tokens."""
        return 1000 * self.seconds["learn"] / self.tokens_per_step


def measure(folder: Path, *, base: RunConfig, num_cores: int, rows: slice = slice(None)) -> Measured:
    """Read a run; ``base``: of what no seconds depend on; ``rows``: which of its RL steps after the first.

    Raises:
        ConfigError: It is no run folder, or has too few steps to measure.
    """
    config = _config_of(folder, base=base)
    steps = _usable(_rows(folder / METRICS_FILE), which=rows, folder=folder)
    means = {key: _mean(steps, key) for key in steps[0] if isinstance(steps[0][key], int | float)}
    seconds = {part: means[f"loop/{part}/seconds"] for part in PARTS}
    observed = _observed(means)
    scenario = scenario_of(config, num_cores=num_cores, observed=observed)
    stages = scenario.stages(layout_of(config))
    return Measured(
        folder=folder,
        config=config,
        num_steps=len(steps),
        seconds=seconds,
        step_s=sum(means[f"loop/{part}/seconds"] for part in ("wait", "learn", "push")),
        tokens_per_step=means["rollout/tokens/total"],
        observed=observed,
        corrections=Corrections(
            generate=seconds["generate"] / stages.generate,
            learn=seconds["learn"] / stages.learn,
            push=seconds["push"] / stages.push,
        ),
    )


def _config_of(folder: Path, *, base: RunConfig) -> RunConfig:
    file = folder / "config.yaml"
    try:
        tree = yaml.safe_load(file.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigError([f"{file}: cannot be read: {error.strerror}; --metrics takes a run folder"]) from error
    except yaml.YAMLError as error:
        raise ConfigError([f"{file}: no YAML: {' '.join(str(error).split())}"]) from error
    if not isinstance(tree, dict):
        raise ConfigError([f"{file}: expected the effective configuration of a run"])
    missing = [name for name in _READ if name not in tree]
    if missing:
        raise ConfigError([f"{file}: lacks the section {name}" for name in missing])
    # What the plan assumes is about the run to come: nothing of it was so in the one measured.
    values: dict[str, Any] = base.model_dump(mode="json")
    values["plan"] = {name: value if name == "gpu" else None for name, value in values["plan"].items()}
    try:
        return RunConfig.model_validate_json(json.dumps(values | {name: tree[name] for name in _READ}))
    except ValidationError as error:
        raise ConfigError([f"{file}: {problem}" for problem in validation_problems(error)]) from None


def _rows(file: Path) -> list[Row]:
    try:
        return list(read_rows(file))
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise ConfigError([f"{file}: not one JSON object a line: {error}"]) from error


def _usable(rows: Sequence[Row], *, which: slice, folder: Path) -> list[Row]:
    every = [row for row in rows if row.get("phase") == "rl"][1:][which]
    usable = [row for row in every if not row.get("rollout/groups/replaced") and row.keys() >= _NEEDED]
    if len(usable) < MIN_STEPS:
        found = f"{len(usable)} of {len(every)} RL steps after the first were sampled once and learned from"
        raise ConfigError([f"{folder / METRICS_FILE}: {found}; {MIN_STEPS} are needed to measure"])
    return usable


def _observed(means: Mapping[str, float]) -> Observed:
    mean, num_tokens = means["completions/length/mean"], means["rollout/tokens/total"]
    num_completions = num_tokens / mean
    asked = means.get("judge/requests/count")
    return Observed(
        prompt_tokens=means.get("rollout/prompt_tokens/mean"),
        completion_tokens=mean,
        completion_spread=spread_of(mean=mean, longest=means["completions/length/max"], num=round(num_completions)),
        judge_latency_s=means.get("judge/latency/p50_s"),
        requests_per_completion=None if asked is None else asked / num_completions,
    )


def _mean(rows: Sequence[Row], key: str) -> float:
    values = [float(row[key]) for row in rows if key in row]
    return sum(values) / len(values)
