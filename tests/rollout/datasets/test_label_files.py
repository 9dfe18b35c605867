"""Lines of every published format, good and bad, and the published files themselves."""

import json
from pathlib import Path
from typing import get_args

import pytest

from conf.data import OpinionScoreConfig
from rollout.datasets.label_files import LABEL_FORMATS, LabelRow, read_labels
from rollout.datasets.problems import ProblemKind

PUBLISHED = Path(__file__).parents[3] / "../shared/data/visualquality_r1"


def _published(name: str) -> Path:
    file = PUBLISHED / name
    if not file.is_file():
        pytest.skip(f"the published label file {name} is not at hand")
    return file


def _row(label_format: str, line: str) -> LabelRow:
    return LABEL_FORMATS[label_format].parse(line, where="labels:1")


def _problem(tmp_path: Path, line: str, *, label_format: str = "kadid") -> tuple[ProblemKind, str, str]:
    file = tmp_path / "labels"
    file.write_text("\n" + line + "\n")
    rows, (problem,) = read_labels(file, label_format=label_format, split="train")
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
    assert (row.content, row.image, row.label, row.std) == ("I01.png", "I01_01_01.png", 4.57, 0.704)


@pytest.mark.parametrize("label_format", ["agiqa", "koniq", "spaq", "livec"])
def test_a_line_without_reference_is_its_own_content(label_format: str) -> None:
    row = _row(label_format, "a.jpg 21.5 0.22")
    assert (row.content, row.image, row.label, row.std) == ("a.jpg", "a.jpg", 21.5, 0.22)


def test_a_bid_line_has_no_spread() -> None:
    row = _row("bid", "a.JPG 52.289")
    assert (row.content, row.image, row.label, row.std) == ("a.JPG", "a.JPG", 52.289, None)


@pytest.mark.parametrize("label_format", ["pipal", "tid2013", "csiq", "deblur", "cviu", "shrq", "dehaze", "sriqa"])
def test_a_reference_line_without_spread(label_format: str) -> None:
    row = _row(label_format, "ref.png dis.png 2.5")
    assert (row.content, row.image, row.label, row.std) == ("ref.png", "dis.png", 2.5, None)


@pytest.mark.parametrize("image", ["a.png", ["a.png"]])
def test_a_json_image_may_be_text_or_a_list_of_one(image: str | list[str]) -> None:
    assert _row("visualquality_r1", _json_line(image=image)).image == "a.png"


@pytest.mark.parametrize("value", [4.5, "4.5", " 4.50 ", "<answer> 4.5 </answer>"])
def test_a_json_label_may_be_a_number_or_tagged_text(value: object) -> None:
    assert _row("visualquality_r1", _json_line(conversations=_said(value))).label == 4.5


def test_a_json_label_may_be_whole() -> None:
    assert _row("visualquality_r1", _json_line(conversations=_said(4))).label == 4.0


def test_the_image_mark_is_taken_out_of_the_question() -> None:
    assert _row("visualquality_r1", _json_line()).question == "How good?"


def test_a_json_row_keeps_its_data_set_and_id() -> None:
    row = _row("visualquality_r1", _json_line(id=7, accu_reward_method="scoring"))
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


@pytest.mark.parametrize("line", ['{"id": 1,', "a.png 3.0"])
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
    rows, (problem,) = read_labels(file, label_format="kadid", split="train")
    assert ([row.image for row in rows], problem.kind, problem.where) == (["a.png"], "encoding", f"{file}:2")


@pytest.mark.parametrize("content", ["", "\n \n\r\n"])
def test_a_file_without_rows_is_a_problem(content: str, tmp_path: Path) -> None:
    file = tmp_path / "labels"
    file.write_text(content)
    rows, (problem,) = read_labels(file, label_format="kadid", split="train")
    assert (rows, problem.kind, problem.where) == ([], "empty_file", str(file))


def test_a_missing_file_is_a_problem(tmp_path: Path) -> None:
    rows, (problem,) = read_labels(tmp_path / "gone.txt", label_format="kadid", split="train")
    assert (rows, problem.kind, problem.where) == ([], "missing_file", str(tmp_path / "gone.txt"))


def test_windows_line_ends_and_a_byte_order_mark_do_no_harm(tmp_path: Path) -> None:
    file = tmp_path / "labels"
    file.write_bytes(b"\xef\xbb\xbfr.png a.png 3.0 0.1\r\nr.png b.png 4.0 0.1\r\n")
    rows, problems = read_labels(file, label_format="kadid", split="train")
    assert ([row.content for row in rows], problems) == (["r.png", "r.png"], [])


def test_an_unknown_format_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"label_format='ava' is unknown; known: visualquality_r1, kadid"):
        read_labels(tmp_path / "labels", label_format="ava", split="train")


@pytest.mark.parametrize(
    ("name", "label_format", "num_rows", "lowest", "highest"),
    [
        ("AGIQA-3K_test_all.txt", "agiqa", 2982, 0.0, 100.0),
        ("BID_test_all.txt", "bid", 586, 0.0, 100.0),
        ("SRIQA-Bench_test_all.txt", "sriqa", 1100, 0.0, 100.0),
        ("KADID-10K_val_set.txt", "kadid", 2000, 1.03, 4.90),
    ],
)
def test_a_published_file_has_its_rows_and_range(
    name: str, label_format: str, num_rows: int, lowest: float, highest: float
) -> None:
    rows, problems = read_labels(_published(name), label_format=label_format, split="train")
    labels = [row.label for row in rows]
    assert (len(rows), problems) == (num_rows, [])
    assert (round(min(labels), 2), round(max(labels), 2)) == (lowest, highest)


@pytest.mark.parametrize(
    ("name", "label_format", "first"),
    [
        ("AGIQA-3K_test_all.txt", "agiqa", ("AttnGAN_normal_000.jpg", 21.511657711264263, 0.223270101)),
        ("BID_test_all.txt", "bid", ("DatabaseImage0190.JPG", 52.28900832768076, None)),
        ("SRIQA-Bench_test_all.txt", "sriqa", ("online50_SeeSRx4.png", 100.00000000000001, None)),
        ("KADID-10K_val_set.txt", "kadid", ("I07_01_01.png", 4.56234096692112, 0.7071067811865476)),
        ("KADID-10K_mos.first2000.txt", "kadid", ("I01_01_01.png", 4.57, 0.7042726744663603)),
        (
            "RL-KADID-10K_train_scoring.first200.jsonl",
            "visualquality_r1",
            ("I01_01_01.png", 4.633587786259543, None),
        ),
    ],
)
def test_the_first_row_of_a_published_file(
    name: str, label_format: str, first: tuple[str, float, float | None]
) -> None:
    rows, _ = read_labels(_published(name), label_format=label_format, split="train")
    assert (rows[0].image, rows[0].label, rows[0].std) == first


def test_the_published_kadid_jsonl_names_its_data_set_in_every_row() -> None:
    rows, problems = read_labels(
        _published("RL-KADID-10K_train_scoring.first200.jsonl"), label_format="visualquality_r1", split="train"
    )
    assert (len(rows), problems, {row.dataset_name for row in rows}) == (200, [], {"KADID-10K"})


@pytest.mark.parametrize(
    ("name", "label_format", "num_contents"),
    [("SRIQA-Bench_test_all.txt", "sriqa", 100), ("KADID-10K_val_set.txt", "kadid", 16)],
)
def test_a_published_file_has_its_number_of_scenes(name: str, label_format: str, num_contents: int) -> None:
    rows, _ = read_labels(_published(name), label_format=label_format, split="train")
    assert len({row.content for row in rows}) == num_contents
