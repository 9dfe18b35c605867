"""What is known of the published label files, checked on those at hand; and that writing them loses nothing."""

import json
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from rollout.datasets.label_files import read_labels, written_labels
from rollout.datasets.label_rows import LabelRow
from rollout.datasets.normalise import LinearMap
from rollout.types import Scale
from tests.rollout.datasets.published import published

ONE_TO_FIVE = Scale(minimum=1.0, maximum=5.0)
KADID_RAW = Scale(minimum=1.0, maximum=4.93)
KADID_JSONL = "RL-KADID-10K_train_scoring.first200.jsonl"


def _rows(name: str, label_format: str) -> list[LabelRow]:
    rows, problems = read_labels(published(name), label_format=label_format, called="the file")
    assert problems == []
    return rows


@pytest.mark.parametrize(
    ("name", "label_format", "num_rows", "lowest", "highest"),
    [
        ("AGIQA-3K_test_all.txt", "agiqa", 2982, 0.0, 100.0),
        ("BID_test_all.txt", "bid", 586, 0.0, 100.0),
        ("SRIQA-Bench_test_all.txt", "sriqa", 1100, 0.0, 100.0),
        ("KADID-10K_val_set.txt", "kadid", 2000, 1.03, 4.90),
        ("KADID-10K_mos.first2000.txt", "kadid", 2000, 1.0, 4.9),
    ],
)
def test_a_published_file_has_its_rows_and_range(
    name: str, label_format: str, num_rows: int, lowest: float, highest: float
) -> None:
    labels = [row.label for row in _rows(name, label_format)]
    assert (len(labels), round(min(labels), 2), round(max(labels), 2)) == (num_rows, lowest, highest)


@pytest.mark.parametrize(
    ("name", "label_format", "first"),
    [
        ("AGIQA-3K_test_all.txt", "agiqa", ("AttnGAN_normal_000.jpg", 21.511657711264263, 0.223270101)),
        ("BID_test_all.txt", "bid", ("DatabaseImage0190.JPG", 52.28900832768076, None)),
        ("SRIQA-Bench_test_all.txt", "sriqa", ("online50_SeeSRx4.png", 100.00000000000001, None)),
        ("KADID-10K_val_set.txt", "kadid", ("I07_01_01.png", 4.56234096692112, 0.7071067811865476)),
        ("KADID-10K_mos.first2000.txt", "kadid", ("I01_01_01.png", 4.57, 0.7042726744663603)),
        (KADID_JSONL, "visualquality_r1", ("I01_01_01.png", 4.633587786259543, None)),
    ],
)
def test_the_first_row_of_a_published_file(
    name: str, label_format: str, first: tuple[str, float, float | None]
) -> None:
    row = _rows(name, label_format)[0]
    assert (row.media, row.label, row.std) == first


@pytest.mark.parametrize(
    ("name", "label_format", "num_contents"),
    [
        ("SRIQA-Bench_test_all.txt", "sriqa", 100),
        ("KADID-10K_val_set.txt", "kadid", 16),
        ("KADID-10K_mos.first2000.txt", "kadid", 16),
        ("AGIQA-3K_test_all.txt", "agiqa", 2982),
    ],
)
def test_a_published_file_has_its_number_of_scenes(name: str, label_format: str, num_contents: int) -> None:
    assert len({row.scene for row in _rows(name, label_format)}) == num_contents


def test_sriqa_spans_its_whole_range_within_each_scene() -> None:
    by_content: dict[str, list[float]] = {}
    for row in _rows("SRIQA-Bench_test_all.txt", "sriqa"):
        by_content.setdefault(row.content, []).append(row.label)
    assert {len(labels) for labels in by_content.values()} == {11}
    assert np.allclose([(min(labels), max(labels)) for labels in by_content.values()], (0.0, 100.0))


def test_the_published_kadid_jsonl_names_its_data_set_and_asks_the_published_question() -> None:
    rows = _rows(KADID_JSONL, "visualquality_r1")
    assert ({row.dataset_name for row in rows}, len({row.question for row in rows})) == ({"KADID-10K"}, 1)
    assert [row.row_id for row in rows] == list(range(1, 201))


def test_the_raw_kadid_labels_on_1_to_5_are_those_of_the_published_jsonl() -> None:
    to_five = LinearMap(given=KADID_RAW, target=ONE_TO_FIVE, higher_is_better=True)
    raw = {row.media: row for row in _rows("KADID-10K_mos.first2000.txt", "kadid")}
    published_rows = _rows(KADID_JSONL, "visualquality_r1")
    assert [to_five.label(raw[row.media].label) for row in published_rows] == [row.label for row in published_rows]


def test_the_published_validation_set_copies_the_spread_where_ours_shrinks_it() -> None:
    raw = {row.media: row for row in _rows("KADID-10K_mos.first2000.txt", "kadid")}
    row = next(row for row in _rows("KADID-10K_val_set.txt", "kadid") if row.media in raw)
    to_five = LinearMap(given=KADID_RAW, target=ONE_TO_FIVE, higher_is_better=True)
    assert row.std == raw[row.media].std
    assert to_five.std(raw[row.media].std) == pytest.approx(4.0 / 3.93 * (row.std or 0.0))


@pytest.mark.parametrize("way", [["visualquality_r1"], ["plain", "visualquality_r1"]])
def test_the_published_jsonl_comes_back_whole(way: list[str], tmp_path: Path) -> None:
    original = [json.loads(line) for line in published(KADID_JSONL).read_text().splitlines()]
    text = _through(published(KADID_JSONL), ["visualquality_r1", *way], tmp_path=tmp_path)
    assert [json.loads(line) for line in text.splitlines()] == original


@pytest.mark.parametrize("way", [["aes_r1"], ["plain", "aes_r1"]])
def test_the_published_aes_list_comes_back_whole(way: list[str], tmp_path: Path) -> None:
    file = published("example.json", of="aes_r1")
    text = _through(file, ["aes_r1", *way], tmp_path=tmp_path, as_list=True)
    assert json.loads(text) == json.loads(file.read_text())


def test_the_published_aes_example_asks_on_another_scale_than_its_labels() -> None:
    rows, problems = read_labels(published("example.json", of="aes_r1"), label_format="aes_r1", called="the file")
    assert ([row.label for row in rows], problems) == ([0.25, 0.8], [])
    assert all(row.question and "float between 1 and 5" in row.question for row in rows)


@pytest.mark.parametrize(
    ("name", "label_format"), [("KADID-10K_val_set.txt", "kadid"), ("SRIQA-Bench_test_all.txt", "sriqa")]
)
def test_a_published_table_comes_back_through_plain_rows(name: str, label_format: str, tmp_path: Path) -> None:
    text = _through(published(name), [label_format, "plain", label_format], tmp_path=tmp_path)
    written = [line.split() for line in text.splitlines()]
    lines = [line.split() for line in published(name).read_text().splitlines()]
    assert [_numbers(cells) for cells in written] == [_numbers(cells) for cells in lines]


def _numbers(cells: list[str]) -> list[str | float]:
    """The two names as they are, the columns after them as numbers: 0.90 is written 0.9."""
    return [*cells[:2], *map(float, cells[2:])]


def _through(file: Path, formats: list[str], *, tmp_path: Path, as_list: bool = False) -> str:
    """The text of a file read in the first format and written in each of the others, one after the other."""
    for number, (given, wanted) in enumerate(pairwise(formats)):
        rows, problems = read_labels(file, label_format=given, called="the file")
        written = written_labels(rows, label_format=wanted, as_list=as_list)
        assert (problems, written.problems) == ([], ())
        file = tmp_path / f"{number}.json"
        file.write_text(written.text)
    return file.read_text()
