"""The commands around a pairwise judge: benchmark, compare-judges, reward-server and collect-traces.

Answers come from real engines once, and otherwise from scripted chat servers.
"""

import json
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

import psutil  # type: ignore[import-untyped]
import pytest
from PIL import Image

from cluster.main import main
from conf.load import load_run_config
from rewards.wire import message_of, query_of
from rollout.datasets import build_data
from rollout.families.tiny_qwen_vl import TinyModelSize, create_tiny_qwen_vl
from rollout.types import Prompt
from tests.builders import make_choice
from tests.cluster.chat_servers import ChatServer, chat_server
from tests.cluster.heads import free_port
from tests.cluster.jobs import ROOT, assert_all_end
from tests.evaluation.benchmark_judges import SHARED

PAIRS = [
    {"id": "RLHF-V-1", "prompt": "Which animal?", "chosen": "a good cat", "rejected": "a dog", "image": "red.png"},
    {"id": "RLHF-V-1", "prompt": "Which colour?", "chosen": "a good red", "rejected": "blue", "image": "red.png"},
    {"id": "mathverse_7", "prompt": "How many?", "chosen": "a good two", "rejected": "five", "image": "blue.png"},
]
"""The better answers are good, and say so."""
NUM_ANSWERS = 2 * len(PAIRS)
"""Each pair is asked in both orders."""
RUN_LIMIT_S = 300.0


def always_first(_question: str) -> str:
    return make_choice(1)


def always_good(question: str) -> str:
    return make_choice(1 if "Response 1: a good" in question else 2)


@pytest.fixture
def pairs(tmp_path: Path) -> Path:
    """A file of VL-RewardBench with its pictures."""
    for name in ("red", "blue"):
        Image.new("RGB", (56, 56), name).save(tmp_path / f"{name}.png")
    return write_rows(tmp_path / "pairs.jsonl", PAIRS)


def write_rows(path: Path, rows: Sequence[Mapping[str, object]]) -> Path:
    path.write_text("".join(f"{json.dumps(row)}\n" for row in rows))
    return path


def benchmark(file: Path, folder: Path, *overrides: str) -> list[str]:
    return [
        "benchmark", "vl_rewardbench", str(file), f"run.folder={folder}", "benchmark.prompt=pairwise_brief", *overrides,
    ]  # fmt: skip


def ask(server: ChatServer) -> tuple[str, ...]:
    return ("benchmark.answerer=endpoint", "judge=remote", f"judge.base_urls=[{server.url}]", "judge.max_attempts=1")


def results(folder: Path, file: str, *, name: str = "vl_rewardbench") -> list[dict[str, Any]]:
    lines = (folder / "benchmark" / name / file).read_text().splitlines()
    return [json.loads(line) for line in lines]


def report_of(folder: Path, *, name: str = "vl_rewardbench") -> dict[str, Any]:
    (report,) = results(folder, "report.json", name=name)
    return report


def accuracy(report: Mapping[str, Any]) -> float:
    value: float = report["single"]["overall"]["accuracy"]["value"]
    return value


@pytest.fixture(scope="module")
def untaught(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model that can answer nothing, which is all that is needed of it."""
    folder = tmp_path_factory.mktemp("untaught") / "model"
    create_tiny_qwen_vl(folder, size=TinyModelSize(), seed=0)
    return folder


def test_a_model_on_engines_answers_once_and_for_all(untaught: Path, pairs: Path) -> None:
    folder = pairs.parent / "run"
    small = ("rollout.kv_cache_gib=0.25", "evaluation.sampling.max_tokens=8", "run.name=benchmark")
    words = benchmark(pairs, folder, f"model.path={untaught}", "model.size=null", *small)
    command = [sys.executable, "-m", "cluster.main", *words]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=RUN_LIMIT_S, check=False)
    assert done.returncode == 0, done.stderr[-4000:]
    settings, *answers = results(folder, "answers.jsonl")
    assert len({answer["key"] for answer in answers}) == len(answers) == NUM_ANSWERS
    assert settings["settings"]["judge"]["model"] == "model"
    assert len(results(folder, "judgements.jsonl")) == NUM_ANSWERS
    assert report_of(folder)["num_failed"] == 0
    # Ray's address leads nowhere: a second call that asked anything would fail.
    assert main([*words, "cluster.ray_address=127.0.0.1:1"]) == 0
    assert results(folder, "answers.jsonl") == [settings, *answers]


def test_always_the_first_answer_is_exactly_half_right(pairs: Path) -> None:
    with chat_server(always_first) as server:
        assert main(benchmark(pairs, pairs.parent / "run", *ask(server))) == 0
    report = report_of(pairs.parent / "run")
    assert accuracy(report) == 0.5
    assert report["position_bias"]["value"] == 50.0
    assert (report["better_first"]["value"], report["better_second"]["value"]) == (1.0, 0.0)


def test_a_report_shows_our_figures_beside_published_ones(pairs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with chat_server(always_first) as server:
        assert main(benchmark(pairs, pairs.parent / "run", *ask(server))) == 0
    text = (pairs.parent / "run/benchmark/vl_rewardbench/report.md").read_text()
    assert "| this judge |" in text
    assert "| R1-Reward" in text
    assert "vl_rewardbench: 3 pairs (2 hallucination, 1 reasoning)" in capsys.readouterr().out


def test_answers_are_not_asked_for_twice(pairs: Path) -> None:
    with chat_server(always_first) as server:
        words = benchmark(pairs, pairs.parent / "run", *ask(server))
        assert [main(words), main([*words, "benchmark.split=legacy"])] == [0, 0]
        assert len(server.asked) == NUM_ANSWERS


def test_a_failed_request_is_asked_again_by_the_next_call(pairs: Path) -> None:
    with chat_server(lambda question: None if "How many?" in question else make_choice(1)) as server:
        words = benchmark(pairs, pairs.parent / "run", *ask(server))
        assert main(words) == 0
        assert report_of(pairs.parent / "run")["num_failed"] == 2
        server.asked.clear()
        server.reply = always_good
        assert main(words) == 0
        assert ["How many?" in question for question in server.asked] == [True, True]
    assert report_of(pairs.parent / "run")["num_failed"] == 0


def test_other_votes_need_another_folder(pairs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with chat_server(always_first) as server:
        words = benchmark(pairs, pairs.parent / "run", *ask(server))
        assert main(words) == 0
        assert main([*words, "evaluation.sampling.max_tokens=9"]) == 2
    assert "holds answers given under other settings; choose another folder" in capsys.readouterr().err


def test_two_judges_are_compared_question_by_question(pairs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folders = [pairs.parent / "first", pairs.parent / "good"]
    for folder, reply in zip(folders, (always_first, always_good), strict=True):
        with chat_server(reply) as server:
            assert main(benchmark(pairs, folder, *ask(server))) == 0
    capsys.readouterr()
    assert main(["compare-judges", *(str(folder / "benchmark/vl_rewardbench") for folder in folders)]) == 0
    lines = dict(line.rsplit("  ", 1) for line in capsys.readouterr().out.splitlines() if "judge right" in line)
    assert [value.split()[0] for value in lines.values()] == ["50.0", "100.0"]


@pytest.mark.parametrize(
    ("name", "file"),
    [
        ("vl_rewardbench", "vl_reward_bench.sample50.jsonl"),
        ("mm_rlhf_rewardbench", "mm_rlhf_reward_bench.first60.jsonl"),
    ],
)
def test_an_excerpt_of_a_published_file_is_judged_whole(name: str, file: str, tmp_path: Path) -> None:
    if not (SHARED / file).exists():
        pytest.skip("the excerpts of R1-Reward's files are not here")
    rows = [json.loads(line) for line in (SHARED / file).read_text().splitlines()]
    for row in rows:
        stand_in(tmp_path, row)
    words = ["benchmark", name, str(SHARED / file), f"benchmark.media_folder={tmp_path}", f"run.folder={tmp_path}/run"]
    with chat_server(always_first) as server:
        assert main([*words, *ask(server)]) == 0
        assert len(server.asked) == 2 * len(rows)
    assert accuracy(report_of(tmp_path / "run", name=name)) == 0.5


def stand_in(folder: Path, row: Mapping[str, str]) -> None:
    """Small pictures under the name of a row's picture or video."""
    path = folder / row.get("image", row.get("video", ""))
    frames = [path] if "image" in row else [path / "1.jpg", path / "2.jpg"]
    for frame in frames:
        frame.parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (28, 28)).save(frame, "JPEG")


REWARDS = ("data=photo_pairs", "data.num_train=4", "data.num_test=24", "rewards=r1_reward")


@pytest.fixture(scope="module")
def reward_port(tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    """A reward server of four prompts, which leaves no process behind."""
    with reward_server(tmp_path_factory.mktemp("rewards")) as port:
        yield port


@contextmanager
def reward_server(folder: Path) -> Iterator[int]:
    port = free_port()
    command = [sys.executable, "-m", "cluster.main", "reward-server", *REWARDS, f"run.folder={folder}/run"]
    with (folder / "log").open("w") as log:
        server = subprocess.Popen([*command, f"--port={port}"], cwd=ROOT, stdout=log, stderr=log)
    try:
        deadline = time.monotonic() + 120
        while server.poll() is None and time.monotonic() < deadline and not answers_health(port):
            time.sleep(0.1)
        children = psutil.Process(server.pid).children(recursive=True)
        assert server.poll() is None, (folder / "log").read_text()
        yield port
    finally:
        server.terminate()
        server.wait(timeout=30)
    assert len(children) == 1
    assert_all_end(children)


def answers_health(port: int) -> bool:
    try:
        return request(port, "GET", "/health", None) == (200, {"num_prompts": 4})
    except ConnectionRefusedError:
        return False


def request(port: int, method: str, path: str, body: object) -> tuple[int, Any]:
    connection = HTTPConnection("127.0.0.1", port, timeout=30)
    try:
        connection.request(method, path, json.dumps(body), {"Content-Type": "application/json"})
        response = connection.getresponse()
        return response.status, json.loads(response.read())
    finally:
        connection.close()


def first_prompt() -> Prompt:
    return build_data(load_run_config([*REWARDS]).data).train.prompt(0)


@pytest.mark.parametrize(
    ("text", "reward"),
    [
        ("<think>Response 1 is better.</think><answer>1</answer>", 0.5 + 1.5),
        ("<think>Response 2 is better.</think><answer>1</answer>", 0.5 + 0.5),
        ("<think>Response 2 is better.</think><answer>2</answer>", 0.5),
        ("Response 1 is better.<answer>1</answer>", 1.5),
        ("1", 0.0),
    ],
)
def test_another_trainer_gets_the_rewards_of_this_configuration(reward_port: int, text: str, reward: float) -> None:
    prompt = first_prompt()
    assert prompt.preference.better == 1
    body = {"query": [query_of(text)], "prompts": [message_of(prompt)]}
    assert request(reward_port, "POST", "/get_reward", body) == (200, {"rewards": [reward]})


def test_a_prompt_of_another_data_set_is_refused(reward_port: int) -> None:
    status, reply = request(reward_port, "POST", "/get_reward", {"query": ["1"], "prompts": ["never seen"]})
    assert status == 404
    assert "none of the 4 loaded prompts" in reply["detail"]


TRAINING_ROWS = [
    {"id": name, "question": f"What is {name}?", "responses": ["A good cat.", "A dog."], "better": 1, "image": "a.png"}
    for name in ("easy", "hard", "lost")
]
TEST_ROW = {"id": "t", "question": "What?", "responses": ["A cat.", "A dog."], "better": 1, "image": "b.png"}


class Teacher:
    """Knows the easy row at once, the hard one when asked again, and fails on the lost one until it is found."""

    def __init__(self) -> None:
        self.num_asked = 0
        self.is_found = False

    def __call__(self, question: str) -> str | None:
        self.num_asked += 1
        if "What is lost?" in question and not self.is_found:
            return None
        return make_choice(2 if self.num_asked == 2 else 1)  # the hard row, for the first time


def test_traces_are_collected_row_by_row_and_resumed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for grey, name in enumerate("ab"):
        Image.new("L", (40, 30), 100 * grey).save(tmp_path / f"{name}.png")
    words = [
        "collect-traces", str(tmp_path / "traces.jsonl"),
        "data=preference_pairs", f"data.image_folder={tmp_path}",
        f"data.train_labels={write_rows(tmp_path / 'train.jsonl', TRAINING_ROWS)}",
        f"data.test_labels={write_rows(tmp_path / 'test.jsonl', [TEST_ROW])}",
        "judge=remote", "judge.max_attempts=1", "judge.max_concurrent=1",
    ]  # fmt: skip
    teacher = Teacher()
    with chat_server(teacher) as server:
        words.append(f"judge.base_urls=[{server.url}]")
        assert main(words) == 0
        assert "right at once 1, later 1, never 0, unanswered 1" in capsys.readouterr().out
        assert len(server.asked) == 4
        teacher.is_found = True
        assert main(words) == 0
        assert "right at once 2, later 1, never 0, unanswered 0" in capsys.readouterr().out
        assert len(server.asked) == 5
    traces = {row["id"]: row for row in map(json.loads, (tmp_path / "traces.jsonl").read_text().splitlines())}
    assert {name.rpartition("/")[2]: row["attempts"] for name, row in traces.items()} == {
        "easy": 1, "hard": 2, "lost": 1,
    }  # fmt: skip
