"""Clips: how the window slides, what each defect does, and that nothing is lost on the way into a file."""

from collections.abc import Callable
from itertools import pairwise

import numpy as np
import pytest

from rollout.datasets.clips import (
    KINDS,
    NUM_FRAMES,
    TRAVEL_PX,
    ClipRecipe,
    Frames,
    degrade,
    describe,
    encode,
    pan,
    true_score,
)
from rollout.types import Scale
from rollout.videos import load_frames

ONE_TO_FIVE = Scale(minimum=1.0, maximum=5.0)
SIDE = 56
LEVELS = range(1, 6)


def noise(seed: int = 0, *, low: int = 60, high: int = 150) -> Frames:
    """A clip of different frames without a defect, nowhere near black or white."""
    content = np.random.default_rng(seed).integers(low, high, (SIDE + TRAVEL_PX, SIDE + TRAVEL_PX, 3), dtype=np.uint8)
    return pan(content, side=SIDE, rng=np.random.default_rng(seed))


def degraded(kind: str, level: int, *, seed: int = 0) -> Frames:
    return degrade(noise(seed), kind=kind, level=level, rng=np.random.default_rng(seed))


def recipe(*, data_seed: int = 0, scale: Scale = ONE_TO_FIVE) -> ClipRecipe:
    return ClipRecipe(source="clips", data_seed=data_seed, crop_size=SIDE, scale=scale)


@pytest.mark.parametrize("seed", range(12))
def test_the_window_slides_evenly_over_all_of_the_travel(seed: int) -> None:
    # Each pixel holds its own row and column.
    rows, columns = np.meshgrid(*[np.arange(SIDE + TRAVEL_PX)] * 2, indexing="ij")
    content = np.stack([rows, columns, 0 * rows], axis=-1).astype(np.uint8)
    frames = pan(content, side=SIDE, rng=np.random.default_rng(seed))
    corners = frames[:, 0, 0, :2].astype(int)
    assert frames.shape == (NUM_FRAMES, SIDE, SIDE, 3)
    travelled = np.abs(corners[-1] - corners[0])
    assert set(travelled) <= {0, TRAVEL_PX}
    assert travelled.any()
    steps = np.abs(np.diff(corners, axis=0))
    assert all(set(steps[:, axis]) <= ({4} if travelled[axis] else {0}) for axis in (0, 1))


@pytest.mark.parametrize("kind", KINDS)
def test_level_zero_changes_nothing_and_every_other_level_does(kind: str) -> None:
    assert np.array_equal(degraded(kind, 0), noise())
    assert all(not np.array_equal(degraded(kind, level), noise()) for level in LEVELS)


@pytest.mark.parametrize("kind", KINDS)
def test_a_higher_level_changes_more(kind: str) -> None:
    def change(level: int) -> float:
        seeds = range(20)
        return float(
            np.mean([np.abs(degraded(kind, level, seed=s).astype(int) - noise(s).astype(int)).mean() for s in seeds])
        )

    changes = [change(level) for level in LEVELS]
    assert changes == sorted(changes)


def test_a_flickering_clip_is_brighter_and_darker_in_turn() -> None:
    means = degraded("flicker", 3).mean(axis=(1, 2, 3)) / noise().mean(axis=(1, 2, 3))
    assert set(np.sign(np.diff(means))) == {1.0, -1.0}
    assert all(a != b for a, b in pairwise(np.sign(np.diff(means))))


@pytest.mark.parametrize(("level", "num_frozen"), [(1, 1), (2, 2), (3, 3), (4, 5), (5, 7)])
def test_frozen_frames_repeat_the_one_before(level: int, num_frozen: int) -> None:
    frames = degraded("freeze", level)
    assert sum(np.array_equal(one, before) for before, one in pairwise(frames)) == num_frozen


@pytest.mark.parametrize(("level", "num_hit"), [(1, 1), (2, 2), (3, 3), (4, 5), (5, 7)])
def test_blocks_are_lost_in_a_run_of_frames(level: int, num_hit: int) -> None:
    hit = [not np.array_equal(*pair) for pair in zip(degraded("dropouts", level), noise(), strict=True)]
    assert "".join("x" if one else "." for one in hit).strip(".") == "x" * num_hit


def test_focus_is_lost_or_found_over_the_clip() -> None:
    endings = set()
    for seed in range(10):
        detail = degraded("fade", 4, seed=seed).std(axis=(1, 2, 3))
        assert list(detail) in (sorted(detail), sorted(detail, reverse=True))
        endings.add(detail[0] < detail[-1])
    assert endings == {True, False}


def test_a_clip_comes_out_of_its_file_as_it_went_in() -> None:
    frames = degraded("dropouts", 3)
    shown = np.stack([np.asarray(frame) for frame in load_frames(encode(frames))])
    assert np.array_equal(shown, frames)


def test_the_same_clip_is_the_same_bytes() -> None:
    assert encode(noise()) == encode(noise())
    assert recipe().clip(3, stage="test") == recipe().clip(3, stage="test")


@pytest.mark.parametrize("other", ["index", "stage", "data_seed"])
def test_index_stage_and_seed_each_make_another_clip(other: str) -> None:
    clip = recipe(data_seed=other == "data_seed").clip(
        4 if other == "index" else 3, stage="cold_start" if other == "stage" else "train"
    )
    assert clip.video != recipe().clip(3, stage="train").video


@pytest.mark.parametrize("kind", KINDS)
def test_the_score_falls_with_the_level(kind: str) -> None:
    scores = [true_score(kind=kind, level=level) for level in range(6)]
    assert scores == sorted(set(scores), reverse=True)
    assert scores[0] == 4.8


def test_labels_lie_on_the_declared_scale_and_follow_the_level() -> None:
    hundred = recipe(scale=Scale(minimum=0.0, maximum=100.0))
    clips = [hundred.clip(index, stage="train") for index in range(60)]
    assert all(0 <= clip.opinion.score <= 100 for clip in clips)
    assert np.corrcoef([clip.level for clip in clips], [clip.opinion.score for clip in clips])[0, 1] < -0.95


def test_a_defect_in_words() -> None:
    assert describe(kind="flicker", level=4) == "strong flicker"
    assert describe(kind="freeze", level=0) == "no defects"


@pytest.mark.parametrize(
    ("call", "complaint"),
    [
        (
            lambda: degrade(noise(), kind="shake", level=1, rng=np.random.default_rng(0)),
            "unknown defect 'shake'; known",
        ),
        (lambda: true_score(kind="fade", level=6), "level=6 must be between 0 and 5"),
        (
            lambda: ClipRecipe(source="x", data_seed=0, crop_size=392, scale=ONE_TO_FIVE),
            "is larger than the photograph",
        ),
    ],
)
def test_what_cannot_be_made_is_refused(call: Callable[[], object], complaint: str) -> None:
    with pytest.raises(ValueError, match=complaint):
        call()
