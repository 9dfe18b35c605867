"""``arbiter reward-server`` and ``arbiter collect-traces``: a run's parts at work for others, without a run."""

import asyncio
import logging
import socket
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console

from cluster.answering import chat_servers, connected_chat
from cluster.commands import LEARNS_NOTHING
from cluster.judge import connected_judge, reachable_judge
from conf.data import PreferencePairsConfig
from conf.effective import ineffective_chat_settings, ineffective_judge_settings
from conf.errors import ConfigError
from conf.load import load_run_config, refuse_idle
from conf.schema import SamplingConfig
from evaluation.benchmarks.chat_messages import MessageWriter
from judge_client.chat import ChatClient
from rewards.scorer import build_scorer
from rewards.server import reward_app, serve_rewards
from rewards.wire import message_of
from rollout.datasets import build_data
from rollout.datasets.base import scale_of
from rollout.datasets.preference_pairs import training_rows
from rollout.datasets.traces import TeacherFailed, TeacherReply, TraceSummary, attempt_temperature, collect_traces
from rollout.types import Prompt

logger = logging.getLogger(__name__)

DEFAULT_HOST, DEFAULT_PORT = "127.0.0.1", 20240
"""Where R1-Reward's trainer looks for its reward server."""
MAX_ATTEMPTS = 3
"""Attempts of a teacher at one row (arXiv 2505.02835, section 3.3)."""


def serve(overrides: Sequence[str], console: Console, *, host: str | None, port: str | None) -> int:
    """Serve the rewards of a configuration for its training prompts until interrupted."""
    config = load_run_config(overrides)
    refuse_idle(ineffective_judge_settings(config), overrides)
    if port is not None and not (port.isdecimal() and 0 < int(port) < 65536):
        raise ConfigError([f"--port={port}: expected a port from 1 to 65535"])
    where, at = host or DEFAULT_HOST, int(port or DEFAULT_PORT)
    _check_free(where, at)
    train = build_data(config.data).train
    prompts = {message_of(prompt): prompt for prompt in map(train.prompt, range(len(train)))}

    async def run() -> None:
        async with connected_judge(remote, folder=Path(config.run.folder).resolve()) as judge:
            scorer = build_scorer(config.rewards, scale=scale_of(config.data), judge=judge)
            await serve_rewards(reward_app(scorer, prompts=prompts), host=where, port=at)

    with reachable_judge(config) as remote:
        console.print(f"rewards of {len(prompts)} prompts of {train.source} at http://{where}:{at}/get_reward")
        asyncio.run(run())
    return 0


def collect(words: Sequence[str], overrides: Sequence[str], console: Console) -> int:
    """Ask the teacher that the section ``judge`` names about every training row without a trace."""
    if len(words) != 1:
        raise ConfigError([f"collect-traces takes the file to write, got {' '.join(words) or 'none'}"])
    config = load_run_config([*overrides, *LEARNS_NOTHING])
    if not isinstance(config.data, PreferencePairsConfig):
        raise ConfigError([f"collect-traces needs data=preference_pairs, got data.kind={config.data.kind}"])
    refuse_idle(ineffective_chat_settings(), overrides)
    servers = chat_servers(config)
    rows = training_rows(config.data)

    async def run() -> TraceSummary:
        async with connected_chat(servers) as (chat, model):
            console.print(f"{len(rows)} rows of {rows.source}, teacher {model}", soft_wrap=True)
            writer = MessageWriter(max_pixels=config.model.max_pixels, video_as="pictures")
            teacher = ChatTeacher(chat, writer=writer, max_tokens=config.evaluation.sampling.max_tokens)
            return await collect_traces(
                rows,
                teacher=teacher,
                path=Path(words[0]),
                max_attempts=MAX_ATTEMPTS,
                max_concurrent=servers.max_concurrent,
            )

    try:
        summary = asyncio.run(run())
    except TeacherFailed as error:
        raise ConnectionError(str(error)) from error
    console.print(_lines(summary), soft_wrap=True)
    return 0


def _check_free(host: str, port: int) -> None:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        with socket.socket(family) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind((host, port))
    except OSError as error:
        raise ConfigError(
            [f"{host}:{port}: cannot be listened on ({error.strerror}); choose another --port or --host"]
        ) from None


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
            raise TeacherFailed(reply.failure)
        return TeacherReply(
            text=reply.text,
            num_prompt_tokens=reply.num_prompt_tokens,
            num_completion_tokens=reply.num_tokens or 0,
        )


def _lines(summary: TraceSummary) -> str:
    rejected = ", ".join(f"{count} {reason}" for reason, count in summary.rejected.items()) or "none"
    return (
        f"right at once {summary.num_right_at_once}, later {summary.num_right_later}, never {summary.num_never_right}, "
        f"unanswered {summary.num_unanswered}\nreplies rejected: {rejected}\n"
        f"tokens: {summary.num_prompt_tokens} asked, {summary.num_completion_tokens} answered"
    )
