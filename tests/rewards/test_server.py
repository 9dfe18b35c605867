"""The reward server over real HTTP: what it replies, what it refuses, and that it mixes nothing up."""

import json
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from http.client import HTTPConnection
from typing import Any
from urllib.parse import urlsplit

import pytest

from conf.load import load_run_config
from conf.reward_terms import RewardsConfig
from judge_client.errors import JudgeUnavailable
from judge_client.types import ConsistencyQuestion, Judge, Question, Verdict
from rewards.scorer import build_scorer
from rewards.server import reward_app
from rewards.wire import message_of, query_of
from rollout.types import Prompt
from tests.builders import ONE_TO_FIVE, make_choice, make_pair_prompt
from tests.rewards.judges import RuleJudge, ScriptedJudge
from tests.rewards.serving import serving

RIGHT_IS_2, RIGHT_IS_1 = "message of a row whose answer is 2", "message of a row whose answer is 1"
PROMPTS: Mapping[str, Prompt] = {
    RIGHT_IS_2: make_pair_prompt("a/2", better=2),
    RIGHT_IS_1: make_pair_prompt("b/1", better=1),
}


class Server:
    """A client of one server."""

    def __init__(self, url: str) -> None:
        self._place = urlsplit(url).netloc

    def post(self, body: object, *, path: str = "/get_reward") -> tuple[int, Any]:
        return self._ask("POST", path, json.dumps(body))

    def get(self, path: str) -> tuple[int, Any]:
        return self._ask("GET", path, None)

    def rewards(self, *pairs: tuple[str, str]) -> list[float]:
        status, reply = self.post({"query": [q for q, _ in pairs], "prompts": [p for _, p in pairs]})
        assert status == 200, reply
        rewards: list[float] = reply["rewards"]
        return rewards

    def _ask(self, method: str, path: str, body: str | None) -> tuple[int, Any]:
        connection = HTTPConnection(self._place, timeout=30)
        try:
            connection.request(method, path, body, {"Content-Type": "application/json"})
            response = connection.getresponse()
            return response.status, json.loads(response.read())
        finally:
            connection.close()


@contextmanager
def running(name: str, judge: Judge) -> Iterator[Server]:
    rewards: RewardsConfig = load_run_config(["data=photo_pairs", f"rewards={name}"]).rewards
    scorer = build_scorer(rewards, scale=ONE_TO_FIVE, judge=judge)
    with serving(reward_app(scorer, prompts=PROMPTS)) as url:
        yield Server(url)


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    with running("r1_reward", RuleJudge()) as server:
        yield server


def silent(question: Question) -> Verdict:
    assert isinstance(question, ConsistencyQuestion)
    if "away" in question.reasoning:
        raise JudgeUnavailable("nobody answers")
    return Verdict(outcome="abstained", cause="timeout")


@pytest.fixture(scope="module")
def server_without_verdicts() -> Iterator[Server]:
    with running("r1_reward", ScriptedJudge(silent)) as server:
        yield server


@pytest.mark.parametrize("path", ["/get_reward", "/get_reward_mllm"])
def test_the_published_exchange(server: Server, path: str) -> None:
    query = f"<|im_start|>user\nWhich?<|im_end|>\n<|im_start|>assistant\n{make_choice(2)}<|im_end|><|endoftext|>"
    assert server.post({"query": [query], "prompts": [RIGHT_IS_2]}, path=path) == (200, {"rewards": [2.0]})


def test_rewards_keep_the_order_of_the_queries(server: Server) -> None:
    rewards = server.rewards(
        (query_of(make_choice(2)), RIGHT_IS_1),
        (query_of(make_choice(2)), RIGHT_IS_2),
        (query_of("no idea"), RIGHT_IS_1),
        (query_of(make_choice(1, favoured=2)), RIGHT_IS_1),
        (query_of(make_choice(1)), RIGHT_IS_2),
    )
    assert rewards == [0.5, 2.0, 0.0, 1.0, 0.5]


def test_an_empty_response_is_graded_as_empty(server: Server) -> None:
    question = "<|im_start|>user\nSay <think>a</think><answer>2</answer><|im_end|>\n<|im_start|>assistant\n<|im_end|>"
    assert server.rewards((question, RIGHT_IS_2)) == [0.0]


def test_an_empty_request_has_no_rewards(server: Server) -> None:
    assert server.rewards() == []


def test_fields_of_other_clients_are_let_through(server: Server) -> None:
    assert server.post({"query": [], "prompts": [], "labels": []}) == (200, {"rewards": []})


def test_an_unknown_prompt_is_an_error_and_no_nearest_match(server: Server) -> None:
    status, reply = server.post({"query": ["a", "b"], "prompts": [RIGHT_IS_2, f"{RIGHT_IS_2}."]})
    assert status == 404
    assert reply["detail"].startswith("prompts[1] is the message of none of the 2 loaded prompts: 'message of a row")


@pytest.mark.parametrize(
    "body",
    [
        {"prompts": [RIGHT_IS_2]},
        {"query": ["a"]},
        {"query": ["a"], "prompts": []},
        {"query": [1], "prompts": [RIGHT_IS_2]},
        {"query": "a", "prompts": RIGHT_IS_2},
        [],
    ],
)
def test_a_malformed_request_is_refused(server: Server, body: object) -> None:
    assert server.post(body)[0] == 422


def test_health_says_how_many_prompts_are_loaded(server: Server) -> None:
    assert server.get("/health") == (200, {"num_prompts": 2})


def test_a_missing_verdict_is_no_number(server_without_verdicts: Server) -> None:
    status, reply = server_without_verdicts.post({"query": [query_of(make_choice(2))], "prompts": [RIGHT_IS_2]})
    assert (status, reply["detail"]) == (503, "no reward for query[0]: consistency (timeout) abstained; try again")


def test_a_judge_that_is_gone_is_said_so(server_without_verdicts: Server) -> None:
    text = "<think>away</think><answer>2</answer>"
    status, reply = server_without_verdicts.post({"query": [query_of(text)], "prompts": [RIGHT_IS_2]})
    assert (status, reply["detail"]) == (503, "nobody answers")


def test_a_term_that_needs_tokens_cannot_be_served() -> None:
    with running("choice", RuleJudge()) as server:
        status, reply = server.post({"query": [query_of(make_choice(2))], "prompts": [RIGHT_IS_2]})
    assert status == 422
    assert "a reward server cannot offer it" in reply["detail"]


def test_eight_clients_at_once_get_their_own_rewards(server: Server) -> None:
    texts = {
        (make_choice(2), RIGHT_IS_2): 2.0,
        (make_choice(2), RIGHT_IS_1): 0.5,
        (make_choice(2, favoured=1), RIGHT_IS_2): 1.0,
        ("no idea", RIGHT_IS_1): 0.0,
    }

    def ask(client: int) -> int:
        wrong = 0
        for number in range(80):
            (text, prompt), expected = list(texts.items())[(client + number) % len(texts)]
            marked = text.replace("<think>", f"<think>Client {client}, number {number}. ")
            wrong += server.rewards((query_of(marked), prompt)) != [expected]
        return wrong

    with ThreadPoolExecutor(max_workers=8) as clients:
        assert sum(clients.map(ask, range(8))) == 0


def test_messages_of_prompts_serve_as_keys() -> None:
    prompt = make_pair_prompt()
    scorer = build_scorer(
        load_run_config(["data=photo_pairs", "rewards=r1_reward"]).rewards, scale=None, judge=RuleJudge()
    )
    spaced = json.dumps(json.loads(message_of(prompt)), indent=1)
    with serving(reward_app(scorer, prompts={message_of(prompt): prompt})) as url:
        for message in (message_of(prompt), spaced):
            assert Server(url).rewards((query_of(make_choice(2)), message)) == [2.0]
