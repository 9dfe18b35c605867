"""The key stays where it is: in the environment and in the headers of requests."""

import logging
import traceback
from pathlib import Path

import pytest

from judge_client.breaker import Breaker
from judge_client.client import JudgeClient
from judge_client.endpoint import Endpoint
from judge_client.errors import JudgeUnavailable
from tests.judge_client.builders import ask_all, judge_config, make_question, with_client
from tests.judge_client.servers import rule_server

VARIABLE = "ARBITER_TEST_KEY"
KEY = "sk-open-sesame-0123456789"


@pytest.fixture(autouse=True)
def _exported(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(VARIABLE, KEY)


def test_the_key_opens_the_door() -> None:
    with rule_server(key=KEY) as server:
        [verdict], _ = ask_all(judge_config(server.url, api_key_variable=VARIABLE), [make_question()])
    assert verdict.outcome == "consistent"


def test_a_server_that_quotes_the_key_does_not_spread_it(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    # The rule server answers a wrong key with that key, as hosted services do.
    with rule_server(key="another") as server:
        config = judge_config(server.url, api_key_variable=VARIABLE)
        [verdict], _ = ask_all(config, [make_question()])
        with pytest.raises(JudgeUnavailable) as caught:
            with_client(config, JudgeClient.check)
    told = [verdict.detail, repr(verdict), repr(config), *traceback.format_exception(caught.value)]
    assert "incorrect key provided: [key]" in verdict.detail
    assert KEY not in "".join(told)
    assert KEY not in caplog.text


def test_the_key_is_not_kept_with_the_verdicts(tmp_path: Path) -> None:
    with rule_server(key=KEY) as server:
        ask_all(
            judge_config(server.url, api_key_variable=VARIABLE, cache=True), [make_question()], cache_folder=tmp_path
        )
    assert not [path for path in tmp_path.iterdir() if KEY.encode() in path.read_bytes()]


def test_a_client_shows_no_key() -> None:
    async def show(client: JudgeClient) -> str:
        breaker = Breaker(max_failures=1, cooldown_s=1.0)
        endpoint = Endpoint("http://judge:8000/v1", key=KEY, timeout_s=1.0, breaker=breaker)
        await endpoint.close()
        return repr(client) + repr(endpoint)

    assert KEY not in with_client(judge_config("http://judge:8000/v1", api_key_variable=VARIABLE), show)


def test_a_variable_that_is_not_set_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(VARIABLE)
    with pytest.raises(JudgeUnavailable, match=rf"api_key_variable={VARIABLE}: expected .* to hold the key, got none"):
        JudgeClient(judge_config("http://judge:8000/v1", api_key_variable=VARIABLE), cache_folder=None)


def test_a_key_with_a_line_break_is_refused_unseen(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(VARIABLE, f"{KEY}\n")
    with pytest.raises(JudgeUnavailable, match="one with spaces, line breaks") as caught:
        JudgeClient(judge_config("http://judge:8000/v1", api_key_variable=VARIABLE), cache_folder=None)
    assert KEY not in str(caught.value)


def test_a_key_for_other_services_is_not_sent(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    with rule_server(key="sesame") as server:
        [verdict], _ = ask_all(judge_config(server.url), [make_question()])
    assert "incorrect key provided: EMPTY" in verdict.detail
