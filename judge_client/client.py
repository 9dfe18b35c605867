"""Asks a judge over HTTP: the way from a question to a verdict. START READING HERE.

    ask(question)
      nothing to judge ............................ abstained: empty
      kept on disk (cache.py) ..................... that verdict
      an equal question under way ................. its verdict
      else num_votes requests (transport.py) ...... each read by prompt.py, majority decides, kept unless it abstained

A judge that does not answer is no error: the verdict abstains and says why. Errors are for what no question can help.
"""

import asyncio
import time
from dataclasses import replace
from pathlib import Path

from conf.judge import RemoteJudgeConfig
from judge_client.cache import VerdictCache, cache_key
from judge_client.check import CHECK_LIMIT_S, Served, check_endpoints
from judge_client.endpoint import question_request
from judge_client.errors import JudgeUnavailable
from judge_client.metrics import JudgeMetrics
from judge_client.prompt import Prompt, build_prompt
from judge_client.transport import open_transport
from judge_client.types import Cause, Question, Verdict
from judge_client.votes import decide

_OUR_DOING: frozenset[Cause] = frozenset({"empty", "split"})
"""Abstentions that say nothing about whether the judge can be reached."""


class JudgeClient:
    """The judge behind one or several servers of one model; made for one event loop, used by many tasks at a time."""

    def __init__(self, config: RemoteJudgeConfig, *, cache_folder: Path | None) -> None:
        """Read the key and open the cache; nothing is sent. ``cache_folder`` may be None with ``cache=false`` only.

        Raises:
            JudgeUnavailable: The variable that should hold the key is not set, or holds no key.
            CacheUnusable: The kept verdicts cannot be read.
            ValueError: ``config.cache`` without a folder.
        """
        if config.cache and cache_folder is None:
            raise ValueError("judge.cache=true needs a cache_folder; give one, or set judge.cache=false")
        self._config, self._metrics = config, JudgeMetrics()
        self._cache = VerdictCache(cache_folder) if config.cache and cache_folder else None
        self._transport = open_transport(config, metrics=self._metrics)
        self._served = _served_without_check(config)
        self._under_way: dict[str, asyncio.Task[Verdict]] = {}
        self._num_abstained_in_a_row = 0

    async def check(self) -> None:
        """Ask every server one real question, in less than 30 s; finds out what the configuration leaves open.

        Raises:
            JudgeUnavailable: Says which server failed, how, and what to do.
        """
        self._served = await check_endpoints(self._transport.endpoints, self._config, limit_s=CHECK_LIMIT_S)

    async def ask(self, question: Question) -> Verdict:
        """Return the verdict on one question.

        Raises:
            JudgeUnavailable: ``max_consecutive_abstentions`` questions in a row went without a verdict.
            CacheUnusable: The verdict cannot be kept.
            RuntimeError: ``check`` has to find out the model or the kind of reply first.
        """
        self._metrics.question_asked()
        try:
            verdict, is_shared = await self._verdict(question)
        finally:
            self._metrics.question_left()
        self._metrics.answered(verdict, is_shared=is_shared)
        if not is_shared:
            self._stop_after_too_many(verdict)
        return verdict

    def metrics(self) -> dict[str, float]:
        """Journal values since the last call, as ``judge/thing/statistic``."""
        num_open = sum(endpoint.breaker.is_open for endpoint in self._transport.endpoints)
        return self._metrics.drain(num_open_endpoints=num_open)

    async def close(self) -> None:
        """Give up what is under way and close connections and cache."""
        for task in self._under_way.values():
            task.cancel()
        await asyncio.gather(*self._under_way.values(), return_exceptions=True)
        await self._transport.close()
        if self._cache:
            self._cache.close()

    async def _verdict(self, question: Question) -> tuple[Verdict, bool]:
        """The verdict, and whether it is shared with an equal question that came first."""
        if question.is_empty:
            return Verdict(outcome="abstained", cause="empty", detail="there is nothing to judge"), False
        served = self._served
        if served is None:
            raise RuntimeError(
                f"await check() before ask(): judge.model={self._config.model} and "
                f"judge.structured={self._config.structured} leave open what the servers offer"
            )
        prompt = build_prompt(question, style=self._config.template, is_structured=served.is_structured)
        key = self._key(prompt, served)
        if self._cache and (kept := self._cache.get(key)):
            return kept, False
        is_shared = key in self._under_way
        if not is_shared:
            task = asyncio.create_task(self._ask_and_keep(prompt, served, key=key))
            self._under_way[key] = task
            task.add_done_callback(lambda _: self._under_way.pop(key))
        # Whoever gives up waiting must not take the verdict away from the others.
        return await asyncio.shield(self._under_way[key]), is_shared

    async def _ask_and_keep(self, prompt: Prompt, served: Served, *, key: str) -> Verdict:
        start_s, num_votes = time.monotonic(), self._config.num_votes
        seeds = [None] if num_votes == 1 else range(num_votes)
        requests = [question_request(prompt, model=served.model, config=self._config, seed=seed) for seed in seeds]
        results = await asyncio.gather(*(self._transport.send(request) for request in requests))
        verdict = replace(decide(prompt, results), latency_s=time.monotonic() - start_s)
        # A majority that misses votes would be kept for good, although the next run may get them all.
        if self._cache and "abstained" not in (verdict.outcome, *verdict.votes):
            self._cache.put(key, verdict)
        return verdict

    def _key(self, prompt: Prompt, served: Served) -> str:
        config = self._config
        return cache_key(
            prompt=prompt.text,
            template=prompt.template.version,
            model=served.model,
            sampling={
                "temperature": config.temperature,
                "max_tokens": config.max_tokens,
                "num_votes": config.num_votes,
            },
        )

    def _stop_after_too_many(self, verdict: Verdict) -> None:
        if verdict.from_cache or verdict.cause in _OUR_DOING:
            return
        self._num_abstained_in_a_row = self._num_abstained_in_a_row + 1 if verdict.cause else 0
        limit = self._config.max_consecutive_abstentions
        if limit is not None and self._num_abstained_in_a_row >= limit:
            raise JudgeUnavailable(
                f"the judge left {self._num_abstained_in_a_row} questions in a row without a verdict "
                f"(judge.max_consecutive_abstentions={limit}), the last one: {verdict.cause}, {verdict.detail}; bring "
                "the judge back and resume the run"
            )


def _served_without_check(config: RemoteJudgeConfig) -> Served | None:
    """What the configuration alone says; None where ``check`` has to find out."""
    if config.model is None or config.structured == "auto":
        return None
    return Served(model=config.model, is_structured=config.structured == "always")
