"""vLLM's own OpenAI server with a tiny model that has learned nothing: it babbles, and no babble is a verdict."""

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from http.client import HTTPConnection

import pytest

from judge_client.client import JudgeClient
from judge_client.errors import JudgeUnavailable
from rollout.families.tiny_qwen_vl import TinyModelSize, create_tiny_qwen_vl
from tests.cluster.heads import free_port
from tests.judge_client.builders import ask_all, judge_config, make_questions, with_client

pytestmark = pytest.mark.slow
MODEL = "tiny-judge"


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    folder = tmp_path_factory.mktemp("vllm")
    create_tiny_qwen_vl(folder / "model", size=TinyModelSize(), seed=0)
    port = free_port()
    command = [
        sys.executable, "-m", "vllm.entrypoints.openai.api_server", "--model", str(folder / "model"),
        "--served-model-name", MODEL, "--dtype", "float32", "--enforce-eager", "--host", "127.0.0.1",
        "--port", str(port), "--max-model-len", "2048",
    ]  # fmt: skip
    environment = {**os.environ, "VLLM_CPU_KVCACHE_SPACE": "1", "VLLM_NO_USAGE_STATS": "1", "HF_HUB_OFFLINE": "1"}
    log = folder / "server.log"
    with (
        log.open("wb") as output,
        subprocess.Popen(command, env=environment, stdout=output, stderr=subprocess.STDOUT) as server,
    ):
        try:
            while not is_healthy(port):
                # The wait for the end of the process is the pause between two looks.
                ended = has_ended(server, within_s=1.0)
                assert not ended, log.read_text(encoding="utf-8")[-3000:]
            yield f"http://127.0.0.1:{port}/v1"
        finally:
            server.terminate()


def is_healthy(port: int) -> bool:
    with closing(HTTPConnection("127.0.0.1", port, timeout=5)) as connection:
        try:
            connection.request("GET", "/health")
            return connection.getresponse().status == 200
        except OSError:
            return False


def has_ended(process: subprocess.Popen[bytes], *, within_s: float) -> bool:
    try:
        process.wait(within_s)
    except subprocess.TimeoutExpired:
        return False
    return True


def test_babble_is_no_verdict(url: str) -> None:
    verdicts, metrics = ask_all(judge_config(url, model=MODEL), make_questions(5))
    assert [(verdict.outcome, verdict.cause) for verdict in verdicts] == [("abstained", "unreadable")] * 5
    assert all(verdict.text and verdict.completion_tokens > 0 for verdict in verdicts)
    assert metrics["judge/abstained/unreadable"] == metrics["judge/requests/count"] == 5


def test_a_model_that_babbles_fails_the_check(url: str) -> None:
    with pytest.raises(JudgeUnavailable, match=r"use a model that follows instructions"):
        with_client(judge_config(url, model=None), JudgeClient.check)


def test_another_model_name_is_answered_with_the_served_one(url: str) -> None:
    with pytest.raises(JudgeUnavailable, match=f"expected the model tiny-judg, got a server of {MODEL}; did you mean"):
        with_client(judge_config(url, model="tiny-judg"), JudgeClient.check)


def test_a_schema_makes_even_a_babbling_model_give_a_verdict(url: str) -> None:
    # A schema lets any amount of white space through, so that a vote may well run out of tokens.
    config = judge_config(url, model=MODEL, structured="always", temperature=1.0, num_votes=5, max_tokens=400)
    [verdict], _ = ask_all(config, make_questions(1))
    assert {"consistent", "inconsistent"} & {*verdict.votes}
