"""Counts of right answers by data set."""

import logging
from pathlib import Path

import pytest

from rollout.datasets.balance import LabelCounts, count_labels
from rollout.datasets.preference_pairs import build_preference_pairs
from tests.rollout.datasets.pair_builders import TRAIN, make_config, pair_row


def test_labels_are_counted_by_source(tmp_path: Path) -> None:
    train = [*TRAIN, pair_row("g", source="pets", better=2), pair_row("h", source="pets", better=2)]
    dataset = build_preference_pairs(make_config(tmp_path, train=train)).train
    assert count_labels(dataset) == {
        "preference_pairs": LabelCounts(num_first=3, num_second=1),
        "pets": LabelCounts(num_first=0, num_second=2),
    }


@pytest.mark.parametrize(("num_first", "is_balanced"), [(44, False), (45, True), (50, True), (55, True), (56, False)])
def test_a_share_far_from_one_half_is_out_of_balance(num_first: int, *, is_balanced: bool) -> None:
    counts = LabelCounts(num_first=num_first, num_second=100 - num_first)
    assert counts.share_first == num_first / 100
    assert counts.is_balanced is is_balanced


@pytest.mark.parametrize(("order", "level"), [("as_given", logging.WARNING), ("both", logging.INFO)])
def test_labels_out_of_balance_are_warned_of(
    order: str, level: int, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO, logger="rollout.datasets.balance"):
        build_preference_pairs(make_config(tmp_path, order=order))
    train, test = (record for record in caplog.records if record.name == "rollout.datasets.balance")
    assert train.levelno == level
    assert "split=test source=preference_pairs first=2 second=2 share_first=0.500" in test.getMessage()
