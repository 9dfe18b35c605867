"""One suite for every server of the protocol: the rule server, and vLLM's own with a tiny model that knows nothing.

In plain text the tiny model babbles, and no babble is a verdict. By a schema it has to give one, whatever it is worth.
"""

import asyncio
import json
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, replace
from itertools import chain
from pathlib import Path

import pytest

from conf.judge import RemoteJudgeConfig
from judge_client.client import JudgeClient
from judge_client.errors import JudgeUnavailable
from judge_client.rule_server import MODEL as RULES
from judge_client.types import CAUSES, OUTCOMES, Cause, ComparisonQuestion, ConsistencyQuestion, Outcome, Verdict
from tests.judge_client.builders import (
    ask_all,
    ask_in_turn,
    judge_config,
    make_question,
    make_questions,
    truth,
    with_client,
)
from tests.judge_client.relays import Relay, relay
from tests.judge_client.servers import rule_server
from tests.judge_client.vllm_server import MODEL as TINY
from tests.judge_client.vllm_server import num_tokens_generated, vllm_server

VARIABLE, KEY = "ARBITER_TEST_KEY", "sk-any-server"
NUM_CLIENTS, NUM_EACH = 8, 80


@dataclass(frozen=True, kw_only=True, slots=True)
class Served:
    """A server, and what it makes of a question."""

    url: str
    model: str
    is_judge: bool
    """Whether it gives verdicts, and the right ones; otherwise it babbles."""

    def plain(self, *urls: str, **changes: object) -> RemoteJudgeConfig:
        """Asked in plain text, at its own address unless ways to it are given."""
        settings = {"model": self.model, "api_key_variable": VARIABLE} | changes
        return judge_config(*(urls or (self.url,)), **settings)

    def structured(self, *urls: str, **changes: object) -> RemoteJudgeConfig:
        """Asked by a schema, so that every reply is a verdict."""
        return self.plain(*urls, **{"structured": "always", "max_tokens": 64} | changes)

    def expected(self, number: int) -> tuple[Outcome, Cause | None]:
        """What becomes of question ``number`` in plain text."""
        return (truth(number), None) if self.is_judge else ("abstained", "unreadable")

    def checked(self, babble: str) -> AbstractContextManager[object]:
        """How a check in plain text ends."""
        return nullcontext() if self.is_judge else pytest.raises(JudgeUnavailable, match=babble)


@pytest.fixture(scope="module", params=["rules", pytest.param("vllm", marks=pytest.mark.slow)])
def served(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv(VARIABLE, KEY)
        if request.param == "rules":
            with rule_server(key=KEY) as listener:
                yield Served(url=listener.url, model=RULES, is_judge=True)
        else:
            with vllm_server(tmp_path_factory.mktemp("vllm"), key=KEY) as url:
                yield Served(url=url, model=TINY, is_judge=False)


@pytest.fixture
def way(served: Served) -> Iterator[Relay]:
    """A way to the server that counts."""
    with relay(served.url) as one:
        yield one


def outcomes(verdicts: list[Verdict]) -> list[tuple[Outcome, Cause | None]]:
    return [(verdict.outcome, verdict.cause) for verdict in verdicts]


def refused(config: RemoteJudgeConfig) -> str:
    """What the check says against a server."""
    with pytest.raises(JudgeUnavailable) as caught:
        with_client(config, JudgeClient.check)
    return str(caught.value)


# What a server says


def test_a_reply_in_plain_text_is_a_verdict_or_unreadable(served: Served) -> None:
    verdicts, _ = ask_all(served.plain(), make_questions(6))
    assert outcomes(verdicts) == [served.expected(number) for number in range(6)]
    assert all(verdict.text and verdict.endpoint == served.url for verdict in verdicts)
    assert all(verdict.latency_s > 0 for verdict in verdicts)


def test_no_reply_is_longer_than_allowed(served: Served) -> None:
    verdicts, _ = ask_all(served.plain(max_tokens=5), make_questions(6))
    assert all(1 <= verdict.completion_tokens <= 5 for verdict in verdicts)


def test_a_schema_makes_every_reply_a_verdict(served: Served) -> None:
    verdicts, _ = ask_all(served.structured(), make_questions(6))
    assert [json.loads(verdict.text) for verdict in verdicts] == [{"verdict": verdict.outcome} for verdict in verdicts]


def test_two_candidates_are_compared_by_a_schema(served: Served) -> None:
    question = ComparisonQuestion(question="Which?", first=make_question(0).completion, second="no idea")
    [verdict], _ = ask_all(served.structured(), [question])
    assert verdict.outcome in ("first", "second", "tie")


def test_the_outcome_is_what_most_votes_say(served: Served, way: Relay) -> None:
    config = served.structured(way.url, num_votes=3, temperature=1.0)
    verdicts, _ = ask_all(config, make_questions(4))
    assert [verdict.outcome for verdict in verdicts] == [Counter(v.votes).most_common(1)[0][0] for v in verdicts]
    assert way.num_requests == 12


# The check before a run


def test_the_check_passes_who_judges_and_refuses_who_babbles(served: Served) -> None:
    with served.checked("use a model that follows instructions"):
        with_client(served.plain(), JudgeClient.check)


def test_the_check_finds_out_what_is_served_and_whether_it_follows_a_schema(served: Served) -> None:
    async def use(client: JudgeClient) -> Verdict:
        await client.check()
        return await client.ask(make_question())

    verdict = with_client(served.plain(model=None, structured="auto", max_tokens=64), use)
    assert json.loads(verdict.text) == {"verdict": verdict.outcome}


def test_another_model_is_answered_with_the_one_that_is_served(served: Served) -> None:
    assert refused(served.plain(model=served.model[:-1])) == (
        f"judge at {served.url}: expected the model {served.model[:-1]}, got a server of {served.model}; "
        f"did you mean {served.model}?"
    )


def test_a_missing_key_is_asked_for(served: Served) -> None:
    said = refused(served.plain(api_key_variable=None))
    assert said.startswith(f"judge at {served.url}: HTTP 401: ")
    assert said.endswith("export the right key in the variable that judge.api_key_variable names")


def test_a_wrong_path_is_explained(served: Served) -> None:
    said = refused(served.plain(f"{served.url}/v2"))
    assert said.startswith(f"judge at {served.url}/v2: HTTP 404: ")
    assert said.endswith("correct judge.base_urls, which usually end in /v1, or judge.model")


# What goes wrong


@pytest.mark.parametrize(("changes", "status"), [({"model": "another"}, 404), ({"api_key_variable": None}, 401)])
def test_a_refusal_abstains_and_is_not_tried_again(
    served: Served, way: Relay, changes: dict[str, object], status: int
) -> None:
    [verdict], metrics = ask_all(served.plain(way.url, max_attempts=3, **changes), [make_question()])
    assert (verdict.outcome, verdict.cause) == ("abstained", "refused")
    assert f"HTTP {status}: " in verdict.detail
    assert (way.num_requests, metrics["judge/abstained/refused"], metrics["judge/retries/count"]) == (1, 1, 0)


def test_questions_without_a_verdict_stop_the_run(served: Served, way: Relay) -> None:
    config = served.plain(way.url, model="another", max_consecutive_abstentions=3)
    with pytest.raises(JudgeUnavailable, match=r"3 questions in a row .*max_consecutive_abstentions=3"):
        ask_in_turn(config, make_questions(4))
    assert way.num_requests == 3


def test_a_slow_reply_is_not_waited_for(served: Served) -> None:
    with relay(served.url, delay_s=30.0) as slow:
        start_s = time.monotonic()
        [verdict], metrics = ask_all(served.plain(slow.url, timeout_s=0.3, max_attempts=2), [make_question()])
        assert time.monotonic() - start_s < 5
        assert (verdict.outcome, verdict.cause, slow.num_requests) == ("abstained", "timeout", 2)
    assert metrics["judge/abstained/timeout"] == metrics["judge/retries/count"] == 1


def test_a_client_that_closes_gives_up_its_questions(served: Served) -> None:
    with relay(served.url, delay_s=30.0) as slow:

        async def use(client: JudgeClient) -> asyncio.Task[Verdict]:
            question = asyncio.create_task(client.ask(make_question()))
            await asyncio.to_thread(slow.has_arrived.wait, 20)
            await client.close()
            await asyncio.wait([question])
            return question

        start_s = time.monotonic()
        assert with_client(served.plain(slow.url), use).cancelled()
        assert time.monotonic() - start_s < 5


@pytest.mark.parametrize("served", [pytest.param("vllm", marks=pytest.mark.slow)], indirect=True)
def test_nothing_more_is_generated_for_a_question_given_up(served: Served) -> None:
    [given_up], _ = ask_all(served.plain(max_tokens=1500, timeout_s=0.5), [make_question()])
    assert given_up.cause == "timeout"
    ask_all(served.plain(), [make_question(1)])
    before = num_tokens_generated(served.url)
    [verdict], _ = ask_all(served.plain(), [make_question(2)])
    assert num_tokens_generated(served.url) - before == verdict.completion_tokens


def test_a_server_that_is_down_is_passed_over(served: Served) -> None:
    with relay(served.url) as gone:
        pass
    verdicts, metrics = ask_all(served.plain(gone.url, served.url, max_attempts=2), make_questions(6))
    assert outcomes(verdicts) == [served.expected(number) for number in range(6)]
    assert {verdict.endpoint for verdict in verdicts} == {served.url}
    assert metrics["judge/retries/count"] > 0


def test_another_server_takes_over_from_one_that_dies(served: Served, way: Relay) -> None:
    with relay(served.url) as dying:

        async def use(client: JudgeClient) -> list[Verdict]:
            before = [await client.ask(make_question(number)) for number in range(2)]
            dying.close()
            return before + [await client.ask(make_question(number)) for number in range(2, 5)]

        verdicts = with_client(served.structured(dying.url, way.url, max_attempts=2), use)
    assert not [verdict for verdict in verdicts if verdict.cause]
    assert {verdict.endpoint for verdict in verdicts[:2]} == {dying.url, way.url}
    assert {verdict.endpoint for verdict in verdicts[2:]} == {way.url}


# Many questions at a time


def test_eight_clients_at_a_time_mix_up_no_verdict(served: Served) -> None:
    def ask_share(client: int) -> list[Verdict]:
        """On an event loop of its own, of questions that nobody else asks."""
        numbers = range(NUM_EACH * client, NUM_EACH * (client + 1))
        return ask_all(served.plain(max_tokens=4), [long_question(number) for number in numbers])[0]

    with ThreadPoolExecutor(NUM_CLIENTS) as threads:
        verdicts = list(chain.from_iterable(threads.map(ask_share, range(NUM_CLIENTS))))
    assert outcomes(verdicts) == [served.expected(number) for number in range(NUM_CLIENTS * NUM_EACH)]
    # Each question is a token longer than the one before it, so that a reply to another one shows.
    lengths = [verdict.prompt_tokens for verdict in verdicts]
    assert lengths == list(range(lengths[0], lengths[0] + NUM_CLIENTS * NUM_EACH))


def long_question(number: int) -> ConsistencyQuestion:
    """One that deserves ``truth(number)``, with that many words more than the shortest."""
    question = make_question(number % 2, is_consistent=number % 3 > 0)
    return replace(question, question=f"{question.question}{' blur' * number}")


def test_only_so_many_requests_are_under_way(served: Served) -> None:
    with relay(served.url, delay_s=0.05) as way:
        verdicts, metrics = ask_all(served.plain(way.url, max_concurrent=3), make_questions(12))
        assert way.most_in_flight == 3
    assert outcomes(verdicts) == [served.expected(number) for number in range(12)]
    assert metrics["judge/queue/depth"] == 12


def test_requests_are_spaced_to_the_rate(served: Served, way: Relay) -> None:
    ask_all(served.plain(way.url, requests_per_second=20.0), make_questions(11))
    # Ten intervals of 50 ms.
    assert way.arrivals_s[-1] - way.arrivals_s[0] > 0.35


def test_servers_share_the_questions(served: Served) -> None:
    with relay(served.url, delay_s=0.3) as first, relay(served.url, delay_s=0.3) as second:
        ask_all(served.plain(first.url, second.url), make_questions(20))
        assert (first.num_requests, second.num_requests) == (10, 10)


def test_an_equal_question_under_way_is_not_asked_again(served: Served, way: Relay) -> None:
    verdicts, metrics = ask_all(served.plain(way.url), [make_question(1)] * 5)
    assert outcomes(verdicts) == [served.expected(1)] * 5
    assert (way.num_requests, metrics["judge/questions/count"], metrics["judge/questions/shared"]) == (1, 5, 4)


# Verdicts that are kept, and what is told of them


def test_a_verdict_outlives_the_client(served: Served, way: Relay, tmp_path: Path) -> None:
    config = served.structured(way.url, cache=True)
    first, _ = ask_all(config, make_questions(5), cache_folder=tmp_path)
    again, metrics = ask_all(config, make_questions(5), cache_folder=tmp_path)
    assert again == [replace(verdict, from_cache=True, latency_s=0.0) for verdict in first]
    assert way.num_requests == 5
    assert (metrics["judge/cache/hit_fraction"], metrics["judge/tokens/prompt"]) == (1, 0)


def test_a_kept_verdict_needs_no_server(served: Served, tmp_path: Path) -> None:
    [first], _ = ask_all(served.structured(cache=True), [make_question()], cache_folder=tmp_path)
    with relay(served.url) as gone:
        pass
    [again], _ = ask_all(served.structured(gone.url, cache=True), [make_question()], cache_folder=tmp_path)
    assert (again.outcome, again.endpoint) == (first.outcome, served.url)


def test_an_abstention_is_never_kept(served: Served, way: Relay, tmp_path: Path) -> None:
    config = served.plain(way.url, cache=True, model="another")
    for _ in range(2):
        [verdict], _ = ask_all(config, [make_question()], cache_folder=tmp_path)
        assert (verdict.cause, verdict.from_cache) == ("refused", False)
    assert way.num_requests == 2


def test_the_metrics_add_up(served: Served, way: Relay) -> None:
    verdicts, metrics = ask_all(served.plain(way.url), make_questions(9))
    assert sum(metrics[f"judge/{outcome}/count"] for outcome in OUTCOMES) == metrics["judge/questions/count"] == 9
    assert sum(metrics[f"judge/abstained/{cause}"] for cause in CAUSES) == metrics["judge/abstained/count"]
    assert metrics["judge/abstained/unreadable"] == sum(verdict.cause == "unreadable" for verdict in verdicts)
    assert metrics["judge/requests/count"] == way.num_requests == 9
    assert metrics["judge/tokens/prompt"] == sum(verdict.prompt_tokens for verdict in verdicts) > 9 * 50
    assert metrics["judge/tokens/completion"] == sum(verdict.completion_tokens for verdict in verdicts) > 0
