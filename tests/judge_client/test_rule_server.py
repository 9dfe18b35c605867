"""The rule server as any client of the OpenAI protocol sees it, and as a process."""

import asyncio
import json
import os
import signal
import socket
import subprocess
import sys
from http.client import HTTPConnection
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import openai
import pytest

from conf.judge import RemoteJudgeConfig, RuleServerJudgeConfig
from judge_client.client import JudgeClient
from judge_client.errors import JudgeUnavailable
from judge_client.prompt import build_prompt
from judge_client.rule_process import running_judge, start_rule_server
from tests.judge_client.builders import judge_config, make_question
from tests.judge_client.servers import Listener

ROOT = Path(__file__).parents[2]
PROMPT = build_prompt(make_question(), style="released", is_structured=False).text


def post(server: Listener, body: object) -> tuple[int, dict[str, Any]]:
    """Status and body of a request for a verdict."""
    connection = HTTPConnection(urlsplit(server.url).netloc, timeout=20)
    connection.request("POST", "/v1/chat/completions", json.dumps(body), {"content-type": "application/json"})
    reply = connection.getresponse()
    result = reply.status, json.loads(reply.read())
    connection.close()
    return result


def test_it_lists_one_model(server: Listener) -> None:
    assert [model["id"] for model in server.get("/v1/models")["data"]] == ["arbiter-rules"]


def test_it_is_healthy(server: Listener) -> None:
    assert server.get("/health") == {"status": "ok"}


def test_the_official_client_understands_its_replies(server: Listener) -> None:
    with openai.OpenAI(base_url=server.url, api_key="EMPTY") as client:
        completion = client.chat.completions.create(
            model="arbiter-rules", messages=[{"role": "user", "content": [{"type": "text", "text": PROMPT}]}]
        )
    assert completion.choices[0].message.content == "1"
    assert completion.usage is not None
    assert completion.usage.total_tokens == completion.usage.prompt_tokens + completion.usage.completion_tokens


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ({"model": "arbiter-rules", "messages": [{"role": "user", "content": "Who are you?"}]}, 400),
        ({"model": "arbiter-rules", "messages": []}, 400),
        ({"messages": [{"role": "user", "content": PROMPT}]}, 400),
        ({"model": "gpt", "messages": [{"role": "user", "content": PROMPT}]}, 404),
    ],
)
def test_it_refuses_what_it_cannot_judge(server: Listener, body: object, status: int) -> None:
    answered, error = post(server, body)
    assert answered == status
    assert error["error"]["code"] == status


def test_it_runs_as_a_process_and_ends_with_its_context() -> None:
    with start_rule_server("--model", "mine") as server:
        assert server.url.startswith("http://127.0.0.1:")
        assert server.stats()["num_requests"] == 0
        line = open_line(server.url)
    assert line.recv(1) == b""
    line.close()


def test_it_ends_with_its_parent_however_that_dies() -> None:
    code = (
        "import sys, time; from judge_client.rule_process import start_rule_server; "
        "server = start_rule_server(); print(server.url, flush=True); time.sleep(60)"
    )
    with subprocess.Popen([sys.executable, "-c", code], cwd=ROOT, stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout is not None
        line = open_line(parent.stdout.readline().strip())
        os.kill(parent.pid, signal.SIGKILL)
        assert line.recv(1) == b""
        line.close()


def open_line(url: str) -> socket.socket:
    """A connection that the other side closes when it ends; nobody says anything meanwhile."""
    parts = urlsplit(url)
    assert parts.hostname is not None
    assert parts.port is not None
    return socket.create_connection((parts.hostname, parts.port), timeout=30)


def test_flags_it_does_not_know_are_an_error_of_ours() -> None:
    with pytest.raises(JudgeUnavailable, match=r"the rule server did not start: it ended with status 2"):
        start_rule_server("--error-fraction", "2")


def test_a_run_without_a_remote_judge_gets_one_of_its_own() -> None:
    shared = judge_config("http://judge:8000/v1").model_dump(exclude={"base_urls", "model", "api_key_variable"})
    with running_judge(RuleServerJudgeConfig(**shared | {"kind": "rule_server"})) as remote:
        assert outcome_of(remote) == "consistent"


def test_a_remote_judge_is_left_where_it_is() -> None:
    config = judge_config("http://judge:8000/v1")
    with running_judge(config) as remote:
        assert remote is config


def outcome_of(config: RemoteJudgeConfig) -> str:
    async def ask() -> str:
        client = JudgeClient(config, cache_folder=None)
        await client.check()
        verdict = await client.ask(make_question())
        await client.close()
        return verdict.outcome

    return asyncio.run(ask())
