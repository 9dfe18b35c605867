"""What a run bears: servers that fail, stop and come back, in all mixtures."""

from collections import Counter
from dataclasses import replace

import pytest

from judge_client.client import JudgeClient
from judge_client.types import CAUSES, OUTCOMES, Verdict
from tests.judge_client.builders import (
    ask_all,
    ask_in_turn,
    judge_config,
    make_question,
    make_questions,
    truth,
    with_client,
)
from tests.judge_client.servers import NO_FAULTS, always, at_first, rule_server

MIXED = replace(NO_FAULTS, error_fraction=0.3, hang_fraction=0.1, garbage_fraction=0.1)


@pytest.mark.parametrize("max_attempts", [1, 3])
def test_every_abstention_under_mixed_faults_is_counted_by_its_cause(max_attempts: int) -> None:
    with rule_server(MIXED) as server:
        config = judge_config(server.url, timeout_s=1.0, max_attempts=max_attempts, max_concurrent=100)
        verdicts, metrics = ask_all(config, make_questions(100))
        num_arrived = server.num_requests
    causes = Counter(verdict.cause for verdict in verdicts if verdict.cause)
    assert {cause: metrics[f"judge/abstained/{cause}"] for cause in CAUSES} == {c: causes[c] for c in CAUSES}
    assert metrics["judge/abstained/count"] == causes.total() > 0
    assert sum(metrics[f"judge/{outcome}/count"] for outcome in OUTCOMES) == metrics["judge/questions/count"] == 100
    assert metrics["judge/requests/count"] == num_arrived
    assert all(verdict.outcome in (truth(n), "abstained") for n, verdict in enumerate(verdicts))


def test_a_server_that_keeps_failing_is_left_alone() -> None:
    with rule_server(always("error")) as server:
        verdicts = ask_in_turn(judge_config(server.url, breaker_failures=3), make_questions(10))
        assert server.num_requests == 3
    assert [verdict.cause for verdict in verdicts] == ["http_error"] * 3 + ["circuit_open"] * 7


def test_a_server_that_comes_back_is_asked_again() -> None:
    async def use(client: JudgeClient) -> tuple[Verdict, float]:
        for number in range(3):
            await client.ask(make_question(number))
        is_open = client.metrics()["judge/endpoints/open"]
        while (verdict := await client.ask(make_question(3))).cause == "circuit_open":
            pass
        return verdict, is_open

    with rule_server(at_first(3, "error")) as server:
        verdict, is_open = with_client(judge_config(server.url, breaker_failures=3, timeout_s=1.0), use)
        # The probe is the fourth request: nothing was sent during the cool-down.
        assert server.num_requests == 4
    assert (verdict.outcome, is_open) == ("consistent", 1)


def test_another_server_takes_over_from_one_that_fails() -> None:
    with rule_server(always("error")) as bad, rule_server() as good:
        config = judge_config(bad.url, good.url, max_attempts=2, breaker_failures=2)
        verdicts = ask_in_turn(config, make_questions(6))
        assert (bad.num_requests, good.num_requests) == (2, 6)
    assert [verdict.outcome for verdict in verdicts] == [truth(number) for number in range(6)]


def test_a_server_that_asks_for_a_pause_is_passed_over() -> None:
    with rule_server(always("rate_limit"), retry_after_s=3600.0) as busy, rule_server() as free:
        verdicts = ask_in_turn(judge_config(busy.url, free.url, max_attempts=2), make_questions(5))
        assert busy.num_requests == 1
    assert [verdict.endpoint for verdict in verdicts] == [free.url] * 5
