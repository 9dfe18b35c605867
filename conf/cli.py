"""Reads the command line into a command, Hydra overrides and switches. Standard library only.

    arbiter [COMMAND] [WORD ...] [KEY=VALUE | GROUP=CHOICE ...] [switches]

``train`` is meant when no command is given. Hydra's own switches keep their names and meanings.
"""

import textwrap
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, get_args

from conf.errors import ConfigError, did_you_mean
from conf.groups import group_choices

Command = Literal[
    "train", "keep-running", "plan",
    "create-model", "submit", "evaluate", "score", "compare", "checklist", "benchmark", "compare-judges", "rank",
    "reward-server",
    "collect-traces", "explain", "data",
]  # fmt: skip

_MEANINGS: dict[Command, str] = {
    "train": "run a job: warm-up, cold start, RL, evaluation (the default command)",
    "keep-running": "train, started again after a crash or a hang until it is done (docs/running.md)",
    "plan": "predict step time and the best split of GPUs: plan recipe=NAME (docs/planning.md)",
    "create-model": "make a tiny Qwen2.5-VL with tokenizer and processor: create-model FOLDER",
    "submit": "send the job to a running Ray cluster and follow its log",
    "evaluate": "answer the test prompts with a finished model",
    "score": "score pictures and videos: score PATH ... model.path=FOLDER (docs/scoring.md)",
    "compare": "compare two pictures: compare FILE FILE; or two answers: compare FILE QUESTION ANSWER ANSWER",
    "checklist": "ask, score, compare, fit, pairs, reward-server: checklist score PATH (docs/checklists.md)",
    "benchmark": "judge a reward benchmark: benchmark NAME FILE (docs/benchmarks-judges.md)",
    "compare-judges": "where two benchmark results agree: compare-judges FOLDER FOLDER",
    "rank": "rank several answers to each question: rank FILE (docs/benchmarks-judges.md)",
    "reward-server": "serve this run's rewards to other trainers over HTTP",
    "collect-traces": "ask a teacher for reasoning about training pictures or pairs: collect-traces FILE",
    "explain": "type, bounds, value and meaning of a knob or section: explain [KEY ...]",
    "data": "describe the data set; convert, split, combine, validate, health, pairs: data --help",
}
_TAKES_WORDS: tuple[Command, ...] = (
    "create-model", "evaluate", "score", "compare", "checklist", "benchmark", "compare-judges", "rank",
    "collect-traces", "explain",
)  # fmt: skip
DATA_TOOLS = ("convert", "split", "combine", "validate", "health", "pairs")
"""Commands below ``data`` that read their own arguments."""
# Hydra's switches that answer something instead of running a job, and whether a value follows.
_HYDRA_SWITCHES = {
    "--cfg": True,
    "-c": True,
    "--package": True,
    "-p": True,
    "--resolve": False,
    "--info": False,
    "-i": False,
    "--shell-completion": False,
    "-sc": False,
    "--hydra-help": False,
    "--version": False,
}
_INFO_TOPICS = ("all", "config", "defaults", "defaults-tree", "plugins", "searchpath")
_TAKE_A_VALUE = ("--address", "--host", "--port", "--attempts", "--hang-after", "--start-within", "--metrics")
_OWN_SWITCHES = ("--help", "-h", "--multirun", "-m", "--dry-run", *_TAKE_A_VALUE)
_SERVES: tuple[Command, ...] = ("reward-server", "checklist")
_BELONGS_TO: dict[str, tuple[Command, ...]] = {
    "--dry-run": ("train",), "--address": ("submit",), "--host": _SERVES, "--port": _SERVES,
    "--attempts": ("keep-running",), "--hang-after": ("keep-running",), "--start-within": ("keep-running",),
    "--metrics": ("plan",),
}  # fmt: skip
"""The only commands a switch means something to."""


@dataclass(frozen=True, kw_only=True, slots=True)
class CommandLine:
    """What the user asked for."""

    command: Command
    overrides: tuple[str, ...]
    """Hydra overrides in the order given."""
    words: tuple[str, ...]
    """Arguments that are no overrides, such as the key to explain; all of them for a tool of ``data``."""
    wants_help: bool
    is_multirun: bool
    is_dry_run: bool
    """Print what a run would do instead of running it."""
    hydra_switches: tuple[str, ...]
    """Given to Hydra as they are when there are any; no job is run then."""
    address: str | None
    """Ray dashboard a job is submitted to."""
    host: str | None
    """Address a server listens on."""
    port: str | None
    """Port a server listens on, as given."""
    attempts: str | None
    """Failed attempts in a row after which a run is given up, as given."""
    hang_after: str | None
    """Seconds without a heartbeat that are a hang, as given."""
    start_within: str | None
    """Seconds a run may take to come up, as given."""
    metrics: str | None
    """Run folder whose journal a plan is made from."""


def parse_command_line(arguments: Sequence[str]) -> CommandLine:
    """Sort the arguments after the program's name.

    Raises:
        ConfigError: An unknown command or switch, or a switch without its value.
    """
    if arguments[:1] == ["data"] and set(arguments[1:2]) & {*DATA_TOOLS, "--help", "-h"}:
        return _command_line("data", words=arguments[1:], overrides=(), hydra_switches=(), own={})
    rest = iter(arguments)
    overrides: list[str] = []
    words: list[str] = []
    switches: list[str] = []
    own: dict[str, str] = {}
    for argument in rest:
        name, equals, value = argument.partition("=")
        if name in _HYDRA_SWITCHES:
            switches += _with_value(argument, name=name, has_value=bool(equals), rest=rest)
        elif name in _OWN_SWITCHES:
            own[name] = value if equals else _value_of(name, rest)
        elif argument.startswith("-"):
            known = (*_HYDRA_SWITCHES, *_OWN_SWITCHES)
            raise ConfigError([f"{argument}: unknown switch{did_you_mean(argument, known)}"])
        elif switches and switches[-1] in ("--info", "-i") and argument in _INFO_TOPICS:
            switches.append(argument)
        elif equals or argument.startswith("~"):
            (switches if switches and switches[-1] in ("-sc", "--shell-completion") else overrides).append(argument)
        else:
            words.append(argument)
    command = _command(words, asks_hydra=bool(switches))
    stray = [name for name in own if command not in _BELONGS_TO.get(name, (command,))]
    if stray:
        owners = {name: " or ".join(_BELONGS_TO[name]) for name in stray}
        raise ConfigError([f"{name}: belongs to the command {owners[name]}, got {command}" for name in stray])
    return _command_line(command, words=words, overrides=overrides, hydra_switches=switches, own=own)


def usage() -> str:
    """What ``--help`` prints."""
    commands = "\n".join(f"  {name:<14} {meaning}" for name, meaning in _MEANINGS.items())
    groups = "\n".join(
        textwrap.fill(", ".join(choices), 110, initial_indent=f"  {name:<10} ", subsequent_indent=" " * 13)
        for name, choices in group_choices().items()
    )
    return _USAGE.format(commands=commands, groups=groups)


def without_command(line: str) -> str:
    """A shell line with our command taken out, so that Hydra can complete the overrides after it."""
    words = line.split(" ")
    position = next((i for i, word in enumerate(words) if Path(word).name == "arbiter"), 0) + 1
    if len(words) > position + 1 and words[position] in get_args(Command):
        del words[position]
    return " ".join(words)


def _command_line(
    command: Command,
    *,
    words: Sequence[str],
    overrides: Sequence[str],
    hydra_switches: Sequence[str],
    own: Mapping[str, str],
) -> CommandLine:
    return CommandLine(
        command=command,
        overrides=tuple(overrides),
        words=tuple(words),
        wants_help=bool(own.keys() & {"--help", "-h"}),
        is_multirun=bool(own.keys() & {"--multirun", "-m"}),
        is_dry_run="--dry-run" in own,
        hydra_switches=tuple(hydra_switches),
        address=own.get("--address"),
        host=own.get("--host"),
        port=own.get("--port"),
        attempts=own.get("--attempts"),
        hang_after=own.get("--hang-after"),
        start_within=own.get("--start-within"),
        metrics=own.get("--metrics"),
    )


def _command(words: list[str], *, asks_hydra: bool) -> Command:
    """Take the command off the front of ``words``."""
    for name in _MEANINGS:
        if words and words[0] == name:
            del words[0]
            if name == "data" and words[:1] == ["show"]:
                del words[0]
            if words and name not in _TAKES_WORDS:
                near = did_you_mean(words[0], DATA_TOOLS) if name == "data" else ""
                raise ConfigError([f"{words[0]}: {name} takes KEY=VALUE and GROUP=CHOICE only{near}"])
            return name
    if words and not asks_hydra:
        raise ConfigError([f"{words[0]}: neither a command nor KEY=VALUE{did_you_mean(words[0], _MEANINGS)}"])
    return "train"


def _with_value(argument: str, *, name: str, has_value: bool, rest: Iterator[str]) -> list[str]:
    if has_value or not _HYDRA_SWITCHES[name]:
        return [argument]
    return [argument, _value_of(name, rest)]


def _value_of(name: str, rest: Iterator[str]) -> str:
    if name in _OWN_SWITCHES and name not in _TAKE_A_VALUE:
        return ""
    value = next(rest, None)
    if value is None:
        raise ConfigError([f"{name}: needs a value"])
    return value


_USAGE = """\
usage: arbiter [COMMAND] [KEY=VALUE | GROUP=CHOICE ...] [switches]
       (the same as: python -m cluster.main ...)

Trains visual judges: vLLM rollouts, a DeepSpeed learner, Ray in between.

commands
{commands}

groups, chosen with GROUP=CHOICE (files conf/GROUP/CHOICE.yaml)
{groups}

switches
  --cfg job       print the composed configuration and stop (--package SECTION for a part)
  --multirun, -m  one run per combination of values: run.seed=0,1,2
  --info TOPIC    what Hydra knows: all, config, defaults, defaults-tree, plugins, searchpath
  -sc install=bash   print the shell code for tab completion: eval "$(arbiter -sc install=bash)"
  --dry-run       (train) print pictures, rollouts, steps, epochs and memory, and stop
  --address URL   (submit) the Ray dashboard, such as http://127.0.0.1:8265
  --host, --port  (reward-server, checklist reward-server) where to listen, by default on 127.0.0.1:20240
  --attempts N    (keep-running) give up after N attempts without a newer checkpoint, by default 5
  --hang-after S  (keep-running) seconds without progress that are a hang, by default 3 cluster.step_timeout_s
  --start-within S   (keep-running) seconds to come up, by default 3 cluster.start_timeout_s
  --metrics RUN   (plan) reckon with what the journal of this run folder measured
  --help, -h      this text; arbiter explain lists every knob with type, bounds, value and meaning

examples
  arbiter train recipe=demo                                the whole story on a machine without GPU
  arbiter recipe=demo rollout.num_completions=4 --cfg job  look before running
  arbiter recipe=smoke run.seed=0,1,2 --multirun           three short runs, one after the other
  arbiter recipe=rl2r_kadid ... --dry-run                  what it would take
  arbiter keep-running --attempts 3 recipe=demo            the same, through crashes and hangs
  arbiter plan recipe=rl2r_kadid ...                       how long a step takes, and the best split of GPUs
  arbiter data convert mos.txt labels.jsonl --from kadid --to plain --range 1,4.93 --scale 1,5
  arbiter explain algorithm.clip_low                       what a knob means
  arbiter score photos/ model.path=runs/demo/model model.size=null
  arbiter checklist score photos/ model.path=runs/demo/model model.size=null
  arbiter benchmark vl_rewardbench data.jsonl model.path=runs/demo-pairs/model model.size=null
  arbiter submit recipe=rl2r_kadid data.image_folder=...   the same job on a Ray cluster
"""
