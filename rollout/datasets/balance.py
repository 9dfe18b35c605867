"""How often the first and the second of two answers is the better one: a policy can learn that instead of looking."""

import logging
from collections import Counter
from dataclasses import dataclass
from typing import Literal

from rollout.datasets.base import Dataset

logger = logging.getLogger(__name__)

MAX_IMBALANCE = 0.05
"""A share further than this from one half is warned of."""


@dataclass(frozen=True, kw_only=True, slots=True)
class LabelCounts:
    """Questions of one data set by the answer that is right."""

    num_first: int
    num_second: int

    @property
    def share_first(self) -> float:
        """What a policy gets right that always answers 1."""
        return self.num_first / (self.num_first + self.num_second)

    @property
    def is_balanced(self) -> bool:
        """Whether neither answer is right much more often."""
        return abs(self.num_first - self.num_second) <= 2 * MAX_IMBALANCE * (self.num_first + self.num_second)


def count_labels(dataset: Dataset) -> dict[str, LabelCounts]:
    """Counts by source, in the order they come.

    Raises:
        ValueError: The prompts ask for scores.
    """
    prompts = map(dataset.prompt, range(len(dataset)))
    counts = Counter((prompt.source, prompt.preference.better) for prompt in prompts)
    sources = dict.fromkeys(source for source, _ in counts)
    return {source: LabelCounts(num_first=counts[source, 1], num_second=counts[source, 2]) for source in sources}


def log_balance(dataset: Dataset, *, split: Literal["train", "test"]) -> None:
    """One line per source, a warning where one answer is right much more often than the other."""
    for source, counts in count_labels(dataset).items():
        level = logging.INFO if counts.is_balanced else logging.WARNING
        logger.log(
            level,
            "labels split=%s source=%s first=%d second=%d share_first=%.3f",
            split, source, counts.num_first, counts.num_second, counts.share_first,
        )  # fmt: skip
