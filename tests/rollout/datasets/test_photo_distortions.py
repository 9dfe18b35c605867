"""Pictures made on the fly: what they depend on, what they show, and what the two supervised phases teach."""

import re
from collections import Counter
from pathlib import Path
from typing import Literal

import numpy as np
import pytest

from conf.data import PhotoDistortionsConfig, ScaleConfig
from rollout.datasets.base import Data, Demonstrations
from rollout.datasets.distortions import EASY_KINDS, KIND_WORDS, LEVEL_WORDS, distort
from rollout.datasets.on_demand import NUM_DEMONSTRATIONS
from rollout.datasets.photo_distortions import build_photo_distortions
from rollout.datasets.photographs import PHOTOGRAPHS, TEST_NAMES, TRAIN_NAMES
from rollout.media import load_image
from rollout.types import Demonstration, Opinion, Prompt

Wording = Literal["visualquality_r1", "visualquality_r1_no_thinking"]


def _config(
    *,
    data_seed: int = 0,
    minimum: float = 1.0,
    maximum: float = 5.0,
    crop_size: int = 56,
    prompt: Wording = "visualquality_r1",
    demonstrated_scores: Literal["random", "opinion"] = "random",
) -> PhotoDistortionsConfig:
    return PhotoDistortionsConfig(
        kind="photo_distortions",
        scale=ScaleConfig(minimum=minimum, maximum=maximum),
        crop_size=crop_size,
        num_train=200,
        num_test=80,
        prompt=prompt,
        demonstrated_scores=demonstrated_scores,
        data_seed=data_seed,
    )


def _data(config: PhotoDistortionsConfig | None = None) -> Data:
    return build_photo_distortions(config or _config())


def _png(prompt: Prompt) -> bytes:
    (media,) = prompt.media()
    assert media.data is not None
    return media.data


def _shown(demonstrations: Demonstrations | None, num: int) -> list[Demonstration]:
    assert demonstrations is not None
    return [demonstrations.demonstration(index) for index in range(num)]


def test_two_builds_give_the_same_pictures_and_labels() -> None:
    assert _data().train.prompt(17) == _data().train.prompt(17)


def test_another_data_seed_gives_other_pictures() -> None:
    assert _png(_data().test.prompt(3)) != _png(_data(_config(data_seed=1)).test.prompt(3))


def test_the_scale_changes_labels_but_not_pictures() -> None:
    usual, percent = _data().test.prompt(3), _data(_config(minimum=0, maximum=100)).test.prompt(3)
    assert _png(usual) == _png(percent)
    assert percent.opinion.score == pytest.approx((usual.opinion.score - 1) * 25)
    assert usual.opinion.std is not None
    assert percent.opinion.std == pytest.approx(usual.opinion.std * 25)


def test_every_picture_is_a_square_of_the_configured_side() -> None:
    data = _data(_config(crop_size=84))
    assert {load_image(next(data.test.prompt(index).media())).size for index in range(8)} == {(84, 84)}


def test_the_test_split_shows_every_test_photograph_equally_often() -> None:
    data = _data()
    contents = Counter(data.test.prompt(index).content_id for index in range(len(data.test)))
    assert contents == dict.fromkeys(TEST_NAMES, 80 / len(TEST_NAMES))


def test_no_training_photograph_is_a_test_photograph() -> None:
    assert not set(TRAIN_NAMES) & set(TEST_NAMES)


def test_the_documentation_lists_every_photograph_with_its_licence() -> None:
    page = (Path(__file__).parents[3] / "docs" / "data.md").read_text(encoding="utf-8")
    missing = [
        photograph.name
        for photograph in PHOTOGRAPHS
        if f"| {photograph.split} | {photograph.licence} | {photograph.source} |" not in page
    ]
    assert missing == []


def test_there_are_at_least_eight_kinds_of_distortion() -> None:
    assert len(EASY_KINDS) >= 8


def test_every_stage_makes_pictures_of_its_own() -> None:
    data = _data()
    prompts = [data.train.prompt(0), data.test.prompt(0)]
    prompts += [shown[0].prompt for shown in (_shown(data.warm_up, 1), _shown(data.cold_start, 1))]
    assert len({_png(prompt) for prompt in prompts}) == 4
    assert len({prompt.prompt_id for prompt in prompts}) == 4


def test_demonstrations_hardly_ever_come_again() -> None:
    data = _data()
    assert data.warm_up is not None
    assert len(data.warm_up) == NUM_DEMONSTRATIONS
    late = data.warm_up.demonstration(NUM_DEMONSTRATIONS - 1)
    assert _png(late.prompt) not in {_png(shown.prompt) for shown in _shown(data.warm_up, 20)}


def test_the_warm_up_names_level_and_kind() -> None:
    words = {
        f"{LEVEL_WORDS[level]} {KIND_WORDS[kind] if level else 'defects'}" for kind in EASY_KINDS for level in range(6)
    }
    targets = {shown.target for shown in _shown(_data().warm_up, 600)}
    assert targets == {f"This picture shows {text}." for text in words}


def test_the_warm_up_asks_for_a_description() -> None:
    (shown,) = _shown(_data().warm_up, 1)
    assert shown.prompt.messages[0].content[1] == "Please describe the quality of this image."


def test_the_cold_start_asks_what_the_reinforcement_learning_asks() -> None:
    data = _data()
    (shown,) = _shown(data.cold_start, 1)
    assert shown.prompt.messages[0].content[1] == data.train.prompt(0).messages[0].content[1]


def test_the_cold_start_shows_the_answer_format() -> None:
    form = re.compile(r"<think>This picture shows \w+ \w+\.</think><answer>[1-5]\.\d\d</answer>")
    assert all(form.fullmatch(shown.target) for shown in _shown(_data().cold_start, 100))


def test_the_cold_start_of_the_short_wording_has_no_thought() -> None:
    data = _data(_config(prompt="visualquality_r1_no_thinking"))
    assert all(re.fullmatch(r"<answer>\d\.\d\d</answer>", shown.target) for shown in _shown(data.cold_start, 20))


def test_the_scores_of_the_cold_start_carry_no_information() -> None:
    shown = _shown(_data().cold_start, 1500)
    told = [float(example.target.split("<answer>")[1].removesuffix("</answer>")) for example in shown]
    true = [example.prompt.opinion.score for example in shown]
    # Independent samples correlate with standard deviation 1 / sqrt(1500) = 0.026.
    assert abs(np.corrcoef(told, true)[0, 1]) < 0.1


def test_labels_fall_with_severity() -> None:
    words = {f" {word} ": level for level, word in enumerate(LEVEL_WORDS)}
    scores: dict[int, list[float]] = {level: [] for level in range(6)}
    for shown in _shown(_data().warm_up, 600):
        (level,) = (level for word, level in words.items() if word in shown.target)
        scores[level].append(shown.prompt.opinion.score)
    means = [float(np.mean(scores[level])) for level in range(6)]
    assert means == sorted(means, reverse=True)


def test_level_0_leaves_a_picture_alone() -> None:
    pixels_HW3 = np.random.default_rng(0).integers(0, 256, (28, 28, 3), dtype=np.uint8)
    rng = np.random.default_rng(0)
    assert np.array_equal(distort(pixels_HW3, kind="haze", level=0, rng=rng), pixels_HW3)


def test_crops_larger_than_a_photograph_are_refused_when_built() -> None:
    with pytest.raises(ValueError, match=r"data\.crop_size=308 is larger than the photograph .* use at most 280"):
        _data(_config(crop_size=308))


@pytest.mark.parametrize("index", [-1, 80])
def test_an_index_outside_the_split_is_an_error(index: int) -> None:
    with pytest.raises(IndexError, match=r"photo_distortions/test has entries 0\.\.79"):
        _data().test.prompt(index)


def test_a_cold_start_of_true_scores_shows_the_opinion_of_its_picture() -> None:
    for shown in _shown(_data(_config(demonstrated_scores="opinion")).cold_start, 20):
        assert isinstance(shown.prompt.reference, Opinion)
        assert f"<answer>{shown.prompt.reference.score:.2f}</answer>" in shown.target


def test_what_the_scores_say_changes_no_picture() -> None:
    by_chance = _shown(_data().cold_start, 5)
    informed = _shown(_data(_config(demonstrated_scores="opinion")).cold_start, 5)
    assert [shown.prompt for shown in by_chance] == [shown.prompt for shown in informed]
