"""Rewards from an endpoint, over real HTTP: our own server, and servers that fail."""

import asyncio
from collections.abc import Iterator, Sequence

import pytest
from fastapi import FastAPI, Response
from pydantic import ValidationError

from conf.load import load_run_config
from conf.reward_terms import RemoteTermConfig
from rewards.scorer import build_scorer
from rewards.server import reward_app
from rewards.terms.remote import RemoteTerm
from rewards.types import Noted, Score
from rewards.wire import RewardRequest, message_of
from rollout.types import RolloutGroup
from tests.builders import make_choice, make_group, make_pair_prompt
from tests.rewards.judges import RuleJudge
from tests.rewards.serving import serving

PROMPT = make_pair_prompt()
TEXTS = [make_choice(2), make_choice(2, favoured=1), make_choice(1), "", make_choice(2)]
GROUP = make_group(TEXTS, prompt=PROMPT)


class Endpoint:
    """Replies the next of ``replies`` (status, body) to each request; the last one again and again."""

    def __init__(self) -> None:
        self.requests: list[RewardRequest] = []
        self.replies: list[tuple[int, str]] = []
        self.app = FastAPI()
        self.app.post("/")(self.reply)
        self.app.post("/silence")(self.silence)

    def script(self, *replies: tuple[int, str]) -> None:
        self.requests, self.replies = [], list(replies)

    async def reply(self, request: RewardRequest) -> Response:
        self.requests.append(request)
        status, body = self.replies.pop(0) if len(self.replies) > 1 else self.replies[0]
        return Response(body, status)

    async def silence(self) -> Response:
        await asyncio.sleep(1.0)  # longer than the client's patience, shorter than a test's
        return Response("{}")


@pytest.fixture(scope="module")
def endpoint() -> Endpoint:
    return Endpoint()


@pytest.fixture(scope="module")
def url(endpoint: Endpoint) -> Iterator[str]:
    with serving(endpoint.app) as base:
        yield base


def score(
    url: str, group: RolloutGroup, *, max_attempts: int = 1, timeout_s: float = 10.0, begun: Sequence[str] = ()
) -> list[Score]:
    config = RemoteTermConfig(kind="remote", weight=1.0, url=url, timeout_s=timeout_s)

    async def scored() -> list[Score]:
        term = RemoteTerm(config, max_attempts=max_attempts)
        try:
            for text in begun:
                term.begin(group.prompt, text)
            return (await term.score([group]))[0]
        finally:
            await term.close()

    return asyncio.run(scored())


def test_our_own_server_gives_the_rewards_of_the_run_itself() -> None:
    config = load_run_config(["data=photo_pairs", "rewards=r1_reward"]).rewards
    here = asyncio.run(build_scorer(config, scale=None, judge=RuleJudge()).score([GROUP]))[0]
    scorer = build_scorer(config, scale=None, judge=RuleJudge())
    with serving(reward_app(scorer, prompts={message_of(PROMPT): PROMPT})) as base:
        assert score(f"{base}/get_reward", GROUP) == [reward.total for reward in here.rewards] == [2, 1, 0.5, 0, 2]


def test_one_request_holds_one_completion_and_its_message(endpoint: Endpoint, url: str) -> None:
    endpoint.script((200, '{"rewards": [0.25]}'))
    assert score(url, make_group(["x"], prompt=PROMPT)) == [0.25]
    sent = RewardRequest(query=["<|im_start|>assistant\nx<|im_end|>"], prompts=[message_of(PROMPT)])
    assert endpoint.requests == [sent]


def test_equal_texts_share_a_request_also_with_those_begun_early(endpoint: Endpoint, url: str) -> None:
    endpoint.script((200, '{"rewards": [0.25]}'))
    score(url, make_group(["x", "y", "x"], prompt=PROMPT), begun=["x", "x"])
    assert len(endpoint.requests) == 2


@pytest.mark.parametrize(
    ("status", "body", "cause"),
    [
        (500, "", "http_error"),
        (503, "no verdict", "http_error"),
        (429, "", "rate_limited"),
        (200, "no JSON", "unreadable"),
        (200, '{"rewards": []}', "unreadable"),
        (200, '{"rewards": [1.0, 2.0]}', "unreadable"),
        (200, '{"rewards": [NaN]}', "unreadable"),
        (200, '{"rewards": ["high"]}', "unreadable"),
        (200, '{"rewards": [null]}', "abstained"),
    ],
)
def test_a_failure_abstains_with_its_cause(endpoint: Endpoint, url: str, status: int, body: str, cause: str) -> None:
    endpoint.script((status, body))
    assert score(url, make_group(["x"], prompt=PROMPT)) == [Noted(score=None, note=cause)]


def test_a_failure_that_may_pass_is_tried_again(endpoint: Endpoint, url: str) -> None:
    endpoint.script((503, ""), (200, '{"rewards": [1.5]}'))
    assert score(url, make_group(["x"], prompt=PROMPT), max_attempts=2) == [1.5]


def test_attempts_come_to_an_end(endpoint: Endpoint, url: str) -> None:
    endpoint.script((503, ""))
    score(url, make_group(["x"], prompt=PROMPT), max_attempts=2)
    assert len(endpoint.requests) == 2


def test_an_unreadable_reply_is_not_asked_for_again(endpoint: Endpoint, url: str) -> None:
    endpoint.script((200, "no JSON"))
    score(url, make_group(["x"], prompt=PROMPT), max_attempts=3)
    assert len(endpoint.requests) == 1


def test_a_refusal_stops_the_run_and_says_why(endpoint: Endpoint, url: str) -> None:
    endpoint.script((404, "prompts[0] is unknown"))
    with pytest.raises(ValueError, match=r"refuses a request with HTTP 404: prompts\[0\] is unknown"):
        score(url, make_group(["x"], prompt=PROMPT), max_attempts=3)


def test_a_late_reply_is_not_waited_for(url: str) -> None:
    assert score(f"{url}/silence", make_group(["x"], prompt=PROMPT), timeout_s=0.05) == [
        Noted(score=None, note="timeout")
    ]


def test_nobody_there_is_a_failed_connection() -> None:
    with serving(FastAPI()) as base:
        gone = base
    assert score(gone, make_group(["x"], prompt=PROMPT)) == [Noted(score=None, note="connection")]


def test_a_url_holds_no_password() -> None:
    with pytest.raises(ValidationError, match="url"):
        RemoteTermConfig(kind="remote", weight=1.0, url="http://me:secret@host/", timeout_s=1.0)
