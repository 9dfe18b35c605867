"""What every registered data set promises."""

import re
from collections.abc import Callable
from pathlib import Path
from typing import get_args

import pytest

from conf.data import DataConfig, OpinionScoreConfig, PhotoDistortionsConfig, ScaleConfig
from rollout.datasets import DATASETS, build_data
from rollout.datasets.base import Data, Dataset
from rollout.datasets.export import write_folder
from rollout.media import load_image
from rollout.types import Prompt

SCALE = ScaleConfig(minimum=1, maximum=5)


def _photo_distortions(tmp_path: Path) -> DataConfig:
    del tmp_path
    return PhotoDistortionsConfig(
        kind="photo_distortions",
        scale=SCALE,
        crop_size=56,
        num_train=48,
        num_test=24,
        prompt="visualquality_r1",
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
        prompt="visualquality_r1",
    )


CONFIGS: dict[str, Callable[[Path], DataConfig]] = {
    "photo_distortions": _photo_distortions,
    "opinion_score": _opinion_score,
}


@pytest.fixture(params=sorted(DATASETS))
def data(request: pytest.FixtureRequest, tmp_path: Path) -> Data:
    """Each registered data set, built from a small config."""
    return build_data(CONFIGS[request.param](tmp_path))


def _prompts(dataset: Dataset) -> list[Prompt]:
    return [dataset.prompt(index) for index in range(len(dataset))]


def _picture(prompt: Prompt) -> bytes:
    (media,) = prompt.media()
    return load_image(media).tobytes()


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


def test_every_label_lies_on_the_declared_scale(data: Data) -> None:
    prompts = [*_prompts(data.train), *_prompts(data.test)]
    assert all(prompt.reference.score in prompt.reference.scale for prompt in prompts)


def test_labels_differ(data: Data) -> None:
    assert len({prompt.reference.score for prompt in _prompts(data.test)}) > len(data.test) // 2


def test_a_prompt_is_the_same_every_time(data: Data) -> None:
    assert _prompts(data.train) == _prompts(data.train)


def test_every_prompt_names_its_source(data: Data) -> None:
    assert all(prompt.source and prompt.source in data.train.source for prompt in _prompts(data.train))


def test_the_picture_comes_before_the_question(data: Data) -> None:
    (message,) = data.test.prompt(0).messages
    assert [type(part).__name__ for part in message.content] == ["Media", "str"]


def test_no_prompt_shows_its_label(data: Data) -> None:
    prompt = data.train.prompt(0)
    text = prompt.messages[0].content[1]
    assert isinstance(text, str)
    assert f"{prompt.reference.score:.2f}" not in text


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


def test_the_cold_start_answers_in_the_format_and_on_the_scale(data: Data) -> None:
    assert data.cold_start is not None
    for index in range(20):
        shown = data.cold_start.demonstration(index)
        answer = re.fullmatch(r"<think>[^<]+</think><answer>(\d+\.\d\d)</answer>", shown.target)
        assert answer is not None
        assert float(answer[1]) in shown.prompt.reference.scale
