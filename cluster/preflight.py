"""What can be found wrong before anything is started or written: the model, the amount of data, the run folder.

The configuration alone is checked by ``conf``, the rows and pictures by ``rollout/datasets``; here is what needs
both, or a look at the disk.
"""

import os
from collections.abc import Iterator
from pathlib import Path

from conf.data import ScoredConfig, is_own_text
from conf.data_rules import format_disagreements
from conf.errors import ConfigError
from conf.schema import RunConfig
from conf.tasks import parts_of
from rewards.terms.custom import load_function
from rollout.datasets.base import Data, Dataset
from rollout.datasets.questions import asks_for_thinking
from rollout.families.folders import check_model_folder

LEARNS_NOTHING = ("warm_up.num_steps=0", "cold_start.num_steps=0", "loop.num_steps=0")
"""For commands that must not be refused over settings of a training they do not do."""
ASKS_A_SERVER = ("model.max_pixels=1003520", "rollout.max_model_len=1000000")
"""For commands that start no engine, unless given: a server is shown no thumbnails, and knows its own limits."""
ABSOLUTE_TERMS = ("opinion", "threshold", "score_line", "probability_difference")
"""Kinds of reward terms that compare a score with the label itself, not with its rank."""
MODEL_FOLDER = "model"
"""Where in its run folder a run leaves the trained model."""


def check_enough_data(config: RunConfig, data: Data) -> None:
    """Refuse phases without demonstrations, steps and evaluations larger than their split, and a comparison with
    references of which there are none.

    Raises:
        ConfigError: One line per problem.
    """
    problems = [
        *_phase_problems(config, data),
        *_test_split_problems(config, data.test),
        *_scale_problems(config, data),
    ]
    size, given = config.rollout.prompts_per_step, len(data.train)
    if config.loop.num_steps and size > given:
        problems.append(
            f"rollout.prompts_per_step={size} is more than the {given} training prompts of {data.train.source}; "
            f"use {given} or fewer"
        )
    problems += _reference_problems(config, data.train)
    if problems:
        raise ConfigError(problems)


def check_rewards(config: RunConfig) -> None:
    """Refuse reward functions that cannot be called, and format rewards that a prompt text of the user's never earns;
    both are used only after the supervised phases.

    Raises:
        ValueError: There is no such file or function, or it does not take a rollout group.
        ConfigError: One line per format reward that wants another form than the text.
    """
    scored = {key: part for key, part in parts_of(config.data).items() if isinstance(part, ScoredConfig)}
    problems = [problem for key, part in scored.items() for problem in _form_problems(config, key=key, part=part)]
    if problems:
        raise ConfigError(problems)
    for term in config.rewards.terms.values():
        if term.kind == "custom" and config.loop.num_steps:
            load_function(term.path)


def check_test_split(config: RunConfig, test: Dataset) -> None:
    """Refuse an evaluation larger than the test split.

    Raises:
        ConfigError: Says how many pictures there are.
    """
    problems = list(_test_split_problems(config, test))
    if problems:
        raise ConfigError(problems)


def finished_model(folder: str, *, family: str) -> Path:
    """The model folder a command was given.

    Raises:
        ConfigError: There is no such folder.
        ValueError: It holds no complete model.
    """
    path = Path(folder).resolve()
    if not path.is_dir():
        raise ConfigError([f"{folder}: no such folder; give the folder of a finished model, such as runs/demo/model"])
    inside = path / MODEL_FOLDER
    if not (path / "config.json").exists() and (inside / "config.json").exists():
        raise ConfigError([f"{folder}: a run folder, not a model; did you mean {Path(folder) / MODEL_FOLDER}?"])
    check_model_folder(path, family=family)
    return path


def make_run_folder(folder: Path) -> None:
    """Make the run folder, or take the one that is there.

    Raises:
        ConfigError: It cannot be made or written to.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ConfigError([f"run.folder={folder}: cannot be made ({error.strerror}); choose another"]) from None
    if not os.access(folder, os.W_OK):
        raise ConfigError([f"run.folder={folder}: may not be written to; choose another"])


def _form_problems(config: RunConfig, *, key: str, part: ScoredConfig) -> Iterator[str]:
    wording = part.prompt
    if is_own_text(wording):  # of all others conf/data_rules.py knows whether they ask for thinking
        asks = asks_for_thinking(wording)
        yield from format_disagreements(config, key=key, wording=wording, asks_for_thinking=asks)


def _phase_problems(config: RunConfig, data: Data) -> Iterator[str]:
    for name, phase, source in (
        ("warm_up", config.warm_up, data.warm_up),
        ("cold_start", config.cold_start, data.cold_start),
    ):
        if not phase.num_steps:
            continue
        if source is None:
            yield (
                f"data.kind={config.data.kind} has no {name} demonstrations; set {name}.num_steps=0 "
                "(a pretrained model needs no warm-up)"
            )
        elif phase.batch_size > len(source):
            yield (
                f"{name}.batch_size={phase.batch_size} is more than the {len(source)} demonstrations of "
                f"data.kind={config.data.kind}; use {len(source)} or fewer"
            )


def _scale_problems(config: RunConfig, data: Data) -> Iterator[str]:
    absolute = [name for name, term in config.rewards.terms.items() if term.kind in ABSOLUTE_TERMS]
    if config.loop.num_steps and absolute and len(data.asked_scales) > 1:
        scales = " and ".join(f"{scale.minimum:g}..{scale.maximum:g}" for scale in data.asked_scales)
        yield (
            f"the training rows ask for scores on {scales}, but rewards.terms.{absolute[0]} compares scores with "
            "labels; map all labels to one scale (arbiter data convert), or reward ranks only, as rewards=rl2r does"
        )


def _reference_problems(config: RunConfig, train: Dataset) -> Iterator[str]:
    terms = config.rewards.terms.items()
    names = [name for name, term in terms if term.kind == "comparison" and term.against == "references"]
    if not (config.loop.num_steps and names):
        return
    if not any(train.prompt(index).reference_answers for index in range(len(train))):
        yield (
            f"rewards.terms.{names[0]}.against=references finds no reference answer to any of the {len(train)} "
            f"training prompts of {train.source}: none has a right trace"
        )


def _test_split_problems(config: RunConfig, test: Dataset) -> Iterator[str]:
    if config.evaluation.num_prompts > len(test):
        yield (
            f"evaluation.num_prompts={config.evaluation.num_prompts} is more than the {len(test)} test prompts of "
            f"{test.source}; use {len(test)} or fewer"
        )
