"""The order of prompts: coverage, determinism and random access, whether sizes divide or not."""

import pytest

from rollout.datasets.base import Mixture
from rollout.mixture import MixedOrder
from rollout.prompts import DemonstrationStream, EpochOrder, PromptStream
from rollout.types import Demonstration, Message, Opinion, Prompt, Scale

SIZES = [(1, 1), (7, 7), (7, 1), (12, 4), (10, 4), (7, 5), (9, 8), (100, 24), (24, 16), (13, 12)]


class _Numbers:
    """A data set whose prompts are their indices."""

    source = "numbers"

    def __init__(self, size: int) -> None:
        self._size = size

    def __len__(self) -> int:
        return self._size

    def prompt(self, index: int) -> Prompt:
        return Prompt(
            prompt_id=str(index),
            messages=(Message(role="user", content=("?",)),),
            reference=Opinion(score=1.0, scale=Scale(minimum=1.0, maximum=5.0)),
            source=self.source,
            content_id=str(index),
        )

    def demonstration(self, index: int) -> Demonstration:
        return Demonstration(prompt=self.prompt(index), target=str(index))


def _order(size: int, per_step: int, *, seed: int = 3) -> EpochOrder:
    return EpochOrder(size, per_step=per_step, seed=seed)


@pytest.mark.parametrize(("size", "per_step"), SIZES)
def test_every_epoch_shows_every_item_once(size: int, per_step: int) -> None:
    order = _order(size, per_step)
    num_epochs = per_step
    flat = [index for step in range(size * num_epochs // per_step) for index in order.indices(step)]
    epochs = [sorted(flat[start : start + size]) for start in range(0, len(flat), size)]
    assert epochs == [list(range(size))] * num_epochs


@pytest.mark.parametrize(("size", "per_step"), SIZES)
def test_no_step_holds_an_item_twice(size: int, per_step: int) -> None:
    order = _order(size, per_step)
    assert all(len(set(order.indices(step))) == per_step for step in range(60))


@pytest.mark.parametrize(("size", "per_step"), SIZES)
def test_random_access_equals_sequential_access(size: int, per_step: int) -> None:
    running = _order(size, per_step)
    sequential = [running.indices(step) for step in range(40)]
    assert [_order(size, per_step).indices(step) for step in range(40)] == sequential


@pytest.mark.parametrize(("size", "per_step"), SIZES)
def test_going_backwards_changes_nothing(size: int, per_step: int) -> None:
    forwards, backwards = _order(size, per_step), _order(size, per_step)
    steps = range(30)
    assert [backwards.indices(step) for step in reversed(steps)][::-1] == [forwards.indices(step) for step in steps]


def test_epochs_are_in_different_orders() -> None:
    order = _order(50, 50)
    assert order.indices(0) != order.indices(1)


def test_another_seed_is_another_order() -> None:
    assert _order(50, 50, seed=1).indices(0) != _order(50, 50, seed=2).indices(0)


def test_a_late_step_of_a_large_data_set_is_found_directly() -> None:
    assert len(set(_order(1_000_000, 48).indices(10**9))) == 48


def test_a_step_larger_than_the_data_set_is_refused() -> None:
    with pytest.raises(ValueError, match="a step of 9 items is larger than the data set of 8"):
        _order(8, 9)


def test_an_empty_step_is_refused() -> None:
    with pytest.raises(ValueError, match="at least 1 item"):
        _order(8, 0)


def test_a_negative_step_is_refused() -> None:
    with pytest.raises(ValueError, match="steps count from 0"):
        _order(8, 4).indices(-1)


def test_the_prompt_stream_gives_the_prompts_of_the_order() -> None:
    stream = PromptStream(_Numbers(10), prompts_per_step=4, seed=3)
    expected = [str(index) for index in _order(10, 4).indices(2)]
    assert [prompt.prompt_id for prompt in stream.batch(2)] == expected


def test_the_prompt_stream_follows_a_mixture() -> None:
    mixture = Mixture(names=("a", "b") * 6, rule="uniform", chunk_size=2)
    stream = PromptStream(_Numbers(12), prompts_per_step=4, seed=3, mixture=mixture)
    expected = [str(index) for index in MixedOrder(mixture, per_step=4, seed=3).indices(5)]
    assert [prompt.prompt_id for prompt in stream.batch(5)] == expected


def test_the_demonstration_stream_gives_the_demonstrations_of_the_order() -> None:
    stream = DemonstrationStream(_Numbers(10), batch_size=4, seed=3)
    expected = [str(index) for index in _order(10, 4).indices(2)]
    assert [demonstration.target for demonstration in stream.batch(2)] == expected
