"""Every engine as one: prompts spread by load, groups back in order."""

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from cluster.loop import OnEnd
from cluster.remote import DeadlineExceeded, within
from conf.schema import SamplingConfig
from rollout.types import Prompt, RolloutGroup
from rollout.worker_types import EngineView, FirstTokens, ForcedToken, GenerationOrder, QuestionOrder

ROUND_STRIDE = 1_000_000_007
"""Keeps the seeds of a step's further rounds apart from those of all steps."""


class RolloutPool:
    """Spreads prompts over the engine actors."""

    def __init__(
        self,
        engines: Sequence[Any],
        *,
        num_completions: int,
        sampling: SamplingConfig,
        seed: int,
        timeout_s: float,
    ) -> None:
        self._engines, self._num_completions, self._sampling = list(engines), num_completions, sampling
        self._seed, self._timeout_s = seed, timeout_s
        self._num_pending = [0] * len(self._engines)

    async def generate(
        self, prompts: Sequence[Prompt], *, step: int, round_number: int = 0, on_end: OnEnd | None = None
    ) -> list[RolloutGroup]:
        """Sample the training groups of one step; the same step and round give the same completions.

        ``on_end`` is told of each completion's text while others are still being sampled.
        """
        order = GenerationOrder(
            prompts=prompts,
            num_completions=self._num_completions,
            sampling=self._sampling,
            seed=self._seed * 1_000_003 + step + round_number * ROUND_STRIDE,
        )
        return await self.run(order, on_end=on_end)

    async def run(self, order: GenerationOrder, *, on_end: OnEnd | None = None) -> list[RolloutGroup]:
        """Sample one group per prompt, in the order of the prompts."""
        shares = self._assign(len(order.prompts))
        try:
            parts = await asyncio.gather(
                *(self._run_share(engine, order, share, on_end) for engine, share in enumerate(shares) if share)
            )
        finally:
            self._release(shares)
        by_index = {index: group for part in parts for index, group in part}
        return [by_index[index] for index in range(len(order.prompts))]

    async def view(self, order: GenerationOrder) -> list[list[EngineView]]:
        """Every engine's own view of the same prompts, for the parity gate."""
        refs = [engine.view.remote(order) for engine in self._engines]
        views: list[list[EngineView]] = await within(refs, self._timeout_s, "engines generating for the parity gate")
        return views

    async def forced_logprobs(self, tokens: Sequence[ForcedToken]) -> list[float]:
        """Log-prob in nats of each token, in order; they are dealt out to the engines."""
        num_engines = len(self._engines)
        shares = [tokens[first::num_engines] for first in range(num_engines)]
        asked = [index for index, share in enumerate(shares) if share]
        refs = [self._engines[index].forced_logprobs.remote(list(shares[index])) for index in asked]
        parts = dict(zip(asked, await within(refs, self._timeout_s, "engines scoring forced tokens"), strict=True))
        return [parts[index % num_engines][index // num_engines] for index in range(len(tokens))]

    async def first_tokens(self, order: QuestionOrder) -> list[FirstTokens]:
        """How the answers to every item's questions begin, in order; all questions about one go to one engine."""
        shares = self._assign(len(order.items))

        async def ask(engine: int, share: Sequence[int]) -> list[tuple[int, FirstTokens]]:
            part = replace(order, items=[order.items[index] for index in share])
            what = f"engine {engine} asking about {len(share)} items"
            (found,) = await within([self._engines[engine].first_tokens.remote(part)], self._timeout_s, what)
            return list(zip(share, found, strict=True))

        try:
            parts = await asyncio.gather(*(ask(engine, share) for engine, share in enumerate(shares) if share))
        finally:
            self._release(shares)
        by_index = {index: one for part in parts for index, one in part}
        return [by_index[index] for index in range(len(order.items))]

    @property
    def num_pending(self) -> int:
        """Prompts being sampled now."""
        return sum(self._num_pending)

    def _assign(self, num_prompts: int) -> list[list[int]]:
        """Give each prompt to the engine with the fewest pending ones; idle engines share evenly, in order."""
        shares: list[list[int]] = [[] for _ in self._engines]
        for index in range(num_prompts):
            engine = min(range(len(shares)), key=lambda e: (self._num_pending[e], e))
            shares[engine].append(index)
            self._num_pending[engine] += 1
        return shares

    def _release(self, shares: Sequence[Sequence[int]]) -> None:
        for engine, share in enumerate(shares):
            self._num_pending[engine] -= len(share)

    async def _run_share(
        self, engine: int, order: GenerationOrder, share: Sequence[int], on_end: OnEnd | None
    ) -> list[tuple[int, RolloutGroup]]:
        part = replace(order, prompts=[order.prompts[index] for index in share])
        what = f"engine {engine} generating {len(share)} groups"
        if on_end is None:
            (groups,) = await within([self._engines[engine].generate.remote(part)], self._timeout_s, what)
        else:
            groups = await self._follow(engine, part, on_end, what)
        return list(zip(share, groups, strict=True))

    async def _follow(self, engine: int, order: GenerationOrder, on_end: OnEnd, what: str) -> list[RolloutGroup]:
        """Pass on what an engine streams; the last part is the groups."""
        groups: list[RolloutGroup] = []
        try:
            async with asyncio.timeout(self._timeout_s):
                async for ref in self._engines[engine].stream.options(num_returns="streaming").remote(order):
                    for one in await ref:
                        if isinstance(one, RolloutGroup):
                            groups.append(one)
                        else:
                            on_end(order.prompts[one.prompt_index], one.text)
        except TimeoutError:
            raise DeadlineExceeded(self._timeout_s, what) from None
        return groups
