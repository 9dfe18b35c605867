"""Command line to RunConfig: the only module that imports Hydra.

    overrides --Hydra composes conf/*.yaml--> plain dict --pydantic validates--> RunConfig, frozen

Every failure on the way is a ``ConfigError`` with one line per problem; nothing of Hydra's or pydantic's own
reporting reaches the user.
"""

import json
import os
import sys
from collections.abc import Mapping, Sequence
from itertools import chain
from typing import Any

import hydra
from hydra import compose, initialize_config_dir
from hydra._internal.core_plugins.basic_sweeper import BasicSweeper
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override
from hydra.errors import HydraException
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException
from pydantic import ValidationError

from conf.cli import without_command
from conf.effective import ineffective_options, leaf_values
from conf.errors import ConfigError, did_you_mean
from conf.groups import CONF_FOLDER, group_choices
from conf.keys import all_knobs
from conf.problems import unknown_key, validation_problems
from conf.schema import RunConfig

_MISSING = "???"


def load_run_config(overrides: Sequence[str]) -> RunConfig:
    """Compose ``conf/run.yaml`` with Hydra overrides and validate the result.

    Raises:
        ConfigError: One line per problem: unreadable override, unknown key or choice, missing value, wrong
            type, broken bound, or settings that contradict one another.
    """
    tree = _without_missing(compose_tree(overrides))
    try:
        # JSON mode: strict about types, yet a YAML list may fill a tuple.
        return RunConfig.model_validate_json(json.dumps(tree))
    except ValidationError as error:
        raise ConfigError(validation_problems(error)) from None


def refuse_ineffective(config: RunConfig, overrides: Sequence[str]) -> None:
    """Refuse options given on the command line that change nothing in the mode the run is in.

    Raises:
        ConfigError: Names each such option and why it has no effect.
    """
    refuse_idle(ineffective_options(config), overrides)


def refuse_idle(idle: Mapping[str, str], overrides: Sequence[str]) -> None:
    """Refuse options given on the command line that are among ``idle``: keys without effect, and why.

    Raises:
        ConfigError: Names each such option.
    """
    given = given_keys(overrides)
    problems = [f"{key}: has no effect, {why}; remove it" for key, why in idle.items() if key in given]
    if problems:
        raise ConfigError(problems)


def compose_tree(overrides: Sequence[str]) -> dict[str, Any]:
    """The composed configuration as plain data, interpolations resolved, values not yet validated.

    Values that must still be given are "???".

    Raises:
        ConfigError: An override cannot be read, or names a key or choice that does not exist.
    """
    parsed = _parse(overrides)
    choices = {_line(o): _choice_problems(o) for o in parsed if _is_group(o)}
    base = _compose([line for line, problems in choices.items() if not problems])
    key_problems = [problem for o in parsed if not _is_group(o) for problem in _key_problems(o, base)]
    _raise_any([*chain.from_iterable(choices.values()), *key_problems])
    composed = _compose([_line(o) for o in parsed])
    try:
        tree = OmegaConf.to_container(composed, resolve=True, throw_on_missing=False)
    except OmegaConfBaseException as error:
        raise ConfigError([f"{error.full_key}: {_first_line(error)}"]) from None
    assert isinstance(tree, dict)
    return {str(key): value for key, value in tree.items()}


def show_with_hydra(switches: Sequence[str], overrides: Sequence[str]) -> None:
    """Answer one of Hydra's own switches (``--cfg``, ``--info``, ``--shell-completion``, ...) on stdout.

    Raises:
        ConfigError: An override cannot be read, or names a key or choice that does not exist.
    """
    completing = any(switch in ("-sc", "--shell-completion") for switch in switches)
    if not completing:
        compose_tree(overrides)
    elif "COMP_LINE" in os.environ:
        os.environ["COMP_LINE"] = without_command(os.environ["COMP_LINE"])
    run = hydra.main(version_base="1.3", config_path=str(CONF_FOLDER), config_name="run")(_nothing)
    command_line = sys.argv
    # Hydra reads its switches from the process's own command line only, where our command still stands.
    sys.argv = ["arbiter", *switches, *overrides]
    try:
        run()
    finally:
        sys.argv = command_line


def given_keys(overrides: Sequence[str]) -> frozenset[str]:
    """Dotted keys of the values (not the group choices) that overrides set; dictionaries are flattened."""
    keys: list[str] = []
    for override in _parse(overrides):
        if not _is_group(override) and not override.is_delete():
            keys += leaf_values({override.key_or_group: override.value()})
    return frozenset(keys)


def expand_sweep(overrides: Sequence[str]) -> list[list[str]]:
    """One list of overrides per job of a ``--multirun``: the product of all swept values, as Hydra forms it.

    Each job gets its own ``run.name`` (the given one and a counter) unless the sweep itself names the runs.
    """
    parsed = _parse(overrides, allow_sweeps=True)
    try:
        batches = BasicSweeper.split_arguments(parsed, max_batch_size=None)
    except HydraException as error:
        raise ConfigError([_first_line(error)]) from None
    jobs = [list(job) for batch in batches for job in batch]
    if len(jobs) == 1 or any(o.is_sweep_override() and o.key_or_group == "run.name" for o in parsed):
        return jobs
    return [_numbered(job, index) for index, job in enumerate(jobs)]


def quoted(value: str) -> str:
    """A text as a Hydra value that may hold any character."""
    escaped = value.replace("\\", "\\\\").replace("'", "\\'")
    return f"'{escaped}'"


def _nothing(_: DictConfig) -> None:
    """The task Hydra's decorator asks for; the switches answered here never run it."""


def _numbered(job: list[str], index: int) -> list[str]:
    run = compose_tree(job)["run"]
    numbered = [*job, f"run.name={run['name']}-{index}"]
    if "run.folder" in given_keys(job):
        numbered.append(f"run.folder='{run['folder']}-{index}'")
    return numbered


def _parse(overrides: Sequence[str], *, allow_sweeps: bool = False) -> list[Override]:
    parser = OverridesParser.create()
    parsed: list[Override] = []
    problems: list[str] = []
    for text in overrides:
        try:
            override = parser.parse_override(text)
        except HydraException as error:
            problems.append(f"{text!r}: cannot be read as KEY=VALUE ({_first_line(error)}); quote values with spaces")
            continue
        parsed.append(override)
        key = override.key_or_group
        if not key:
            problems.append(f"{text!r}: cannot be read as KEY=VALUE (the key is missing)")
        elif override.is_sweep_override() and not allow_sweeps:
            problems.append(f"{text!r}: several values need --multirun; a list is {key}=[a,b], a text {key}='\"a,b\"'")
        elif key.partition(".")[0] == "hydra":
            problems.append(f"{key}: has no effect, Hydra only composes here; the run folder is run.folder")
    _raise_any(problems)
    return parsed


def _is_group(override: Override) -> bool:
    return override.key_or_group in group_choices()


def _choice_problems(override: Override) -> list[str]:
    group, choice = override.key_or_group, override.value()
    if override.is_delete() or (group == "recipe" and choice is None):
        return []
    allowed = group_choices()[group]
    if override.is_add():
        return [f"{group}: a choice is made already; leave out the + to change it"]
    if choice in allowed:
        return []
    if isinstance(choice, dict):
        return [f"{group}: set its options one by one ({group}.KEY=VALUE), or choose one of {', '.join(allowed)}"]
    near = did_you_mean(str(choice), allowed)
    return [f"{group}={choice}: expected one of {', '.join(allowed)}{near}"]


def _key_problems(override: Override, base: DictConfig) -> list[str]:
    key = override.key_or_group
    exists = _exists(base, key)
    if exists and override.is_add() and not isinstance(override.value(), dict):
        return [f"{key}: exists already; leave out the + to change it"]
    if exists or override.is_add() or override.is_force_add():
        return []
    known = list(dict.fromkeys([*_leaves(base), *(knob.key for knob in all_knobs()), *group_choices()]))
    return [unknown_key(key, known=known)]


def _exists(tree: DictConfig, key: str) -> bool:
    parent, _, leaf = key.rpartition(".")
    try:
        node = OmegaConf.select(tree, parent) if parent else tree
    except OmegaConfBaseException:
        return False
    return isinstance(node, DictConfig) and leaf in node.keys()  # noqa: SIM118  # "in" hides missing values


def _compose(lines: list[str]) -> DictConfig:
    try:
        with initialize_config_dir(str(CONF_FOLDER), version_base="1.3", job_name="arbiter"):
            return compose("run", overrides=lines)
    except (HydraException, OmegaConfBaseException) as error:
        raise ConfigError([" ".join(str(error).split())]) from None


def _without_missing(node: object) -> object:
    if isinstance(node, dict):
        return {key: _without_missing(value) for key, value in node.items() if value != _MISSING}
    return node


def _leaves(tree: DictConfig) -> list[str]:
    plain = OmegaConf.to_container(tree, resolve=False, throw_on_missing=False)
    assert isinstance(plain, dict)
    return list(leaf_values({str(name): value for name, value in plain.items()}))


def _line(override: Override) -> str:
    assert override.input_line is not None
    return override.input_line


def _first_line(error: Exception) -> str:
    return next((line for line in str(error).splitlines() if line.strip()), type(error).__name__)


def _raise_any(problems: list[str]) -> None:
    if problems:
        raise ConfigError(problems)
