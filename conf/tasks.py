"""What a data set asks for, and which reward terms are for answers to which task."""

from collections.abc import Mapping
from typing import Literal

from conf.data import (
    DataConfig,
    MixedConfig,
    PartConfig,
    PhotoChecklistConfig,
    PhotoDefectsConfig,
    PhotoPairsConfig,
    PreferencePairsConfig,
)
from conf.reward_terms import FormatTermConfig, TermUnion

Task = Literal["score", "choice", "defect", "check"]

_TASK_OF_TERM: Mapping[str, Task] = {
    "opinion": "score",
    "probability_difference": "score",
    "ranking": "score",
    "score_line": "score",
    "threshold": "score",
    "choice": "choice",
    "perception": "defect",
    "calibration": "check",
    "check": "check",
}
"""Terms that compare an answer with a ground truth of one kind; the others take any."""
_TASK_OF_MODE: Mapping[str, Task] = {
    "number": "score",
    "answer": "score",
    "score_line": "score",
    "refine_iqa": "score",
    "choice": "choice",
}
"""Formats that want an answer of one kind; the others take any."""


def parts_of(data: DataConfig) -> dict[str, PartConfig]:
    """The data sets of a run by the key they stand under."""
    if isinstance(data, MixedConfig):
        return {f"data.parts.{name}": part for name, part in data.parts.items()}
    return {"data": data}


def task_of_part(part: PartConfig) -> Task:
    """What one data set asks for."""
    if isinstance(part, PhotoDefectsConfig):
        return "defect"
    if isinstance(part, PhotoChecklistConfig):
        return "check"
    return "choice" if isinstance(part, PhotoPairsConfig | PreferencePairsConfig) else "score"


def tasks_of(data: DataConfig) -> frozenset[Task]:
    """Everything the data sets of a run ask for."""
    return frozenset(map(task_of_part, parts_of(data).values()))


def task_of_term(term: TermUnion) -> Task | None:
    """The task whose answers a reward term is for; None for those that take any."""
    return _TASK_OF_MODE.get(term.mode) if isinstance(term, FormatTermConfig) else _TASK_OF_TERM.get(term.kind)
