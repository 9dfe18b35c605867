"""A folder of results: whole rows, gone on with, refused to others, and the same rows as tables."""

import csv
import json
import os
from pathlib import Path
from typing import Any

import pytest

from evaluation.scoring.results import ResultsUnusable, Settings, open_sheet, write_tables
from evaluation.scoring.rows import ScoreRow
from tests.evaluation.scoring_judges import make_item, make_row

SETTINGS: Settings = {"model": "judge", "scale": [1.0, 5.0], "sampling": {"temperature": 0.0}}


def write(folder: Path, *rows: ScoreRow, settings: Settings = SETTINGS) -> None:
    with open_sheet(folder, settings=settings) as sheet:
        sheet.add(rows)


def ids(folder: Path) -> list[str]:
    return [json.loads(line)["id"] for line in (folder / "scores.jsonl").read_text().splitlines()]


def test_rows_are_there_for_the_next_run(tmp_path: Path) -> None:
    write(tmp_path, make_row(0), make_row(1, score=None, status="no_tag"))
    with open_sheet(tmp_path, settings=SETTINGS) as sheet:
        assert [make_item(number).item_id in sheet for number in range(3)] == [True, True, False]
        assert dict(sheet.num_by_status) == {"ok": 1, "no_tag": 1}
        sheet.add([make_row(2)])
        assert dict(sheet.num_by_status) == {"ok": 2, "no_tag": 1}
    assert ids(tmp_path) == [make_item(number).item_id for number in range(3)]


@pytest.mark.parametrize("num_bytes_left", [1, 40, -1])
def test_a_torn_last_line_is_cut_off_and_made_again(tmp_path: Path, num_bytes_left: int) -> None:
    write(tmp_path, make_row(0), make_row(1))
    path = tmp_path / "scores.jsonl"
    first, second = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(first + second[:num_bytes_left])
    with open_sheet(tmp_path, settings=SETTINGS) as sheet:
        assert (make_item(0).item_id in sheet, make_item(1).item_id in sheet) == (True, False)
        sheet.add([make_row(1)])
    assert path.read_bytes() == first + second


def test_items_whose_request_failed_lose_their_row_and_are_asked_again(tmp_path: Path) -> None:
    write(tmp_path, make_row(0), make_row(1, score=None, status="failed"), make_row(2))
    with open_sheet(tmp_path, settings=SETTINGS) as sheet:
        assert make_item(1).item_id not in sheet
        assert dict(sheet.num_by_status) == {"ok": 2}
        sheet.add([make_row(1)])
    assert ids(tmp_path) == [make_item(number).item_id for number in (0, 2, 1)]


def test_scores_made_under_other_settings_are_refused_with_the_difference(tmp_path: Path) -> None:
    write(tmp_path, make_row(0))
    with pytest.raises(ResultsUnusable) as caught, open_sheet(tmp_path, settings={**SETTINGS, "model": "other"}):
        pass
    assert str(caught.value).splitlines() == [
        f"{tmp_path} holds scores made under other settings; choose another run.folder, or the same settings",
        '  model: the folder has "judge", this run has "other"',
    ]


def test_rows_without_settings_are_refused(tmp_path: Path) -> None:
    write(tmp_path, make_row(0))
    (tmp_path / "settings.json").unlink()
    with (
        pytest.raises(ResultsUnusable, match="nobody knows what made these rows"),
        open_sheet(tmp_path, settings=SETTINGS),
    ):
        pass


@pytest.mark.parametrize("line", ["not json", '{"id": "a"}', '{"id":"a","path":"a","score":"3","status":"ok"}', "[]"])
def test_a_line_that_is_no_row_is_named(tmp_path: Path, line: str) -> None:
    write(tmp_path, make_row(0))
    with (tmp_path / "scores.jsonl").open("a") as rows:
        rows.write(f"{line}\n")
    with (
        pytest.raises(ResultsUnusable, match=r"scores\.jsonl:2: expected a row"),
        open_sheet(tmp_path, settings=SETTINGS),
    ):
        pass


def test_a_row_of_scores_without_a_score_is_named(tmp_path: Path) -> None:
    write(tmp_path, make_row(0))
    with (tmp_path / "scores.jsonl").open("a") as lines:
        lines.write('{"id": "b", "path": "b.png", "status": "ok"}\n')
    with (
        pytest.raises(ResultsUnusable, match=r"(?s)scores\.jsonl:2: expected a row.*score"),
        open_sheet(tmp_path, settings=SETTINGS),
    ):
        pass
    with pytest.raises(ResultsUnusable, match=r"scores\.jsonl:2"):
        write_tables(tmp_path)


def table(folder: Path) -> list[dict[str, Any]]:
    with (folder / "scores.csv").open(newline="") as cells:
        return list(csv.DictReader(cells))


def test_the_table_holds_every_row_and_keeps_line_breaks(tmp_path: Path) -> None:
    write(tmp_path, make_row(0, score=3.25), make_row(1, score=None, status="unreadable_image"))
    write_tables(tmp_path)
    first, second = table(tmp_path)
    assert (first["score"], first["status"], first["reasoning"]) == ("3.25", "ok", "It is sharp.\nVery.")
    assert (second["score"], second["status"]) == ("", "unreadable_image")


def test_the_legacy_lines_are_those_with_a_score(tmp_path: Path) -> None:
    write(tmp_path, make_row(0, score=3.25), make_row(1, score=None, status="no_tag"), make_row(2, score=4.0))
    write_tables(tmp_path)
    lines = (tmp_path / "scores.txt").read_text().splitlines()
    assert lines == [f"{make_item(0).path} 3.25", f"{make_item(2).path} 4.0"]


def test_a_file_name_that_is_no_text_survives(tmp_path: Path) -> None:
    name = os.fsdecode(b"caf\xe9.png")
    row = make_row(0)
    odd = ScoreRow(
        id=name, path=name, score=row.score, status=row.status, std=None, reasoning="näher", text=None, error=None,
        seed=None, samples=None, model=row.model, prompt=row.prompt,
    )  # fmt: skip
    write(tmp_path, odd, row)
    (tmp_path / "scores.jsonl").read_text(encoding="utf-8")
    write_tables(tmp_path)
    assert (tmp_path / "scores.txt").read_bytes().splitlines()[0] == b"caf\xe9.png 3.0"
    with open_sheet(tmp_path, settings=SETTINGS) as sheet:
        assert name in sheet
