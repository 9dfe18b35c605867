"""Expectations out of sampled answers; the tenths are asked of the engines, which continue a given beginning."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from conf.schema import SamplingConfig
from evaluation.scoring.expectation import (
    DIGITS,
    digit_logprobs,
    expected,
    integer_place,
    integers_on,
    likely,
    share_of,
    tenths_on,
)
from rewards.tags import answer_blocks
from rollout.types import Completion, Message, Prompt, RolloutGroup, Scale
from rollout.worker_types import GenerationOrder


class Engines(Protocol):
    """Our own engines; ``cluster.engines.RolloutPool`` is one."""

    async def run(self, order: GenerationOrder) -> list[RolloutGroup]:
        """Sample one group per prompt, in the order of the prompts."""
        ...


@dataclass(frozen=True, kw_only=True, slots=True)
class _Begun:
    """An answer up to its number, and what the number may begin with."""

    prompt: Prompt
    text: str
    integers: dict[int, float]
    """Those on the scale, with their probabilities."""

    def continued(self, integer: int) -> Prompt:
        """Asks for what follows ``integer`` and a point."""
        beginning = Message(role="assistant", content=(f"{self.text}{integer}.",))
        return replace(self.prompt, messages=(*self.prompt.messages, beginning))


class Weigher:
    """Takes the expectation of the scores that the completions of ``order`` answer; it watches the digits."""

    def __init__(self, engines: Engines, *, scale: Scale, counts_tenths: bool, order: GenerationOrder) -> None:
        assert order.watched_tokens == DIGITS, "expectations are read from the digits"
        self._engines, self._scale, self._counts_tenths = engines, scale, counts_tenths
        self._num_at_a_time = len(order.prompts)
        self._order = replace(
            order,
            num_completions=1,
            sampling=SamplingConfig(temperature=order.sampling.temperature, top_p=order.sampling.top_p, max_tokens=1),
        )

    async def weigh(self, groups: Sequence[RolloutGroup]) -> list[list[float | None]]:
        """The expectation of each completion, by group; None where no integer digit stands to take it at."""
        begun = [[self._begin(group.prompt, one) for one in group.completions] for group in groups]
        found = [one for row in begun for one in row if one is not None]
        means = iter(
            await self._with_tenths(found) if self._counts_tenths else [expected(one.integers) for one in found]
        )
        return [[None if one is None else next(means) for one in row] for row in begun]

    def _begin(self, prompt: Prompt, completion: Completion) -> _Begun | None:
        blocks = answer_blocks(completion.text)
        place = integer_place(completion.text, answer=blocks[-1] if blocks else None)
        if place is None:
            return None
        shares = share_of(integers_on(self._scale), logprobs_10=digit_logprobs(completion, place=place))
        return _Begun(prompt=prompt, text=completion.text[:place], integers=shares)

    async def _with_tenths(self, begun: Sequence[_Begun]) -> list[float | None]:
        followed = [likely({i: share for i, share in one.integers.items() if self._tenths(i)}) for one in begun]
        asked = [one.continued(integer) for one, integers in zip(begun, followed, strict=True) for integer in integers]
        groups = iter(await self._run(asked))
        return [self._mean(integers, [next(groups) for _ in integers]) for integers in followed]

    async def _run(self, prompts: Sequence[Prompt]) -> list[RolloutGroup]:
        """No more prompts at a time than were asked before: each holds its picture."""
        groups: list[RolloutGroup] = []
        for start in range(0, len(prompts), self._num_at_a_time):
            part = prompts[start : start + self._num_at_a_time]
            groups += await self._engines.run(replace(self._order, prompts=part))
        return groups

    def _mean(self, integers: Mapping[int, float], groups: Sequence[RolloutGroup]) -> float | None:
        if any(group.failure is not None for group in groups):
            return None
        numbers = {
            integer + tenth / 10: share_of_integer * share
            for (integer, share_of_integer), group in zip(integers.items(), groups, strict=True)
            for tenth, share in share_of(self._tenths(integer), logprobs_10=_first_digit(group)).items()
        }
        return expected(numbers)

    def _tenths(self, integer: int) -> tuple[int, ...]:
        return tenths_on(self._scale, integer=integer)


def _first_digit(group: RolloutGroup) -> NDArray[np.float64]:
    (completion,) = group.completions
    assert completion.watched is not None, "the order watches the digits"
    return np.asarray(completion.watched.logprobs[0], dtype=np.float64)
