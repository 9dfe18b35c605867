"""``arbiter collect-traces``: a stronger model writes the reasoning that the cold start imitates."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

from rich.console import Console

from cluster.answering import chat_servers, connected_chat
from cluster.preflight import ASKS_A_SERVER, LEARNS_NOTHING
from conf.data import OpinionScoreConfig, PreferencePairsConfig
from conf.effective import ineffective_chat_settings, leaf_values
from conf.errors import ConfigError
from conf.judge import RemoteJudgeConfig
from conf.load import load_run_config, refuse_idle
from conf.schema import RunConfig, SamplingConfig
from evaluation.benchmarks.chat_messages import MessageWriter
from judge_client.chat import ChatClient
from rollout.datasets import build_data
from rollout.datasets.base import Dataset
from rollout.datasets.critiques import Checks, CritiqueSummary, Limits, collect_critiques
from rollout.datasets.preference_pairs import training_rows
from rollout.datasets.traces import (
    Teacher,
    TeacherFailed,
    TeacherReply,
    TraceSummary,
    attempt_temperature,
    collect_traces,
)
from rollout.types import Prompt

FOR_A_TEACHER = (*ASKS_A_SERVER, "evaluation.sampling.max_tokens=1024")
"""Unless given: what is meant for a tiny model would have a teacher write a few words."""
MAX_ATTEMPTS = 3
"""Attempts of a teacher at one row (arXiv 2505.02835, section 3.3)."""


def collect(words: Sequence[str], overrides: Sequence[str], console: Console) -> int:
    """Ask the teacher that the section ``judge`` names about every training row that is not decided yet."""
    if len(words) != 1:
        raise ConfigError([f"collect-traces takes the file to write, got {' '.join(words) or 'none'}"])
    config = load_run_config([*FOR_A_TEACHER, *overrides, *LEARNS_NOTHING])
    refuse_idle(_idle_settings(config), overrides)
    servers, path = chat_servers(config), Path(words[0])
    try:
        lines = asyncio.run(_collect(config, servers, path, console))
    except TeacherFailed as error:
        raise ConnectionError(str(error)) from error
    console.print(lines, soft_wrap=True)
    return 0


async def _collect(config: RunConfig, servers: RemoteJudgeConfig, path: Path, console: Console) -> str:
    data = config.data
    rows: Dataset
    if isinstance(data, PreferencePairsConfig):
        rows = training_rows(data)
    elif isinstance(data, OpinionScoreConfig):
        rows = build_data(data).train
    else:
        raise ConfigError(
            [f"collect-traces needs data=preference_pairs or data=opinion_score, got data.kind={data.kind}"]
        )
    async with connected_chat(servers) as (chat, model):
        console.print(f"{len(rows)} rows of {rows.source}, teacher {model}", soft_wrap=True)
        writer = MessageWriter(max_pixels=config.model.max_pixels, video_as="pictures")
        most = config.evaluation.sampling.max_tokens
        teacher: Teacher = ChatTeacher(chat, writer=writer, max_tokens=most)
        if isinstance(data, PreferencePairsConfig):
            traces = await collect_traces(
                rows, teacher=teacher, path=path, max_attempts=MAX_ATTEMPTS, max_concurrent=servers.max_concurrent
            )
            return _trace_lines(traces)
        limits = Limits(
            num_per_level=config.critiques.num_per_level,
            max_total_tokens=config.critiques.max_total_tokens,
            max_attempts=MAX_ATTEMPTS,
        )
        async with _checker(config, servers, console) as other:
            checks = Checks(checker=teacher, asks_facts=False)
            if other is not None:
                checks = Checks(checker=ChatTeacher(other, writer=writer, max_tokens=most), asks_facts=True)
            critiques = await collect_critiques(
                rows,
                teacher=teacher,
                checks=checks,
                path=path,
                wording=data.prompt,
                limits=limits,
                max_concurrent=servers.max_concurrent,
            )
        return _critique_lines(critiques)


@asynccontextmanager
async def _checker(config: RunConfig, servers: RemoteJudgeConfig, console: Console) -> AsyncIterator[ChatClient | None]:
    """The model that checks critiques; None where that is the teacher."""
    if config.critiques.checker is None:
        yield None
        return
    async with connected_chat(checking_servers(servers, named=config.critiques.checker)) as (chat, model):
        console.print(f"checker {model}", soft_wrap=True)
        yield chat


def checking_servers(servers: RemoteJudgeConfig, *, named: str) -> RemoteJudgeConfig:
    """Where the checker that ``critiques.checker`` names is; a key is for the teacher's servers and no others."""
    if "://" not in named:
        return servers.model_copy(update={"model": named})
    url, _, model = named.partition("#")
    return servers.model_copy(update={"base_urls": (url,), "model": model or None, "api_key_variable": None})


def _idle_settings(config: RunConfig) -> dict[str, str]:
    """Settings that change nothing for what is collected, and why."""
    reasons = ineffective_chat_settings()
    if isinstance(config.data, PreferencePairsConfig):
        keys = leaf_values(config.model_dump(include={"critiques"}))
        reasons |= dict.fromkeys(keys, "it is about critiques, and data=preference_pairs has traces collected")
    return reasons


class ChatTeacher:
    """A chat model as a teacher."""

    def __init__(self, chat: ChatClient, *, writer: MessageWriter, max_tokens: int) -> None:
        self._chat, self._writer, self._max_tokens = chat, writer, max_tokens

    async def attempt(self, prompt: Prompt, *, attempt: int) -> TeacherReply:
        """Answer a prompt.

        Raises:
            TeacherFailed: No reply came.
        """
        messages = await asyncio.to_thread(self._writer.write, prompt)
        sampling = SamplingConfig(temperature=attempt_temperature(attempt), top_p=1.0, max_tokens=self._max_tokens)
        reply = await self._chat.chat(messages, sampling=sampling, seed=attempt)
        if reply.text is None:
            raise TeacherFailed(reply.failure, num_tokens=(reply.num_prompt_tokens or 0) + (reply.num_tokens or 0))
        return TeacherReply(
            text=reply.text,
            num_prompt_tokens=reply.num_prompt_tokens or 0,
            num_completion_tokens=reply.num_tokens or 0,
            is_cut=reply.finish_reason == "length",
            is_metered=reply.num_prompt_tokens is not None,
        )


def _trace_lines(summary: TraceSummary) -> str:
    rejected = ", ".join(f"{count} {reason}" for reason, count in summary.rejected.items()) or "none"
    return (
        f"right at once {summary.num_right_at_once}, later {summary.num_right_later}, never {summary.num_never_right}, "
        f"unanswered {summary.num_unanswered}\nreplies rejected: {rejected}\n"
        f"tokens: {summary.num_prompt_tokens} asked, {summary.num_completion_tokens} answered"
        f"{_unmetered(summary.num_unmetered)}"
    )


def _critique_lines(summary: CritiqueSummary) -> str:
    kept = ", ".join(f"{count} {level}" for level, count in summary.kept.items())
    rejected = ", ".join(f"{count} {reason}" for reason, count in summary.rejected.items()) or "none"
    budget = "; critiques.max_total_tokens is spent" if summary.is_out_of_budget else ""
    return (
        f"kept {kept}; {summary.num_rejected_rows} pictures without a good critique, "
        f"{summary.num_unanswered} unanswered\ncritiques rejected: {rejected}\ntokens: {summary.num_tokens}"
        f"{_unmetered(summary.num_unmetered)}{budget}"
    )


def _unmetered(num_replies: int) -> str:
    return f", and those of {num_replies} replies that the server did not count" if num_replies else ""
