"""Starts the rule server as a child process that cannot outlive its parent, and ends it.

running_judge(config) --kind=rule_server: start, wait, ... end--> the configuration of a remote judge
                      --kind=remote: nothing to do--------------> the configuration itself
"""

import json
import logging
import select
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager
from http.client import HTTPConnection
from pathlib import Path
from types import TracebackType
from typing import Any, Self
from urllib.parse import urlsplit

from conf.judge import JudgeConfig, RemoteJudgeConfig
from judge_client.errors import JudgeUnavailable

logger = logging.getLogger(__name__)

START_LIMIT_S = 60.0
"""A machine busy with loading models takes its time."""
_PATIENCE_S = 5.0
_ROOT = Path(__file__).parents[1]


class RuleServerProcess:
    """A rule server of our own; ``with`` ends it."""

    def __init__(self, process: subprocess.Popen[str], *, url: str) -> None:
        self.url = url
        self._process = process

    @property
    def pid(self) -> int:
        """Process id of the server."""
        return self._process.pid

    def stats(self) -> dict[str, Any]:
        """What arrived so far, as ``GET /stats`` says."""
        stats: dict[str, Any] = json.loads(_get(self.url, "/stats"))
        return stats

    def close(self) -> None:
        """End the server, whatever it is doing."""
        _end(self._process)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def start_rule_server(*flags: str) -> RuleServerProcess:
    """Start a server on a free port of this machine and wait until it answers; ``flags`` as on its command line.

    Raises:
        JudgeUnavailable: It did not come up; its own output says why.
    """
    command = [sys.executable, "-m", "judge_client.rule_server", "--port", "0", "--until-stdin-closes", *flags]
    # Nobody writes to its standard input: the system closes our end when this process dies, and the server sees that.
    # In a session of its own, because Ctrl-C is for the run, which may still have questions while it saves.
    process = subprocess.Popen(
        command, cwd=_ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, start_new_session=True
    )
    try:
        url = _announced_url(process)
        _get(url, "/health")
    except (OSError, JudgeUnavailable) as error:
        _end(process)
        raise JudgeUnavailable(f"the rule server did not start: {error}; run {' '.join(command[1:3])} to see") from None
    logger.info("rule server started url=%s pid=%s", url, process.pid)
    return RuleServerProcess(process, url=url)


@contextmanager
def running_judge(config: JudgeConfig) -> Iterator[RemoteJudgeConfig]:
    """The judge to ask, as long as the context lasts; starts the rule server where ``config`` asks for it.

    Raises:
        JudgeUnavailable: The rule server did not come up.
    """
    if isinstance(config, RemoteJudgeConfig):
        yield config
        return
    with start_rule_server() as server:
        settings = config.model_dump() | {"kind": "remote"}
        yield RemoteJudgeConfig(**settings, base_urls=(server.url,), model=None, api_key_variable=None)


def _announced_url(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    readable, _, _ = select.select([process.stdout], [], [], START_LIMIT_S)
    if not readable:
        raise JudgeUnavailable(f"no sign of life within {START_LIMIT_S:g} s")
    url = process.stdout.readline().strip()
    if not url:
        raise JudgeUnavailable(f"it ended with status {process.wait(_PATIENCE_S)}")
    return url


def _end(process: subprocess.Popen[str]) -> None:
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdin.close()
    try:
        process.wait(_PATIENCE_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
    process.stdout.close()


def _get(url: str, path: str) -> bytes:
    with closing(HTTPConnection(urlsplit(url).netloc, timeout=_PATIENCE_S)) as connection:
        connection.request("GET", path)
        return connection.getresponse().read()
