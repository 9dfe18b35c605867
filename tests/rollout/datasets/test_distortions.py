"""Synthetic distortions are deterministic, keep the shape, and grow with their level."""

from itertools import pairwise

import numpy as np
import pytest

from rollout.datasets.distortions import (
    EASY_KINDS,
    KIND_WORDS,
    KINDS,
    LEVEL_WORDS,
    MAX_LEVEL,
    describe,
    distort,
    opinion_score,
    true_score,
)
from rollout.datasets.photographs import load_photograph


def _clean() -> np.ndarray:
    return np.ascontiguousarray(load_photograph("astronaut")[100:156, 180:236])


@pytest.mark.parametrize("kind", KINDS)
def test_a_higher_level_moves_the_picture_further_from_the_original(kind: str) -> None:
    clean = _clean()
    errors = []
    for level in range(MAX_LEVEL + 1):
        bad = distort(clean, kind=kind, level=level, rng=np.random.default_rng(3))
        errors.append(float(((bad.astype(float) - clean) ** 2).mean()))
    assert errors[0] == 0.0
    assert all(before < after for before, after in pairwise(errors)), errors


@pytest.mark.parametrize("kind", KINDS)
def test_the_same_seed_gives_the_same_picture_and_the_input_is_left_alone(kind: str) -> None:
    clean = _clean()
    kept = clean.copy()
    first = distort(clean, kind=kind, level=3, rng=np.random.default_rng(11))
    second = distort(clean, kind=kind, level=3, rng=np.random.default_rng(11))
    assert np.array_equal(first, second)
    assert np.array_equal(clean, kept)
    assert first.shape == clean.shape
    assert first.dtype == np.uint8


@pytest.mark.parametrize("kind", KINDS)
def test_any_picture_size_is_kept(kind: str) -> None:
    picture = np.random.default_rng(0).integers(0, 256, (33, 61, 3), dtype=np.uint8)
    assert distort(picture, kind=kind, level=5, rng=np.random.default_rng(0)).shape == (33, 61, 3)


@pytest.mark.parametrize("kind", KINDS)
def test_the_true_score_falls_with_every_level_and_stays_on_the_scale(kind: str) -> None:
    scores = [true_score(kind=kind, level=level) for level in range(MAX_LEVEL + 1)]
    assert all(before > after for before, after in pairwise(scores)), scores
    assert scores[-1] >= 1.0
    assert scores[0] <= 5.0


def test_opinions_scatter_around_the_true_score() -> None:
    mean, std = opinion_score(kind="haze", level=2, rng=np.random.default_rng(0), num_raters=4000)
    assert mean == pytest.approx(true_score(kind="haze", level=2), abs=0.03)
    assert std == pytest.approx(0.4, abs=0.03)


def test_opinions_never_leave_the_scale() -> None:
    rng = np.random.default_rng(0)
    means = [opinion_score(kind="mosaic", level=level, rng=rng)[0] for level in (0, 5) for _ in range(50)]
    assert min(means) >= 1.0
    assert max(means) <= 5.0


def test_descriptions_name_level_and_kind() -> None:
    assert describe(kind="white_noise", level=4) == "strong noise"
    assert describe(kind="white_noise", level=0) == "no defects"


def test_every_word_is_used_once() -> None:
    assert set(KIND_WORDS) == set(KINDS)
    assert len(set(KIND_WORDS.values())) == len(KINDS)
    assert len(set(LEVEL_WORDS)) == MAX_LEVEL + 1
    assert set(EASY_KINDS) <= set(KINDS)


@pytest.mark.parametrize(
    ("kind", "level", "message"),
    [("rain", 1, "unknown distortion kind 'rain'"), ("jpeg", 6, "between 0 and 5")],
)
def test_an_unknown_kind_or_level_is_refused(kind: str, level: int, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        distort(_clean(), kind=kind, level=level, rng=np.random.default_rng(0))


def test_a_grey_picture_is_refused() -> None:
    with pytest.raises(ValueError, match=r"expected uint8 \[H, W, 3\]"):
        distort(_clean()[..., 0], kind="jpeg", level=1, rng=np.random.default_rng(0))


def test_a_single_rater_is_refused() -> None:
    with pytest.raises(ValueError, match="num_raters=1"):
        opinion_score(kind="jpeg", level=1, rng=np.random.default_rng(0), num_raters=1)
