"""``arbiter rank`` run whole: real engines once, and otherwise a scripted chat server."""

import json
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from cluster.main import main
from rollout.families.tiny_qwen_vl import TinyModelSize, create_tiny_qwen_vl
from tests.builders import make_choice
from tests.cluster.chat_servers import ChatServer, chat_server
from tests.cluster.jobs import ROOT
from tests.refusals import refusal

TASKS = [
    {"id": "animal", "question": "Which animal?", "responses": ["a 2 cat", "a 1 dog", "a 3 cat"], "image": "red.png"},
    {"id": "colour", "question": "Which colour?", "responses": ["a 1 blue", "a 2 red"], "source": "mine"},
]
"""Every answer says how good it is; one question is about no picture."""
NUM_QUESTIONS = 2 * 3 + 2 * 1
RUN_LIMIT_S = 300.0


def by_quality(question: str) -> str:
    first, second = (question.partition(f"Response {number}: a ")[2][0] for number in (1, 2))
    return make_choice(1 if first > second else 2)


@pytest.fixture
def tasks(tmp_path: Path) -> Path:
    """A file of two tasks with their picture."""
    Image.new("RGB", (56, 56), "red").save(tmp_path / "red.png")
    return write_rows(tmp_path / "tasks.jsonl", TASKS)


def write_rows(path: Path, rows: Sequence[Mapping[str, object]]) -> Path:
    path.write_text("".join(f"{json.dumps(row)}\n" for row in rows))
    return path


def rank(file: Path, *overrides: str) -> list[str]:
    return ["rank", str(file), f"run.folder={file.parent}/run", "benchmark.prompt=pairwise_brief", *overrides]


def ask(server: ChatServer) -> tuple[str, ...]:
    return ("benchmark.answerer=endpoint", "judge=remote", f"judge.base_urls=[{server.url}]", "judge.max_attempts=1")


def results(file: Path, name: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (file.parent / "run/rank/tasks" / name).read_text().splitlines()]


def order_of(row: Mapping[str, Any]) -> list[int]:
    return [answer["index"] for answer in row["ranking"]["answers"]]


def test_a_judge_behind_an_endpoint_puts_answers_in_order(tasks: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with chat_server(by_quality) as server:
        assert main(rank(tasks, *ask(server))) == 0
        assert len(server.asked) == NUM_QUESTIONS
    animal, colour = results(tasks, "rankings.jsonl")
    assert (order_of(animal), order_of(colour)) == ([2, 0, 1], [1, 0])
    assert (colour["source"], colour["ranking"]["num_agreed"]) == ("mine", 1)
    shown = capsys.readouterr().out
    assert "5 answers to 2 questions" in shown
    assert (
        shown.index("1. answer 3: a 3 cat") < shown.index("2. answer 1: a 2 cat") < shown.index("3. answer 2: a 1 dog")
    )
    assert "| 1. answer 3: a 3 cat |" in (tasks.parent / "run/rank/tasks/report.md").read_text()


def test_answers_are_not_asked_for_twice(tasks: Path) -> None:
    with chat_server(by_quality) as server:
        words = rank(tasks, *ask(server))
        assert [main(words), main([*words, "rank.model=davidson"])] == [0, 0]
        assert len(server.asked) == NUM_QUESTIONS
    (report,) = results(tasks, "report.json")
    assert report["model"] == "davidson"


def test_what_failed_is_asked_again_by_the_next_call(tasks: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with chat_server(lambda question: None if "Which colour?" in question else by_quality(question)) as server:
        words = rank(tasks, *ask(server))
        assert main(words) == 0
        assert "requests that failed are made again by the same command" in capsys.readouterr().out
        assert results(tasks, "rankings.jsonl")[1]["ranking"]["unranked"] == [0, 1]
        server.asked.clear()
        server.reply = by_quality
        assert main(words) == 0
        assert len(server.asked) == 2
    assert order_of(results(tasks, "rankings.jsonl")[1]) == [1, 0]


def test_few_opponents_ask_less(tasks: Path) -> None:
    write_rows(tasks, [{"id": 1, "question": "Which?", "responses": [f"a {number}" for number in range(6)]}])
    with chat_server(by_quality) as server:
        assert main(rank(tasks, "rank.num_opponents=2", *ask(server))) == 0
        assert len(server.asked) == 2 * 6
    (row,) = results(tasks, "rankings.jsonl")
    assert (row["ranking"]["num_sets"], len(row["ranking"]["answers"])) == (1, 6)


def test_a_model_on_engines_answers_once_and_for_all(tasks: Path) -> None:
    create_tiny_qwen_vl(tasks.parent / "model", size=TinyModelSize(), seed=0)
    small = ("rollout.kv_cache_gib=0.25", "evaluation.sampling.max_tokens=8", "run.name=rank")
    words = rank(tasks, f"model.path={tasks.parent}/model", "model.size=null", *small)
    command = [sys.executable, "-m", "cluster.main", *words]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=RUN_LIMIT_S, check=False)
    assert done.returncode == 0, done.stderr[-4000:]
    settings, *answers = results(tasks, "answers.jsonl")
    assert len({answer["key"] for answer in answers if answer["text"] is not None}) == NUM_QUESTIONS
    assert settings["settings"]["judge"]["model"] == "model"
    # Ray's address leads nowhere: a second call that asked anything would fail.
    assert main([*words, "cluster.ray_address=127.0.0.1:1"]) == 0
    assert len(results(tasks, "answers.jsonl")) == 1 + NUM_QUESTIONS


@pytest.mark.parametrize(
    ("words", "part"),
    [
        (["rank"], "rank takes a file of questions with their answers, got none"),
        (["rank", "HERE/gone.jsonl"], "HERE/gone.jsonl: cannot be read: No such file or directory"),
        (["rank", "HERE/tasks.txt"], "HERE/tasks.txt: expected a file ending in .jsonl, .json, .csv"),
        (
            ["rank", "HERE/tasks.jsonl"],
            "model.path: name the judge to be tested (and model.size=null), or ask a server",
        ),
        (["rank", "HERE/tasks.jsonl", "benchmark.media_folder=HERE/gone"], "HERE/gone: no such folder of pictures"),
        (["rank", "HERE/tasks.jsonl", "benchmark.answerer=endpoint"], "judge=rule_server is no chat model"),
        (["rank", "HERE/tasks.jsonl", "benchmark.orders=both"], "benchmark.orders: has no effect, only `arbiter bench"),
        (
            ["rank", "HERE/tasks.jsonl", "judge.timeout_s=3"],
            "judge.timeout_s: has no effect, benchmark.answerer=engines",
        ),
        (["rank", "HERE/tasks.jsonl", "rank.num_opponents=1"], "rank.num_opponents=1: expected integer or null >= 2"),
        (["rank", "HERE/bad.jsonl"], "HERE/bad.jsonl:1: responses: List should have at least 2 items"),
        (["benchmark", "vl_rewardbench", "HERE/tasks.jsonl", "rank.model=davidson"], "rank.model: has no effect, only"),
        (["train", "rank.num_opponents=3"], "rank.num_opponents: has no effect, only `arbiter rank` reads it"),
    ],
)
def test_a_bad_command_is_one_clear_line(
    words: Sequence[str], part: str, tasks: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_rows(tasks.parent / "bad.jsonl", [{**TASKS[0], "responses": ["one"]}])
    (tasks.parent / "tasks.txt").touch()
    here = str(tasks.parent)
    *_, line = refusal([*(word.replace("HERE", here) for word in words), f"run.folder={here}/run"], capsys)
    assert part.replace("HERE", here) in line
    assert not (tasks.parent / "run").exists()
