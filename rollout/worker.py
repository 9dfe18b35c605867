"""One engine and one family: prompts in, rollout groups out. A plain class; ``cluster`` makes it remote."""

import asyncio
import itertools
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from conf.machine import ModelConfig
from conf.schema import SamplingConfig
from rollout.asked_items import AskedItem, Unusable, in_passes
from rollout.engine import BatchSampling, EngineCompletion, EngineOutput, EngineRequest, OnEnd, VllmEngine
from rollout.engine_prompts import RenderedPrompt, rendered_tokens, with_other_end
from rollout.families import build_family
from rollout.families.base import EngineInput
from rollout.types import Completion, Failure, FailureKind, Prompt, RolloutGroup, WatchedTokens
from rollout.worker_types import (
    EndedText,
    EngineOptions,
    EngineView,
    FirstTokens,
    ForcedToken,
    GenerationOrder,
    QuestionOrder,
    completion_seed,
)

STREAM_INTERVAL_S = 0.05
"""How often ended completions are passed on: often enough for a judge, seldom enough to cost nothing."""


class RolloutWorker:
    """Samples groups, and takes new weights in between."""

    def __init__(self, model: ModelConfig, options: EngineOptions) -> None:
        self._family = build_family(model, folder=options.folder)
        self._engine = VllmEngine(options, processor_options=self._family.processor_options)
        self._max_model_len = options.rollout.max_model_len
        self._request_numbers = itertools.count()

    async def generate(self, order: GenerationOrder, *, on_end: OnEnd | None = None) -> list[RolloutGroup]:
        """Return one group per prompt, in order, with the log-probs the engine sampled with."""
        started = time.perf_counter()
        watched = np.array([self._token_id(text) for text in order.watched_tokens], dtype=np.int32)
        prepared = await asyncio.gather(*(self._prepare(prompt, order) for prompt in order.prompts))
        asked = [index for index, one in enumerate(prepared) if isinstance(one, EngineRequest)]
        outputs = await self._engine.generate(
            [one for one in prepared if isinstance(one, EngineRequest)],
            sampling=BatchSampling(
                config=order.sampling,
                banned_token_ids=self._family.banned_token_ids,
                watched_token_ids=watched.tolist(),
                repetition_penalty=order.repetition_penalty,
                needs_logprobs=order.needs_logprobs,
            ),
            on_end=None if on_end is None else lambda number, one: on_end(asked[number], one),
            runs_alone=order.runs_alone,
        )
        seconds = time.perf_counter() - started
        answered = dict(zip(asked, outputs, strict=True))
        return [
            _failed(prompt, one)
            if isinstance(one, Failure)
            else self._group(prompt, answered[index], watched=watched, seconds=seconds)
            for index, (prompt, one) in enumerate(zip(order.prompts, prepared, strict=True))
        ]

    async def _prepare(self, prompt: Prompt, order: GenerationOrder) -> EngineRequest | Failure:
        try:
            rendered = await self._read(prompt, max_tokens=order.sampling.max_tokens)
        except Unusable as unusable:
            if not order.skips_unusable:
                raise
            return unusable.failure
        return self._request(prompt, rendered, num_completions=order.num_completions, seed=order.seed)

    async def _read(self, prompt: Prompt, *, max_tokens: int) -> RenderedPrompt:
        """Read a prompt's pictures and make them the engine's, in threads, while others are sampled.

        Raises:
            Unusable: It cannot be asked.
        """
        kind: FailureKind = "unusable_text"
        try:
            self._family.check_prompt(prompt)
            kind = "unreadable_media"
            shown = await asyncio.to_thread(self._family.engine_input, prompt)
            kind = "too_long"
            rendered = await self._render(shown)
            self._check_room(len(rendered["prompt_token_ids"]), max_tokens=max_tokens)
        except ValueError as error:
            raise Unusable(Failure(kind=kind, detail=str(error))) from error
        return rendered

    def _request(self, prompt: Prompt, rendered: RenderedPrompt, *, num_completions: int, seed: int) -> EngineRequest:
        return EngineRequest(
            request_id=f"{next(self._request_numbers)}-{prompt.prompt_id}",
            prompt=rendered,
            num_completions=num_completions,
            seed=completion_seed(seed, prompt.prompt_id),
        )

    async def _render(self, shown: EngineInput) -> RenderedPrompt:
        tokens = await asyncio.to_thread(self._family.engine_tokens, shown)
        return await self._engine.render(shown) if tokens is None else rendered_tokens(tokens)

    def _check_room(self, num_tokens: int, *, max_tokens: int) -> None:
        if num_tokens + max_tokens > self._max_model_len:
            raise ValueError(
                f"a question of {num_tokens} tokens leaves no room for an answer of {max_tokens} within "
                f"rollout.max_model_len={self._max_model_len}; raise it, or lower model.max_pixels"
            )

    def _group(
        self, prompt: Prompt, output: EngineOutput, *, watched: NDArray[np.int32], seconds: float
    ) -> RolloutGroup:
        return RolloutGroup(
            prompt=prompt,
            prompt_token_ids=output.prompt_token_ids,
            completions=tuple(
                Completion(
                    text=self._text(one),
                    token_ids=one.token_ids,
                    logprobs=one.logprobs,
                    finish_reason=one.finish_reason,
                    policy_version=output.policy_version,
                    watched=WatchedTokens(token_ids=watched, logprobs=one.watched_logprobs) if watched.size else None,
                )
                for one in output.completions
            ),
            metrics={"generate_s": seconds},
        )

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

    async def first_tokens(self, order: QuestionOrder) -> list[FirstTokens]:
        """How the answers to every question begin, one item's answers after the other's.

        Media is decoded, encoded and computed once for all questions about it.

        Raises:
            ValueError: The model writes none of the spellings in one token.
        """
        watched = {text: token_id for text in order.spellings if (token_id := self._only_token(text)) is not None}
        if not watched:
            raise ValueError(f"the tokenizer writes none of {order.spellings} in one token, so none can be watched")
        sampling = BatchSampling(
            config=SamplingConfig(temperature=1.0, top_p=1.0, max_tokens=1),
            banned_token_ids=self._family.banned_token_ids,
            watched_token_ids=list(watched.values()),
        )
        prepared = await asyncio.gather(*map(self._prepare_item, order.items))
        answers = {index: one for index, one in enumerate(prepared) if isinstance(one, FirstTokens)}
        asked = {index: one for index, one in enumerate(prepared) if isinstance(one, AskedItem)}
        lengths = {index: one.num_tokens for index, one in asked.items()}
        for part in in_passes(lengths, num_tokens=self._engine.num_tokens_per_pass):
            items = [asked[index] for index in part]
            begun, others = await self._engine.generate_in_turn(
                [item.first for item in items], [one for item in items for one in item.others], sampling=sampling
            )
            rest = iter(others)
            for index, item, first in zip(part, items, begun, strict=True):
                outputs = [first, *(next(rest) for _ in item.others)]
                answers[index] = item.answered(outputs, spellings=tuple(watched))
        return [answers[index] for index in range(len(prepared))]

    async def num_encoded(self) -> int:
        """Pictures and videos the vision tower has seen since the last call; for options that count them."""
        return await self._engine.num_encoded()

    async def _prepare_item(self, prompts: tuple[Prompt, ...]) -> AskedItem | FirstTokens:
        first, *others = prompts
        try:
            rendered = await self._read(first, max_tokens=1)
            num_shared, further = await asyncio.to_thread(self._further, rendered, prompts)
        except Unusable as unusable:
            return FirstTokens(failure=unusable.failure)
        return AskedItem(
            first=self._request(first, rendered, num_completions=1, seed=0),
            others=[self._request(*both, num_completions=1, seed=0) for both in zip(others, further, strict=True)],
            num_shared_tokens=num_shared,
        )

    def _further(self, rendered: RenderedPrompt, prompts: tuple[Prompt, ...]) -> tuple[int, list[RenderedPrompt]]:
        """How many tokens of ``rendered``, the first prompt, all have in common, and the others made of it.

        Raises:
            Unusable: One of them cannot be asked.
        """
        first, *others = prompts
        beginning, end = self._family.text_tokens(self._family.engine_text(first))
        num_shared = len(rendered["prompt_token_ids"]) - len(end)
        further = []
        for prompt in others:
            assert list(prompt.media()) == list(first.media()), "the questions of an item are about one thing"
            kind: FailureKind = "unusable_text"
            try:
                same, other_end = self._family.text_tokens(self._family.engine_text(prompt))
                kind = "too_long"
                self._check_room(num_shared + len(other_end), max_tokens=1)
            except ValueError as error:
                raise Unusable(Failure(kind=kind, detail=str(error))) from error
            assert same == beginning, "the media comes before everything that differs"
            further.append(with_other_end(rendered, num_kept=num_shared, end=other_end))
        return num_shared, further

    async def forced_logprobs(self, tokens: Sequence[ForcedToken]) -> list[float]:
        """Log-prob in nats of each token, by the distribution that is sampled from and the weights of now.

        Raises:
            ValueError: A text is not one token, or runs into what was said before it.
        """
        watched = sorted({one.token for one in tokens})
        watched_ids = {token: self._token_id(token) for token in watched}
        prompts = list(dict.fromkeys(one.prompt for one in tokens))
        read = await asyncio.gather(*(asyncio.to_thread(self._family.engine_input, one) for one in prompts))
        shown = dict(zip(prompts, read, strict=True))
        requests = await asyncio.gather(*(self._forced(one, shown[one.prompt], watched_ids) for one in tokens))
        sampling = BatchSampling(
            config=SamplingConfig(temperature=1.0, top_p=1.0, max_tokens=1),
            banned_token_ids=self._family.banned_token_ids,
            watched_token_ids=[watched_ids[token] for token in watched],
        )
        outputs = await self._engine.generate(requests, sampling=sampling)
        return [
            float(output.completions[0].watched_logprobs[0, watched.index(one.token)])
            for one, output in zip(tokens, outputs, strict=True)
        ]

    async def _forced(self, one: ForcedToken, shown: EngineInput, token_ids: Mapping[str, int]) -> EngineRequest:
        apart = [*self._family.encode_target(one.before)[:-1].tolist(), token_ids[one.token]]
        if self._family.encode_target(one.before + one.token)[:-1].tolist() != apart:
            raise ValueError(
                f"prompt {one.prompt.prompt_id}: after {one.before[-20:]!r} the tokenizer does not write {one.token!r} "
                "as a token of its own, so it has no probability of its own"
            )
        return EngineRequest(
            request_id=f"{next(self._request_numbers)}-forced-{one.prompt.prompt_id}",
            prompt=await self._render(replace(shown, text=shown.text + one.before)),
            num_completions=1,
            seed=0,
        )

    def _token_id(self, text: str) -> int:
        """The token that is ``text``.

        Raises:
            ValueError: The tokenizer writes it in several, or as a part of none.
        """
        token_id = self._only_token(text)
        if token_id is None:
            num_tokens = len(self._family.encode_target(text)) - 1
            raise ValueError(f"the tokenizer writes {text!r} in {num_tokens} tokens; only one can be watched")
        return token_id

    def _only_token(self, text: str) -> int | None:
        """The token that is ``text``; None where there is none."""
        token_ids = self._family.encode_target(text)[:-1].tolist()
        return int(token_ids[0]) if len(token_ids) == 1 and self._family.decode(token_ids) == text else None

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


def _failed(prompt: Prompt, failure: Failure) -> RolloutGroup:
    return RolloutGroup(prompt=prompt, completions=(), prompt_token_ids=np.zeros(0, dtype=np.int32), failure=failure)
