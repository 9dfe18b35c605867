"""``arbiter reward-server``: the rewards of a run for other trainers, without a run."""

import asyncio
import logging
import socket
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console

from cluster.judge import connected_judge, reachable_judge
from conf.effective import ineffective_judge_settings
from conf.errors import ConfigError
from conf.load import load_run_config, refuse_idle
from rewards.scorer import build_scorer
from rewards.server import reward_app, serve_rewards
from rewards.wire import message_of
from rollout.datasets import build_data
from rollout.datasets.base import scale_of

logger = logging.getLogger(__name__)

DEFAULT_HOST, DEFAULT_PORT = "127.0.0.1", 20240
"""Where R1-Reward's trainer looks for its reward server."""


def serve(overrides: Sequence[str], console: Console, *, host: str | None, port: str | None) -> int:
    """Serve the rewards of a configuration for its training prompts until interrupted."""
    config = load_run_config(overrides)
    refuse_idle(ineffective_judge_settings(config), overrides)
    where, at = address_of(host, port)
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


def address_of(host: str | None, port: str | None) -> tuple[str, int]:
    """Where to listen, of what was given on the command line.

    Raises:
        ConfigError: It is no port, or cannot be listened on.
    """
    if port is not None and not (port.isdecimal() and 0 < int(port) < 65536):
        raise ConfigError([f"--port={port}: expected a port from 1 to 65535"])
    where, at = host or DEFAULT_HOST, int(port or DEFAULT_PORT)
    _check_free(where, at)
    return where, at


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
