"""How many items go through an engine at a time."""

import pytest

from rollout.asked_items import in_passes


@pytest.mark.parametrize(
    ("lengths", "parts"),
    [
        ([3, 4, 3], [[0, 1, 2]]),
        ([3, 4, 4], [[0, 1], [2]]),
        ([11, 1, 12, 1], [[0], [1], [2], [3]]),
        ([], []),
    ],
)
def test_a_pass_takes_as_many_items_as_fit_and_a_longer_one_alone(lengths: list[int], parts: list[list[int]]) -> None:
    assert list(in_passes(dict(enumerate(lengths)), num_tokens=10)) == parts
