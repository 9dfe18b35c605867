"""The cold start's own demonstrations: read from ``cold_start.file``, divided, and checked for length."""

from dataclasses import replace
from pathlib import Path

from conf.data import OpinionScoreConfig, PreferencePairsConfig, VideoConfig
from conf.errors import ConfigError
from conf.schema import RunConfig
from rollout.datasets.base import Data
from rollout.datasets.demonstration_files import FileDemonstrations, count_tokens, read_demonstrations
from rollout.datasets.problems import DatasetProblems


def with_demonstrations(data: Data, config: RunConfig) -> Data:
    """The data with the demonstrations of ``cold_start.file`` in place of its own, where one is named.

    Raises:
        DatasetProblems: Lists everything wrong with the file.
        ConfigError: It cannot be divided as asked.
    """
    if config.cold_start.file is None or not config.cold_start.num_steps:
        return data
    demonstrations = read_demonstrations(Path(config.cold_start.file), video=_video(config))
    try:
        learned, held_out = demonstrations.hold_out(config.cold_start.validation_fraction)
    except ValueError as error:
        raise ConfigError([str(error)]) from None
    return replace(data, cold_start=learned, validation=held_out)


def check_lengths(data: Data, config: RunConfig, *, model_folder: Path) -> None:
    """Refuse demonstrations of a file that are longer than ``rollout.max_model_len``; none is ever cut.

    Raises:
        DatasetProblems: Lists every one of them.
    """
    divided = [one for one in (data.cold_start, data.validation) if isinstance(one, FileDemonstrations)]
    if not divided:
        return
    from rollout.families import build_family  # noqa: PLC0415 - loads torch

    family = build_family(config.model, folder=str(model_folder))
    problems = [
        problem
        for part in divided
        for problem in part.longer_than(
            config.rollout.max_model_len,
            count=lambda one: count_tokens(
                one, of_prompt=family.count_tokens, of_target=lambda text: len(family.encode_target(text))
            ),
        )
    ]
    if problems:
        raise DatasetProblems(problems)


def _video(config: RunConfig) -> VideoConfig | None:
    return config.data.video if isinstance(config.data, OpinionScoreConfig | PreferencePairsConfig) else None
