"""Positions of text, pictures and videos, worked out by hand."""

import numpy as np
import pytest

from rollout.families.mrope import Grid, following_positions, prompt_positions

PICTURE = Grid(steps=1, rows=2, columns=3, positions_per_step=0.0)


def _positions(marks: str, *grids: Grid) -> list[list[int]]:
    """Time, height and width of each token; ``m`` marks media, ``.`` text."""
    positions_3P = prompt_positions(np.array([mark == "m" for mark in marks]), grids=grids)
    return [[int(position) for position in axis] for axis in positions_3P]


def test_text_counts_up_in_all_three() -> None:
    assert _positions("...") == [[0, 1, 2]] * 3


def test_a_picture_lies_at_one_time_and_text_goes_on_behind_its_longer_side() -> None:
    time, height, width = _positions("..mmmmmm.", PICTURE)
    assert time == [0, 1, 2, 2, 2, 2, 2, 2, 5]
    assert height == [0, 1, 2, 2, 2, 3, 3, 3, 5]
    assert width == [0, 1, 2, 3, 4, 2, 3, 4, 5]


def test_steps_of_a_video_lie_as_far_apart_as_asked_rounded_down() -> None:
    video = Grid(steps=4, rows=1, columns=1, positions_per_step=1.5)
    assert _positions(".mmmm", video)[0] == [0, 1, 2, 4, 5]


def test_text_goes_on_behind_the_last_step_of_a_long_video() -> None:
    video = Grid(steps=3, rows=1, columns=2, positions_per_step=2.0)
    time, height, width = _positions("mmmmmm.", video)
    assert (time[-1], height[-1], width[-1]) == (5, 5, 5)


def test_media_follow_one_another_in_reading_order() -> None:
    video = Grid(steps=2, rows=1, columns=1, positions_per_step=4.0)
    time, _, width = _positions("mm.mmmmmm", video, PICTURE)
    assert time == [0, 4, 5, 6, 6, 6, 6, 6, 6]
    assert width == [0, 0, 5, 6, 7, 8, 6, 7, 8]


def test_a_completion_goes_on_behind_the_highest_position() -> None:
    prompt = prompt_positions(
        np.array([True, True, False]), grids=[Grid(steps=2, rows=1, columns=1, positions_per_step=9.0)]
    )
    assert following_positions(prompt, num_tokens=2).tolist() == [[11, 12]] * 3


def test_other_media_tokens_than_the_grids_ask_for_are_refused() -> None:
    with pytest.raises(ValueError, match=r"5 media tokens for \[6\]"):
        _positions(".mmmmm.", PICTURE)
