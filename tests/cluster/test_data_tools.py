"""``arbiter data``: every tool run whole, on files."""

import json
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from cluster.main import main
from conf.cli import DATA_TOOLS
from evaluation.checklist.labels import read_labelled_pairs
from evaluation.checklist.rows import AnsweredItem
from evaluation.scoring.items import Listing
from rollout.datasets.label_files import read_labels
from rollout.datasets.label_rows import LabelRow
from rollout.datasets.questions import rating_question
from rollout.types import Scale
from tests.refusals import refusal
from tests.rollout.datasets.published import published

ROOT = Path(__file__).parents[2]
ONE_TO_FIVE = Scale(minimum=1.0, maximum=5.0)
KADID = ("I01.png I01_01_01.png 4.57 0.7", "I01.png I01_01_02.png 1.0 0.2", "I02.png I02_01_01.png 4.93 0.5")


def _file(path: Path, lines: Sequence[str]) -> Path:
    path.write_text("".join(f"{line}\n" for line in lines))
    return path


def _objects(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def _rows(path: Path, label_format: str = "plain") -> list[LabelRow]:
    rows, problems = read_labels(path, label_format=label_format, called="the file")
    assert problems == []
    return rows


def _run(capsys: pytest.CaptureFixture[str], *words: str | Path) -> str:
    """What a tool that does its work prints."""
    assert main(["data", *map(str, words)]) == 0
    return capsys.readouterr().out


def _refused(capsys: pytest.CaptureFixture[str], *words: str | Path) -> list[str]:
    return refusal(["data", *map(str, words)], capsys)


def _visualquality_r1(number: int, *, dataset: str = "mine", label: float = 3.0, scale: Scale = ONE_TO_FIVE) -> str:
    said = [{"from": "human", "value": rating_question(scale)}, {"from": "gpt", "value": label}]
    return json.dumps({"id": number, "dataset_name": dataset, "image": [f"{number}.png"], "conversations": said})


def test_kadids_raw_labels_become_the_published_ones(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    raw, out = _file(tmp_path / "mos.txt", KADID), tmp_path / "out.jsonl"
    switches = ["--from", "kadid", "--to", "plain", "--range", "1,4.93", "--scale", "1,5"]
    assert f"{out}: 3 rows of 2 scenes\n" in _run(capsys, "convert", raw, out, *switches)
    assert _objects(out)[0] == {
        "image": "I01_01_01.png",
        "score": 4.633587786259543,
        "std": pytest.approx(0.7 * 4 / 3.93),
        "dataset": "KADID-10K",
        "content": "I01.png",
        "scale": [1.0, 5.0],
    }


@pytest.mark.parametrize("given", ["file", "TRAIN"])
def test_the_range_may_be_measured_on_a_file(given: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    train = _file(tmp_path / "train.txt", KADID)
    measured = str(train) if given == "TRAIN" else given
    switches = ["--from", "kadid", "--to", "plain", "--range", measured, "--scale", "1,5"]
    _run(capsys, "convert", train, tmp_path / "out.jsonl", *switches)
    assert [row.label for row in _rows(tmp_path / "out.jsonl")] == [4.633587786259543, 1.0, 5.0]


def test_labels_outside_the_training_range_are_refused_or_clipped(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    train = _file(tmp_path / "train.txt", KADID)
    test, out = _file(tmp_path / "test.txt", ["I03.png I03_01_01.png 5.0 0.1"]), tmp_path / "out.jsonl"
    words: list[str | Path] = [
        "convert",
        test,
        out,
        "--from",
        "kadid",
        "--to",
        "plain",
        "--range",
        train,
        "--scale",
        "1,5",
    ]
    assert "label 5.0 of I03_01_01.png lies outside 1..4.93" in _refused(capsys, *words)[0]
    assert not out.exists()
    assert "1 labels outside their range were set to its nearest end" in _run(capsys, *words, "--clip")
    assert [row.label for row in _rows(out)] == [5.0]


def test_difference_scores_are_turned_round(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    raw, out = _file(tmp_path / "dmos.txt", ["r.png a.png 0.25", "r.png b.png 1.0"]), tmp_path / "out.jsonl"
    switches = ["--from", "csiq", "--to", "plain", "--range", "0,1", "--scale", "1,5", "--lower-is-better"]
    _run(capsys, "convert", raw, out, *switches)
    assert [row.label for row in _rows(out)] == [4.0, 1.0]


def test_what_a_format_has_no_place_for_is_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    raw, out = _file(tmp_path / "mos.txt", KADID), tmp_path / "out.jsonl"
    shown = _run(capsys, "convert", raw, out, "--from", "kadid", "--to", "visualquality_r1", "--range", "1,4.93")
    assert "std of 3 left out, it has no place there; content of 3 left out" in shown
    assert _objects(out)[0]["conversations"][0]["value"] == rating_question(Scale(minimum=1.0, maximum=4.93))


@pytest.mark.parametrize(
    ("name", "of", "label_format"),
    [
        ("RL-KADID-10K_train_scoring.first200.jsonl", "visualquality_r1", "visualquality_r1"),
        ("example.json", "aes_r1", "aes_r1"),
    ],
)
def test_published_files_come_back_whole_through_plain_rows(
    name: str, of: str, label_format: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    original, back = published(name, of=of), tmp_path / f"back{Path(name).suffix}"
    _run(capsys, "convert", original, tmp_path / "plain.jsonl", "--from", label_format, "--to", "plain")
    _run(capsys, "convert", tmp_path / "plain.jsonl", back, "--from", "plain", "--to", label_format)
    if back.suffix == ".json":
        assert json.loads(back.read_text()) == json.loads(original.read_text())
    else:
        assert _objects(back) == _objects(original)


def test_kadid_is_split_as_it_was_committed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rows = [
        f"I{n:02}.png I{n:02}_{k:02}_{v:02}.png 3.0 0.1"
        for n in range(1, 82)
        for k in range(1, 26)
        for v in range(1, 6)
    ]
    words: list[str | Path] = [
        "split",
        _file(tmp_path / "mos.txt", rows),
        tmp_path / "out",
        "--from",
        "kadid",
        "--named",
        "kadid",
    ]
    shown = _run(capsys, *words)
    for name, size, references in (("train", 6125, 49), ("val", 2000, 16), ("test", 2000, 16)):
        assert f"{tmp_path / 'out' / name}.txt: {size} rows of {references} scenes" in shown
        assert len((tmp_path / "out" / f"{name}.txt").read_text().splitlines()) == size


def test_rows_are_split_by_the_scene_in_their_name(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    lines = [
        _visualquality_r1(number).replace(f"{number}.png", f"s{number % 5}_{number}.png") for number in range(1, 51)
    ]
    words: list[str | Path] = [
        "split",
        _file(tmp_path / "in.jsonl", lines),
        tmp_path / "out",
        "--from",
        "visualquality_r1",
    ]
    _run(capsys, *words, "--shares", "4:1", "--scene", r"^(s\d)_")
    train, test = (_objects(tmp_path / "out" / f"{name}.jsonl") for name in ("train", "test"))
    assert (len(train), len(test)) == (40, 10)
    assert {row["image"][0][:2] for row in train}.isdisjoint({row["image"][0][:2] for row in test})
    assert sorted(json.dumps(row) for row in [*train, *test]) == sorted(lines)


def test_files_are_combined_and_numbered(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    one = _file(tmp_path / "one.jsonl", [_visualquality_r1(7), _visualquality_r1(8)])
    two = _file(tmp_path / "two.jsonl", [_visualquality_r1(7, dataset="other")])
    out = tmp_path / "all.jsonl"
    shown = _run(capsys, "combine", out, one, two, "--from", "visualquality_r1")
    assert "1 names occur in more than one data set, such as 7.png" in shown
    assert [(row["id"], row["dataset_name"]) for row in _objects(out)] == [(1, "mine"), (2, "mine"), (3, "other")]
    apart = tmp_path / "apart.jsonl"
    assert "names occur" not in _run(
        capsys, "combine", apart, one, two, "--from", "visualquality_r1", "--images", "other=b"
    )
    assert _objects(apart)[2]["image"] == ["b/7.png"]


def test_files_on_different_scales_are_combined_for_ranks_only(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    percent = Scale(minimum=0.0, maximum=100.0)
    one = _file(tmp_path / "one.jsonl", [_visualquality_r1(1)])
    two = _file(tmp_path / "two.jsonl", [_visualquality_r1(1, dataset="other", label=61.0, scale=percent)])
    words: list[str | Path] = ["combine", tmp_path / "all.jsonl", one, two, "--from", "visualquality_r1"]
    assert "other is on 0..100, mine on 1..5" in _refused(capsys, *words)[0]
    _run(capsys, *words, "--rank-only")
    assert len(_objects(tmp_path / "all.jsonl")) == 2


def _pictures(folder: Path, *names: str) -> Path:
    folder.mkdir()
    for number, name in enumerate(names):
        Image.linear_gradient("L").rotate(90 * number).convert("RGB").save(folder / name)
    return folder


def test_every_problem_of_a_file_is_listed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    good = [f"r.png {number}.png 3.0 0.1" for number in range(40)]
    labels = _file(tmp_path / "labels.txt", [*good, "r.png a.png 9 0.1", "r.png a.png 3 0.1", "one cell"])
    images = _pictures(tmp_path / "images", "a.png")
    words = ["validate", labels, "--from", "kadid", "--range", "1,5", "--images", images]
    assert main(["data", *map(str, words)]) == 2
    lines = capsys.readouterr().out.splitlines()
    assert lines[-1] == "43 problems"
    assert sum("no picture" in line for line in lines) == 40
    assert f"{labels}:41: label 9.0 of a.png lies outside --range 1..5" in lines
    assert [line.partition(":")[0] for line in lines[-5:-1]] == [
        "columns (1)",
        "duplicate (1)",
        "range (1)",
        "missing_image (40)",
    ]


def test_a_place_in_a_file_is_printed_as_it_is(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    # ":100:" is the name of an emoji.
    labels = _file(tmp_path / "labels.txt", [*(f"r.png {number}.png 3 0.1" for number in range(99)), "one cell"])
    assert main(["data", "validate", str(labels), "--from", "kadid"]) == 2
    assert capsys.readouterr().out.startswith(f"{labels}:100: expected 4 columns")


def test_a_good_file_has_no_problems(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    labels = _file(tmp_path / "labels.txt", ["r.png a.png 3 0.1"])
    images = _pictures(tmp_path / "images", "a.png")
    assert _run(capsys, "validate", labels, "--from", "kadid", "--images", images) == "no problems\n"


def _configured(tmp_path: Path) -> list[str]:
    train = _file(tmp_path / "train.txt", ["r.png a.png 3 0.1", "r.png b.png 9 0.1"])
    test = _file(tmp_path / "test.txt", ["t.png c.png 3 0.1"])
    images = _pictures(tmp_path / "images", "a.png", "b.png", "c.png")
    paths = {"image_folder": images, "train_labels": train, "test_labels": test}
    return ["data=opinion_score", *(f"data.{name}={path}" for name, path in paths.items())]


def test_every_problem_of_a_configured_data_set_is_listed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["data", "validate", *_configured(tmp_path)]) == 2
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == f"{tmp_path / 'train.txt'}:2: label 9.0 of b.png lies outside data.label_range 1..5"
    assert lines[-1] == "1 problems"


def test_the_health_of_files_is_a_summary_and_a_page(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    labels = [_file(tmp_path / f"{name}.txt", [f"{name}.png {name}.png 3 0.1"]) for name in ("a", "b")]
    images, out = _pictures(tmp_path / "images", "a.png", "b.png"), tmp_path / "page"
    shown = _run(capsys, "health", *labels, "--from", "kadid", "--images", images, "--out", out)
    assert "equal pixels: 0 within a split, 0 across splits" in shown
    assert (out / "health.md").is_file()


def test_the_health_of_a_configured_data_set(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    shown = _run(capsys, "health", *_configured(tmp_path), "--out", tmp_path / "page")
    assert [line.split()[0] for line in shown.splitlines()[1:3]] == ["train", "test"]


@pytest.mark.parametrize("words", [["--help"], *([tool, "--help"] for tool in DATA_TOOLS)])
def test_every_tool_has_help(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    shown = _run(capsys, *words)
    assert shown.startswith(f"usage: arbiter data {words[0] if words[0] != '--help' else ''}".rstrip())


def test_the_help_names_every_tool_and_format(capsys: pytest.CaptureFixture[str]) -> None:
    shown = _run(capsys, "--help")
    assert all(word in shown for word in (*DATA_TOOLS, "visualquality_r1", "aes_r1", "plain"))


@pytest.mark.parametrize(
    ("words", "answer"),
    [
        (
            ["convert", "a", "b"],
            "data convert: the following arguments are required: --from; see arbiter data convert --help",
        ),
        (["convert", "a", "b", "--from", "ava"], "data convert: argument --from: invalid choice: 'ava'"),
        (["convert", "a", "b", "--from", "kadid", "--scale", "5,1"], "expected LOW,HIGH such as 1,5, got 5,1"),
        (["split", "a", "b", "--from", "kadid", "--shares", "6"], "expected A:B or A:B:C such as 6:2:2, got 6"),
        (["split", "a", "b", "--from", "kadid", "--scene", "I01"], "'I01' has no group in parentheses"),
        (["split", "a", "b", "--from", "kadid", "--scene", "("], "'(' is no regular expression"),
        (["validate", "a"], "validate needs --from FORMAT with label files"),
        (["validate", "a", "data.kind=b"], "give label files or KEY=VALUE, not both: a and data.kind=b"),
        (["health", "a", "--from", "kadid"], "health needs --images FOLDER"),
        (["health", "data=photo_distortions"], "health reads label files, and data.kind=photo_distortions has none"),
        (["health", "a", "--from", "kadid", "--images", "x", "--images", "y"], "each is given as NAME=FOLDER"),
        (["combine", "out", "a", "--from", "kadid", "--images", "x"], "--images x: name the data set it is of"),
        (["convret", "a"], "convret: data takes KEY=VALUE and GROUP=CHOICE only; did you mean convert?"),
    ],
)
def test_a_mistake_is_one_readable_line(words: list[str], answer: str, capsys: pytest.CaptureFixture[str]) -> None:
    (line,) = _refused(capsys, *words)
    assert answer in line


def test_options_that_need_a_scale_say_so(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    raw = _file(tmp_path / "mos.txt", KADID)
    (line,) = _refused(capsys, "convert", raw, tmp_path / "out", "--from", "kadid", "--lower-is-better")
    assert line.startswith("--clip and --lower-is-better need --scale LOW,HIGH")


def test_an_unknown_range_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    raw = _file(tmp_path / "mos.txt", KADID[:1])
    (line,) = _refused(capsys, "convert", raw, tmp_path / "out", "--from", "kadid", "--scale", "1,5")
    assert "neither the row nor its question says what range its label is in; say what range" in line


def test_nothing_is_overwritten(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    raw, out = _file(tmp_path / "mos.txt", KADID), _file(tmp_path / "out.txt", ["mine"])
    (line,) = _refused(capsys, "convert", raw, out, "--from", "kadid")
    assert line == f"{out}: exists, and nothing is overwritten; remove it or choose another name"
    assert out.read_text() == "mine\n"


def test_bad_rows_are_refused_and_nothing_is_written(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    raw = _file(tmp_path / "mos.txt", [*KADID, "one cell"])
    assert "expected 4 columns" in _refused(capsys, "convert", raw, tmp_path / "out", "--from", "kadid")[0]
    assert not (tmp_path / "out").exists()


def test_rated_pairs_are_what_a_checklist_is_asked_about_and_fitted_to(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    sizes = ["data.num_train=5", "data.num_test=4", "evaluation.num_prompts=2"]
    _run(capsys, "pairs", tmp_path / "rated", "data=photo_distortions", *sizes)
    listing = Listing([str(tmp_path / "rated" / "test_items.jsonl")], reads="prompt")
    assert {item.item_id: Path(item.path).is_file() for item in listing} == {f"test_{n:06d}": True for n in range(4)}
    nothing = {
        item.item_id: AnsweredItem(item_id=item.item_id, path=item.path, prompt=None, answers={}, place="")
        for item in listing
    }
    pairs = read_labelled_pairs(tmp_path / "rated" / "test_pairs.jsonl", items=nothing)
    assert [pair.cluster for pair in pairs] == ["test_000000", "test_000002"]


def test_pairs_of_pictures_without_scores_are_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["data=photo_checklist", "rewards=check"]
    assert (
        "data=photo_distortions, got data.kind=photo_checklist" in _refused(capsys, "pairs", tmp_path / "r", *words)[0]
    )


def test_show_may_be_left_out(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["data=photo_distortions", "data.num_train=4", "data.num_test=4", "evaluation.num_prompts=2"]
    assert _run(capsys, "show", *words) == _run(capsys, *words)


def test_the_tools_load_neither_ray_nor_torch() -> None:
    heavy = ("torch", "vllm", "ray", "transformers", "deepspeed")
    code = f"import sys, cluster.data_tools, cluster.dry_run; print([name for name in {heavy} if name in sys.modules])"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)
    assert loaded.stdout == "[]\n"
