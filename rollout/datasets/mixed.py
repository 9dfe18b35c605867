"""Several data sets as one: their prompts share the steps of a run, and their demonstrations take turns.

    parts --mix--> train: end to end, with who is whose       (``rollout/mixture.py`` decides what a step shows)
                   test: two of each by turns                 (so that the first so many ask what all of them ask)
                   demonstrations: one of each by turns

Prompts are named after their part, so that two parts may hold the same rows.
"""

import logging
from bisect import bisect_right
from collections.abc import Mapping
from dataclasses import replace
from itertools import accumulate, zip_longest
from typing import Literal

from rollout.datasets.base import Data, Dataset, Demonstrations, Mixture, check_index
from rollout.types import Demonstration, Prompt

logger = logging.getLogger(__name__)

BLOCK = 2
"""Test prompts of one part that stay together: both orders of a pair."""


class EndToEnd:
    """All prompts of all parts, part after part."""

    def __init__(self, parts: Mapping[str, Dataset]) -> None:
        self._parts = list(parts.items())
        self._ends = list(accumulate(len(dataset) for dataset in parts.values()))

    @property
    def source(self) -> str:
        """The sources of all parts."""
        return " + ".join(dataset.source for _, dataset in self._parts)

    def __len__(self) -> int:
        """Number of prompts."""
        return self._ends[-1]

    def prompt(self, index: int) -> Prompt:
        """The prompt at ``index``."""
        check_index(index, size=len(self), name=self.source)
        part = bisect_right(self._ends, index)
        name, dataset = self._parts[part]
        prompt = dataset.prompt(index - (self._ends[part] - len(dataset)))
        return replace(prompt, prompt_id=f"{name}/{prompt.prompt_id}")


class ByTurns:
    """The same prompts, ``BLOCK`` of each part in turn as long as it has any."""

    def __init__(self, parts: Mapping[str, Dataset]) -> None:
        self._prompts = EndToEnd(parts)
        ends = accumulate(len(dataset) for dataset in parts.values())
        spans = [range(end - len(dataset), end) for end, dataset in zip(ends, parts.values(), strict=True)]
        blocks = [[span[start : start + BLOCK] for start in range(0, len(span), BLOCK)] for span in spans]
        turns = zip_longest(*blocks, fillvalue=range(0))
        self._order = [index for turn in turns for block in turn for index in block]

    @property
    def source(self) -> str:
        """The sources of all parts."""
        return self._prompts.source

    def __len__(self) -> int:
        """Number of prompts."""
        return len(self._order)

    def prompt(self, index: int) -> Prompt:
        """The prompt at ``index``."""
        check_index(index, size=len(self), name=self.source)
        return self._prompts.prompt(self._order[index])


class DemonstrationsByTurns:
    """One demonstration of each part in turn; those of a smaller part come again until the largest has shown all."""

    def __init__(self, parts: Mapping[str, Demonstrations]) -> None:
        self._parts = list(parts.items())
        self._size = len(parts) * max(len(part) for part in parts.values())

    def __len__(self) -> int:
        """As many of each as the largest part has."""
        return self._size

    def demonstration(self, index: int) -> Demonstration:
        """The example at ``index``."""
        check_index(index, size=len(self), name="the demonstrations of all parts")
        turn, part = divmod(index, len(self._parts))
        name, demonstrations = self._parts[part]
        shown = demonstrations.demonstration(turn % len(demonstrations))
        return replace(shown, prompt=replace(shown.prompt, prompt_id=f"{name}/{shown.prompt.prompt_id}"))


def mix(parts: Mapping[str, Data], *, rule: Literal["proportional", "uniform"]) -> Data:
    """One data set of several.

    Raises:
        ValueError: A part has a rule of its own for how its data sets share a step.
    """
    for name, part in parts.items():
        if part.mixture is not None:
            raise ValueError(
                f"data.parts.{name} shares its prompts by a mixture of its own, but steps are shared by data.mixture; "
                f"use data.parts.{name}.mixture=proportional and data.parts.{name}.chunk_size=1"
            )
    names = tuple(name for name, part in parts.items() for _ in range(len(part.train)))
    return Data(
        train=EndToEnd({name: part.train for name, part in parts.items()}),
        test=ByTurns({name: part.test for name, part in parts.items()}),
        warm_up=_by_turns("warm-up", {name: part.warm_up for name, part in parts.items()}),
        cold_start=_by_turns("cold start", {name: part.cold_start for name, part in parts.items()}),
        validation=_by_turns("validation", {name: part.validation for name, part in parts.items()}),
        max_images=max(part.max_images for part in parts.values()),
        max_videos=max(part.max_videos for part in parts.values()),
        mixture=Mixture(names=names, rule=rule, chunk_size=1),
    )


def _by_turns(phase: str, parts: Mapping[str, Demonstrations | None]) -> DemonstrationsByTurns | None:
    """Those that have demonstrations; None when no part has."""
    known = {name: part for name, part in parts.items() if part is not None}
    if not known:
        return None
    if missing := sorted(set(parts) - set(known)):
        logger.warning("demonstrations phase=%s parts=%s without=%s", phase, ",".join(known), ",".join(missing))
    return DemonstrationsByTurns(known)
