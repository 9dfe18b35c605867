"""The check before a run: one clear error, soon, for every way in which there is no judge."""

import asyncio
import socket
import time

import pytest

from judge_client.breaker import Breaker
from judge_client.check import CHECK_LIMIT_S, check_endpoints
from judge_client.client import JudgeClient
from judge_client.endpoint import Endpoint
from judge_client.errors import JudgeUnavailable
from judge_client.prompt import TEMPLATES
from judge_client.rule_server import SchemaSupport
from judge_client.types import Verdict
from tests.judge_client.builders import judge_config, make_question, with_client
from tests.judge_client.servers import Listener, always, at_first, rule_server


def ask_after_check(*urls: str, **changes: object) -> Verdict:
    """The verdict of a judge that was checked first."""

    async def use(client: JudgeClient) -> Verdict:
        await client.check()
        return await client.ask(make_question())

    return with_client(judge_config(*urls, **changes), use)


def complaint(*urls: str, **changes: object) -> str:
    """What the check says against a judge."""
    with pytest.raises(JudgeUnavailable) as caught:
        ask_after_check(*urls, **changes)
    return str(caught.value)


@pytest.mark.parametrize(
    ("support", "reply"),
    [("follow", '{"verdict": "consistent"}'), ("refuse", "consistent"), ("ignore", "consistent")],
)
def test_the_check_finds_out_whether_the_server_follows_a_schema(support: SchemaSupport, reply: str) -> None:
    with rule_server(schema_support=support) as server:
        assert ask_after_check(server.url, structured="auto").text == reply


def test_servers_are_asked_by_a_schema_only_if_all_follow_it(server: Listener) -> None:
    with rule_server(schema_support="refuse") as other:
        assert ask_after_check(server.url, other.url, structured="auto").text == "consistent"


def test_a_failure_that_passes_does_not_fail_the_check() -> None:
    with rule_server(at_first(1, "error")) as server:
        assert ask_after_check(server.url, max_attempts=2).outcome == "consistent"


def test_a_server_that_is_down_is_named_at_once() -> None:
    with rule_server() as server:
        pass
    start_s = time.monotonic()
    said = complaint(server.url)
    assert said.startswith(f"judge at {server.url}: no connection: ")
    assert said.endswith("expected an OpenAI-compatible server: start the server, or correct judge.base_urls")
    assert time.monotonic() - start_s < 10


def test_one_server_that_is_down_fails_the_check_of_all(server: Listener) -> None:
    with rule_server() as gone:
        pass
    assert gone.url in complaint(server.url, gone.url)


def test_servers_of_different_models_are_no_judge(server: Listener) -> None:
    with rule_server(model="another") as other:
        said = complaint(server.url, other.url, model=None)
    assert said.startswith("judge: expected the same model behind every server, got another, arbiter-rules; ")


def test_a_judge_that_babbles_is_quoted() -> None:
    with rule_server(always("garbage")) as server:
        said = complaint(server.url)
    assert said.startswith(
        f"judge at {server.url}: expected consistent or inconsistent as the reply, got "
        "'I am not able to say which it is.'; use a model that follows instructions"
    )


def test_a_schema_that_is_demanded_and_refused_fails_the_check() -> None:
    with rule_server(schema_support="refuse") as server:
        assert "HTTP 400: " in complaint(server.url, structured="always")


def test_a_server_that_never_replies_is_given_up() -> None:
    with rule_server(always("hang")) as server:
        said = complaint(server.url, timeout_s=0.3, max_attempts=2)
    assert f"judge at {server.url}: no reply within 0.3 s" in said
    assert "wait until the server has loaded its model, or raise judge.timeout_s" in said


def test_patience_with_one_reply_does_not_prolong_the_check() -> None:
    async def check(url: str) -> None:
        breaker = Breaker(max_failures=1, cooldown_s=1.0)
        endpoint = Endpoint(url, key=None, timeout_s=3600.0, breaker=breaker)
        try:
            await check_endpoints([endpoint], judge_config(url, timeout_s=3600.0), limit_s=0.3)
        finally:
            await endpoint.close()

    # Connections are taken and nothing is ever said.
    with (
        socket.create_server(("127.0.0.1", 0)) as mute,
        pytest.raises(JudgeUnavailable, match=r"expected a verdict within 0.3 s, got none"),
    ):
        asyncio.run(check(f"http://127.0.0.1:{mute.getsockname()[1]}/v1"))
    assert CHECK_LIMIT_S < 30


def test_something_that_is_no_judge_is_quoted() -> None:
    async def hello(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: 12\r\n\r\n<h1>Hi!</h1>")
        await writer.drain()
        writer.close()

    async def check() -> None:
        async with await asyncio.start_server(hello, "127.0.0.1", 0) as page:
            url = f"http://127.0.0.1:{page.sockets[0].getsockname()[1]}/v1"
            client = JudgeClient(judge_config(url), cache_folder=None)
            try:
                await client.check()
            finally:
                await client.close()

    with pytest.raises(
        JudgeUnavailable, match=r"no list of models: <h1>Hi!</h1>; expected an OpenAI-compatible server"
    ):
        asyncio.run(check())


@pytest.mark.parametrize("template", ["released", "arbiter"])
def test_the_question_of_the_check_fits_every_template(server: Listener, template: str) -> None:
    assert ask_after_check(server.url, template=template).outcome == "consistent"
    assert template in {known.version.partition("-")[0] for known in TEMPLATES}
