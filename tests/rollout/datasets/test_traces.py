"""A teacher's reasoning: how it is collected, counted, resumed, and what comes of it."""

import asyncio
import json
from collections.abc import Mapping
from pathlib import Path

import pytest

from rollout.datasets.preference_pairs import build_preference_pairs, training_rows
from rollout.datasets.problems import DatasetProblems
from rollout.datasets.traces import (
    MAX_FAILURES_IN_A_ROW,
    TeacherFailed,
    TeacherReply,
    TraceSummary,
    attempt_temperature,
    collect_traces,
    read_traces,
    shown_choice,
)
from rollout.types import Prompt
from tests.rollout.datasets.pair_builders import (
    TRACES,
    TRAIN,
    make_config,
    make_trace,
    pair_row,
    problems_of,
    write_traces,
)

RIGHT_1, RIGHT_2 = "<think>I look.</think><answer>1</answer>", "<think>I see.</think>\n<answer>2</answer>"
VAGUE = "Both are fine."


class Script:
    """A teacher who says what is written for each pair and attempt, and remembers what it was asked."""

    def __init__(self, lines: Mapping[str, list[str]], *, missing: str = "") -> None:
        self._lines, self._missing = lines, missing
        self.asked: list[tuple[str, int]] = []
        self.num_at_once = self.most_at_once = 0

    async def attempt(self, prompt: Prompt, *, attempt: int) -> TeacherReply:
        name = prompt.preference.pair_id.partition("/")[2]
        self.asked.append((name, attempt))
        self.num_at_once += 1
        self.most_at_once = max(self.most_at_once, self.num_at_once)
        await asyncio.sleep(0)
        self.num_at_once -= 1
        if name in self._missing:
            raise TeacherFailed("connection refused")
        return TeacherReply(text=self._lines[name][attempt - 1], num_prompt_tokens=100, num_completion_tokens=10)


LINES = {"a": [RIGHT_1], "b": [RIGHT_1, RIGHT_2], "c": [VAGUE, RIGHT_2, VAGUE], "d": [VAGUE, RIGHT_2, f" {RIGHT_1}\n"]}
"""The better answers of a, b, c and d are 1, 2, 1 and 1."""


def _collect(tmp_path: Path, teacher: Script, *, max_concurrent: int = 2, max_attempts: int = 3) -> TraceSummary:
    collecting = collect_traces(
        training_rows(make_config(tmp_path)),
        teacher=teacher,
        path=tmp_path / "traces.jsonl",
        max_attempts=max_attempts,
        max_concurrent=max_concurrent,
    )
    return asyncio.run(collecting)


def _lines(tmp_path: Path) -> dict[str, dict[str, object]]:
    lines = (tmp_path / "traces.jsonl").read_text().splitlines()
    return {line["id"].partition("/")[2]: line for line in map(json.loads, lines)}


def test_a_row_is_asked_until_its_answer_is_right(tmp_path: Path) -> None:
    teacher = Script(LINES)
    _collect(tmp_path, teacher, max_concurrent=1)
    assert teacher.asked == [("a", 1), ("b", 1), ("b", 2), ("c", 1), ("c", 2), ("c", 3), ("d", 1), ("d", 2), ("d", 3)]


def test_a_line_says_what_became_of_its_row(tmp_path: Path) -> None:
    _collect(tmp_path, Script(LINES))
    lines = _lines(tmp_path)
    assert {name: (line["attempts"], line["correct"]) for name, line in lines.items()} == {
        "a": (1, True), "b": (2, True), "c": (3, False), "d": (3, True),
    }  # fmt: skip
    assert lines["d"] == {
        "id": "preference_pairs/d", "trace": RIGHT_1, "attempts": 3, "correct": True, "better": 1,
        "rejected": ["malformed", "wrong"], "prompt_tokens": 300, "completion_tokens": 30,
    }  # fmt: skip


def test_everything_is_counted(tmp_path: Path) -> None:
    assert _collect(tmp_path, Script(LINES)) == TraceSummary(
        num_right_at_once=1,
        num_right_later=2,
        num_never_right=1,
        num_unanswered=0,
        rejected={"malformed": 3, "wrong": 3},
        num_prompt_tokens=900,
        num_completion_tokens=90,
    )


def test_collecting_again_asks_only_about_rows_without_a_line(tmp_path: Path) -> None:
    first = Script(LINES, missing="bd")
    assert _collect(tmp_path, first).num_unanswered == 2
    second = Script(LINES)
    summary = _collect(tmp_path, second)
    assert {name for name, _ in second.asked} == {"b", "d"}
    assert (summary.num_right_at_once, summary.num_right_later, summary.num_unanswered) == (1, 2, 0)
    assert summary.num_prompt_tokens == 900


def test_a_torn_last_line_is_collected_anew(tmp_path: Path) -> None:
    _collect(tmp_path, Script(LINES), max_concurrent=1)
    path = tmp_path / "traces.jsonl"
    path.write_bytes(path.read_bytes()[:-25])
    again = Script(LINES)
    _collect(tmp_path, again)
    assert {name for name, _ in again.asked} == {"d"}
    assert len(_lines(tmp_path)) == 4


def test_no_more_rows_are_asked_at_a_time_than_allowed(tmp_path: Path) -> None:
    for most in (1, 3):
        teacher = Script({name: [RIGHT_1, RIGHT_1, RIGHT_1] for name in "abcd"})
        (tmp_path / "traces.jsonl").unlink(missing_ok=True)
        _collect(tmp_path, teacher, max_concurrent=most)
        assert teacher.most_at_once == most


def test_a_teacher_who_is_not_there_ends_the_collecting(tmp_path: Path) -> None:
    train = [pair_row(f"{index}", image="a.png", question=f"{index}?") for index in range(50)]
    teacher = Script({}, missing="".join(map(str, range(50))))
    collecting = collect_traces(
        training_rows(make_config(tmp_path, train=train)),
        teacher=teacher,
        path=tmp_path / "traces.jsonl",
        max_attempts=3,
        max_concurrent=1,
    )
    with pytest.raises(TeacherFailed, match="20 rows in a row without a reply, the last: connection refused"):
        asyncio.run(collecting)
    assert len(teacher.asked) == MAX_FAILURES_IN_A_ROW


def test_the_first_attempt_is_greedy_and_the_others_are_not() -> None:
    assert attempt_temperature(1) == 0
    assert attempt_temperature(2) == attempt_temperature(3) > 0


def test_a_file_of_something_else_is_not_appended_to(tmp_path: Path) -> None:
    (tmp_path / "traces.jsonl").write_text('{"id": "a"}\n')
    with pytest.raises(DatasetProblems, match="Field required"):
        _collect(tmp_path, Script(LINES))


@pytest.mark.parametrize(
    "text",
    [
        "<answer>1</answer>",
        "<think>I look.</think><answer>1 or 2</answer>",
        "<think>I look.</think><answer>1</answer> That is all.",
        "<think>I look.</think><answer>1</answer><answer>1</answer>",
        "<think><think>I look.</think></think><answer>1</answer>",
        "<think>I look.</think><answer>3</answer>",
    ],
)
def test_only_the_form_of_a_demonstration_counts_as_a_choice(text: str) -> None:
    assert shown_choice(text) is None


def test_white_space_around_the_blocks_is_of_the_form() -> None:
    assert (shown_choice(RIGHT_2), shown_choice(f"\n{RIGHT_1} ")) == (2, 1)


def test_what_was_collected_can_be_read(tmp_path: Path) -> None:
    _collect(tmp_path, Script(LINES))
    traces, problems = read_traces(tmp_path / "traces.jsonl")
    assert problems == []
    assert {name[-1]: (one.num_attempts, one.is_right, one.is_hard) for name, one in traces.items()} == {
        "a": (1, True, False), "b": (2, True, True), "c": (3, False, True), "d": (3, True, True),
    }  # fmt: skip


def test_right_traces_are_the_cold_start(tmp_path: Path) -> None:
    data = build_preference_pairs(make_config(tmp_path, traces=write_traces(tmp_path, *TRACES), order="random"))
    assert data.cold_start is not None
    shown = [data.cold_start.demonstration(index) for index in range(len(data.cold_start))]
    assert [one.prompt.prompt_id for one in shown] == [f"preference_pairs/{name}" for name in ("a/1", "b/2", "d/1")]
    assert [one.target for one in shown] == [TRACES[0]["trace"], TRACES[1]["trace"], TRACES[3]["trace"]]


def test_right_traces_are_reference_answers_of_rows_asked_as_in_the_file(tmp_path: Path) -> None:
    train = build_preference_pairs(make_config(tmp_path, traces=write_traces(tmp_path, *TRACES), order="both")).train
    prompts = [train.prompt(index) for index in range(len(train))]
    assert {prompt.prompt_id[-3:]: prompt.reference_answers for prompt in prompts if prompt.reference_answers} == {
        "a/1": (TRACES[0]["trace"],),
        "b/2": (TRACES[1]["trace"],),
        "d/1": (TRACES[3]["trace"],),
    }


@pytest.mark.parametrize(("difficulty", "names"), [("all", "abcd"), ("hard", "bc")])
def test_hard_rows_are_those_not_right_at_once(difficulty: str, names: str, tmp_path: Path) -> None:
    train = build_preference_pairs(
        make_config(tmp_path, traces=write_traces(tmp_path, *TRACES), difficulty=difficulty)
    ).train
    assert "".join(train.prompt(index).preference.pair_id[-1] for index in range(len(train))) == names


def test_rows_without_a_trace_are_no_demonstrations(tmp_path: Path) -> None:
    data = build_preference_pairs(make_config(tmp_path, traces=write_traces(tmp_path, make_trace("b", better=2))))
    assert data.cold_start is not None
    assert (len(data.cold_start), len(data.train)) == (1, len(TRAIN))


@pytest.mark.parametrize(
    ("traces", "difficulty", "complaint"),
    [
        ((make_trace("a"), make_trace("a")), "all", "duplicate traces.jsonl:2: id 'preference_pairs/a' came before"),
        ((make_trace("a"), {}), "all", "field traces.jsonl:2: id: Field required"),
        (
            (make_trace("a", attempts=0),),
            "all",
            "field traces.jsonl:1: attempts: Input should be greater than or equal to 1",
        ),
        (
            (make_trace("a", trace="Response 1."),),
            "all",
            "trace traces.jsonl:1: trace of 'preference_pairs/a': called correct, but is not a think block and then "
            "<answer>1</answer>",
        ),
        (
            (make_trace("a", better=2), make_trace("d")),
            "all",
            "trace train.jsonl:1: the trace of 'preference_pairs/a' was collected with answer 2 as the better one",
        ),
        ((make_trace("z"),), "all", "trace traces.jsonl: no right trace of any training row"),
        (
            TRACES[:3],
            "hard",
            "trace traces.jsonl: 1 of 4 training rows have no trace, which data.difficulty=hard needs",
        ),
        (
            (make_trace("a"), make_trace("b", better=2), make_trace("c"), make_trace("d")),
            "hard",
            "trace traces.jsonl: the teacher got every row right at once; data.difficulty=hard leaves none",
        ),
    ],
)
def test_traces_that_do_not_fit_the_rows_are_refused(
    traces: tuple[dict[str, object], ...], difficulty: str, complaint: str, tmp_path: Path
) -> None:
    config = make_config(tmp_path, traces=write_traces(tmp_path, *traces), difficulty=difficulty)
    assert complaint in problems_of(config)


def test_a_missing_file_of_traces_is_refused(tmp_path: Path) -> None:
    problems = problems_of(make_config(tmp_path, traces=str(tmp_path / "gone.jsonl")))
    assert "missing_file gone.jsonl: data.traces cannot be read: No such file or directory" in problems
