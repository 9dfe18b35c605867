"""One engine and one family: prompts in, rollout groups out. A plain class; ``cluster`` makes it remote."""

import asyncio
import hashlib
import itertools
import time
from collections.abc import AsyncIterator, Mapping

from conf.machine import ModelConfig
from rollout.engine import EngineCompletion, EngineRequest, OnEnd, VllmEngine
from rollout.families import build_family
from rollout.types import Completion, RolloutGroup
from rollout.worker_types import EndedText, EngineOptions, EngineView, GenerationOrder

STREAM_INTERVAL_S = 0.05
"""How often ended completions are passed on: often enough for a judge, seldom enough to cost nothing."""


class RolloutWorker:
    """Samples groups, and takes new weights in between."""

    def __init__(self, model: ModelConfig, options: EngineOptions) -> None:
        self._family = build_family(model, folder=options.folder)
        self._engine = VllmEngine(options, processor_options=self._family.processor_options)
        self._request_numbers = itertools.count()

    async def generate(self, order: GenerationOrder, *, on_end: OnEnd | None = None) -> list[RolloutGroup]:
        """Return one group per prompt, in order, with the log-probs the engine sampled with."""
        started = time.perf_counter()
        requests = [
            EngineRequest(
                request_id=f"{next(self._request_numbers)}-{prompt.prompt_id}",
                prompt=self._family.engine_input(prompt),
                num_completions=order.num_completions,
                seed=completion_seed(order.seed, prompt.prompt_id),
            )
            for prompt in order.prompts
        ]
        outputs = await self._engine.generate(
            requests, sampling=order.sampling, banned_token_ids=self._family.banned_token_ids, on_end=on_end
        )
        seconds = time.perf_counter() - started
        return [
            RolloutGroup(
                prompt=prompt,
                prompt_token_ids=output.prompt_token_ids,
                completions=tuple(
                    Completion(
                        text=self._text(one),
                        token_ids=one.token_ids,
                        logprobs=one.logprobs,
                        finish_reason=one.finish_reason,
                        policy_version=output.policy_version,
                    )
                    for one in output.completions
                ),
                metrics={"generate_s": seconds},
            )
            for prompt, output in zip(order.prompts, outputs, strict=True)
        ]

    async def stream(self, order: GenerationOrder) -> AsyncIterator[list[EndedText] | list[RolloutGroup]]:
        """Yield the texts of completions as they end, several at a time, and at last what ``generate`` returns."""
        ended: asyncio.Queue[EndedText] = asyncio.Queue()

        def on_end(prompt_index: int, one: EngineCompletion) -> None:
            ended.put_nowait(EndedText(prompt_index=prompt_index, text=self._text(one)))

        generating = asyncio.ensure_future(self.generate(order, on_end=on_end))
        try:
            while not generating.done():
                await asyncio.wait({generating}, timeout=STREAM_INTERVAL_S)
                texts = [ended.get_nowait() for _ in range(ended.qsize())]
                if texts:
                    yield texts
            yield generating.result()
        finally:
            generating.cancel()

    def _text(self, one: EngineCompletion) -> str:
        return self._family.decode(one.token_ids.tolist())

    async def view(self, order: GenerationOrder) -> list[EngineView]:
        """Generate, and say how this side encodes each prompt."""
        views = []
        for group in await self.generate(order):
            encoded = self._family.encode(group.prompt)
            views.append(EngineView(group=group, media_grids=encoded.media_grids))
        return views

    async def init_transfer(self, options: Mapping[str, object]) -> None:
        """Join the learner's weight transfer group."""
        await self._engine.init_transfer(options)

    async def begin_update(self) -> None:
        """Stop for new weights."""
        await self._engine.begin_update()

    async def receive(self, update: Mapping[str, object]) -> None:
        """Take tensors in."""
        await self._engine.receive(update)

    async def finish_update(self, policy_version: int) -> None:
        """Go on with the new weights; completions carry ``policy_version`` from here on."""
        await self._engine.finish_update(policy_version)

    async def sleep(self) -> None:
        """Free GPU memory for a colocated learner."""
        await self._engine.sleep()

    async def wake_up(self) -> None:
        """Take GPU memory back from a colocated learner."""
        await self._engine.wake_up()

    async def close(self) -> None:
        """End the engine's processes."""
        self._engine.close()


def completion_seed(seed: int, prompt_id: str) -> int:
    """A 31-bit seed for one prompt's completions; vLLM adds the completion's index to it."""
    digest = hashlib.blake2b(f"{seed}/{prompt_id}".encode(), digest_size=8).digest()
    return int.from_bytes(digest) % (2**31 - 1024)
