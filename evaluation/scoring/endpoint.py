"""Any OpenAI-compatible chat endpoint as the judge: rows as answers arrive, no more pictures in memory than requests.

An expectation is read from the likeliest tokens the server names at the score's integer digit; a digit that is not
among them counts as impossible.
"""

import asyncio
from collections.abc import AsyncGenerator, Iterable, Sequence
from dataclasses import replace
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from conf.schema import SamplingConfig
from conf.score import ScoreConfig
from evaluation.benchmarks.chat_messages import ChatMessage, MessageWriter
from evaluation.scoring.asking import Questioner
from evaluation.scoring.expectation import DIGITS, expected, integer_place, integers_on, share_of
from evaluation.scoring.flow import as_they_end
from evaluation.scoring.items import Item
from evaluation.scoring.rows import OFF_SCALE, ROUNDED_TO, RowWriter, Sample, ScoreRow, unanswered
from judge_client.chat import ChatOutcome
from judge_client.schemas import SampledToken, TokenLogprob
from rewards.tags import answer_blocks
from rollout.types import Failure, Scale
from rollout.worker_types import completion_seed

NUM_ALTERNATIVES = 20
"""The most that servers of the protocol name."""


class Chat(Protocol):
    """A chat endpoint; ``judge_client.chat.ChatClient`` is one."""

    async def chat(
        self, messages: Sequence[ChatMessage], *, sampling: SamplingConfig, seed: int, num_alternatives: int = 0
    ) -> ChatOutcome: ...


class ChatScorer:
    """Scores items with a chat model, up to ``max_concurrent`` at a time."""

    def __init__(
        self,
        chat: Chat,
        *,
        questioner: Questioner,
        writer: RowWriter,
        messages: MessageWriter,
        config: ScoreConfig,
        sampling: SamplingConfig,
        seed: int,
        max_concurrent: int,
    ) -> None:
        self._chat, self._questioner, self._writer, self._messages = chat, questioner, writer, messages
        self._config, self._sampling, self._seed = config, sampling, seed
        self._max_concurrent = max_concurrent

    def score(self, items: Iterable[Item]) -> AsyncGenerator[list[ScoreRow], None]:
        """Yield rows as they are done, in any order."""
        return as_they_end(items, most=self._max_concurrent, work=self._score_item)

    async def _score_item(self, item: Item) -> ScoreRow:
        prompt = await asyncio.to_thread(self._questioner.prompt, item)
        if isinstance(prompt, Failure):
            return self._writer.without_answer(item, prompt)
        try:
            messages = await asyncio.to_thread(self._messages.write, prompt)
        except ValueError as error:
            return self._writer.without_answer(item, Failure(kind="unreadable_media", detail=str(error)))
        first = completion_seed(self._seed, prompt.prompt_id)
        seeds = range(first, first + self._config.num_samples)
        samples = await asyncio.gather(*(self._ask(messages, seed=seed) for seed in seeds))
        failed = next((sample for sample in samples if sample.status == "failed"), None)
        # A mean over fewer samples than asked for would be another number: the item is asked again as a whole.
        return self._writer.row(item, samples if failed is None else [failed])

    async def _ask(self, messages: Sequence[ChatMessage], *, seed: int) -> Sample:
        weighs = self._config.answer != "numeric"
        reply = await self._chat.chat(
            messages,
            sampling=self._sampling,
            seed=seed,
            num_alternatives=NUM_ALTERNATIVES if weighs else 0,
        )
        if reply.text is None:
            return unanswered("failed", error=reply.failure or "no text and no reason")
        is_drawn = self._sampling.temperature > 0
        sample = self._writer.read(
            reply.text, is_truncated=reply.finish_reason == "length", seed=seed if is_drawn else None
        )
        return self._weighed(sample, reply.text, reply.tokens) if weighs and sample.score is not None else sample

    def _weighed(self, sample: Sample, text: str, tokens: Sequence[SampledToken]) -> Sample:
        """The sample with an expectation for its score."""
        if sample.status == "out_of_range":
            return replace(sample, score=None, status="no_distribution", error=OFF_SCALE)
        try:
            mean = expected(integer_shares(text, tokens=tokens, scale=self._writer.scale))
        except ValueError as error:
            return replace(sample, score=None, status="no_distribution", error=str(error))
        return replace(sample, score=round(mean, ROUNDED_TO))


def integer_shares(text: str, *, tokens: Sequence[SampledToken], scale: Scale) -> dict[int, float]:
    """How likely each integer of the scale was to begin the score of a reply.

    Raises:
        ValueError: The server named no tokens, none of them is the score's integer digit, or none was an integer of
            the scale.
    """
    blocks = answer_blocks(text)
    place = integer_place(text, answer=blocks[-1] if blocks else None)
    if place is None:
        raise ValueError("no integer digit to take it at")
    start, wanted = 0, len(text[:place].encode())
    for token in tokens:
        if start == wanted and _bytes(token).decode(errors="replace") in DIGITS:
            return share_of(integers_on(scale), logprobs_10=_digits(token))
        start += len(_bytes(token))
    raise ValueError(f"no token of the {len(tokens)} the server names is the digit at character {place} of its answer")


def _digits(token: SampledToken) -> NDArray[np.float64]:
    """Log-probabilities of the ten digits among what a server names at one place; -inf for the others."""
    logprobs_10 = np.full(len(DIGITS), -np.inf)
    for named in (*token.top_logprobs, token):
        digit = _bytes(named).decode(errors="replace")
        if digit in DIGITS:
            logprobs_10[int(digit)] = named.logprob
    return logprobs_10


def _bytes(token: TokenLogprob) -> bytes:
    return token.token.encode() if token.bytes is None else bytes(token.bytes)
