"""Who answers a checklist: our own engines, or any model behind an OpenAI-compatible chat endpoint.

Engines answer with one forward step per question, whose probabilities of every spelling of yes and no add up: the
likelier word is the answer, whatever else was likelier. So does an endpoint that names the likeliest tokens; of others,
and where neither word is among those named, the text counts.
"""

import asyncio
from collections.abc import AsyncGenerator, Iterable, Sequence
from typing import Protocol

from conf.schema import SamplingConfig
from evaluation.benchmarks.chat_messages import MessageWriter
from evaluation.checklist.asking import AnswerWriter
from evaluation.checklist.rows import AnswerRow
from evaluation.scoring.endpoint import NUM_ALTERNATIVES, Chat
from evaluation.scoring.flow import as_they_end, in_windows
from evaluation.scoring.items import Item
from judge_client.chat import ChatOutcome
from rewards.checklist.answers import SPELLINGS, Answer, read_logprobs, read_reply, yes_or_no
from rollout.types import Failure, Prompt
from rollout.worker_types import FirstTokens, QuestionOrder, completion_seed

ONE_TOKEN = SamplingConfig(temperature=0.0, top_p=1.0, max_tokens=1)


class Engines(Protocol):
    """Our own engines; ``cluster.engines.RolloutPool`` is one."""

    async def first_tokens(self, order: QuestionOrder) -> list[FirstTokens]:
        """How the answers to every item's questions begin, in order."""
        ...


class EngineAsker:
    """Asks a model on engines, window by window."""

    def __init__(self, engines: Engines, *, writer: AnswerWriter, min_mass: float, window: int) -> None:
        self._engines, self._writer, self._min_mass, self._window = engines, writer, min_mass, window

    def score(self, items: Iterable[Item]) -> AsyncGenerator[list[AnswerRow], None]:
        """Yield the rows of one window after the other, in the order of the items."""
        return in_windows(items, size=self._window, work=self._ask)

    async def _ask(self, items: Sequence[Item]) -> list[AnswerRow]:
        asked = await asyncio.gather(*(asyncio.to_thread(self._writer.questioner.prompts, item) for item in items))
        shown = [one for one in asked if not isinstance(one, Failure)]
        order = QuestionOrder(items=shown, spellings=SPELLINGS)
        answered = iter(await self._engines.first_tokens(order) if shown else [])
        return [
            self._writer.without_answers(item, one)
            if isinstance(one, Failure)
            else self._row(item, next(answered), prompts=one)
            for item, one in zip(items, asked, strict=True)
        ]

    def _row(self, item: Item, found: FirstTokens, *, prompts: Sequence[Prompt]) -> AnswerRow:
        if found.failure is not None:
            return self._writer.without_answers(item, found.failure)
        return self._writer.row(
            item,
            [read_logprobs(one, min_mass=self._min_mass) for one in found.logprobs],
            prompts=prompts,
            num_tokens=found.num_tokens,
            num_computed_tokens=found.num_computed_tokens,
        )


class ChatAsker:
    """Asks a chat model, one request per question, up to ``max_concurrent`` at a time."""

    def __init__(
        self,
        chat: Chat,
        *,
        writer: AnswerWriter,
        messages: MessageWriter,
        min_mass: float,
        seed: int,
        max_concurrent: int,
    ) -> None:
        self._chat, self._writer, self._messages = chat, writer, messages
        self._min_mass, self._seed, self._max_concurrent = min_mass, seed, max_concurrent
        self._free = asyncio.Semaphore(max_concurrent)

    def score(self, items: Iterable[Item]) -> AsyncGenerator[list[AnswerRow], None]:
        """Yield rows as they are done, in any order."""
        num_questions = len(self._writer.questioner.checklist.asked)
        # Enough to keep every request busy while the next item is read.
        return as_they_end(items, most=1 + -(-self._max_concurrent // num_questions), work=self._ask_item)

    async def _ask_item(self, item: Item) -> AnswerRow:
        prompts = await asyncio.to_thread(self._writer.questioner.prompts, item)
        if isinstance(prompts, Failure):
            return self._writer.without_answers(item, prompts)
        try:
            answers = await asyncio.gather(*map(self._ask, prompts))
        except ValueError as error:
            return self._writer.without_answers(item, Failure(kind="unreadable_media", detail=str(error)))
        return self._writer.row(item, answers, prompts=prompts, num_tokens=None, num_computed_tokens=None)

    async def _ask(self, prompt: Prompt) -> Answer:
        async with self._free:
            messages = await asyncio.to_thread(self._messages.write, prompt)
            reply = await self._chat.chat(
                messages,
                sampling=ONE_TOKEN,
                seed=completion_seed(self._seed, prompt.prompt_id),
                num_alternatives=NUM_ALTERNATIVES,
            )
        return read_outcome(reply, min_mass=self._min_mass)


def read_outcome(reply: ChatOutcome, *, min_mass: float) -> Answer:
    """What a chat model answered: soft where it names likely tokens and a word is among them, else hard."""
    if reply.text is None:
        return Answer(status="failed", text=reply.failure or "no text and no reason")
    if reply.tokens:
        first = reply.tokens[0]
        named = {one.token: one.logprob for one in (first, *first.top_logprobs)}
        if any(yes_or_no(token) is not None for token in named):
            return read_logprobs(named, min_mass=min_mass)
    return read_reply(reply.text)
