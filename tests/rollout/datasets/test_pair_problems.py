"""Everything about files of pairs that is refused before anything starts, with the words it is refused in."""

import json
from pathlib import Path

import pytest
from pydantic import ValidationError

from rollout.datasets.preference_pairs import build_preference_pairs, training_rows
from rollout.datasets.problems import REMEDIES, DatasetProblems
from tests.rollout.datasets.pair_builders import (
    TEST,
    TRAIN,
    make_config,
    message_of,
    pair_row,
    problems_of,
    published_config,
    published_row,
)

HIDDEN = {**published_row("a.png"), "message": message_of(image="a.png").replace("[Response 1]", "one")}


def test_a_missing_file_is_refused(tmp_path: Path) -> None:
    config = make_config(tmp_path, test_labels=str(tmp_path / "gone.jsonl"))
    assert problems_of(config) == [
        "missing_file gone.jsonl: data.test_labels cannot be read: No such file or directory"
    ]


def test_an_empty_file_is_refused(tmp_path: Path) -> None:
    assert problems_of(make_config(tmp_path, train=[])) == ["empty_file train.jsonl: data.train_labels holds no rows"]


def test_a_folder_without_files_of_rows_is_refused(tmp_path: Path) -> None:
    config = make_config(tmp_path)
    config = config.model_copy(update={"test_labels": config.image_folder})
    assert problems_of(config) == ["empty_file images: data.test_labels holds no rows"]


def test_another_kind_of_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "train.csv").write_text("id,question\n")
    config = make_config(tmp_path, train_labels=str(tmp_path / "train.csv"))
    assert problems_of(config) == ["file_type train.csv: data.train_labels has the ending '.csv'"]


def test_what_only_looks_like_parquet_is_refused(tmp_path: Path) -> None:
    (tmp_path / "train.parquet").write_bytes(b"not parquet")
    (problem,) = problems_of(make_config(tmp_path, train_labels=str(tmp_path / "train.parquet")))
    assert problem.startswith("json train.parquet: not a parquet file: ")


@pytest.mark.parametrize(
    ("line", "complaint"),
    [
        (b'{"id": ', "json train.jsonl:2: not a JSON object: Expecting value: line 1 column 8 (char 7)"),
        (b"[1]", "json train.jsonl:2: expected an object with named fields, got list"),
        (b'{"id": "\xff"}', "encoding train.jsonl:2: not UTF-8: invalid start byte at byte 8"),
    ],
)
def test_a_line_that_is_no_row_is_named(line: bytes, complaint: str, tmp_path: Path) -> None:
    config = make_config(tmp_path)
    path = Path(config.train_labels)
    first, _, *rest = path.read_bytes().splitlines()
    path.write_bytes(b"\n".join([first, line, *rest]))
    assert problems_of(config) == [complaint]


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        ("{}", "json train.json: expected a list of rows, got dict"),
        ("[{", "json train.json: not a JSON list: Expecting property name enclosed in double quotes: line 1 column 3"),
        ('[{"id": "a"}]', "field train.json[0]: question: Field required"),
    ],
)
def test_a_json_file_that_is_no_list_of_rows_is_refused(content: str, complaint: str, tmp_path: Path) -> None:
    (tmp_path / "train.json").write_text(content)
    (problem,) = problems_of(make_config(tmp_path, train_labels=str(tmp_path / "train.json")))
    assert problem.startswith(complaint)


def test_a_bad_row_is_named_with_its_line(tmp_path: Path) -> None:
    train = [*TRAIN, pair_row("g", better=3)]
    assert problems_of(make_config(tmp_path, train=train)) == ["field train.jsonl:5: better: Input should be 1 or 2"]


def test_a_missing_picture_is_named_once_where_it_comes_first(tmp_path: Path) -> None:
    train = [pair_row("a"), pair_row("b", image="x.png"), pair_row("c", image="x.png", question="And?")]
    problems = problems_of(make_config(tmp_path, train=train))
    assert problems == ["missing_image train.jsonl:2: no picture .../images/x.png"]


def test_a_torn_picture_is_refused(tmp_path: Path) -> None:
    config = make_config(tmp_path)
    picture = tmp_path / "images" / "b.png"
    picture.write_bytes(picture.read_bytes()[:-30])
    (problem,) = problems_of(config)
    assert problem.startswith("unreadable_image train.jsonl:2: picture .../images/b.png: cannot be decoded")


def test_a_missing_video_is_refused(tmp_path: Path) -> None:
    train = [pair_row("a", video="gone.mp4"), pair_row("b", video=["a.png", "gone.png"])]
    assert problems_of(make_config(tmp_path, train=train)) == [
        "missing_video train.jsonl:1: no video .../images/gone.mp4",
        "missing_video train.jsonl:2: no video .../images/gone.png",
    ]


def test_a_video_that_is_none_is_refused(tmp_path: Path) -> None:
    (problem,) = problems_of(make_config(tmp_path, train=[pair_row("a", video="a.png")]))
    assert problem == "unreadable_video train.jsonl:1: video .../images/a.png: 1 frames, at least 2 make a video"


def test_an_id_used_twice_is_refused(tmp_path: Path) -> None:
    train = [pair_row("a"), pair_row("a", image="b.png")]
    problems = problems_of(make_config(tmp_path, train=train))
    assert problems == ["duplicate train.jsonl:2: id 'a' was used before, at .../train.jsonl:1"]


@pytest.mark.parametrize(
    ("responses", "better", "complaint"),
    [
        (["A cat.", "A dog."], 1, "with the same label"),
        (["A dog.", "A cat."], 2, "with the same label"),
        (["A dog.", "A cat."], 1, "where the other answer is called the better one"),
    ],
)
def test_a_pair_given_twice_is_refused_in_whichever_order(
    responses: list[str], better: int, complaint: str, tmp_path: Path
) -> None:
    train = [pair_row("a"), pair_row("b", image="./a.png", responses=responses, better=better)]
    problems = problems_of(make_config(tmp_path, train=train))
    assert problems == [f"duplicate train.jsonl:2: the same pair stands at .../train.jsonl:1, {complaint}"]


def test_a_message_given_twice_is_refused(tmp_path: Path) -> None:
    problems = problems_of(published_config(tmp_path, train=[HIDDEN, HIDDEN]))
    assert len(problems) == 1
    assert problems[0].startswith("duplicate train.jsonl:2: id '")


def test_one_picture_may_be_asked_about_twice(tmp_path: Path) -> None:
    train = [pair_row("a"), pair_row("b", image="a.png", question="What else?")]
    assert len(build_preference_pairs(make_config(tmp_path, train=train)).train) == 2


def test_a_picture_in_both_splits_is_refused(tmp_path: Path) -> None:
    problems = problems_of(make_config(tmp_path, test=[pair_row("e", image="clip/../b.png"), *TEST[1:]]))
    assert problems == ["leakage test.jsonl:1: image clip/../b.png is also trained on, at .../train.jsonl:2"]


def test_an_id_in_both_splits_is_refused(tmp_path: Path) -> None:
    problems = problems_of(make_config(tmp_path, test=[pair_row("a", image="e.png")]))
    assert problems == ["leakage test.jsonl:1: id 'a' is also trained on, at .../train.jsonl:1"]


@pytest.mark.parametrize(
    ("option", "value"), [("order", "random"), ("order", "both"), ("prompt", "pairwise"), ("prompt", "pairwise_brief")]
)
def test_options_that_need_the_two_answers_refuse_rows_that_hide_them(option: str, value: str, tmp_path: Path) -> None:
    problems = problems_of(published_config(tmp_path, train=[HIDDEN], **{option: value}))
    what = f"message: no [Question], [Response 1] and [Response 2] to be found, which data.{option}={value} needs"
    assert problems == [f"hidden_responses train.jsonl:1: {what}"]


def test_everything_wrong_is_listed_at_once_with_what_to_do(tmp_path: Path) -> None:
    train = [pair_row("a", image="x.png"), pair_row("b", better=0), pair_row("c"), pair_row("c", image="d.png")]
    with pytest.raises(DatasetProblems, match="4 problems in the data; nothing was started") as caught:
        build_preference_pairs(make_config(tmp_path, train=train, test=[pair_row("e", image="c.png")]))
    for kind in ("missing_image", "field", "duplicate", "leakage"):
        assert f"  {kind} (1): {REMEDIES[kind]}" in str(caught.value)


def test_rows_to_be_taught_are_checked_too(tmp_path: Path) -> None:
    with pytest.raises(DatasetProblems, match="no picture"):
        training_rows(make_config(tmp_path, train=[pair_row("a", image="x.png")]))


@pytest.mark.parametrize(
    ("changes", "complaint"),
    [
        ({"prompt": "as_given"}, "prompt=as_given shows the message of a row, which label_format=plain has not"),
        ({"difficulty": "hard"}, "difficulty=hard needs traces"),
        ({"video": {"fps": 0, "max_frames": 8, "max_pixels": 10_000}}, "greater than 0"),
    ],
)
def test_options_that_contradict_one_another_are_refused(
    changes: dict[str, object], complaint: str, tmp_path: Path
) -> None:
    with pytest.raises(ValidationError, match=complaint):
        make_config(tmp_path).model_validate({**make_config(tmp_path).model_dump(), **changes})


def test_another_format_than_the_known_ones_is_an_error(tmp_path: Path) -> None:
    config = make_config(tmp_path).model_copy(update={"label_format": "csv"})
    with pytest.raises(ValueError, match=r"data\.label_format='csv' is unknown; known: plain, r1_reward"):
        build_preference_pairs(config)


def test_a_file_with_a_byte_order_mark_and_empty_lines_is_read(tmp_path: Path) -> None:
    config = make_config(tmp_path)
    path = Path(config.train_labels)
    path.write_bytes(b"\xef\xbb\xbf" + json.dumps(pair_row("a")).encode() + b"\r\n\r\n \n")
    assert len(build_preference_pairs(config).train) == 1
