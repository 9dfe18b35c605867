"""Photographs come from installed packages, are split by photograph, and yield reproducible crops."""

import numpy as np
import pytest

from rollout.datasets import photographs
from rollout.datasets.photographs import (
    PHOTOGRAPHS,
    TEST_NAMES,
    TRAIN_NAMES,
    load_photograph,
    training_content,
)


@pytest.mark.parametrize("name", [photograph.name for photograph in PHOTOGRAPHS])
def test_every_listed_photograph_opens_as_rgb(name: str) -> None:
    pixels = load_photograph(name)
    assert pixels.dtype == np.uint8
    assert pixels.ndim == 3
    assert pixels.shape[2] == 3
    assert min(pixels.shape[:2]) >= 300


def test_every_photograph_states_its_licence_and_source() -> None:
    assert all(photograph.licence and photograph.source for photograph in PHOTOGRAPHS)


def test_the_split_is_fixed_and_disjoint() -> None:
    assert TEST_NAMES == ("camera", "chelsea", "china", "coffee")
    assert not set(TEST_NAMES) & set(TRAIN_NAMES)


def test_the_same_seed_gives_the_same_training_picture() -> None:
    first = training_content(side=56, rng=np.random.default_rng(5))
    second = training_content(side=56, rng=np.random.default_rng(5))
    assert first.shape == (56, 56, 3)
    assert np.array_equal(first, second)


def test_blending_makes_a_picture_that_neither_source_holds() -> None:
    plain = training_content(side=56, rng=np.random.default_rng(5), blend_chance=0.0)
    blended = training_content(side=56, rng=np.random.default_rng(5), blend_chance=1.0)
    assert not np.array_equal(plain, blended)


def test_a_blend_keeps_the_contrast_of_its_sources() -> None:
    first, second = load_photograph("astronaut")[:100, :100], load_photograph("rocket")[-100:, -100:]
    mixed = photographs._blend(first, second, weight=0.5)
    assert float(mixed.std()) == pytest.approx((float(first.std()) + float(second.std())) / 2, rel=0.1)


def test_a_test_photograph_is_never_trained_on() -> None:
    with pytest.raises(ValueError, match="must not be trained on: china"):
        training_content(side=56, rng=np.random.default_rng(0), names=("astronaut", "china"))


def test_a_test_crop_is_square_and_not_empty() -> None:
    for name in TEST_NAMES:
        crop = photographs.test_content(name, side=84, rng=np.random.default_rng(1))
        assert crop.shape == (84, 84, 3)
        assert float(crop.std()) > 5.0


def test_an_unknown_photograph_is_refused_with_the_known_names() -> None:
    with pytest.raises(ValueError, match="unknown photograph 'lenna'; known: astronaut"):
        photographs.photograph_path("lenna")


def test_a_crop_larger_than_the_photograph_is_refused() -> None:
    with pytest.raises(ValueError, match="side=2000 is larger"):
        photographs.test_content("coffee", side=2000, rng=np.random.default_rng(0))
