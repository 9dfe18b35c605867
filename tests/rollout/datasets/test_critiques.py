"""Critiques by a scripted teacher: what is kept, what is not, and what another session does with both files."""

import asyncio
import json
from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image

from conf.errors import ConfigError
from rollout.datasets.critiques import (
    Checks,
    CritiqueSummary,
    Limits,
    collect_critiques,
    find_fault,
    level_of,
    read_level,
)
from rollout.datasets.demonstration_files import read_demonstrations
from rollout.datasets.problems import DatasetProblems
from rollout.datasets.questions import ask
from rollout.datasets.traces import Teacher, TeacherFailed, TeacherReply
from rollout.types import Media, Opinion, Prompt, Scale

SCALE = Scale(minimum=1.0, maximum=5.0)
WORDING = "visualquality_r1"
GENEROUS = Limits(num_per_level=None, max_total_tokens=None, max_attempts=3)
SCORES = {"bad": 1.5, "fair": 3.0, "good": 4.6}


def opinion(score: float, scale: Scale = SCALE) -> Opinion:
    """A label."""
    return Opinion(score=score, scale=scale)


class Pictures:
    """``num`` pictures of each level."""

    source = "shop"

    def __init__(self, folder: Path, *, num: int) -> None:
        self._rows = [(f"{level}{number}", score) for level, score in SCORES.items() for number in range(num)]
        self._folder = folder
        for name, _ in self._rows:
            Image.new("RGB", (56, 56)).save(folder / f"{name}.png")

    def __len__(self) -> int:
        return len(self._rows)

    def prompt(self, index: int) -> Prompt:
        name, score = self._rows[index]
        picture = Media(kind="image", path=str(self._folder / f"{name}.png"))
        return Prompt(
            prompt_id=name,
            messages=ask(WORDING, picture=picture, scale=SCALE),
            reference=opinion(score),
            source=self.source,
            content_id=name,
        )


Script = Callable[[str, int], str]
"""The id of a picture and which attempt it is -> the critique."""


class ScriptedTeacher:
    """Writes by script; reads the level out of a critique's last word."""

    def __init__(self, script: Script, *, is_metered: bool = True) -> None:
        self._script, self._is_metered = script, is_metered
        self.asked: list[str] = []

    async def attempt(self, prompt: Prompt, *, attempt: int) -> TeacherReply:
        await asyncio.sleep(0)
        shows_picture = any(True for _ in prompt.media())
        if shows_picture:
            self.asked.append(prompt.prompt_id)
            text = self._script(prompt.prompt_id, attempt)
        else:
            text = prompt.messages[0].content[0].split()[-1]  # type: ignore[union-attr]
        if text == "FAIL":
            raise TeacherFailed("told to fail")
        if text == "DECLINE":
            raise TeacherFailed("declined", num_tokens=7)
        num_tokens = (8, 2) if self._is_metered else (0, 0)
        return TeacherReply(
            text=text, num_prompt_tokens=num_tokens[0], num_completion_tokens=num_tokens[1], is_metered=self._is_metered
        )


def honest(row_id: str, attempt: int) -> str:
    """Ends with the level of the picture."""
    del attempt
    return f"Sharp edges, dull light, in all {row_id.rstrip('0123456789')}"


def collect(
    folder: Path,
    script: Script = honest,
    *,
    num: int = 2,
    limits: Limits = GENEROUS,
    max_concurrent: int = 4,
    checker: Teacher | None = None,
    is_metered: bool = True,
) -> tuple[CritiqueSummary, ScriptedTeacher]:
    """One session over ``num`` pictures of each level; the teacher checks its own levels, or a checker more."""
    teacher = ScriptedTeacher(script, is_metered=is_metered)
    collecting = collect_critiques(
        Pictures(folder, num=num),
        teacher=teacher,
        checks=Checks(checker=checker or teacher, asks_facts=checker is not None),
        path=folder / "critiques.jsonl",
        wording=WORDING,
        limits=limits,
        max_concurrent=max_concurrent,
    )
    return asyncio.run(collecting), teacher


@pytest.mark.parametrize(
    ("score", "scale", "level"),
    [
        (0.39, Scale(minimum=0, maximum=1), "bad"),
        (0.4, Scale(minimum=0, maximum=1), "fair"),
        (0.69, Scale(minimum=0, maximum=1), "fair"),
        (0.7, Scale(minimum=0, maximum=1), "good"),
        (2.5, SCALE, "bad"),
        (2.7, SCALE, "fair"),
        (5.0, SCALE, "good"),
    ],
)
def test_levels_begin_at_four_and_seven_tenths_of_the_scale(score: float, scale: Scale, level: str) -> None:
    assert level_of(opinion(score, scale)) == level


@pytest.mark.parametrize(
    ("critique", "fault"),
    [
        ("Crisp detail and calm light make this pleasing.", None),
        ("Two of the 17 windows are blurred.", None),
        ("", "form"),
        ("<think>Crisp.</think>", "form"),
        ("It deserves 3.42 overall.", "leak"),
        ("It deserves 3,42 overall.", "leak"),
        ("About 3.4, I would say.", "leak"),
        ("A solid 3 to me.", "leak"),
        ("Better than 60 percent of pictures.", "leak"),  # (3.42 - 1) / 4
        ("This matches the given score.", "leak"),
        ("The rating provided fits.", "leak"),
        ("As instructed, I look at light first.", "leak"),
        ("The hidden value shows.", "leak"),
    ],
)
def test_a_critique_that_gives_the_score_away_is_found_out(critique: str, fault: str | None) -> None:
    assert find_fault(critique, opinion=opinion(3.42), is_cut=False) == fault


def test_a_critique_that_was_cut_is_not_kept() -> None:
    assert find_fault("Crisp detail and", opinion=opinion(3.42), is_cut=True) == "form"


@pytest.mark.parametrize(
    ("reply", "level"), [("Good.", "good"), ("fair", "fair"), ("bad or fair", None), ("It is badly lit", None)]
)
def test_a_verdict_is_one_of_the_three_words(reply: str, level: str | None) -> None:
    assert read_level(reply) == level


def test_what_is_kept_is_a_file_for_the_cold_start(tmp_path: Path) -> None:
    summary, _ = collect(tmp_path)
    assert summary.kept == {"bad": 2, "fair": 2, "good": 2}
    demonstrations = read_demonstrations(tmp_path / "critiques.jsonl", video=None)
    shown = {Path(next(one.prompt.media()).name).stem: one for one in map(demonstrations.demonstration, range(6))}
    asked = Pictures(tmp_path, num=2).prompt(0)
    assert shown["bad0"].prompt.messages == asked.messages
    assert shown["bad0"].target == "<think>Sharp edges, dull light, in all bad</think><answer>1.50</answer>"


def test_the_teacher_sees_picture_and_score_and_the_check_sees_neither(tmp_path: Path) -> None:
    seen: list[Prompt] = []

    class Watching(ScriptedTeacher):
        async def attempt(self, prompt: Prompt, *, attempt: int) -> TeacherReply:
            seen.append(prompt)
            return await super().attempt(prompt, attempt=attempt)

    teacher = Watching(honest)
    collecting = collect_critiques(
        Pictures(tmp_path, num=1),
        teacher=teacher,
        checks=Checks(checker=teacher, asks_facts=False),
        path=tmp_path / "critiques.jsonl",
        wording=WORDING,
        limits=GENEROUS,
        max_concurrent=1,
    )
    asyncio.run(collecting)
    texts = {prompt.prompt_id: [] for prompt in seen}  # type: dict[str, list[str]]
    for prompt in seen:
        texts[prompt.prompt_id].append(str(prompt.messages[0].content[-1]))
    writing, checking = texts["good0"]
    assert "4.60" in writing
    assert "4.60" not in checking
    assert [sum(1 for _ in prompt.media()) for prompt in seen] == [1, 0] * 3


def test_a_rejected_critique_is_asked_for_again_and_counted(tmp_path: Path) -> None:
    def script(row_id: str, attempt: int) -> str:
        if row_id == "good0":
            return ["It earns 4.60", "all bad", honest(row_id, attempt)][attempt - 1]
        return "<answer>1</answer>" if row_id == "bad1" else honest(row_id, attempt)

    summary, _ = collect(tmp_path, script)
    assert summary.kept == {"bad": 1, "fair": 2, "good": 2}
    assert summary.rejected == {"leak": 1, "mismatch": 1, "form": 3}
    assert summary.num_rejected_rows == 1
    # Ten tokens a request: five rows written and checked, a leak (10) and a mismatch (20) before, three bad tries.
    assert summary.num_tokens == 5 * 20 + 30 + 30
    (refused,) = (tmp_path / "critiques.rejected.jsonl").read_text().splitlines()
    assert json.loads(refused) == {"id": "bad1", "level": "bad", "rejected": ["form"] * 3, "tokens": 30}


def test_another_session_asks_only_about_what_is_undecided(tmp_path: Path) -> None:
    def stubborn(row_id: str, attempt: int) -> str:
        return "" if row_id == "bad0" else "FAIL" if row_id == "fair0" else honest(row_id, attempt)

    first, _ = collect(tmp_path, stubborn)
    assert (first.num_unanswered, first.num_rejected_rows) == (1, 1)
    second, teacher = collect(tmp_path)
    assert teacher.asked == ["fair0"]
    assert second.kept == {"bad": 1, "fair": 2, "good": 2}
    assert second.num_rejected_rows == 1


def test_a_torn_last_line_is_asked_for_again(tmp_path: Path) -> None:
    collect(tmp_path)
    path = tmp_path / "critiques.jsonl"
    whole = path.read_text()
    path.write_text(whole[:-9])
    summary, teacher = collect(tmp_path)
    assert len(teacher.asked) == 1
    assert summary.kept == {"bad": 2, "fair": 2, "good": 2}
    assert sorted(path.read_text().splitlines()) == sorted(whole.splitlines())


@pytest.mark.parametrize("max_concurrent", [1, 3, 16])
def test_each_level_gets_as_many_as_asked_and_no_more(max_concurrent: int, tmp_path: Path) -> None:
    limits = Limits(num_per_level=3, max_total_tokens=None, max_attempts=3)

    def script(row_id: str, attempt: int) -> str:
        return "" if row_id in ("good0", "good3") else honest(row_id, attempt)

    summary, _ = collect(tmp_path, script, num=6, limits=limits, max_concurrent=max_concurrent)
    assert summary.kept == {"bad": 3, "fair": 3, "good": 3}


def test_nothing_is_begun_once_the_budget_is_spent(tmp_path: Path) -> None:
    limits = Limits(num_per_level=None, max_total_tokens=60, max_attempts=3)
    summary, _ = collect(tmp_path, num=4, limits=limits, max_concurrent=1)
    assert (summary.num_tokens, sum(summary.kept.values()), summary.is_out_of_budget) == (60, 3, True)
    again, teacher = collect(tmp_path, num=4, limits=limits, max_concurrent=1)
    assert (teacher.asked, again.is_out_of_budget) == ([], True)


def test_a_teacher_that_is_not_there_ends_the_session(tmp_path: Path) -> None:
    with pytest.raises(TeacherFailed, match="20 rows in a row without a reply, the last: told to fail"):
        collect(tmp_path, lambda row_id, attempt: "FAIL", num=10)


def test_a_file_of_something_else_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "critiques.jsonl").write_text('{"id": "x"}\n')
    with pytest.raises(DatasetProblems, match="level: Field required"):
        collect(tmp_path)


def refused_lines(folder: Path) -> list[dict[str, object]]:
    """Rows of the second file, by id."""
    lines = (folder / "critiques.rejected.jsonl").read_text().splitlines()
    return sorted((json.loads(line) for line in lines), key=lambda row: str(row["id"]))


def test_what_was_spent_before_a_request_failed_is_counted_and_kept(tmp_path: Path) -> None:
    def script(row_id: str, attempt: int) -> str:
        if row_id == "good0":
            return ["It earns 4.60", "all bad", "FAIL"][attempt - 1]
        return "DECLINE" if row_id == "bad0" else honest(row_id, attempt)

    summary, _ = collect(tmp_path, script, num=1)
    assert (summary.num_unanswered, summary.num_rejected_rows) == (2, 0)
    assert summary.rejected == {"leak": 1, "mismatch": 1}
    # fair0 written and checked; of good0 a leak, and a mismatch with its check; 7 of the reply bad0 was declined.
    assert summary.num_tokens == 20 + 30 + 7
    assert refused_lines(tmp_path) == [
        {"id": "bad0", "level": "bad", "rejected": [], "tokens": 7, "unanswered": True},
        {"id": "good0", "level": "good", "rejected": ["leak", "mismatch"], "tokens": 30, "unanswered": True},
    ]
    again, teacher = collect(tmp_path, num=1)
    assert sorted(teacher.asked) == ["bad0", "good0"]
    assert again.rejected == {"leak": 1, "mismatch": 1}
    assert (again.num_tokens, again.num_unanswered) == (57 + 40, 0)
    assert again.kept == {"bad": 1, "fair": 1, "good": 1}


def test_a_session_that_ends_writes_down_what_it_spent_on_rows_under_way(tmp_path: Path) -> None:
    # Every first attempt leaks and every second fails: ten tokens for each of the twenty rows until it gives up.
    def script(row_id: str, attempt: int) -> str:
        return "It has the given score" if attempt == 1 else "FAIL"

    with pytest.raises(TeacherFailed, match="20 rows in a row"):
        collect(tmp_path, script, num=10, max_concurrent=3)
    rows = refused_lines(tmp_path)
    assert len(rows) >= 20
    assert all((row["tokens"], row["rejected"], row["unanswered"]) == (10, ["leak"], True) for row in rows)


def test_replies_that_the_server_does_not_count_are_told_apart(tmp_path: Path) -> None:
    summary, _ = collect(tmp_path, num=1, is_metered=False)
    assert (summary.num_tokens, summary.num_unmetered) == (0, 6)
    again, _ = collect(tmp_path, num=2)
    assert (again.num_tokens, again.num_unmetered) == (60, 6)


def test_a_budget_that_nobody_counts_for_ends_the_session(tmp_path: Path) -> None:
    limits = Limits(num_per_level=None, max_total_tokens=60, max_attempts=3)
    with pytest.raises(ConfigError, match=r"critiques\.max_total_tokens=60 cannot be kept to.*set .*=null") as caught:
        collect(tmp_path, limits=limits, is_metered=False)
    assert len(caught.value.problems) == 1


class ScriptedChecker:
    """Reads every level rightly, and answers as told to pictures."""

    def __init__(self, verdict: str) -> None:
        self._verdict = verdict
        self.asked: list[Prompt] = []

    async def attempt(self, prompt: Prompt, *, attempt: int) -> TeacherReply:
        self.asked.append(prompt)
        level = prompt.prompt_id.rstrip("0123456789")
        text = self._verdict if any(True for _ in prompt.media()) else level
        return TeacherReply(text=text, num_prompt_tokens=4, num_completion_tokens=1)


def test_a_checker_of_its_own_reads_the_level_and_then_looks_at_the_picture(tmp_path: Path) -> None:
    checker = ScriptedChecker("Right.")
    summary, teacher = collect(tmp_path, lambda row_id, attempt: "Calm light", num=1, checker=checker)
    assert summary.kept == {"bad": 1, "fair": 1, "good": 1}
    assert len(teacher.asked) == 3
    assert summary.num_tokens == 3 * (10 + 5 + 5)
    of_one = [prompt for prompt in checker.asked if prompt.prompt_id == "good0"]
    assert [sum(1 for _ in prompt.media()) for prompt in of_one] == [0, 1]
    assert not any("4.60" in str(part) for prompt in of_one for part in prompt.messages[0].content)


@pytest.mark.parametrize("verdict", ["wrong", "right or wrong", "Not right.", ""])
def test_a_critique_is_not_kept_unless_the_checker_calls_it_right(verdict: str, tmp_path: Path) -> None:
    summary, _ = collect(tmp_path, lambda row_id, attempt: "Calm light", num=1, checker=ScriptedChecker(verdict))
    assert summary.kept == {"bad": 0, "fair": 0, "good": 0}
    assert summary.rejected == {"fact": 9}
