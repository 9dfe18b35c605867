"""Small, complete values for tests of the judge: configurations, questions, and asking many at once."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import Any, TypeVar

from conf.judge import RemoteJudgeConfig
from judge_client.client import JudgeClient
from judge_client.rule_server import MODEL
from judge_client.types import ConsistencyQuestion, Outcome, Question, Verdict

T = TypeVar("T")


def judge_config(*urls: str, **changes: Any) -> RemoteJudgeConfig:
    """A judge that is asked in plain text without a check, a cache or a breaker that would open."""
    values: dict[str, Any] = {
        "kind": "remote",
        "base_urls": urls,
        "model": MODEL,
        "api_key_variable": None,
        "template": "arbiter",
        "structured": "never",
        "temperature": 0.0,
        "max_tokens": 16,
        "timeout_s": 20.0,
        "max_attempts": 1,
        "max_concurrent": 32,
        "requests_per_second": None,
        "num_votes": 1,
        "cache": False,
        "breaker_failures": 10_000,
        "max_consecutive_abstentions": None,
    }
    return RemoteJudgeConfig(**(values | changes))


def make_question(number: int = 0, *, is_consistent: bool = True) -> ConsistencyQuestion:
    """A question of its own per ``number``; its reasoning favours the response that the answer names, or the other."""
    favoured = 1 + number % 2
    answer = favoured if is_consistent else 3 - favoured
    reasoning = f"Picture {number} shows mild blur.\nResponse {favoured} is better."
    return ConsistencyQuestion(
        question=f"Which defect has picture {number}?",
        reasoning=reasoning,
        answer=str(answer),
        completion=f"<think>{reasoning}</think><answer>{answer}</answer>",
        task="choice",
    )


def make_questions(num_questions: int) -> list[ConsistencyQuestion]:
    """Different questions, every third one inconsistent."""
    return [make_question(number, is_consistent=number % 3 > 0) for number in range(num_questions)]


def truth(number: int) -> Outcome:
    """What question ``number`` of ``make_questions`` deserves."""
    return "consistent" if number % 3 else "inconsistent"


def with_client(
    config: RemoteJudgeConfig, use: Callable[[JudgeClient], Awaitable[T]], *, cache_folder: Path | None = None
) -> T:
    """What ``use`` returns, on an event loop and a client of its own."""

    async def run() -> T:
        client = JudgeClient(config, cache_folder=cache_folder)
        try:
            return await use(client)
        finally:
            await client.close()

    return asyncio.run(run())


def ask_all(
    config: RemoteJudgeConfig, questions: Sequence[Question], *, cache_folder: Path | None = None
) -> tuple[list[Verdict], dict[str, float]]:
    """The verdicts on questions asked side by side, in order, and the metrics."""

    async def use(client: JudgeClient) -> tuple[list[Verdict], dict[str, float]]:
        verdicts = await asyncio.gather(*(client.ask(question) for question in questions))
        return list(verdicts), client.metrics()

    return with_client(config, use, cache_folder=cache_folder)


def ask_in_turn(config: RemoteJudgeConfig, questions: Sequence[Question]) -> list[Verdict]:
    """The verdicts on questions asked one after the other."""

    async def use(client: JudgeClient) -> list[Verdict]:
        return [await client.ask(question) for question in questions]

    return with_client(config, use)
