"""JSON label formats, read and written: nothing is lost, and only what was changed is changed."""

import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from rollout.datasets.label_files import LABEL_FORMATS, PLAIN, read_labels, written_labels
from rollout.datasets.label_objects import PUBLISHED_OBJECTS, named_scale
from rollout.datasets.label_rows import LabelRow
from rollout.datasets.normalise import LinearMap
from rollout.datasets.problems import Problem, RowError
from rollout.datasets.questions import rating_question
from rollout.types import Scale

Fields = dict[str, Any]
ONE_TO_FIVE = Scale(minimum=1.0, maximum=5.0)
PERCENT = Scale(minimum=0.0, maximum=100.0)
TO_FIVE = LinearMap(given=PERCENT, target=ONE_TO_FIVE, higher_is_better=True)


def _visualquality_r1(**changes: object) -> Fields:
    said = [{"from": "human", "value": rating_question(ONE_TO_FIVE)}, {"from": "gpt", "value": 4.5}]
    row: Fields = {"id": 1, "dataset_name": "mine", "image": ["a.png"], "conversations": said}
    return row | changes


def _aes_r1(**changes: object) -> Fields:
    said = [{"role": "user", "content": "\nHow beautiful is <image> ?"}, {"role": "assistant", "content": "0.80"}]
    row: Fields = {"messages": said, "images": "a.png"}
    return row | changes


ODD_ROWS: list[tuple[str, Fields]] = [
    ("visualquality_r1", _visualquality_r1()),
    ("visualquality_r1", _visualquality_r1(id="x7", image="b/a.png", accu_reward_method="scoring")),
    ("visualquality_r1", {key: value for key, value in _visualquality_r1().items() if key != "id"}),
    (
        "visualquality_r1",
        _visualquality_r1(
            conversations=[
                {"from": "gpt", "value": "<answer> 3.10 </answer>", "weight": 2},
                {"from": "human", "value": "<image>How good?"},
            ]
        ),
    ),
    (
        "visualquality_r1",
        _visualquality_r1(conversations=[{"from": "human", "value": ""}, {"from": "gpt", "value": 4}]),
    ),
    ("aes_r1", _aes_r1()),
    ("aes_r1", _aes_r1(dataset_name=None, id=None)),
    ("aes_r1", _aes_r1(images=["a.png"], id=3, dataset_name="AVA", nested={"kept": [1, None]})),
    (
        "aes_r1",
        _aes_r1(
            messages=[
                {"role": "system", "content": "You are a helpful assistant."},
                {"role": "user", "content": "<image>Rate it."},
                {"role": "assistant", "content": 0.25},
            ]
        ),
    ),
    ("refine_iqa", {"image": "koniq/1.jpg", "solution": 4.400806947958697, "question": "?", "type": "scoring_image"}),
    ("refine_iqa", {"video": "v/1.mp4", "solution": 5.0, "question": rating_question(ONE_TO_FIVE), "type": "x"}),
]


def _read(rows: list[Fields], label_format: str, *, tmp_path: Path) -> list[LabelRow]:
    (tmp_path / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    read, problems = read_labels(tmp_path / "rows.jsonl", label_format=label_format, called="the file")
    assert problems == []
    return read


def _written(rows: list[LabelRow], label_format: str) -> list[Fields]:
    written = written_labels(rows, label_format=label_format, as_list=True)
    assert written.problems == ()
    fields: list[Fields] = json.loads(written.text)
    return fields


def _plain(fields: Mapping[str, object]) -> LabelRow:
    return PLAIN.parse(fields, where="labels:1")


@pytest.mark.parametrize(("label_format", "fields"), ODD_ROWS)
def test_an_object_comes_back_whole(label_format: str, fields: Fields, tmp_path: Path) -> None:
    assert _written(_read([fields], label_format, tmp_path=tmp_path), label_format) == [fields]


@pytest.mark.parametrize(("label_format", "fields"), ODD_ROWS)
def test_an_object_comes_back_whole_through_a_plain_row(label_format: str, fields: Fields, tmp_path: Path) -> None:
    plain = _written(_read([fields], label_format, tmp_path=tmp_path), "plain")
    assert _written(_read(plain, "plain", tmp_path=tmp_path), label_format) == [fields]


def test_a_usual_row_needs_no_copy_of_its_object_in_a_plain_row(tmp_path: Path) -> None:
    (row,) = _read([_visualquality_r1()], "visualquality_r1", tmp_path=tmp_path)
    (plain,) = _written([replace(row, scale=ONE_TO_FIVE)], "plain")
    assert plain == {"id": 1, "image": "a.png", "score": 4.5, "dataset": "mine", "scale": [1.0, 5.0]}


@pytest.mark.parametrize(
    ("before", "after"), [(4.5, 1.18), ("4.5", "1.18"), ("<answer>4.5</answer>", "<answer>1.18</answer>")]
)
def test_a_changed_label_keeps_the_form_of_the_old_one(before: object, after: object, tmp_path: Path) -> None:
    said = [{"from": "human", "value": ""}, {"from": "gpt", "value": before}]
    (row,) = _read([_visualquality_r1(conversations=said, extra=1)], "visualquality_r1", tmp_path=tmp_path)
    (fields,) = _written([replace(TO_FIVE.row(row), scale=None)], "visualquality_r1")
    assert fields == _visualquality_r1(conversations=[said[0], {"from": "gpt", "value": after}], extra=1)


def test_a_question_in_old_numbers_gets_the_new_ones(tmp_path: Path) -> None:
    said = [{"from": "human", "value": rating_question(PERCENT)}, {"from": "gpt", "value": 75.0}]
    (row,) = _read([_visualquality_r1(conversations=said)], "visualquality_r1", tmp_path=tmp_path)
    (fields,) = _written([TO_FIVE.row(row)], "visualquality_r1")
    assert [turn["value"] for turn in fields["conversations"]] == [rating_question(ONE_TO_FIVE), 4.0]


def test_a_question_without_numbers_stays(tmp_path: Path) -> None:
    (row,) = _read([_aes_r1()], "aes_r1", tmp_path=tmp_path)
    (fields,) = _written([TO_FIVE.row(row)], "aes_r1")
    assert fields["messages"][0] == _aes_r1()["messages"][0]


def test_a_new_name_of_the_data_set_is_written_down(tmp_path: Path) -> None:
    (row,) = _read([_aes_r1()], "aes_r1", tmp_path=tmp_path)
    assert _written([replace(row, dataset_name="AVA")], "aes_r1") == [_aes_r1(dataset_name="AVA")]


def _bare(**changes: object) -> LabelRow:
    row = LabelRow(where="labels:1", media="a.png", label=0.25, content="a.png", dataset_name="AVA")
    return replace(row, **changes)  # type: ignore[arg-type]  # names of fields


def test_a_row_from_elsewhere_asks_the_question_of_its_format() -> None:
    (aes,) = _written([_bare(scale=Scale(minimum=0.0, maximum=1.0))], "aes_r1")
    user, assistant = aes["messages"]
    assert user["content"].count("<image>") == 1
    assert named_scale(user["content"]) == Scale(minimum=0.0, maximum=1.0)
    assert (assistant["content"], aes["images"], aes["dataset_name"]) == ("0.25", "a.png", "AVA")


def test_a_row_from_elsewhere_without_a_scale_asks_nothing() -> None:
    (fields,) = _written([_bare(row_id=4)], "visualquality_r1")
    said = [{"from": "human", "value": ""}, {"from": "gpt", "value": 0.25}]
    assert fields == {"id": 4, "dataset_name": "AVA", "image": ["a.png"], "conversations": said}


@pytest.mark.parametrize("label_format", ["visualquality_r1", "aes_r1", "kadid"])
def test_a_video_has_no_place_among_pictures(label_format: str) -> None:
    row = _bare(kind="video", media="a.mp4", std=0.1, dataset_name="KADID-10K")
    assert [problem.kind for problem in written_labels([row], label_format=label_format, as_list=False).problems] == [
        "field"
    ]


def test_what_a_format_has_no_place_for_is_counted() -> None:
    rows = [_bare(std=0.5, content="roof", row_id=1), _bare(std=0.5)]
    written = written_labels(rows, label_format="visualquality_r1", as_list=False)
    assert written.left_out == {"std": 2, "content": 1}


@pytest.mark.parametrize(
    ("changes", "kind"),
    [
        ({"dataset_name": "AVA", "std": 0.5}, "dataset_name"),
        ({"dataset_name": "KADID-10K"}, "columns"),
        ({"dataset_name": "KADID-10K", "std": 0.5, "media": "a b.png"}, "columns"),
    ],
)
def test_a_row_that_does_not_fit_a_table_is_a_problem(changes: Fields, kind: str) -> None:
    written = written_labels([_bare(**changes)], label_format="kadid", as_list=False)
    assert [problem.kind for problem in written.problems] == [kind]
    assert written.text == ""


def test_a_table_is_no_list() -> None:
    with pytest.raises(ValueError, match="kadid is a table, which cannot be a JSON list"):
        written_labels([], label_format="kadid", as_list=True)


def test_a_plain_row_has_a_field_for_everything() -> None:
    fields = {
        "id": 3, "video": "clips/3.mp4", "score": 61.5, "std": 8.2, "dataset": "clips", "content": "street",
        "scale": [0, 100],
    }  # fmt: skip
    row = _plain(fields)
    assert (row.media, row.kind, row.label, row.std) == ("clips/3.mp4", "video", 61.5, 8.2)
    assert (row.key, row.scene, row.row_id, row.scale) == (("clips", "clips/3.mp4"), ("clips", "street"), 3, PERCENT)
    assert _written([row], "plain") == [fields]


@pytest.mark.parametrize(
    ("fields", "kind", "named"),
    [
        ({"image": "a.png"}, "field", "score"),
        ({"score": 3.0}, "field", "exactly one of image and video"),
        ({"image": "a.png", "video": "a.mp4", "score": 3.0}, "field", "exactly one of image and video"),
        ({"image": "a.png", "score": 3.0, "stdd": 0.1}, "field", "stdd"),
        ({"image": "a.png", "score": 3.0, "std": -0.1}, "number", "negative"),
        ({"image": "a.png", "score": float("nan")}, "number", "not a finite number"),
        ({"image": "a.png", "score": 3.0, "scale": [5, 1]}, "field", "[lowest, highest]"),
        ({"image": "a.png", "score": 3.0, "original": {"format": "ava", "row": {}}}, "field", "'ava' is not one of"),
        ({"image": "a.png", "score": "3.0"}, "field", "score"),
    ],
)
def test_a_wrong_plain_row_names_what_is_wrong(fields: Fields, kind: str, named: str) -> None:
    with pytest.raises(RowError) as caught:
        _plain(fields)
    assert caught.value.kind == kind
    assert named in caught.value.what


@pytest.mark.parametrize("fields", [_aes_r1(images=[]), _aes_r1(messages=[]), {"images": "a.png"}])
def test_a_wrong_aes_row_is_a_problem(fields: Fields, tmp_path: Path) -> None:
    (tmp_path / "rows.jsonl").write_text(json.dumps(fields))
    rows, problems = read_labels(tmp_path / "rows.jsonl", label_format="aes_r1", called="the file")
    assert (rows, [type(problem) for problem in problems]) == ([], [Problem])


@pytest.mark.parametrize(
    ("question", "bounds"),
    [
        (rating_question(ONE_TO_FIVE), (1.0, 5.0)),
        ("a float between 0 and 1, rounded", (0.0, 1.0)),
        ("a float between -2.5 and 2.5, rounded", (-2.5, 2.5)),
        ("a float between 5 and 1, rounded", None),
        ("How good?", None),
        (None, None),
    ],
)
def test_a_question_may_name_its_scale(question: str | None, bounds: tuple[float, float] | None) -> None:
    assert named_scale(question) == (None if bounds is None else Scale(minimum=bounds[0], maximum=bounds[1]))


def test_every_published_object_format_is_a_label_format() -> None:
    assert {"plain", *PUBLISHED_OBJECTS} <= set(LABEL_FORMATS)
