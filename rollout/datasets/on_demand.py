"""Prompts and demonstrations that are made when asked for, the same ones every time."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from rollout.datasets.base import check_index
from rollout.types import Demonstration, Prompt

NUM_DEMONSTRATIONS = 1_000_000
"""This many before one comes again: far more than a run uses."""


@dataclass(frozen=True, kw_only=True, slots=True)
class PromptsOnDemand:
    """One split of a data set."""

    source: str
    """The name metrics are split by."""
    split: Literal["train", "test"]
    size: int
    make: Callable[[int], Prompt]
    """The prompt at an index that is known to lie in the split."""

    def __len__(self) -> int:
        """Number of prompts."""
        return self.size

    def prompt(self, index: int) -> Prompt:
        """The prompt at ``index``."""
        check_index(index, size=self.size, name=f"{self.source}/{self.split}")
        return self.make(index)


@dataclass(frozen=True, kw_only=True, slots=True)
class DemonstrationsOnDemand:
    """The examples of one supervised phase, a fresh one for every index."""

    source: str
    stage: Literal["warm_up", "cold_start"]
    make: Callable[[int], Demonstration]
    """The example at an index that is known to be one."""

    def __len__(self) -> int:
        """Far more than a run uses."""
        return NUM_DEMONSTRATIONS

    def demonstration(self, index: int) -> Demonstration:
        """The example at ``index``."""
        check_index(index, size=NUM_DEMONSTRATIONS, name=f"{self.source}/{self.stage}")
        return self.make(index)
