"""From a question to a verdict over real HTTP, one outcome after the other."""

import asyncio
import dataclasses
from collections.abc import Iterator

import pytest

from judge_client.client import JudgeClient
from judge_client.errors import JudgeUnavailable
from judge_client.rule_faults import Faults
from judge_client.rule_server import SchemaSupport
from judge_client.types import Cause, ComparisonQuestion, Verdict
from tests.judge_client.builders import (
    ask_all,
    ask_in_turn,
    judge_config,
    make_question,
    make_questions,
    truth,
    with_client,
)
from tests.judge_client.servers import NO_FAULTS, Listener, always, at_first, rule_server


@pytest.mark.parametrize("template", ["released", "arbiter"])
@pytest.mark.parametrize("structured", ["never", "always"])
def test_a_judge_is_read_rightly_in_every_wording(server: Listener, template: str, structured: str) -> None:
    config = judge_config(server.url, template=template, structured=structured)
    verdicts, _ = ask_all(config, make_questions(6))
    assert [verdict.outcome for verdict in verdicts] == [truth(number) for number in range(6)]


def test_a_verdict_says_where_it_comes_from_and_what_it_cost(server: Listener) -> None:
    [verdict], metrics = ask_all(judge_config(server.url, template="released"), [make_question()])
    assert (verdict.text, verdict.endpoint, verdict.votes) == ("1", server.url, ("consistent",))
    assert verdict.completion_tokens == metrics["judge/tokens/completion"] == 1
    assert verdict.prompt_tokens == metrics["judge/tokens/prompt"] > 50
    assert verdict.latency_s == metrics["judge/latency/p50_s"] > 0


def test_two_candidates_are_compared(server: Listener) -> None:
    good, bad = make_question().completion, make_question(is_consistent=False).completion
    pairs = [(good, bad), (bad, good), (good, good)]
    questions = [ComparisonQuestion(question="Which?", first=first, second=second) for first, second in pairs]
    verdicts, metrics = ask_all(judge_config(server.url), questions)
    assert [verdict.outcome for verdict in verdicts] == ["first", "second", "tie"]
    assert [metrics[f"judge/{outcome}/count"] for outcome in ("first", "second", "tie")] == [1, 1, 1]


def test_an_empty_completion_abstains_and_nobody_is_asked(server: Listener) -> None:
    empty = dataclasses.replace(make_question(), completion=" \n")
    [verdict], metrics = ask_all(judge_config(server.url), [empty])
    assert (verdict.cause, metrics["judge/requests/count"]) == ("empty", 0)


def outcome_of(server: Listener, **changes: object) -> tuple[Verdict, dict[str, float]]:
    """The verdict on one question and the metrics."""
    [verdict], metrics = ask_all(judge_config(server.url, **changes), [make_question()])
    return verdict, metrics


@pytest.mark.parametrize(
    ("faults", "retry_after_s", "changes", "cause", "num_requests"),
    [
        (always("error"), 0.0, {"max_attempts": 3}, "http_error", 3),
        (always("hang"), 0.0, {"max_attempts": 2, "timeout_s": 0.4}, "timeout", 2),
        (always("rate_limit"), 0.0, {"max_attempts": 3}, "rate_limited", 3),
        (always("rate_limit"), 3600.0, {"max_attempts": 3}, "rate_limited", 1),
        (always("garbage"), 0.0, {"max_attempts": 3}, "unreadable", 1),
    ],
)
def test_a_failure_abstains_after_as_many_requests_as_make_sense(
    faults: Faults, retry_after_s: float, changes: dict[str, object], cause: Cause, num_requests: int
) -> None:
    with rule_server(faults, retry_after_s=retry_after_s) as server:
        verdict, metrics = outcome_of(server, **changes)
        assert (verdict.outcome, verdict.cause, server.num_requests) == ("abstained", cause, num_requests)
    assert metrics[f"judge/abstained/{cause}"] == metrics["judge/abstained/count"] == 1
    assert metrics["judge/requests/count"] == metrics["judge/retries/count"] + 1 == num_requests


@pytest.mark.parametrize(("support", "cause"), [("refuse", "refused"), ("ignore", "unreadable")])
def test_a_server_that_must_follow_a_schema_and_does_not_gives_no_verdict(support: SchemaSupport, cause: Cause) -> None:
    with rule_server(schema_support=support) as server:
        assert outcome_of(server, structured="always")[0].cause == cause


def test_an_unreadable_reply_is_kept_for_the_reader() -> None:
    with rule_server(always("garbage")) as server:
        verdict, _ = outcome_of(server)
    assert verdict.text == "I am not able to say which it is."
    assert "expected consistent or inconsistent" in verdict.detail


def test_a_server_that_is_gone_abstains_as_a_failed_connection() -> None:
    with rule_server() as server:
        pass
    verdict, metrics = outcome_of(server, max_attempts=2)
    assert (verdict.cause, metrics["judge/requests/count"]) == ("connection", 2)


def test_a_proxy_is_not_asked_for_this_machine(server: Listener, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
    assert outcome_of(server)[0].outcome == "consistent"


def test_a_failure_that_passes_costs_a_retry_and_no_verdict() -> None:
    with rule_server(at_first(2, "error")) as server:
        verdict, metrics = outcome_of(server, max_attempts=3)
        assert server.num_requests == 3
    assert (verdict.outcome, metrics["judge/retries/count"]) == ("consistent", 2)


def test_a_pause_that_a_server_asks_for_is_kept() -> None:
    with rule_server(at_first(1, "rate_limit"), retry_after_s=1.0) as server:
        verdict, _ = outcome_of(server, max_attempts=2)
        first_s, second_s = server.arrivals_s
    assert verdict.outcome == "consistent"
    assert second_s - first_s > 0.95


def test_a_pause_holds_for_all_questions() -> None:
    with rule_server(at_first(1, "rate_limit"), retry_after_s=1.0) as server:
        verdicts = ask_in_turn(judge_config(server.url, max_attempts=1), make_questions(2))
        first_s, second_s = server.arrivals_s
    assert [verdict.cause for verdict in verdicts] == ["rate_limited", None]
    assert second_s - first_s > 0.95


def test_a_question_given_up_leaves_the_verdict_to_the_others() -> None:
    async def use(client: JudgeClient) -> Verdict:
        impatient = asyncio.create_task(client.ask(make_question()))
        patient = asyncio.create_task(client.ask(make_question()))
        await asyncio.sleep(0)
        impatient.cancel()
        return await patient

    with rule_server(delay_s=0.1) as server:
        assert with_client(judge_config(server.url), use).outcome == "consistent"


@pytest.fixture(scope="module")
def noisy_server() -> Iterator[Listener]:
    with rule_server(dataclasses.replace(NO_FAULTS, wrong_fraction=0.3)) as listener:
        yield listener


def num_right(verdicts: list[Verdict]) -> int:
    return sum(verdict.outcome == truth(number) for number, verdict in enumerate(verdicts))


def test_votes_make_a_noisy_judge_better(noisy_server: Listener) -> None:
    single = judge_config(noisy_server.url, temperature=1.0)
    voted = judge_config(noisy_server.url, temperature=1.0, num_votes=5)
    one_each, _ = ask_all(single, make_questions(40))
    five_each, metrics = ask_all(voted, make_questions(40))
    assert num_right(five_each) > num_right(one_each)
    assert metrics["judge/requests/count"] == 200


def test_votes_that_tie_abstain(noisy_server: Listener) -> None:
    verdicts, metrics = ask_all(judge_config(noisy_server.url, temperature=1.0, num_votes=2), make_questions(20))
    split = [verdict for verdict in verdicts if verdict.cause == "split"]
    assert split
    assert all(set(verdict.votes) == {"consistent", "inconsistent"} for verdict in split)
    assert metrics["judge/abstained/split"] == len(split)


def test_too_many_abstentions_in_a_row_stop_the_run() -> None:
    with rule_server(always("garbage")) as server:
        config = judge_config(server.url, max_consecutive_abstentions=3)
        with pytest.raises(JudgeUnavailable, match=r"3 questions in a row .*max_consecutive_abstentions=3.*unreadable"):
            ask_in_turn(config, make_questions(4))
        assert server.num_requests == 3


def test_a_verdict_in_between_starts_the_row_anew() -> None:
    with rule_server(at_first(2, "garbage")) as server:
        config = judge_config(server.url, max_consecutive_abstentions=3)
        causes = [verdict.cause for verdict in ask_in_turn(config, make_questions(3))]
    assert causes == ["unreadable", "unreadable", None]


def test_what_is_not_the_judges_doing_does_not_stop_the_run(server: Listener) -> None:
    empty = dataclasses.replace(make_question(), completion="")
    config = judge_config(server.url, max_consecutive_abstentions=2)
    assert [verdict.cause for verdict in ask_in_turn(config, [empty] * 4)] == ["empty"] * 4


def test_to_ask_before_a_check_that_is_needed_is_a_mistake(server: Listener) -> None:
    with pytest.raises(RuntimeError, match=r"await check\(\) before ask\(\): judge.model=None"):
        ask_all(judge_config(server.url, model=None), [make_question()])
