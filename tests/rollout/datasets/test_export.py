"""A folder written and read back."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from conf.data import OpinionScoreConfig, PhotoDistortionsConfig, PhotoPairsConfig, ScaleConfig, VideoConfig
from rollout.datasets.base import Data, Dataset
from rollout.datasets.export import write_folder, write_rated_pairs
from rollout.datasets.on_demand import PromptsOnDemand
from rollout.datasets.opinion_score import build_opinion_score
from rollout.datasets.photo_distortions import build_photo_distortions
from rollout.datasets.photo_pairs import build_photo_pairs
from rollout.datasets.preference_pairs import build_preference_pairs
from rollout.types import Media, Message, Opinion, Preference, Prompt, Scale
from tests.rollout.datasets.pair_builders import make_config

SCALE = ScaleConfig(minimum=1, maximum=5)


class _OnePath:
    """A data set whose picture is a file."""

    source = "paths"

    def __len__(self) -> int:
        return 1

    def prompt(self, index: int) -> Prompt:
        del index
        return Prompt(
            prompt_id="p",
            messages=(Message(role="user", content=(Media(kind="image", path="a.png"), "?")),),
            reference=Opinion(score=1.0, scale=Scale(minimum=1, maximum=5)),
            source=self.source,
            content_id="c",
        )


class _WholeMessage(_OnePath):
    """A pair of which only the message is known."""

    def prompt(self, index: int) -> Prompt:
        picture = _pairs().train.prompt(index).messages[0].content[0]
        return replace(
            super().prompt(index),
            messages=(Message(role="user", content=(picture, "?")),),
            reference=Preference(better=1, pair_id="p", question="?"),
        )


def _photos() -> Data:
    config = PhotoDistortionsConfig(
        kind="photo_distortions",
        scale=SCALE,
        crop_size=28,
        num_train=6,
        num_test=4,
        prompt="visualquality_r1",
        demonstrated_scores="random",
        data_seed=0,
    )
    return build_photo_distortions(config)


def _read(folder: Path) -> Data:
    config = OpinionScoreConfig(
        kind="opinion_score",
        scale=SCALE,
        image_folder=str(folder / "images"),
        train_labels=str(folder / "train.jsonl"),
        test_labels=str(folder / "test.jsonl"),
        label_format="visualquality_r1",
        test_label_format="visualquality_r1",
        label_range=SCALE,
        higher_is_better=True,
        mixture="proportional",
        chunk_size=1,
        prompt="visualquality_r1",
        video=VideoConfig(fps=2.0, max_frames=8, max_pixels=784, total_pixels=None),
    )
    return build_opinion_score(config)


def _scores(dataset: Dataset) -> list[float]:
    return [dataset.prompt(index).opinion.score for index in range(len(dataset))]


def _what_is_shown(dataset: Dataset) -> list[tuple[str, str | Media, bytes]]:
    shown = []
    for index in range(len(dataset)):
        prompt = dataset.prompt(index)
        (media,) = prompt.media()
        picture = media.data if media.path is None else Path(media.path).read_bytes()
        assert picture is not None
        shown.append((prompt.source, prompt.messages[0].content[1], picture))
    return shown


def _write(folder: Path, photos: Data) -> None:
    write_folder({"train": photos.train, "test": photos.test}, folder=folder)


@pytest.mark.parametrize("split", ["train", "test"])
def test_a_written_folder_reads_back_the_same(split: str, tmp_path: Path) -> None:
    photos = _photos()
    _write(tmp_path / "photos", photos)
    read = _read(tmp_path / "photos")
    written, back = {"train": (photos.train, read.train), "test": (photos.test, read.test)}[split]
    assert _what_is_shown(back) == _what_is_shown(written)
    assert _scores(back) == pytest.approx(_scores(written), rel=1e-15)


def test_an_empty_folder_may_be_filled(tmp_path: Path) -> None:
    folder = tmp_path / "photos"
    folder.mkdir()
    _write(folder, _photos())
    assert sorted(entry.name for entry in folder.iterdir()) == ["images", "test.jsonl", "train.jsonl"]


def test_a_folder_with_something_in_it_is_refused_and_left_alone(tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_text("keep me")
    with pytest.raises(ValueError, match="exists and is not an empty folder"):
        _write(tmp_path, _photos())
    assert [entry.name for entry in tmp_path.iterdir()] == ["mine.txt"]


def test_a_file_in_the_place_of_the_folder_is_refused(tmp_path: Path) -> None:
    (tmp_path / "photos").write_text("a file")
    with pytest.raises(ValueError, match="exists and is not an empty folder"):
        _write(tmp_path / "photos", _photos())


def test_a_failure_half_way_leaves_nothing_behind(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="does not hold exactly one picture made on the fly"):
        write_folder({"train": _photos().train, "test": _OnePath()}, folder=tmp_path / "photos")
    assert list(tmp_path.iterdir()) == []


def _pairs() -> Data:
    config = PhotoPairsConfig(
        kind="photo_pairs", crop_size=28, num_train=6, num_test=2, prompt="pairwise_brief", data_seed=0
    )
    return build_photo_pairs(config)


@pytest.mark.parametrize("split", ["train", "test"])
def test_pairs_read_back_the_same(split: str, tmp_path: Path) -> None:
    photos, folder = _pairs(), tmp_path / "pairs"
    _write(folder, photos)
    config = make_config(
        tmp_path,
        image_folder=str(folder / "images"),
        train_labels=str(folder / "train.jsonl"),
        test_labels=str(folder / "test.jsonl"),
    )
    read = build_preference_pairs(config)
    written, back = {"train": (photos.train, read.train), "test": (photos.test, read.test)}[split]
    assert _what_is_shown(back) == _what_is_shown(written)
    assert _choices(back) == _choices(written)


def _choices(dataset: Dataset) -> list[int]:
    return [dataset.prompt(index).preference.better for index in range(len(dataset))]


def test_a_pair_that_is_asked_in_both_orders_is_written_once(tmp_path: Path) -> None:
    _write(tmp_path / "pairs", _pairs())
    assert len((tmp_path / "pairs" / "test.jsonl").read_text().splitlines()) == 2


def test_pairs_without_known_answers_cannot_be_written(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="pair p has no two answers to write"):
        write_folder({"train": _WholeMessage()}, folder=tmp_path / "pairs")


def _lines(path: Path) -> list[dict[str, str]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


@pytest.mark.parametrize("split", ["train", "test"])
def test_of_each_two_neighbours_the_one_with_the_higher_score_is_better(split: str, tmp_path: Path) -> None:
    photos, folder = _photos(), tmp_path / "rated"
    dataset = {"train": photos.train, "test": photos.test}[split]
    write_rated_pairs({"train": photos.train, "test": photos.test}, folder=folder)
    items, pairs = _lines(folder / f"{split}_items.jsonl"), _lines(folder / f"{split}_pairs.jsonl")
    shown = [next(dataset.prompt(index).media()).data for index in range(len(dataset))]
    assert [(folder / item["path"]).read_bytes() for item in items] == shown
    scores = {item["id"]: dataset.prompt(index).opinion.score for index, item in enumerate(items)}
    assert [name for pair in pairs for name in (pair["first"], pair["second"])] == list(scores)
    for pair in pairs:
        worse = {"first": "second", "second": "first"}[pair["better"]]
        assert scores[pair[pair["better"]]] > scores[pair[worse]]
    assert len({pair["group"] for pair in pairs}) == len(pairs)


def test_equal_scores_are_a_tie_and_an_odd_picture_is_in_no_pair(tmp_path: Path) -> None:
    same = replace(_photos().test.prompt(0), reference=Opinion(score=2.0, scale=Scale(minimum=1, maximum=5)))
    dataset = PromptsOnDemand(source="same", split="test", size=3, make=lambda _: same)
    write_rated_pairs({"test": dataset}, folder=tmp_path / "rated")
    assert [pair["better"] for pair in _lines(tmp_path / "rated" / "test_pairs.jsonl")] == ["tie"]
    assert len(_lines(tmp_path / "rated" / "test_items.jsonl")) == 3


def test_pictures_without_scores_leave_nothing_behind(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="asks for a choice, not for a score"):
        write_rated_pairs({"train": _pairs().train}, folder=tmp_path / "rated")
    assert list(tmp_path.iterdir()) == []
