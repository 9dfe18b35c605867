"""The rows that docs/data.md shows are rows."""

import json
from collections.abc import Iterator
from pathlib import Path

from rollout.datasets.label_files import PLAIN
from rollout.datasets.pair_rows import read_plain, read_r1_reward
from rollout.datasets.traces import read_traces
from rollout.types import Scale


def _documented(field: str) -> Iterator[str]:
    """Lines of the page that are JSON objects with the field."""
    page = (Path(__file__).parents[3] / "docs" / "data.md").read_text(encoding="utf-8")
    yield from (line for line in page.splitlines() if line.startswith("{") and f'"{field}":' in line)


def test_documented_label_rows_are_read() -> None:
    rows = [PLAIN.parse(json.loads(line), where="docs") for line in _documented("score")]
    assert [(row.media, row.kind, row.scene, row.scale) for row in rows] == [
        ("roof.png", "image", ("opinion_score", "roof.png"), None),
        ("I01_01_01.png", "image", ("KADID-10K", "I01.png"), Scale(minimum=1.0, maximum=4.93)),
        ("clips/3.mp4", "video", ("clips", "clips/3.mp4"), Scale(minimum=0.0, maximum=100.0)),
    ]


def test_documented_plain_rows_are_read() -> None:
    rows = [read_plain(json.loads(line), "docs") for line in _documented("responses")]
    assert [(row.row_id, row.media[0].kind, len(row.media)) for row in rows] == [
        ("kitchen-17", "image", 1),
        ("turntable", "image", 2),
        ("clip-3", "video", 1),
    ]


def test_documented_published_rows_are_read() -> None:
    (row,) = [read_r1_reward(json.loads(line), "docs") for line in _documented("message")]
    assert (row.better, row.media[0].names) == (2, ("/data/cake.jpg",))


def test_documented_traces_are_read(tmp_path: Path) -> None:
    (tmp_path / "traces.jsonl").write_text("".join(_documented("trace")))
    traces, problems = read_traces(tmp_path / "traces.jsonl")
    assert problems == []
    assert [trace.is_hard for trace in traces.values()] == [True]
