"""What a command line names: files, folders, globs and lists, in an order that repeats, each once."""

import json
import os
from collections.abc import Mapping
from itertools import islice
from pathlib import Path

import pytest

from evaluation.scoring.items import Item, Listing


def touch(folder: Path, *names: str) -> Path:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(b"")
    return folder


def write_list(path: Path, *rows: Mapping[str, object] | str) -> Path:
    path.write_text("".join(f"{row if isinstance(row, str) else json.dumps(row)}\n" for row in rows))
    return path


def names(listing: Listing, folder: Path) -> list[str]:
    return [os.path.relpath(item.path, folder) for item in listing]


def test_a_folder_is_read_with_everything_below_it_in_alphabetical_order(tmp_path: Path) -> None:
    touch(tmp_path, "b.jpg", "a.PNG", "deep/er/c.webp", "deep/a.bmp", "z/clip.mp4")
    expected = ["a.PNG", "b.jpg", "deep/a.bmp", "deep/er/c.webp", "z/clip.mp4"]
    assert names(Listing([str(tmp_path)]), tmp_path) == expected


def test_hidden_files_are_none_and_other_files_of_a_folder_are_counted(tmp_path: Path) -> None:
    touch(tmp_path, "a.png", ".b.png", ".hidden/c.png", "labels.txt", "deep/notes.md")
    listing = Listing([str(tmp_path)])
    assert names(listing, tmp_path) == ["a.png"]
    assert listing.survey().num_left_out == 2


def test_a_file_that_is_named_is_taken_whatever_its_ending(tmp_path: Path) -> None:
    touch(tmp_path, "picture.data")
    assert names(Listing([str(tmp_path / "picture.data")]), tmp_path) == ["picture.data"]


def test_a_glob_may_go_into_folders_and_is_sorted(tmp_path: Path) -> None:
    touch(tmp_path, "x/b.jpg", "x/a.jpg", "y/z/a.jpg", "y/z/a.png")
    assert names(Listing([str(tmp_path / "**/*.jpg")]), tmp_path) == ["x/a.jpg", "x/b.jpg", "y/z/a.jpg"]


def test_a_file_whose_name_looks_like_a_glob_is_a_file(tmp_path: Path) -> None:
    touch(tmp_path, "a[1].png", "a1.png")
    assert names(Listing([str(tmp_path / "a[1].png")]), tmp_path) == ["a[1].png"]


def test_what_is_named_twice_is_scored_once_and_counted(tmp_path: Path) -> None:
    touch(tmp_path, "a.png", "b.png")
    listing = Listing([str(tmp_path / "b.png"), str(tmp_path)])
    assert names(listing, tmp_path) == ["b.png", "a.png"]
    survey = listing.survey()
    assert (survey.num_items, survey.num_repeated) == (2, 1)


def test_a_list_names_files_beside_it_with_ids_and_questions(tmp_path: Path) -> None:
    file = write_list(
        tmp_path / "some.jsonl", {"path": "a.png"}, "", {"path": "b.png", "id": 7, "question": "Is it sharp?"}
    )
    assert list(Listing([str(file)])) == [
        Item(item_id="a.png", path=str(tmp_path / "a.png")),
        Item(item_id="7", path=str(tmp_path / "b.png"), question="Is it sharp?"),
    ]


def test_one_picture_may_be_asked_several_questions_under_ids_of_their_own(tmp_path: Path) -> None:
    rows = [{"path": "a.png", "id": number, "question": f"Question {number}?"} for number in range(3)]
    survey = Listing([str(write_list(tmp_path / "some.jsonl", *rows))]).survey()
    assert (survey.num_items, survey.kinds_asked_alike) == (3, frozenset())


def test_one_id_for_two_rows_is_refused(tmp_path: Path) -> None:
    file = write_list(tmp_path / "some.jsonl", {"path": "a.png", "id": "x"}, {"path": "b.png", "id": "x"})
    with pytest.raises(ValueError, match=r"id 'x' stands for two different rows, one of them .*b\.png"):
        Listing([str(file)]).survey()


@pytest.mark.parametrize(
    ("row", "answer"),
    [
        ("{", "Invalid JSON"),
        ('{"id": 1}', "path: Field required"),
        ('{"path": "a.png", "qestion": "?"}', "qestion: Extra inputs are not permitted"),
        ('{"path": 3}', "path: Input should be a valid string"),
    ],
)
def test_a_bad_row_of_a_list_is_named_by_file_and_line(row: str, answer: str, tmp_path: Path) -> None:
    file = write_list(tmp_path / "some.jsonl", {"path": "a.png"}, row)
    with pytest.raises(ValueError, match=r"some\.jsonl:2: expected \{\"path\"") as caught:
        Listing([str(file)]).survey()
    assert answer in str(caught.value)


@pytest.mark.parametrize("word", ["nowhere.png", "nowhere/*.png"])
def test_a_word_that_names_nothing_is_refused(word: str, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"nowhere.*: (no such file or folder|matches no file)"):
        Listing([str(tmp_path / word)]).survey()


def test_videos_are_told_by_their_ending_and_a_folder_in_a_list_is_one(tmp_path: Path) -> None:
    touch(tmp_path, "a.png", "b.MOV", "frames/1.png", "frames/2.png")
    file = write_list(tmp_path / "some.jsonl", {"path": "frames"})
    kinds = [item.kind for item in Listing([str(tmp_path / "a.png"), str(tmp_path / "b.MOV"), str(file)])]
    assert kinds == ["image", "video", "video"]


def test_a_listing_gives_the_same_again_and_looks_no_further_than_asked(tmp_path: Path) -> None:
    touch(tmp_path, *(f"{number:03d}.png" for number in range(50)))
    file = write_list(tmp_path / "broken.jsonl", "not json")
    listing = Listing([str(tmp_path), str(file)])
    first = [item.path for item in islice(listing, 50)]
    assert first == [item.path for item in islice(listing, 50)]
    with pytest.raises(ValueError, match=r"broken\.jsonl:1"):
        list(listing)
