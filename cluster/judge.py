"""The consistency judge of a run: started where it is ours, checked before anything else is, closed at the end."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path

from conf.judge import RemoteJudgeConfig
from conf.rules import needs_a_judge
from conf.schema import RunConfig
from judge_client.client import JudgeClient
from judge_client.rule_process import running_judge

CACHE_FOLDER = "judge_cache"


@contextmanager
def reachable_judge(config: RunConfig) -> Iterator[RemoteJudgeConfig | None]:
    """Where the run's judge is, known to answer; None for a run that asks none.

    Raises:
        JudgeUnavailable: It does not come up, cannot be reached, or does not answer as a judge; in less than 30 s.
    """
    if not needs_a_judge(config):
        yield None
        return
    with running_judge(config.judge) as remote:
        asyncio.run(_check(remote))
        yield remote


@asynccontextmanager
async def connected_judge(remote: RemoteJudgeConfig | None, *, folder: Path) -> AsyncIterator[JudgeClient | None]:
    """The judge to ask on this event loop; keeps its verdicts in ``folder``."""
    if remote is None:
        yield None
        return
    client = JudgeClient(remote, cache_folder=folder / CACHE_FOLDER if remote.cache else None)
    try:
        await client.check()
        yield client
    finally:
        await client.close()


async def _check(remote: RemoteJudgeConfig) -> None:
    client = JudgeClient(remote.model_copy(update={"cache": False}), cache_folder=None)
    try:
        await client.check()
    finally:
        await client.close()
