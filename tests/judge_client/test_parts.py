"""The small parts a client is made of: breaker, limits, votes, metrics, fates."""

import asyncio
import random
from dataclasses import replace
from datetime import UTC, datetime

import pytest

from judge_client.breaker import Breaker
from judge_client.endpoint import Failure, Reply
from judge_client.limits import Pacer, backoff_s, retry_after_s
from judge_client.metrics import JudgeMetrics, percentile
from judge_client.prompt import build_prompt
from judge_client.rule_faults import Fates
from judge_client.types import CAUSES, Cause, Outcome, Verdict
from judge_client.votes import decide
from tests.judge_client.builders import make_question
from tests.judge_client.servers import NO_FAULTS, at_first

PROMPT = build_prompt(make_question(), style="released", is_structured=False)


def breaker_after(*failures: bool | None) -> Breaker:
    """A breaker (two failures, ten seconds) after requests that ended at second 0."""
    breaker = Breaker(max_failures=2, cooldown_s=10.0)
    for has_failed in failures:
        breaker.finish(is_probe=breaker.start(), has_failed=has_failed, now_s=0.0)
    return breaker


def test_failures_in_a_row_open_the_circuit() -> None:
    assert not breaker_after(True, True).allows(9.9)


def test_a_success_starts_the_count_anew() -> None:
    assert breaker_after(True, False, True).allows(0.0)


def test_a_request_given_up_tells_nothing() -> None:
    assert not breaker_after(True, None, True).allows(9.9)


def test_after_the_cool_down_one_request_probes() -> None:
    breaker = breaker_after(True, True)
    assert breaker.allows(10.0)
    assert breaker.start()
    assert not breaker.allows(10.0)


def test_a_probe_that_succeeds_closes_the_circuit() -> None:
    breaker = breaker_after(True, True)
    breaker.finish(is_probe=breaker.start(), has_failed=False, now_s=10.0)
    assert not breaker.is_open
    assert breaker.allows(10.0)


def test_a_probe_that_fails_begins_another_cool_down() -> None:
    breaker = breaker_after(True, True)
    breaker.finish(is_probe=breaker.start(), has_failed=True, now_s=10.0)
    assert (breaker.allows(19.9), breaker.allows(20.0)) == (False, True)


def test_a_probe_given_up_lets_the_next_request_probe() -> None:
    breaker = breaker_after(True, True)
    breaker.finish(is_probe=breaker.start(), has_failed=None, now_s=10.0)
    assert breaker.allows(10.0)


def test_a_late_failure_does_not_prolong_the_cool_down() -> None:
    breaker = breaker_after(True, True)
    breaker.finish(is_probe=False, has_failed=True, now_s=5.0)
    assert breaker.allows(10.0)


def test_waits_double_up_to_a_limit_and_half_of_each_is_random() -> None:
    randomness = random.Random(0)
    for num_failures, longest_s in [(1, 0.25), (2, 0.5), (3, 1.0), (6, 8.0), (9, 8.0)]:
        waits_s = [backoff_s(num_failures, randomness=randomness) for _ in range(100)]
        assert longest_s / 2 <= min(waits_s) < max(waits_s) <= longest_s


@pytest.mark.parametrize(
    ("header", "expected_s"),
    [
        ("2", 2.0),
        ("0.5", 0.5),
        ("-1", 0.0),
        ("Sat, 21 Nov 2026 12:00:30 GMT", 30.0),
        ("Sat, 21 Nov 2026 11:59:00 GMT", 0.0),
        ("Sat, 21 Nov 2026 12:00:30 -0000", 30.0),
        ("soon", None),
        ("nan", None),
        ("inf", None),
        (None, None),
    ],
)
def test_a_pause_is_asked_for_in_seconds_or_as_a_date(header: str | None, expected_s: float | None) -> None:
    assert retry_after_s(header, now=datetime(2026, 11, 21, 12, tzinfo=UTC)) == expected_s


def test_requests_without_a_rate_never_wait() -> None:
    async def pass_many() -> float:
        pacer, loop = Pacer(None), asyncio.get_running_loop()
        start_s = loop.time()
        for _ in range(1000):
            await pacer.wait()
        return loop.time() - start_s

    assert asyncio.run(pass_many()) < 0.5


def vote(*replies: str | Cause) -> Verdict:
    """The verdict on replies "1" or "0" and failures by cause."""
    return decide(
        PROMPT,
        [
            Failure(cause=reply, detail="no") if reply in CAUSES
            else Reply(text=reply, prompt_tokens=10, completion_tokens=1, endpoint="http://judge/v1")
            for reply in replies
        ],
    )  # fmt: skip


@pytest.mark.parametrize(
    ("replies", "outcome", "cause"),
    [
        (["1"], "consistent", None),
        (["1", "0", "1"], "consistent", None),
        (["0", "1", "0"], "inconsistent", None),
        (["1", "0"], "abstained", "split"),
        (["1", "0", "timeout"], "abstained", "split"),
        (["1", "timeout", "maybe"], "consistent", None),
        (["timeout", "maybe"], "abstained", "timeout"),
        (["maybe"], "abstained", "unreadable"),
    ],
)
def test_the_majority_of_readable_votes_decides(replies: list[str], outcome: Outcome, cause: Cause | None) -> None:
    verdict = vote(*replies)
    assert (verdict.outcome, verdict.cause) == (outcome, cause)


def test_a_verdict_shows_its_votes_and_pays_for_all_of_them() -> None:
    verdict = vote("0", "1", "maybe", "1")
    assert verdict.votes == ("inconsistent", "consistent", "abstained", "consistent")
    assert (verdict.text, verdict.prompt_tokens, verdict.completion_tokens) == ("1", 40, 4)


@pytest.mark.parametrize(("share", "expected"), [(0.5, 2.0), (0.95, 4.0), (0.0, 1.0), (1.0, 4.0)])
def test_a_percentile_is_one_of_the_values(share: float, expected: float) -> None:
    assert percentile([4.0, 1.0, 3.0, 2.0], share) == expected


def test_metrics_have_three_parts_and_are_forgotten_once_told() -> None:
    metrics = JudgeMetrics()
    metrics.answered(Verdict(outcome="abstained", cause="timeout"), is_shared=False)
    told = metrics.drain(num_open_endpoints=0)
    assert all(name.count("/") == 2 for name in told)
    assert told["judge/abstained/timeout"] == 1
    assert metrics.drain(num_open_endpoints=0)["judge/abstained/timeout"] == 0


def test_what_is_undefined_has_no_key() -> None:
    told = JudgeMetrics().drain(num_open_endpoints=0)
    assert not {"judge/latency/p50_s", "judge/latency/p95_s", "judge/cache/hit_fraction"} & set(told)


def test_fates_do_not_depend_on_the_order_of_requests() -> None:
    contents = [f"question {number}" for number in range(100)]
    forwards, backwards = Fates(replace(NO_FAULTS, error_fraction=0.3)), Fates(replace(NO_FAULTS, error_fraction=0.3))
    first = {content: forwards.decide(content) for content in contents}
    second = {content: backwards.decide(content) for content in reversed(contents)}
    assert first == second


def test_fates_come_as_often_as_asked_for() -> None:
    fates = Fates(replace(NO_FAULTS, error_fraction=0.3, hang_fraction=0.1, garbage_fraction=0.1))
    decided = [fates.decide(f"question {number}") for number in range(2000)]
    shares = {fate: decided.count(fate) / 2000 for fate in ("error", "hang", "garbage", "answer")}
    assert shares == pytest.approx({"error": 0.3, "hang": 0.1, "garbage": 0.1, "answer": 0.5}, abs=0.03)


def test_asking_again_may_help() -> None:
    fates = Fates(replace(NO_FAULTS, error_fraction=0.5))
    assert {fates.decide("the same question") for _ in range(20)} == {"error", "answer"}


def test_the_fate_of_the_first_requests_can_be_settled() -> None:
    fates = Fates(at_first(2, "rate_limit"))
    assert [fates.decide("question") for _ in range(3)] == ["rate_limit", "rate_limit", "answer"]


def test_faults_cannot_be_more_than_all_requests() -> None:
    with pytest.raises(ValueError, match=r"must lie in 0..1 and add up to at most 1"):
        replace(NO_FAULTS, error_fraction=0.7, hang_fraction=0.4)
