"""Prompts that would leave no room for an answer: refused or left out before anything starts, never cut.

Data, count_tokens (the family's), most tokens --fit_to_length--> Data without the prompts that are longer
"""

import logging
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from rollout.datasets.base import Data, Dataset, Demonstrations, check_index
from rollout.datasets.problems import DatasetProblems, Problem
from rollout.media import MIN_SIDE_PX
from rollout.types import Demonstration, Preference, Prompt

logger = logging.getLogger(__name__)

CountTokens = Callable[[Prompt], int]
TooLong = Literal["refuse", "drop"]


class FittingPrompts:
    """The prompts of a split that are short enough, in their order."""

    def __init__(self, dataset: Dataset, *, kept: Sequence[int]) -> None:
        self._dataset, self._kept = dataset, tuple(kept)

    @property
    def source(self) -> str:
        """That of the whole split."""
        return self._dataset.source

    def __len__(self) -> int:
        """Number of prompts that fit."""
        return len(self._kept)

    def prompt(self, index: int) -> Prompt:
        """The prompt at ``index`` among those that fit."""
        check_index(index, size=len(self), name=self.source)
        return self._dataset.prompt(self._kept[index])


class FittingDemonstrations:
    """The demonstrations whose prompt is short enough, in their order."""

    def __init__(self, demonstrations: Demonstrations, *, kept: Sequence[int]) -> None:
        self._demonstrations, self._kept = demonstrations, tuple(kept)

    def __len__(self) -> int:
        """Number of demonstrations that fit."""
        return len(self._kept)

    def demonstration(self, index: int) -> Demonstration:
        """The example at ``index`` among those that fit."""
        check_index(index, size=len(self), name="demonstrations")
        return self._demonstrations.demonstration(self._kept[index])


@dataclass(frozen=True, kw_only=True, slots=True)
class _Length:
    prompt_id: str
    source: str
    pair: str
    """The same for both orders of a pair."""
    num_tokens: int


def fit_to_length(data: Data, *, count_tokens: CountTokens, max_prompt_tokens: int, too_long: TooLong) -> Data:
    """The data without prompts of more than ``max_prompt_tokens``; a pair is kept or left out in both its orders.

    Raises:
        DatasetProblems: ``too_long`` is "refuse" and there are such prompts, or nothing of a split would be left.
        ValueError: The text of a prompt holds tokens that stand for media; names the prompt.
    """
    lengths = {
        "train": _measure(_prompts(data.train), count_tokens),
        "test": _measure(_prompts(data.test), count_tokens),
        "cold_start": _measure(_demonstrated(data.cold_start), count_tokens),
    }
    kept = _kept(lengths, max_prompt_tokens, too_long)
    cold_start = data.cold_start
    if cold_start is not None:
        cold_start = FittingDemonstrations(cold_start, kept=kept["cold_start"])
    return replace(
        data,
        train=FittingPrompts(data.train, kept=kept["train"]),
        test=FittingPrompts(data.test, kept=kept["test"]),
        cold_start=cold_start,
    )


def surely_fit(dataset: Dataset, *, count_tokens: CountTokens, max_prompt_tokens: int, max_pixels: int) -> bool:
    """Whether prompts that ask the same about one picture each fit, whatever their pictures are.

    One is counted, and given the largest picture on top of its own; where there is room for that, no picture needs to
    be resized to know it.
    """
    return count_tokens(dataset.prompt(0)) + max_pixels // MIN_SIDE_PX**2 <= max_prompt_tokens


def fit_test_split(test: Dataset, *, count_tokens: CountTokens, max_prompt_tokens: int, too_long: TooLong) -> Dataset:
    """The same for the test split alone, where nothing else is asked."""
    lengths = {"test": _measure(_prompts(test), count_tokens)}
    return FittingPrompts(test, kept=_kept(lengths, max_prompt_tokens, too_long)["test"])


def _kept(lengths: Mapping[str, Sequence[_Length]], most: int, too_long: TooLong) -> dict[str, list[int]]:
    """Indices of what is kept, by split."""
    problems = [one for split in lengths.values() for one in _problems(split, most)]
    if problems and too_long == "refuse":
        raise DatasetProblems(problems)
    kept = {name: _fitting(split, most) for name, split in lengths.items()}
    for name, split in lengths.items():
        _log(name, split, kept[name])
        if split and not kept[name]:
            raise DatasetProblems([Problem(kind="too_long", where=name, what="every prompt is too long")])
    return kept


def _prompts(dataset: Dataset) -> Iterator[Prompt]:
    return (dataset.prompt(index) for index in range(len(dataset)))


def _demonstrated(demonstrations: Demonstrations | None) -> Iterator[Prompt]:
    if demonstrations is not None:
        yield from (demonstrations.demonstration(index).prompt for index in range(len(demonstrations)))


def _measure(prompts: Iterator[Prompt], count_tokens: CountTokens) -> list[_Length]:
    return [
        _Length(
            prompt_id=prompt.prompt_id,
            source=prompt.source,
            pair=prompt.reference.pair_id if isinstance(prompt.reference, Preference) else prompt.prompt_id,
            num_tokens=count_tokens(prompt),
        )
        for prompt in prompts
    ]


def _problems(lengths: Sequence[_Length], most: int) -> Iterator[Problem]:
    for one in lengths:
        if one.num_tokens > most:
            what = f"the prompt has {one.num_tokens} tokens, and {most} leave room for an answer"
            yield Problem(kind="too_long", where=one.prompt_id, what=what)


def _fitting(lengths: Sequence[_Length], most: int) -> list[int]:
    """Indices of what is kept."""
    too_long = {one.pair for one in lengths if one.num_tokens > most}
    return [index for index, one in enumerate(lengths) if one.pair not in too_long]


def _log(name: str, lengths: Sequence[_Length], kept: Sequence[int]) -> None:
    given = Counter(one.source for one in lengths)
    left = Counter(lengths[index].source for index in kept)
    for source, num_given in given.items():
        longest = max(one.num_tokens for one in lengths if one.source == source)
        num_dropped = num_given - left[source]
        logger.log(
            logging.WARNING if num_dropped else logging.INFO,
            "lengths split=%s source=%s kept=%d dropped=%d longest=%d",
            name, source, left[source], num_dropped, longest,
        )  # fmt: skip
