"""Prompts that are too long for the engine."""

import logging
from pathlib import Path

import pytest

from rollout.datasets.base import Data
from rollout.datasets.lengths import fit_test_split, fit_to_length, surely_fit
from rollout.datasets.preference_pairs import build_preference_pairs
from rollout.datasets.problems import DatasetProblems
from rollout.types import Prompt
from tests.rollout.datasets.pair_builders import TRACES, make_config, pair_row, write_traces


def _count(prompt: Prompt) -> int:
    """A token for every character of the question; the media are as long in every prompt."""
    return len(prompt.preference.question)


def _data(tmp_path: Path, *, long: str) -> Data:
    questions = {"a": "What?", "b": long, "c": "What?", "d": long}
    train = [pair_row(name, question=asked, better=2 if name == "b" else 1) for name, asked in questions.items()]
    test = [pair_row("e", question="What?", better=2), pair_row("f", question="What?")]
    return build_preference_pairs(make_config(tmp_path, train=train, test=test, traces=write_traces(tmp_path, *TRACES)))


def test_prompts_that_fit_are_all_kept_in_order(tmp_path: Path) -> None:
    data = _data(tmp_path, long="What is it?")
    fitting = fit_to_length(data, count_tokens=_count, max_prompt_tokens=11, too_long="refuse")
    assert [fitting.train.prompt(index) for index in range(4)] == [data.train.prompt(index) for index in range(4)]
    assert len(fitting.test) == len(data.test) == 4


def test_prompts_that_are_too_long_are_listed_and_refused(tmp_path: Path) -> None:
    data = _data(tmp_path, long="What is it?")
    with pytest.raises(DatasetProblems) as caught:
        fit_to_length(data, count_tokens=_count, max_prompt_tokens=10, too_long="refuse")
    assert [(one.where, one.what) for one in caught.value.problems[:2]] == [
        ("preference_pairs/b/2", "the prompt has 11 tokens, and 10 leave room for an answer"),
        ("preference_pairs/d/1", "the prompt has 11 tokens, and 10 leave room for an answer"),
    ]


def test_prompts_that_are_too_long_are_left_out_and_counted(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    data = _data(tmp_path, long="What is it?")
    with caplog.at_level(logging.INFO, logger="rollout.datasets.lengths"):
        fitting = fit_to_length(data, count_tokens=_count, max_prompt_tokens=10, too_long="drop")
    assert [fitting.train.prompt(index).preference.pair_id[-1] for index in range(len(fitting.train))] == ["a", "c"]
    assert caplog.messages[-3] == "lengths split=train source=preference_pairs kept=2 dropped=2 longest=11"


def test_demonstrations_with_prompts_that_are_too_long_are_left_out(tmp_path: Path) -> None:
    data = _data(tmp_path, long="What is it?")
    fitting = fit_to_length(data, count_tokens=_count, max_prompt_tokens=10, too_long="drop")
    assert fitting.cold_start is not None
    assert len(fitting.cold_start) == 1
    assert fitting.cold_start.demonstration(0).prompt.preference.pair_id == "preference_pairs/a"


def test_a_pair_is_left_out_in_both_orders_when_one_is_too_long(tmp_path: Path) -> None:
    data = _data(tmp_path, long="What?")

    def count(prompt: Prompt) -> int:
        return 99 if prompt.prompt_id == "preference_pairs/e/1" else 1

    fitting = fit_to_length(data, count_tokens=count, max_prompt_tokens=10, too_long="drop")
    assert [fitting.test.prompt(index).preference.pair_id[-1] for index in range(len(fitting.test))] == ["f", "f"]


def test_a_split_of_which_nothing_is_left_is_refused(tmp_path: Path) -> None:
    data = _data(tmp_path, long="What?")
    with pytest.raises(DatasetProblems, match="train: every prompt is too long"):
        fit_to_length(data, count_tokens=_count, max_prompt_tokens=4, too_long="drop")


@pytest.mark.parametrize("index", [-1, 2])
def test_an_index_outside_what_is_left_is_an_error(index: int, tmp_path: Path) -> None:
    data = _data(tmp_path, long="What is it?")
    fitting = fit_to_length(data, count_tokens=_count, max_prompt_tokens=10, too_long="drop")
    with pytest.raises(IndexError, match=r"preference_pairs has entries 0\.\.1"):
        fitting.train.prompt(index)


def test_the_test_split_alone_is_not_held_up_by_training_prompts(tmp_path: Path) -> None:
    data = _data(tmp_path, long="What is it?")
    test = fit_test_split(data.test, count_tokens=_count, max_prompt_tokens=5, too_long="refuse")
    assert [test.prompt(index) for index in range(len(test))] == [data.test.prompt(index) for index in range(4)]


def test_what_is_dropped_is_told_without_asking(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    data = _data(tmp_path, long="What is it?")
    caplog.clear()
    fit_to_length(data, count_tokens=_count, max_prompt_tokens=10, too_long="drop")
    assert [(record.levelname, record.message.split()[1]) for record in caplog.records] == [
        ("WARNING", "split=train"),
        ("WARNING", "split=cold_start"),
    ]


@pytest.mark.parametrize(("most", "fits"), [(5 + 64, True), (5 + 63, False)])
def test_pictures_surely_fit_when_the_largest_would(most: int, *, fits: bool, tmp_path: Path) -> None:
    # "What?" has 5 tokens here, and 224 x 224 pixels are 64 cells of 28 x 28.
    data = _data(tmp_path, long="What?")
    assert surely_fit(data.train, count_tokens=_count, max_prompt_tokens=most, max_pixels=224 * 224) is fits
