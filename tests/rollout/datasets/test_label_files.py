"""Lines of every published format, good and bad."""

import json
from pathlib import Path
from typing import get_args

import pytest

from conf.data import OpinionScoreConfig
from rollout.datasets.label_files import LABEL_FORMATS, read_labels
from rollout.datasets.label_rows import LabelRow
from rollout.datasets.label_tables import TABLES
from rollout.datasets.problems import Problem, ProblemKind


def _read(file: Path, label_format: str) -> tuple[list[LabelRow], list[Problem]]:
    return read_labels(file, label_format=label_format, called="the file")


def _row(label_format: str, line: str) -> LabelRow:
    return TABLES[label_format].parse(line, where="labels:1")


def _json_row(line: str, *, tmp_path: Path) -> LabelRow:
    (tmp_path / "labels").write_text(line)
    (row,), problems = _read(tmp_path / "labels", "visualquality_r1")
    assert problems == []
    return row


def _problem(tmp_path: Path, line: str, *, label_format: str = "kadid") -> tuple[ProblemKind, str, str]:
    file = tmp_path / "labels"
    file.write_text("\n" + line + "\n")
    rows, (problem,) = _read(file, label_format)
    assert rows == []
    return problem.kind, problem.where.removeprefix(f"{file}:"), problem.what


def _json_line(**changes: object) -> str:
    row: dict[str, object] = {
        "id": 1,
        "dataset_name": "KADID-10K",
        "image": ["a.png"],
        "conversations": [{"from": "human", "value": "<image>How good?"}, {"from": "gpt", "value": 4.5}],
    }
    return json.dumps({key: value for key, value in {**row, **changes}.items() if value != "absent"})


def _said(value: object) -> list[dict[str, object]]:
    return [{"from": "human", "value": ""}, {"from": "gpt", "value": value}]


def test_the_config_offers_the_formats_that_exist() -> None:
    for field in ("label_format", "test_label_format"):
        assert set(get_args(OpinionScoreConfig.model_fields[field].annotation)) == set(LABEL_FORMATS)


def test_a_kadid_line_has_a_reference_and_a_spread() -> None:
    row = _row("kadid", "I01.png I01_01_01.png 4.57 0.704")
    assert (row.content, row.media, row.label, row.std) == ("I01.png", "I01_01_01.png", 4.57, 0.704)


@pytest.mark.parametrize("label_format", ["agiqa", "koniq", "spaq", "livec"])
def test_a_line_without_reference_is_its_own_content(label_format: str) -> None:
    row = _row(label_format, "a.jpg 21.5 0.22")
    assert (row.content, row.media, row.label, row.std) == ("a.jpg", "a.jpg", 21.5, 0.22)


def test_a_bid_line_has_no_spread() -> None:
    row = _row("bid", "a.JPG 52.289")
    assert (row.content, row.media, row.label, row.std) == ("a.JPG", "a.JPG", 52.289, None)


@pytest.mark.parametrize("label_format", ["pipal", "tid2013", "csiq", "deblur", "cviu", "shrq", "dehaze", "sriqa"])
def test_a_reference_line_without_spread(label_format: str) -> None:
    row = _row(label_format, "ref.png dis.png 2.5")
    assert (row.content, row.media, row.label, row.std) == ("ref.png", "dis.png", 2.5, None)


@pytest.mark.parametrize("image", ["a.png", ["a.png"]])
def test_a_json_image_may_be_text_or_a_list_of_one(image: str | list[str], tmp_path: Path) -> None:
    assert _json_row(_json_line(image=image), tmp_path=tmp_path).media == "a.png"


@pytest.mark.parametrize("value", [4.5, "4.5", " 4.50 ", "<answer> 4.5 </answer>"])
def test_a_json_label_may_be_a_number_or_tagged_text(value: object, tmp_path: Path) -> None:
    assert _json_row(_json_line(conversations=_said(value)), tmp_path=tmp_path).label == 4.5


def test_a_json_label_may_be_whole(tmp_path: Path) -> None:
    assert _json_row(_json_line(conversations=_said(4)), tmp_path=tmp_path).label == 4.0


def test_the_image_mark_is_taken_out_of_the_question(tmp_path: Path) -> None:
    assert _json_row(_json_line(), tmp_path=tmp_path).question == "How good?"


def test_a_json_row_keeps_its_data_set_and_id(tmp_path: Path) -> None:
    row = _json_row(_json_line(id=7, accu_reward_method="scoring"), tmp_path=tmp_path)
    assert (row.dataset_name, row.row_id) == ("KADID-10K", 7)


@pytest.mark.parametrize("line", ["a.png b.png 4.5", "a.png b.png 4.5 0.1 x", "ref.png,dis.png,4.5,0.1"])
def test_a_wrong_number_of_columns_names_the_columns(line: str, tmp_path: Path) -> None:
    kind, where, what = _problem(tmp_path, line)
    assert (kind, where) == ("columns", "2")
    assert what.startswith("expected 4 columns (reference image score std), found")


@pytest.mark.parametrize("score", ["good", "nan", "inf", "-inf", "1e999", "1_0", "4,5", "0x10"])
def test_a_score_that_is_no_finite_number_is_a_problem(score: str, tmp_path: Path) -> None:
    kind, where, what = _problem(tmp_path, f"r.png a.png {score} 0.1")
    assert (kind, where, what) == ("number", "2", f"score {score!r} is not a finite number")


def test_a_negative_spread_is_a_problem(tmp_path: Path) -> None:
    assert _problem(tmp_path, "r.png a.png 3.0 -0.1")[0] == "number"


@pytest.mark.parametrize("value", ["good", "", "<answer></answer>", "4/5", float("nan"), float("inf")])
def test_a_json_label_that_is_no_finite_number_is_a_problem(value: object, tmp_path: Path) -> None:
    line = _json_line(conversations=_said(value))
    assert _problem(tmp_path, line, label_format="visualquality_r1")[:2] == ("number", "2")


@pytest.mark.parametrize("name", ["absent", "", None, 3])
def test_a_json_row_without_data_set_name_is_a_problem(name: object, tmp_path: Path) -> None:
    line = _json_line(dataset_name=name)
    assert _problem(tmp_path, line, label_format="visualquality_r1")[:2] == ("dataset_name", "2")


@pytest.mark.parametrize("line", ['{"id": 1,', "a.png 3.0", "7", '"text"'])
def test_a_line_that_is_no_json_is_a_problem(line: str, tmp_path: Path) -> None:
    assert _problem(tmp_path, line, label_format="visualquality_r1")[:2] == ("json", "2")


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"image": []}, "image"),
        ({"image": ["a.png", "b.png"]}, "image"),
        ({"image": "absent"}, "image"),
        ({"image": ""}, "image"),
        ({"conversations": "absent"}, "conversations"),
        ({"conversations": []}, "'gpt'"),
        ({"conversations": [{"from": "gpt", "value": 3.0}]}, "'human'"),
        ({"conversations": _said(None)}, "conversations.1.value"),
        ({"conversations": _said(True)}, "conversations.1.value"),
        ({"conversations": [*_said(3.0), *_said(3.0)]}, "'gpt'"),
        ({"conversations": [{"from": "system", "value": "x"}]}, "conversations.0.from"),
        ({"id": 1.5}, "id"),
    ],
)
def test_a_json_row_with_a_wrong_field_names_it(changes: dict[str, object], named: str, tmp_path: Path) -> None:
    kind, where, what = _problem(tmp_path, _json_line(**changes), label_format="visualquality_r1")
    assert (kind, where) == ("field", "2")
    assert named in what


def test_a_line_that_is_not_utf_8_is_a_problem(tmp_path: Path) -> None:
    file = tmp_path / "labels"
    file.write_bytes(b"r.png a.png 3.0 0.1\nr.png \xff.png 3.0 0.1\n")
    rows, (problem,) = _read(file, "kadid")
    assert ([row.media for row in rows], problem.kind, problem.where) == (["a.png"], "encoding", f"{file}:2")


@pytest.mark.parametrize("content", ["", "\n \n\r\n"])
def test_a_file_without_rows_is_a_problem(content: str, tmp_path: Path) -> None:
    file = tmp_path / "labels"
    file.write_text(content)
    rows, (problem,) = _read(file, "kadid")
    assert (rows, problem.kind, problem.where) == ([], "empty_file", str(file))


def test_a_missing_file_is_a_problem(tmp_path: Path) -> None:
    rows, (problem,) = _read(tmp_path / "gone.txt", "kadid")
    assert (rows, problem.kind, problem.where) == ([], "missing_file", str(tmp_path / "gone.txt"))


def test_windows_line_ends_and_a_byte_order_mark_do_no_harm(tmp_path: Path) -> None:
    file = tmp_path / "labels"
    file.write_bytes(b"\xef\xbb\xbfr.png a.png 3.0 0.1\r\nr.png b.png 4.0 0.1\r\n")
    rows, problems = _read(file, "kadid")
    assert ([row.content for row in rows], problems) == (["r.png", "r.png"], [])


def test_an_unknown_format_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"label_format='ava' is unknown; known: plain, visualquality_r1, aes_r1"):
        _read(tmp_path / "labels", "ava")


def test_a_file_of_objects_may_be_one_list_whatever_its_name(tmp_path: Path) -> None:
    file = tmp_path / "labels.jsonl"
    file.write_text(f"\n[{_json_line(id=1)},\n {_json_line(id=2)}]\n")
    rows, problems = _read(file, "visualquality_r1")
    assert ([row.row_id for row in rows], [row.where for row in rows]) == ([1, 2], [f"{file}[0]", f"{file}[1]"])
    assert problems == []


def test_a_wrong_item_of_a_list_is_named_by_its_place(tmp_path: Path) -> None:
    file = tmp_path / "labels.json"
    file.write_text(f"[{_json_line()}, 7, {_json_line(image=[])}]")
    rows, problems = _read(file, "visualquality_r1")
    assert len(rows) == 1
    assert [(problem.kind, problem.where) for problem in problems] == [("json", f"{file}[1]"), ("field", f"{file}[2]")]


def test_a_torn_list_is_one_problem(tmp_path: Path) -> None:
    (tmp_path / "labels.json").write_text(f"[{_json_line()},")
    rows, (problem,) = _read(tmp_path / "labels.json", "visualquality_r1")
    assert (rows, problem.kind) == ([], "json")
