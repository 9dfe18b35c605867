"""Benchmark files: every layout read, every problem named, every pair in its category."""

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest
from PIL import Image

from evaluation.benchmarks.categories import mm_rlhf_category, multimodal_subcategory, vl_rewardbench_category
from evaluation.benchmarks.load import load_benchmark, read_pairs
from evaluation.benchmarks.rows import BenchmarkProblems, BenchmarkRow
from tests.evaluation.benchmark_judges import FEW_FRAMES, SHARED

VL = {"id": "RLHF-V-52", "prompt": "What?", "chosen": "a cat", "rejected": "a dog", "image": "cat.png"}
VL_RANKED = {
    "id": "LRVInstruction-000000007746",
    "query": "What?",
    "response": ["a dog", "a cat"],
    "human_ranking": [1, 0],
    "image_path": "cat.png",
}
MM_RLHF = {"id": "7", "prompt": "What?", "chosen": "a cat", "rejected": "a dog", "image": "short/cat.png"}
MULTIMODAL = {
    "ID": "pairs_7",
    "Text": "What?",
    "Image": "images/cat.png",
    "Output1": "a dog",
    "Output2": "a cat",
    "Better": "Output2",
    "Category": "safety",
}


def write_lines(path: Path, rows: Sequence[Mapping[str, object] | str]) -> Path:
    lines = [row if isinstance(row, str) else json.dumps(row) for row in rows]
    path.write_text("\n".join([*lines, ""]), encoding="utf-8")
    return path


def write_picture(path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (32, 32), "red").save(path)


def excerpt(name: str, *, benchmark: str, split: str = "official") -> tuple[BenchmarkRow, ...]:
    path = SHARED / name
    if not path.exists():
        pytest.skip("the excerpts of R1-Reward's files are not here")
    return read_pairs(benchmark, path, split="legacy" if split == "legacy" else "official")


def problems_of(name: str, path: Path) -> tuple[str, ...]:
    with pytest.raises(BenchmarkProblems) as raised:
        read_pairs(name, path, split="official")
    return raised.value.problems


@pytest.mark.parametrize(
    ("row_id", "official", "legacy"),
    [
        ("RLAIF-V-2032", "hallucination", "general"),
        ("RLHF-V-52", "hallucination", "general"),
        ("hallucination_pair-1003", "hallucination", "hallucination"),
        ("mathverse_3823", "reasoning", "reasoning"),
        ("mmmu_pro_test_Electronics_58", "reasoning", "reasoning"),
        ("wildvision-battle-545", "general", "general"),
        ("politics-Gov_Decision-124", "general", "general"),
        ("LRVInstruction-000000007746", "general", "general"),
        # Only the legacy rule looks inside an id.
        ("vlfeedback-mathverse-1", "general", "reasoning"),
    ],
)
def test_vl_rewardbench_is_divided_by_prefix_and_formerly_by_part(row_id: str, official: str, legacy: str) -> None:
    assert vl_rewardbench_category(row_id, split="official") == official
    assert vl_rewardbench_category(row_id, split="legacy") == legacy


@pytest.mark.parametrize(
    ("path", "category"),
    [
        ("mcq/073712.png", "mcq"),
        ("long/1.png", "long"),
        ("short/cauldron_dvqa.png.png", "short"),
        ("safety/1.png", "safety"),
        ("video/-77dfCjTbSc", "video"),
        # The rule is the first name of the list that is contained, not the folder.
        ("short/a_long_road.png", "long"),
    ],
)
def test_mm_rlhf_is_divided_by_the_first_name_in_the_path(path: str, category: str) -> None:
    assert mm_rlhf_category(path) == category


@pytest.mark.parametrize(
    ("category", "row_id", "half"),
    [
        ("safety", "pairs_7", "safety/bias"),
        ("safety", "PAIRS_7", "safety/bias"),
        ("safety", "hateful_7", "safety/toxicity"),
        ("reasoning", "mathvista_7", "reasoning/math"),
        ("reasoning", "image2struct_7", "reasoning/coding"),
        ("vqa", "mathvista_7", None),
    ],
)
def test_two_categories_of_multimodal_rewardbench_have_halves(category: str, row_id: str, half: str | None) -> None:
    assert multimodal_subcategory(category, row_id=row_id) == half


@pytest.mark.parametrize(
    ("split", "counts"),
    [
        ("official", {"hallucination": 30, "reasoning": 13, "general": 7}),
        ("legacy", {"hallucination": 18, "reasoning": 13, "general": 19}),
    ],
)
def test_the_excerpt_of_vl_rewardbench_is_read_and_divided(split: str, counts: Mapping[str, int]) -> None:
    rows = excerpt("vl_reward_bench.sample50.jsonl", benchmark="vl_rewardbench", split=split)
    assert Counter(row.category for row in rows) == counts


def test_the_excerpt_of_mm_rlhf_keeps_every_pair_of_an_id() -> None:
    rows = excerpt("mm_rlhf_reward_bench.first60.jsonl", benchmark="mm_rlhf_rewardbench")
    assert Counter(row.category for row in rows) == {"mcq": 42, "short": 18}
    assert (len(rows), len({row.row_id for row in rows})) == (60, 16)


def test_the_official_layout_of_vl_rewardbench_says_which_response_is_better(tmp_path: Path) -> None:
    flipped = {**VL_RANKED, "human_ranking": [0, 1]}
    rows = read_pairs("vl_rewardbench", write_lines(tmp_path / "a.jsonl", [VL_RANKED, flipped]), split="official")
    assert [row.better for row in rows] == [2, 1]
    assert rows[0].responses == ("a dog", "a cat")


def test_multimodal_rewardbench_is_one_list_or_a_table(tmp_path: Path) -> None:
    (tmp_path / "all_data.json").write_text(json.dumps([MULTIMODAL]), encoding="utf-8")
    table = [",".join(MULTIMODAL), ",".join(MULTIMODAL.values())]
    (tmp_path / "all_data.csv").write_text("\n".join(table), encoding="utf-8")
    for name in ("all_data.json", "all_data.csv"):
        (row,) = read_pairs("multimodal_rewardbench", tmp_path / name, split="official")
        assert (row.question, row.better, row.subcategory) == ("What?", 2, "safety/bias")


def test_a_table_may_hold_line_breaks_in_its_cells(tmp_path: Path) -> None:
    path = tmp_path / "all_data.csv"
    cells = [f'"{value}\n2nd"' if name == "Output1" else value for name, value in MULTIMODAL.items()]
    path.write_text("\n".join([",".join(MULTIMODAL), ",".join(cells), "short,row"]), encoding="utf-8")
    assert problems_of("multimodal_rewardbench", path) == (f"{path}:4: expected 7 columns as in the first line",)


def test_every_problem_of_a_file_is_listed_with_line_and_field(tmp_path: Path) -> None:
    nameless = {name: value for name, value in VL.items() if name not in ("id", "chosen")}
    tied = {**VL_RANKED, "human_ranking": [0, 0]}
    path = write_lines(tmp_path / "a.jsonl", [VL, nameless, "{", "[1]", tied])
    assert problems_of("vl_rewardbench", path) == (
        f"{path}:2: id: Field required",
        f"{path}:2: chosen: Field required",
        f"{path}:3: not JSON: Expecting property name enclosed in double quotes at column 2",
        f"{path}:4: expected an object with named fields, got list",
        f"{path}:5: human_ranking: expected [0, 1] or [1, 0], got [0, 0]",
    )


def test_a_long_list_of_problems_is_cut_in_the_message_only(tmp_path: Path) -> None:
    path = write_lines(tmp_path / "a.jsonl", ["{"] * 25)
    with pytest.raises(BenchmarkProblems, match=r"^25 problems; nothing was asked") as raised:
        read_pairs("vl_rewardbench", path, split="official")
    assert str(raised.value).splitlines()[-1] == "  ... and 5 more"
    assert len(raised.value.problems) == 25


@pytest.mark.parametrize(
    ("row", "problem"),
    [
        ({**MM_RLHF, "video": "video/1"}, "expected either image or video, got both or neither"),
        ({**MM_RLHF, "image": None}, "expected either image or video, got both or neither"),
        (
            {**MM_RLHF, "image": "cat.png"},
            "image: expected one of mcq, long, short, safety, video in the path, found 'cat.png'",
        ),
    ],
)
def test_a_row_of_mm_rlhf_has_one_medium_in_a_named_folder(
    row: Mapping[str, object], problem: str, tmp_path: Path
) -> None:
    path = write_lines(tmp_path / "a.jsonl", [row])
    assert problems_of("mm_rlhf_rewardbench", path) == (f"{path}:1: {problem}",)


def test_the_list_as_released_lacks_texts_that_the_download_script_fills_in(tmp_path: Path) -> None:
    path = tmp_path / "all_data.json"
    path.write_text(json.dumps([{**MULTIMODAL, "Text": ""}]), encoding="utf-8")
    (problem,) = problems_of("multimodal_rewardbench", path)
    assert problem.startswith(f"{path}[0]: Text: ")


@pytest.mark.parametrize("content", ["", "\n\n", '{"a": 1}', "[]"])
def test_a_file_without_a_list_of_rows_is_refused(content: str, tmp_path: Path) -> None:
    path = tmp_path / "all_data.json"
    path.write_text(content, encoding="utf-8")
    assert len(problems_of("multimodal_rewardbench", path)) == 1


@pytest.mark.parametrize("name", ["test.parquet", "missing.jsonl"])
def test_a_file_that_cannot_be_read_is_refused_with_a_hint(name: str, tmp_path: Path) -> None:
    assert len(problems_of("vl_rewardbench", tmp_path / name)) == 1


def test_an_unknown_benchmark_is_refused_with_the_nearest(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="did you mean vl_rewardbench"):
        read_pairs("vl_reward_bench", tmp_path / "a.jsonl", split="official")


def test_missing_pictures_are_listed_all_at_once_each_with_its_first_row(tmp_path: Path) -> None:
    rows = [{**VL, "image": f"{number}.png"} for number in (1, 2, 3, 2)]
    path = write_lines(tmp_path / "a.jsonl", rows)
    write_picture(tmp_path / "1.png")
    with pytest.raises(BenchmarkProblems) as raised:
        load_benchmark("vl_rewardbench", path, media_folder=tmp_path, split="official", video=FEW_FRAMES)
    assert raised.value.problems == (
        f"{path}:2: no picture {tmp_path / '2.png'}",
        f"{path}:3: no picture {tmp_path / '3.png'}",
    )


def test_a_damaged_picture_is_found_before_anything_is_asked(tmp_path: Path) -> None:
    path = write_lines(tmp_path / "a.jsonl", [VL])
    (tmp_path / "cat.png").write_bytes(b"no picture")
    with pytest.raises(BenchmarkProblems, match="not an image"):
        load_benchmark("vl_rewardbench", path, media_folder=tmp_path, split="official", video=FEW_FRAMES)


def test_a_missing_folder_of_pictures_is_one_problem(tmp_path: Path) -> None:
    path = write_lines(tmp_path / "a.jsonl", [VL] * 3)
    with pytest.raises(BenchmarkProblems, match=r"^1 problem; nothing was asked"):
        load_benchmark("vl_rewardbench", path, media_folder=tmp_path / "none", split="official", video=FEW_FRAMES)


def test_a_video_is_a_folder_of_frames_in_order_of_their_numbers(tmp_path: Path) -> None:
    row = {**{name: value for name, value in MM_RLHF.items() if name != "image"}, "video": "video/clip"}
    for number in range(1, 41):
        write_picture(tmp_path / f"video/clip/f{number}.png")
    path = write_lines(tmp_path / "a.jsonl", [row])
    benchmark = load_benchmark("mm_rlhf_rewardbench", path, media_folder=tmp_path, split="official", video=FEW_FRAMES)
    frames = [int(Path(frame).stem[1:]) for frame in benchmark.media["video/clip"].frames]
    assert (len(frames), frames[0], frames[-1], frames == sorted(frames)) == (32, 1, 40, True)
