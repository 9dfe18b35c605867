"""What every registered data set promises."""

import json
import re
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import get_args

import pytest

from conf.data import (
    DataConfig,
    MixedConfig,
    OpinionScoreConfig,
    PhotoChecklistConfig,
    PhotoDefectsConfig,
    PhotoDistortionsConfig,
    PhotoPairsConfig,
    PhotoVideosConfig,
    PreferencePairsConfig,
    ScaleConfig,
    VideoConfig,
)
from rollout.datasets import DATASETS, build_data
from rollout.datasets.base import Data, Dataset, scale_of
from rollout.datasets.export import write_folder
from rollout.datasets.traces import shown_choice
from rollout.media import load_image
from rollout.types import Media, Prompt
from rollout.videos import load_frames

SCALE = ScaleConfig(minimum=1, maximum=5)
VIDEO = VideoConfig(fps=2.0, max_frames=8, max_pixels=784, total_pixels=None)


def _photo_distortions(tmp_path: Path) -> DataConfig:
    del tmp_path
    return PhotoDistortionsConfig(
        kind="photo_distortions",
        scale=SCALE,
        crop_size=56,
        num_train=48,
        num_test=24,
        prompt="visualquality_r1",
        demonstrated_scores="random",
        data_seed=5,
    )


def _opinion_score(tmp_path: Path) -> DataConfig:
    photos = build_data(_photo_distortions(tmp_path))
    write_folder({"train": photos.train, "test": photos.test}, folder=tmp_path / "photos")
    return OpinionScoreConfig(
        kind="opinion_score",
        scale=ScaleConfig(minimum=0, maximum=100),
        image_folder=str(tmp_path / "photos" / "images"),
        train_labels=str(tmp_path / "photos" / "train.jsonl"),
        test_labels=str(tmp_path / "photos" / "test.jsonl"),
        label_format="visualquality_r1",
        test_label_format="visualquality_r1",
        label_range=SCALE,
        higher_is_better=True,
        mixture="proportional",
        chunk_size=1,
        prompt="visualquality_r1",
        video=VIDEO,
    )


def _photo_pairs(tmp_path: Path) -> DataConfig:
    del tmp_path
    return PhotoPairsConfig(
        kind="photo_pairs", crop_size=56, num_train=48, num_test=12, prompt="pairwise_brief", data_seed=5
    )


def _preference_pairs(tmp_path: Path) -> DataConfig:
    photos = build_data(_photo_pairs(tmp_path))
    write_folder({"train": photos.train, "test": photos.test}, folder=tmp_path / "pairs")
    traces = [
        {"id": f"photo_pairs/{pair_id}", "trace": f"<think>I see.</think><answer>{better}</answer>", "attempts": 1}
        | {"correct": True, "better": better}
        for pair_id, better in ((f"photo_pairs/train/5/{index}", 1 + index % 2) for index in range(20))
    ]
    (tmp_path / "traces.jsonl").write_text("".join(json.dumps(trace) + "\n" for trace in traces))
    return PreferencePairsConfig(
        kind="preference_pairs",
        image_folder=str(tmp_path / "pairs" / "images"),
        train_labels=str(tmp_path / "pairs" / "train.jsonl"),
        test_labels=str(tmp_path / "pairs" / "test.jsonl"),
        label_format="plain",
        prompt="pairwise",
        order="random",
        data_seed=0,
        traces=str(tmp_path / "traces.jsonl"),
        difficulty="all",
        too_long="refuse",
        video=VIDEO,
    )


def _photo_videos(tmp_path: Path) -> DataConfig:
    del tmp_path
    return PhotoVideosConfig(
        kind="photo_videos", scale=SCALE, crop_size=56, num_train=48, num_test=24, prompt="quality", data_seed=5
    )


def _photo_defects(tmp_path: Path) -> DataConfig:
    del tmp_path
    return PhotoDefectsConfig(
        kind="photo_defects",
        crop_size=56,
        num_train=8,
        num_test=8,
        tasks=["type", "area"],
        reference="both",
        data_seed=5,
    )


def _photo_checklist(tmp_path: Path) -> DataConfig:
    del tmp_path
    return PhotoChecklistConfig(
        kind="photo_checklist",
        crop_size=56,
        num_train=64,
        num_test=32,
        prompt="[[question]] Answer yes or no.",
        data_seed=5,
    )


def _mixed(tmp_path: Path) -> DataConfig:
    parts = {"scores": _photo_distortions(tmp_path), "defects": _photo_defects(tmp_path)}
    return MixedConfig.model_validate({"kind": "mixed", "parts": parts, "mixture": "uniform"})


CONFIGS: dict[str, Callable[[Path], DataConfig]] = {
    "photo_distortions": _photo_distortions,
    "photo_videos": _photo_videos,
    "photo_pairs": _photo_pairs,
    "photo_defects": _photo_defects,
    "photo_checklist": _photo_checklist,
    "opinion_score": _opinion_score,
    "preference_pairs": _preference_pairs,
    "mixed": _mixed,
}
SCORED = ["opinion_score", "photo_distortions", "photo_videos"]
PAIRED = ["photo_pairs", "preference_pairs"]


@pytest.fixture(params=sorted(DATASETS))
def data(request: pytest.FixtureRequest, tmp_path: Path) -> Data:
    """Each registered data set, built from a small config."""
    return build_data(CONFIGS[request.param](tmp_path))


@pytest.fixture(params=SCORED)
def scored(request: pytest.FixtureRequest, tmp_path: Path) -> Data:
    """Each data set that asks for a score."""
    return build_data(CONFIGS[request.param](tmp_path))


@pytest.fixture(params=PAIRED)
def paired(request: pytest.FixtureRequest, tmp_path: Path) -> Data:
    """Each data set that asks which of two answers is better."""
    return build_data(CONFIGS[request.param](tmp_path))


def _prompts(dataset: Dataset) -> list[Prompt]:
    return [dataset.prompt(index) for index in range(len(dataset))]


def _picture(prompt: Prompt) -> bytes:
    """The picture or video asked about, which is the last one."""
    media = list(prompt.media())[-1]
    frames = [load_image(media)] if media.kind == "image" else load_frames(media)
    return b"".join(frame.tobytes() for frame in frames)


def test_the_config_union_and_the_registry_name_the_same_kinds() -> None:
    sections = get_args(get_args(DataConfig)[0])
    kinds = {kind for section in sections for kind in get_args(section.model_fields["kind"].annotation)}
    assert kinds == set(DATASETS) == set(CONFIGS)


def test_prompt_ids_are_unique_over_both_splits(data: Data) -> None:
    ids = [prompt.prompt_id for prompt in [*_prompts(data.train), *_prompts(data.test)]]
    assert len(set(ids)) == len(ids)


def test_no_content_is_in_both_splits(data: Data) -> None:
    trained = {prompt.content_id for prompt in _prompts(data.train)}
    assert not trained & {prompt.content_id for prompt in _prompts(data.test)}


def test_no_picture_is_in_both_splits(data: Data) -> None:
    trained = {_picture(prompt) for prompt in _prompts(data.train)}
    assert not trained & {_picture(prompt) for prompt in _prompts(data.test)}


@pytest.mark.parametrize("kind", sorted(DATASETS))
def test_a_data_set_has_a_scale_where_it_asks_for_scores(kind: str, tmp_path: Path) -> None:
    assert (scale_of(CONFIGS[kind](tmp_path)) is not None) == (kind in (*SCORED, "mixed"))


def test_every_label_lies_on_the_declared_scale(scored: Data) -> None:
    prompts = [*_prompts(scored.train), *_prompts(scored.test)]
    assert all(prompt.opinion.score in prompt.opinion.scale for prompt in prompts)


def test_labels_differ(scored: Data) -> None:
    assert len({prompt.opinion.score for prompt in _prompts(scored.test)}) > len(scored.test) // 2


def test_either_answer_is_the_better_one_in_half_of_the_questions(paired: Data) -> None:
    for dataset in (paired.train, paired.test):
        assert Counter(prompt.preference.better for prompt in _prompts(dataset)) == dict.fromkeys(
            (1, 2), len(dataset) // 2
        )


def test_each_test_pair_is_asked_in_both_orders_one_after_the_other(paired: Data) -> None:
    asked = [prompt.preference for prompt in _prompts(paired.test)]
    for one, other in zip(asked[::2], asked[1::2], strict=True):
        assert one.pair_id == other.pair_id
        assert {one.better, other.better} == {1, 2}
        assert one.responses is not None
        assert other.responses == one.responses[::-1]


def test_the_cold_start_of_pairs_chooses_in_the_format(paired: Data) -> None:
    assert paired.cold_start is not None
    for index in range(20):
        assert shown_choice(paired.cold_start.demonstration(index).target) is not None


def test_a_prompt_is_the_same_every_time(data: Data) -> None:
    assert _prompts(data.train) == _prompts(data.train)


def test_every_prompt_names_its_source(data: Data) -> None:
    assert all(prompt.source and prompt.source in data.train.source for prompt in _prompts(data.train))


def test_the_picture_comes_before_the_question(data: Data) -> None:
    (message,) = data.test.prompt(0).messages
    *media, last = message.content
    assert media
    assert all(isinstance(part, Media) for part in media)
    assert isinstance(last, str)


def test_no_prompt_shows_its_label(scored: Data) -> None:
    prompt = scored.train.prompt(0)
    text = prompt.messages[0].content[1]
    assert isinstance(text, str)
    assert f"{prompt.opinion.score:.2f}" not in text


@pytest.mark.parametrize("index", [-1, 10**9])
def test_an_index_outside_is_an_error(data: Data, index: int) -> None:
    with pytest.raises(IndexError):
        data.train.prompt(index)


def test_a_demonstration_is_the_same_every_time(data: Data) -> None:
    for demonstrations in (data.warm_up, data.cold_start):
        if demonstrations is not None:
            assert demonstrations.demonstration(7) == demonstrations.demonstration(7)


def test_an_index_outside_the_demonstrations_is_an_error(data: Data) -> None:
    for demonstrations in (data.warm_up, data.cold_start):
        if demonstrations is not None:
            with pytest.raises(IndexError):
                demonstrations.demonstration(len(demonstrations))


def test_the_cold_start_answers_in_the_format_and_on_the_scale(scored: Data) -> None:
    assert scored.cold_start is not None
    for index in range(20):
        shown = scored.cold_start.demonstration(index)
        answer = re.fullmatch(r"<think>[^<]+</think><answer>(\d+\.\d\d)</answer>", shown.target)
        assert answer is not None
        assert float(answer[1]) in shown.prompt.opinion.scale
