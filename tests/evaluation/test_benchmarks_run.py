"""Asking a benchmark: both orders, a key for every vote, and runs that are killed and continued."""

import asyncio
import json
from collections import Counter
from collections.abc import AsyncGenerator, Mapping, Sequence
from pathlib import Path

import pytest

from conf.schema import SamplingConfig
from evaluation.benchmarks.answers import Answer, AnswersUnusable, open_answers
from evaluation.benchmarks.questions import JudgeRequest, Order, Orders, plan_questions, plan_requests
from evaluation.benchmarks.results import judge_benchmark
from evaluation.benchmarks.run import Progress, ask_unanswered, settings_of
from rollout.types import Choice
from tests.evaluation.benchmark_judges import (
    ScriptedAnswerer,
    always_right,
    make_benchmark,
    make_failure,
    make_plan,
    make_reply,
    make_row,
)

GREEDY = SamplingConfig(temperature=0.0, top_p=1.0, max_tokens=4096)
SAMPLED = SamplingConfig(temperature=1.0, top_p=1.0, max_tokens=4096)
# Three pairs, two of them of one id.
BENCHMARK = make_benchmark([make_row(0, row_id="a"), make_row(1, row_id="a", better=2), make_row(2, row_id="b")])


class Killed(Exception):
    """The run ended in the middle."""


class DyingAnswerer:
    """Answers so many requests and no more."""

    def __init__(self, num_answers: int) -> None:
        self._num_answers = num_answers

    async def answer(self, requests: Sequence[JudgeRequest]) -> AsyncGenerator[Answer, None]:
        for request in requests[: self._num_answers]:
            yield make_reply(request.key, "<think></think><answer>1</answer>")
        raise Killed


def requests_of(*, orders: Orders = "both", num_votes: int = 1, seed: int = 0) -> tuple[JudgeRequest, ...]:
    questions = plan_questions(BENCHMARK, plan=make_plan(orders=orders, seed=seed))
    return plan_requests([question.prompt for question in questions], num_votes=num_votes)


def run(path: Path, answerer: ScriptedAnswerer | DyingAnswerer, *, seed: int = 0) -> Mapping[str, Answer]:
    settings = settings_of(BENCHMARK, plan=make_plan(seed=seed), sampling=GREEDY, judge={"model": "scripted"})
    return asyncio.run(
        ask_unanswered(
            requests_of(), answerer=answerer, path=path, settings=settings, on_progress=lambda _progress: None
        )
    )


def kept(path: Path) -> dict[str, Answer]:
    """What a file of answers holds below its settings."""
    _, *lines = path.read_text(encoding="utf-8").splitlines()
    return {answer.key: answer for answer in (Answer(**json.loads(line)) for line in lines)}


def orders_of(*, orders: Orders, seed: int = 0) -> list[Order]:
    rows = [make_row(index) for index in range(200)]
    return [
        question.order for question in plan_questions(make_benchmark(rows), plan=make_plan(orders=orders, seed=seed))
    ]


def test_each_pair_is_asked_in_both_orders_with_the_label_turned_round() -> None:
    given, swapped, *_ = plan_questions(BENCHMARK, plan=make_plan())
    assert (given.order, given.better, swapped.order, swapped.better) == ("given", 1, "swapped", 2)
    texts = [str(question.prompt.messages[0].content[-1]) for question in (given, swapped)]
    assert "Response 1: a cat\nResponse 2: a dog" in texts[0]
    assert "Response 1: a dog\nResponse 2: a cat" in texts[1]


@pytest.mark.parametrize(("order", "as_in_file"), [("given", 1), ("swapped", 2)])
def test_a_choice_is_traced_back_to_the_file(order: Order, as_in_file: Choice) -> None:
    (question,) = [q for q in plan_questions(make_benchmark([make_row(0)]), plan=make_plan()) if q.order == order]
    assert question.as_in_file(1) == as_in_file


def test_as_given_asks_once_as_the_file_has_it() -> None:
    assert set(orders_of(orders="as_given")) == {"given"}


def test_random_orders_are_fixed_by_the_seed_and_about_balanced() -> None:
    orders = orders_of(orders="random")
    assert orders == orders_of(orders="random")
    assert orders != orders_of(orders="random", seed=1)
    assert 70 < Counter(orders)["swapped"] < 130


def test_a_pair_keeps_its_random_order_when_others_are_left_out() -> None:
    rows = [make_row(index) for index in range(20)]
    plan = make_plan(orders="random")
    alone = [plan_questions(make_benchmark([row]), plan=plan)[0].order for row in rows]
    assert alone == [question.order for question in plan_questions(make_benchmark(rows), plan=plan)]


def test_pairs_of_one_id_have_keys_of_their_own() -> None:
    keys = [request.key for request in requests_of(num_votes=2)]
    assert len(set(keys)) == 3 * 2 * 2
    assert keys[:3] == [
        "vl_rewardbench/a#0/given/0",
        "vl_rewardbench/a#0/given/1",
        "vl_rewardbench/a#0/swapped/0",
    ]


def test_prompts_that_could_not_be_told_apart_are_refused() -> None:
    prompt = requests_of()[0].prompt
    with pytest.raises(ValueError, match="more than once"):
        plan_requests([prompt, prompt], num_votes=1)


def test_answers_are_kept_by_key(tmp_path: Path) -> None:
    answers = run(tmp_path / "answers.jsonl", ScriptedAnswerer(always_right))
    assert len(answers) == 6
    assert kept(tmp_path / "answers.jsonl") == answers


def test_a_killed_run_asks_only_what_is_missing(tmp_path: Path) -> None:
    path, answerer = tmp_path / "answers.jsonl", ScriptedAnswerer(always_right)
    with pytest.raises(Killed):
        run(path, DyingAnswerer(4))
    assert len(run(path, answerer)) == 6
    assert answerer.asked == ["vl_rewardbench/b#2/given/0", "vl_rewardbench/b#2/swapped/0"]


def test_a_finished_run_asks_nothing(tmp_path: Path) -> None:
    path, answerer = tmp_path / "answers.jsonl", ScriptedAnswerer(always_right)
    run(path, ScriptedAnswerer(always_right))
    run(path, answerer)
    assert answerer.asked == []


def test_a_line_torn_by_a_kill_is_asked_again_and_the_file_stays_readable(tmp_path: Path) -> None:
    path, answerer = tmp_path / "answers.jsonl", ScriptedAnswerer(always_right)
    run(path, ScriptedAnswerer(always_right))
    path.write_bytes(path.read_bytes()[:-9])
    assert len(run(path, answerer)) == 6
    assert answerer.asked == ["vl_rewardbench/b#2/swapped/0"]
    assert len(kept(path)) == 6


def test_a_run_killed_inside_its_first_line_starts_anew(tmp_path: Path) -> None:
    path = tmp_path / "answers.jsonl"
    path.write_text('{"settings": {"bench', encoding="utf-8")
    assert len(run(path, ScriptedAnswerer(always_right))) == 6


def test_a_failed_request_is_asked_once_more_in_the_same_run(tmp_path: Path) -> None:
    answerer = ScriptedAnswerer(lambda request: "FAIL" if answerer.asked.count(request.key) == 1 else 1)
    answers = run(tmp_path / "answers.jsonl", answerer)
    assert all(answer.error is None for answer in answers.values())
    assert len(answerer.asked) == 12


def test_a_request_that_keeps_failing_is_recorded_and_asked_by_the_next_run(tmp_path: Path) -> None:
    path, later = tmp_path / "answers.jsonl", ScriptedAnswerer(always_right)
    failing = run(path, ScriptedAnswerer(lambda request: "FAIL" if "/b#" in request.key else 1))
    assert [answer.error for answer in failing.values()].count("HTTP 503") == 2
    assert all(answer.error is None for answer in run(path, later).values())
    assert len(later.asked) == 2


def test_answers_given_under_other_settings_are_refused_with_the_difference(tmp_path: Path) -> None:
    run(tmp_path / "answers.jsonl", ScriptedAnswerer(always_right))
    with pytest.raises(AnswersUnusable, match="seed: the file has 0, this run has 1"):
        run(tmp_path / "answers.jsonl", ScriptedAnswerer(always_right), seed=1)


@pytest.mark.parametrize("content", ['{"id": 1}\n', '{"settings": {}}\n{"key": "a"}\n', "text\n"])
def test_a_file_of_another_kind_is_refused_with_the_line(content: str, tmp_path: Path) -> None:
    path = tmp_path / "answers.jsonl"
    path.write_text(content, encoding="utf-8")
    with pytest.raises(AnswersUnusable, match=r"answers.jsonl:[12]: expected a line that a benchmark run wrote"):
        run(path, ScriptedAnswerer(always_right))


def test_what_comes_last_for_a_key_counts(tmp_path: Path) -> None:
    with open_answers(tmp_path / "answers.jsonl", settings={}) as file:
        file.add(make_failure("a"))
        file.add(make_reply("a", "1"))
    assert kept(tmp_path / "answers.jsonl")["a"].text == "1"


def test_an_answer_is_a_text_or_an_error() -> None:
    with pytest.raises(ValueError, match="either text or error"):
        Answer(key="a", text=None, finish_reason=None, error=None, num_tokens=None, seconds=0.0)


def test_votes_that_would_be_copies_are_refused() -> None:
    with pytest.raises(ValueError, match="15 votes at temperature 0"):
        settings_of(BENCHMARK, plan=make_plan(num_votes=15), sampling=GREEDY, judge={})


def test_progress_counts_answers_of_earlier_runs_too(tmp_path: Path) -> None:
    seen: list[Progress] = []
    with pytest.raises(Killed):
        run(tmp_path / "answers.jsonl", DyingAnswerer(4))
    asyncio.run(
        ask_unanswered(
            requests_of(),
            answerer=ScriptedAnswerer(lambda request: "FAIL" if "swapped" in request.key else 1),
            path=tmp_path / "answers.jsonl",
            settings=settings_of(BENCHMARK, plan=make_plan(), sampling=GREEDY, judge={"model": "scripted"}),
            on_progress=seen.append,
        )
    )
    assert [(one.num_answered, one.num_failed, one.num_requests) for one in seen] == [
        (5, 0, 6),
        (5, 1, 6),
        (5, 1, 6),  # the second pass asks what failed
    ]


def test_a_run_leaves_four_files_that_say_the_same(tmp_path: Path) -> None:
    report = asyncio.run(
        judge_benchmark(
            BENCHMARK,
            plan=make_plan(num_votes=3),
            answerer=ScriptedAnswerer(always_right),
            sampling=SAMPLED,
            judge={"model": "scripted"},
            folder=tmp_path / "vl",
            on_progress=lambda _progress: None,
        )
    )
    assert report.single.overall.accuracy.value == 1.0
    assert sorted(path.name for path in (tmp_path / "vl").iterdir()) == [
        "answers.jsonl", "judgements.jsonl", "report.json", "report.md",
    ]  # fmt: skip
    assert json.loads((tmp_path / "vl/report.json").read_text())["num_requests"] == 18
    rows = [json.loads(line) for line in (tmp_path / "vl/judgements.jsonl").read_text().splitlines()]
    assert [row["rewards"] for row in rows] == [[1, 0], [1, 0], [0, 1], [0, 1], [1, 0], [1, 0]]
    assert rows[0]["kept"] == "as it was"
    assert rows[1]["judgement"]["choices"] == [2, 2, 2]
