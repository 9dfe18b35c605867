"""Who answers: our own engines, or any model behind an OpenAI-compatible chat endpoint."""

import asyncio
import time
from collections.abc import AsyncGenerator, Iterator, Sequence
from itertools import islice
from typing import Protocol

from conf.schema import SamplingConfig
from evaluation.benchmarks.answers import Answer
from evaluation.benchmarks.chat_messages import ChatMessage, MessageWriter
from evaluation.benchmarks.questions import JudgeRequest, stable_hash, vote_key
from rollout.types import Completion, FinishReason, RolloutGroup
from rollout.worker_types import GenerationOrder


class Answerer(Protocol):
    """A judge of pairs."""

    def answer(self, requests: Sequence[JudgeRequest]) -> AsyncGenerator[Answer, None]:
        """Yield one answer per request, in any order; a request that failed yields its error, never nothing."""
        ...


class Engines(Protocol):
    """Our own engines; ``cluster.engines.RolloutPool`` is one."""

    async def run(self, order: GenerationOrder) -> list[RolloutGroup]:
        """Sample one group per prompt, in the order of the prompts."""
        ...


class ChatReply(Protocol):
    """What came back from a chat endpoint: a text, or a failure."""

    @property
    def text(self) -> str | None: ...
    @property
    def finish_reason(self) -> FinishReason | None: ...
    @property
    def num_tokens(self) -> int | None:
        """Length of the text as the server counts it."""
        ...

    @property
    def failure(self) -> str | None:
        """Why there is no text, after every further attempt; None with a text."""
        ...


class Chat(Protocol):
    """A chat endpoint, with a time limit and further attempts of its own."""

    async def chat(self, messages: Sequence[ChatMessage], *, sampling: SamplingConfig, seed: int) -> ChatReply: ...


class EngineAnswerer:
    """Votes are the completions of one prompt, so that prompt and pictures are read once for all of them."""

    def __init__(
        self, engines: Engines, *, sampling: SamplingConfig, num_votes: int, seed: int, prompts_per_batch: int
    ) -> None:
        self._engines, self._sampling = engines, sampling
        self._num_votes, self._seed, self._prompts_per_batch = num_votes, seed, prompts_per_batch

    async def answer(self, requests: Sequence[JudgeRequest]) -> AsyncGenerator[Answer, None]:
        """Yield the answers batch by batch.

        A prompt of which any vote is missing is sampled whole and only the missing votes are taken: a vote's place
        among its siblings decides its random numbers.
        """
        wanted = {request.key for request in requests}
        prompts = iter({request.prompt.prompt_id: request.prompt for request in requests}.values())
        while batch := list(islice(prompts, self._prompts_per_batch)):
            started = time.perf_counter()
            groups = await self._engines.run(
                GenerationOrder(
                    prompts=batch,
                    num_completions=self._num_votes,
                    sampling=self._sampling,
                    seed=self._seed,
                    needs_logprobs=False,
                )
            )
            seconds = time.perf_counter() - started
            for key, completion in _votes(groups):
                if key in wanted:
                    yield _answer_of(completion, key=key, seconds=seconds)


class ChatAnswerer:
    """One chat request per vote, up to ``max_concurrent`` at a time."""

    def __init__(
        self, chat: Chat, *, sampling: SamplingConfig, seed: int, max_concurrent: int, writer: MessageWriter
    ) -> None:
        self._chat, self._sampling, self._seed = chat, sampling, seed
        self._max_concurrent, self._writer = max_concurrent, writer

    async def answer(self, requests: Sequence[JudgeRequest]) -> AsyncGenerator[Answer, None]:
        """Yield answers as they arrive.

        No more requests are prepared than run: each holds its pictures in memory.
        """
        waiting, running = iter(requests), set[asyncio.Task[Answer]]()
        try:
            while True:
                free = self._max_concurrent - len(running)
                running |= {asyncio.create_task(self._ask(request)) for request in islice(waiting, free)}
                if not running:
                    return
                done, running = await asyncio.wait(running, return_when=asyncio.FIRST_COMPLETED)
                for task in done:
                    yield task.result()
        finally:
            for task in running:
                task.cancel()

    async def _ask(self, request: JudgeRequest) -> Answer:
        messages = await asyncio.to_thread(self._writer.write, request.prompt)
        started = time.perf_counter()
        reply = await self._chat.chat(messages, sampling=self._sampling, seed=stable_hash(self._seed, request.key))
        has_text = reply.text is not None
        return Answer(
            key=request.key,
            text=reply.text,
            finish_reason=reply.finish_reason if has_text else None,
            error=None if has_text else reply.failure or "no text and no reason",
            num_tokens=reply.num_tokens if has_text else None,
            seconds=time.perf_counter() - started,
        )


def _votes(groups: Sequence[RolloutGroup]) -> Iterator[tuple[str, Completion]]:
    for group in groups:
        for vote, completion in enumerate(group.completions):
            yield vote_key(group.prompt.prompt_id, vote=vote), completion


def _answer_of(completion: Completion, *, key: str, seconds: float) -> Answer:
    was_aborted = completion.finish_reason == "abort"
    return Answer(
        key=key,
        text=None if was_aborted else completion.text,
        finish_reason=None if was_aborted else completion.finish_reason,
        error="aborted by the engine" if was_aborted else None,
        num_tokens=completion.token_ids.size,
        seconds=seconds,
    )
