"""Splits by scene, and KADID-10K's own; several files as one."""

import re
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from rollout.datasets.combine import combine, shared_names
from rollout.datasets.label_files import read_labels
from rollout.datasets.label_rows import LabelRow
from rollout.datasets.problems import Problem
from rollout.datasets.questions import rating_question
from rollout.datasets.splits import KADID_TEST, KADID_VAL, split_by_scene, split_kadid, with_scenes
from rollout.types import Scale
from tests.rollout.datasets.published import published

ROOT = Path(__file__).parents[3]
ONE_TO_FIVE = Scale(minimum=1.0, maximum=5.0)
PERCENT = Scale(minimum=0.0, maximum=100.0)


def _row(media: str, *, content: str | None = None, dataset: str = "mine", label: float = 3.0) -> LabelRow:
    return LabelRow(where=f"labels:{media}", media=media, label=label, content=content or media, dataset_name=dataset)


def _kadid() -> list[LabelRow]:
    """KADID-10K's 81 references with 25 kinds of distortion at 5 levels."""
    return [
        _row(f"I{reference:02}_{kind:02}_{level:02}.png", content=f"I{reference:02}.png", dataset="KADID-10K")
        for reference in range(1, 82)
        for kind in range(1, 26)
        for level in range(1, 6)
    ]


def _names(splits: dict[str, list[LabelRow]]) -> dict[str, list[str]]:
    return {name: [row.media for row in rows] for name, rows in splits.items()}


def test_kadid_splits_into_49_16_and_16_references() -> None:
    splits = split_by_scene(_kadid(), shares=(6, 2, 2), seed=42)
    assert [len({row.content for row in rows}) for rows in splits.values()] == [49, 16, 16]
    assert [len(rows) for rows in splits.values()] == [6125, 2000, 2000]


def test_no_scene_is_in_two_splits_and_no_row_is_lost() -> None:
    splits = split_by_scene(_kadid(), shares=(6, 2, 2), seed=1)
    scenes = [{row.scene for row in rows} for rows in splits.values()]
    assert not scenes[0] & scenes[1]
    assert not (scenes[0] | scenes[1]) & scenes[2]
    assert sum(map(len, splits.values())) == 10125


def test_the_order_of_the_rows_does_not_matter() -> None:
    rows = _kadid()
    shuffled = [rows[place] for place in np.random.default_rng(0).permutation(len(rows))]
    splits, again = (split_by_scene(one, shares=(6, 2, 2), seed=5) for one in (rows, shuffled))
    assert {name: sorted(media) for name, media in _names(splits).items()} == {
        name: sorted(media) for name, media in _names(again).items()
    }


def test_another_seed_is_another_split() -> None:
    one, other = (split_by_scene(_kadid(), shares=(6, 2, 2), seed=seed) for seed in (1, 2))
    assert _names(one) != _names(other)


def test_the_hash_seed_does_not_matter() -> None:
    code = (
        "from rollout.datasets.splits import split_by_scene\n"
        "from rollout.datasets.label_rows import LabelRow\n"
        "rows = [LabelRow(where='', media=str(i), label=1.0, content=str(i), dataset_name='d') for i in range(40)]\n"
        "print([row.media for row in split_by_scene(rows, shares=(6, 2, 2), seed=3)['test']])\n"
    )
    answers = {
        subprocess.run(
            [sys.executable, "-c", code],
            env={"PYTHONHASHSEED": seed},
            cwd=ROOT,
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for seed in ("0", "1", "42")
    }
    assert len(answers) == 1


def test_every_data_set_gives_each_split_its_share() -> None:
    rows = [
        _row(f"{name}{number}.png", dataset=name) for name, size in (("a", 50), ("b", 10)) for number in range(size)
    ]
    splits = split_by_scene(rows, shares=(8, 2), seed=0)
    assert list(splits) == ["train", "test"]
    assert [sum(row.dataset_name == "b" for row in members) for members in splits.values()] == [8, 2]


@pytest.mark.parametrize("shares", [(1,), (1, 1, 1, 1), (6, 0, 4), (6, -1)])
def test_shares_that_make_no_splits_are_refused(shares: Sequence[float]) -> None:
    with pytest.raises(ValueError, match="expected two shares"):
        split_by_scene(_kadid(), shares=shares, seed=0)


def test_an_empty_split_is_refused() -> None:
    with pytest.raises(ValueError, match="2 scenes leave nothing for val"):
        split_by_scene([_row("a.png"), _row("b.png")], shares=(5, 1, 4), seed=0)


def test_the_committed_split_of_kadid_has_its_references() -> None:
    splits, problems = split_kadid(_kadid())
    assert problems == []
    assert {name: len(rows) for name, rows in splits.items()} == {"train": 6125, "val": 2000, "test": 2000}
    assert (len(KADID_VAL), len(KADID_TEST), len(KADID_VAL & KADID_TEST)) == (16, 16, 0)


def test_the_published_validation_file_is_the_committed_one() -> None:
    rows, _ = read_labels(published("KADID-10K_val_set.txt"), label_format="kadid", called="the file")
    splits, problems = split_kadid(rows)
    assert ({name: len(members) for name, members in splits.items()}, problems) == (
        {"train": 0, "val": 2000, "test": 0},
        [],
    )


def test_the_published_training_rows_are_of_the_committed_training_split() -> None:
    file = published("RL-KADID-10K_train_scoring.first200.jsonl")
    splits, problems = split_kadid(read_labels(file, label_format="visualquality_r1", called="the file")[0])
    assert ([len(members) for members in splits.values()], problems) == ([200, 0, 0], [])


def test_a_picture_that_is_not_of_kadid_is_a_problem() -> None:
    _, problems = split_kadid([_row("I82_01_01.png"), _row("photo.png"), _row("I01_01_01.png")])
    assert [problem.where for problem in problems] == ["labels:I82_01_01.png", "labels:photo.png"]


def test_scenes_may_be_read_from_names() -> None:
    found = list(with_scenes([_row("I07_01_02.png"), _row("x.png")], pattern=re.compile(r"^(I\d+)_")))
    first, second = found
    assert isinstance(first, LabelRow)
    assert first.content == "I07"
    assert isinstance(second, Problem)


def _asking(media: str, *, scale: Scale, label: float, dataset: str) -> LabelRow:
    row = _row(media, dataset=dataset, label=label)
    return LabelRow(
        where=row.where,
        media=media,
        label=label,
        content=media,
        dataset_name=dataset,
        row_id=9,
        question=rating_question(scale),
    )


def _combined(
    rows: Sequence[LabelRow], *, given: Scale | None = None, is_rank_only: bool = False, **folders: str
) -> tuple[list[LabelRow], list[str]]:
    combined, problems = combine(rows, folders=folders, given=given, is_rank_only=is_rank_only)
    return combined, [problem.kind for problem in problems]


def test_combined_rows_are_numbered_anew_and_keep_their_data_sets() -> None:
    rows = [
        _asking("a.png", scale=ONE_TO_FIVE, label=3.0, dataset="one"),
        _asking("a.png", scale=ONE_TO_FIVE, label=4.0, dataset="two"),
    ]
    combined, problems = _combined(rows)
    assert [(row.row_id, row.dataset_name, row.scale) for row in combined] == [
        (1, "one", ONE_TO_FIVE),
        (2, "two", ONE_TO_FIVE),
    ]
    assert problems == []


def test_a_folder_for_each_data_set_keeps_equal_names_apart() -> None:
    rows = [_row("a.png", dataset="one"), _row("a.png", dataset="two")]
    combined, problems = _combined(rows, given=ONE_TO_FIVE, one="photos/one/", two="two")
    assert ([row.media for row in combined], problems) == (["photos/one/a.png", "two/a.png"], [])
    assert (shared_names(rows), shared_names(combined)) == (["a.png"], [])


def test_different_scales_are_refused() -> None:
    rows = [
        _asking("a.png", scale=ONE_TO_FIVE, label=3.0, dataset="one"),
        _asking("b.png", scale=PERCENT, label=50.0, dataset="two"),
    ]
    assert _combined(rows)[1] == ["scale"]
    assert _combined(rows, is_rank_only=True)[1] == []


def test_an_unknown_scale_is_refused() -> None:
    assert _combined([_row("a.png"), _row("b.png", dataset="other")])[1] == ["scale", "scale"]


def test_a_label_outside_the_given_scale_is_refused() -> None:
    assert _combined([_row("a.png"), _row("b.png", label=37.0)], given=ONE_TO_FIVE)[1] == ["scale"]


def test_a_question_whose_scale_the_label_contradicts_is_not_believed() -> None:
    rows = [_asking("a.png", scale=ONE_TO_FIVE, label=0.25, dataset="one")]
    assert _combined(rows)[1] == ["scale"]


def test_a_picture_labelled_twice_is_refused() -> None:
    assert _combined([_row("a.png"), _row("a.png")], given=ONE_TO_FIVE)[1] == ["duplicate"]
