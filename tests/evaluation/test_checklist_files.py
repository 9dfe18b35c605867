"""Answer files, labelled pairs, and two scores next to each other."""

import json
from pathlib import Path

import pytest

from evaluation.checklist.labels import read_labelled_pairs
from evaluation.checklist.rows import AnsweredItem, asked_part, describe_answers, holds_answers, read_answer_files
from evaluation.checklist.score_files import compared
from rewards.checklist.answers import NO, YES, Answer
from rewards.checklist.scoring import ItemScore, score_answers
from rewards.checklist.weights import Weights
from rollout.checklist.load import look_up
from tests.rewards.checklists import make_checklist

SMALL = make_checklist({"a": {"x": 1, "y": 1}, "b": {"z": 2}})
WEIGHTS = Weights(by_id={"a.x.1": 1.0, "a.y.1": 2.0, "b.z.1": 4.0, "b.z.2": 8.0})


def score(letters: str) -> ItemScore:
    words = {"Y": YES, "N": NO, "?": Answer(status="unknown")}
    answers = {one: words[letter] for one, letter in zip(SMALL.ids, letters, strict=True)}
    return score_answers(answers, checklist=SMALL, weights=WEIGHTS)


def told(first: str, second: str) -> list[list[str]]:
    return [line.split() for line in compared(("A", score(first)), ("B", score(second)), scale="paper")]


def test_a_comparison_tells_totals_dimensions_and_the_questions_that_differ() -> None:
    assert told("YNYY", "NYYY") == [
        ["A", "B", "A", "-", "B"],
        ["paper", "13.0000", "14.0000", "-1.0000"],
        ["a", "1.0000", "2.0000", "-1.0000"],
        ["b", "12.0000", "12.0000", "0.0000"],
        ["a.y.1", "-2.0000"],
        ["a.x.1", "+1.0000"],
        ["B", "is", "better", "by", "1.0000"],
    ]


def test_items_without_a_score_are_named_and_equal_ones_tie() -> None:
    assert told("YNY?", "NYYY")[-1] == ["cannot", "be", "compared,", "no", "score:", "A"]
    assert told("YNYY", "YNYY")[-1] == ["the", "same", "score"]


def write(path: Path, *rows: object) -> Path:
    path.write_text("".join(f"{json.dumps(row)}\n" for row in rows))
    return path


def read(path: Path) -> list[AnsweredItem]:
    return list(read_answer_files([path], checklist=SMALL))


def test_answers_of_any_program_are_read(tmp_path: Path) -> None:
    rows = ({"path": "a.png", "answers": {"a.x.1": "Yes.", "a.y.1": 0.25}, "by": "me"}, {"id": 7, "answers": {}})
    first, second = read(write(tmp_path / "answers.jsonl", *rows))
    assert (first.item_id, first.path, first.prompt) == ("a.png", "a.png", None)
    assert [one.p_yes for one in first.answers.values()] == [1.0, 0.25]
    assert (second.item_id, second.path, second.place) == ("7", "7", f"{tmp_path / 'answers.jsonl'}:2")


@pytest.mark.parametrize(
    ("row", "problem"),
    [
        ({"answers": {}}, ":2: expected an id or a path"),
        ({"id": "a", "answers": {}}, ":2: id 'a' comes a second time"),
        ({"id": "b"}, ":2: expected .*answers: Field required"),
        ({"id": "b", "answers": {"a.x.1": 3}}, ":2: expected yes, no, .* got 3"),
        ({"id": "b", "answers": {}, "checklist": "small", "version": 2}, ":2: answers to checklist small version 2"),
        ({"id": "b", "answers": {}, "checklist": "big", "version": 1}, "are those of small version 1"),
    ],
)
def test_a_line_that_is_none_is_named(tmp_path: Path, row: object, problem: str) -> None:
    path = write(tmp_path / "answers.jsonl", {"id": "a", "answers": {}}, row)
    with pytest.raises(ValueError, match=problem):
        read(path)


def test_answers_are_told_from_lists_of_media(tmp_path: Path) -> None:
    assert holds_answers(write(tmp_path / "answers.jsonl", {"id": "a", "answers": {}}))
    assert not holds_answers(write(tmp_path / "list.jsonl", {"path": "a.png"}))
    assert not holds_answers(write(tmp_path / "numbers.jsonl", 3))
    assert not holds_answers(tmp_path / "gone.jsonl")


def test_questions_that_quote_the_prompt_count_if_one_was_answered(tmp_path: Path) -> None:
    image = look_up("image")
    about_prompt = next(one.id for one in image.asked if one.needs_prompt)
    without = write(tmp_path / "without.jsonl", {"id": "a", "answers": {}})
    with_one = write(tmp_path / "with.jsonl", {"id": "b", "answers": {about_prompt: "no"}})
    assert asked_part([without], checklist=image) == image.without_prompt()
    assert asked_part([without, with_one], checklist=image) == image


def test_the_counts_of_a_file_are_told_and_a_judge_that_means_neither_word(tmp_path: Path) -> None:
    row = {
        "id": "a", "answers": {"a.x.1": 0.5, "a.y.1": "well", "b.z.1": None}, "mass": {"a.x.1": 0.2, "a.y.1": 0.4},
        "num_tokens": 200, "num_computed_tokens": 50, "cut": True,
    }  # fmt: skip
    assert list(describe_answers(write(tmp_path / "answers.jsonl", row))) == [
        "answers 3 about 1 items: 1 failed, 1 ok, 1 unknown",
        "yes and no had 30.0 % of the probability, 20.0 % at least; this judge hardly means to answer with them",
        "prompt tokens 200, computed 50 (25.0 %)",
        "videos that go on where their shown frames end: 1 (benchmark.video.max_frames)",
    ]


def item(name: str, *, prompt: str | None) -> AnsweredItem:
    return AnsweredItem(item_id=name, path=name, prompt=prompt, answers={name: YES}, place=name)


ITEMS = {name: item(name, prompt=prompt) for name, prompt in (("a", "cat"), ("b", "cat"), ("c", "dog"), ("d", None))}


def test_pairs_are_grouped_by_their_prompt_or_as_they_say(tmp_path: Path) -> None:
    rows = (
        {"first": "a", "second": "b", "better": "tie"},
        {"first": "c", "second": "d", "better": "first", "group": "g"},
    )
    pairs = list(read_labelled_pairs(write(tmp_path / "pairs.jsonl", *rows), items=ITEMS))
    assert [(pair.cluster, pair.better) for pair in pairs] == [("cat", "tie"), ("g", "first")]
    assert [list(pair.second) for pair in pairs] == [["b"], ["d"]]


@pytest.mark.parametrize(
    ("row", "problem"),
    [
        ({"first": "a", "second": "c", "better": "first"}, ":1: nothing says which pairs belong together; add group"),
        ({"first": "d", "second": "d", "better": "first"}, ":1: nothing says"),
        ({"first": "a", "second": "e", "better": "first"}, ":1: 'e' has no answers"),
        ({"first": "a", "second": "b", "better": "left"}, ":1: expected .*better: Input should be"),
    ],
)
def test_a_pair_that_is_none_is_named(tmp_path: Path, row: object, problem: str) -> None:
    with pytest.raises(ValueError, match=problem):
        list(read_labelled_pairs(write(tmp_path / "pairs.jsonl", row), items=ITEMS))
