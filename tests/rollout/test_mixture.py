"""Several data sets in one step: chunks of one each, whole epochs, who sits out, and the published rule."""

from collections import Counter

import numpy as np
import pytest

from rollout.datasets.base import Mixture
from rollout.mixture import MixedOrder

PUBLISHED = {"KADID-10K": 6125, "TID2013": 1800, "KONIQ-10K": 6044, "LIVEC": 697}
"""Training rows of the four sets that VisualQuality-R1 combines."""
SIZES = [({"a": 8}, 4, 4), ({"a": 13, "b": 7}, 4, 2), ({"a": 40, "b": 9, "c": 5}, 8, 4), ({"a": 11, "b": 5}, 3, 1)]


def _mixture(sizes: dict[str, int], *, chunk_size: int, rule: str = "proportional") -> Mixture:
    names = [name for name, size in sizes.items() for _ in range(size)]
    mixed = [names[place] for place in np.random.default_rng(0).permutation(len(names))]
    return Mixture(names=tuple(mixed), rule="uniform" if rule == "uniform" else "proportional", chunk_size=chunk_size)


def _order(
    sizes: dict[str, int], *, per_step: int, chunk_size: int, rule: str = "proportional", seed: int = 3
) -> MixedOrder:
    return MixedOrder(_mixture(sizes, chunk_size=chunk_size, rule=rule), per_step=per_step, seed=seed)


def _epoch(order: MixedOrder, number: int) -> list[int]:
    steps = range(number * order.steps_per_epoch, (number + 1) * order.steps_per_epoch)
    return [index for step in steps for index in order.indices(step)]


@pytest.mark.parametrize("rule", ["proportional", "uniform"])
@pytest.mark.parametrize(("sizes", "per_step", "chunk_size"), SIZES)
def test_every_chunk_is_of_one_data_set(rule: str, sizes: dict[str, int], per_step: int, chunk_size: int) -> None:
    names = _mixture(sizes, chunk_size=chunk_size).names
    order = _order(sizes, per_step=per_step, chunk_size=chunk_size, rule=rule)
    for step in range(3 * order.steps_per_epoch):
        indices = order.indices(step)
        chunks = [indices[start : start + chunk_size] for start in range(0, per_step, chunk_size)]
        assert all(len({names[index] for index in chunk}) == 1 for chunk in chunks)


@pytest.mark.parametrize("rule", ["proportional", "uniform"])
@pytest.mark.parametrize(("sizes", "per_step", "chunk_size"), SIZES)
def test_an_epoch_shows_nothing_twice_and_is_as_long_as_it_says(
    rule: str, sizes: dict[str, int], per_step: int, chunk_size: int
) -> None:
    order = _order(sizes, per_step=per_step, chunk_size=chunk_size, rule=rule)
    for number in range(4):
        shown = _epoch(order, number)
        assert len(shown) == len(set(shown)) == order.steps_per_epoch * per_step


@pytest.mark.parametrize(("sizes", "per_step", "chunk_size"), SIZES)
def test_no_item_sits_out_twice_before_all_others_of_its_data_set_did(
    sizes: dict[str, int], per_step: int, chunk_size: int
) -> None:
    names = _mixture(sizes, chunk_size=chunk_size).names
    order = _order(sizes, per_step=per_step, chunk_size=chunk_size)
    out = Counter[int]()
    for number in range(30):
        out.update(set(range(len(names))) - set(_epoch(order, number)))
        for name in sizes:
            times = [out[index] for index, of in enumerate(names) if of == name]
            assert max(times) - min(times) <= 1


@pytest.mark.parametrize("rule", ["proportional", "uniform"])
def test_random_access_equals_sequential_access_in_either_direction(rule: str) -> None:
    def order() -> MixedOrder:
        return _order({"a": 40, "b": 9, "c": 5}, per_step=8, chunk_size=4, rule=rule)

    running = order()
    sequential = [running.indices(step) for step in range(20)]
    assert [order().indices(step) for step in range(20)] == sequential
    assert [running.indices(step) for step in reversed(range(20))][::-1] == sequential


def test_another_seed_and_another_epoch_are_other_orders() -> None:
    sizes = {"a": 40, "b": 40}
    order = _order(sizes, per_step=8, chunk_size=4)
    assert _epoch(order, 0) != _epoch(order, 1)
    assert _epoch(order, 0) != _epoch(_order(sizes, per_step=8, chunk_size=4, seed=4), 0)


def _share_used(rule: str, name: str) -> float:
    """How far into an epoch of the published sets the last picture of one comes, as a share of the epoch."""
    mixture = _mixture(PUBLISHED, chunk_size=8, rule=rule)
    order = MixedOrder(mixture, per_step=64, seed=42)
    sources = [mixture.names[index] for index in _epoch(order, 0)]
    return (len(sources) - sources[::-1].index(name)) / len(sources)


def test_drawing_by_name_uses_small_data_sets_up_early() -> None:
    # Simulated for the published sets: LIVEC is gone after 20 % of the epoch, TID2013 after 42 %.
    assert _share_used("uniform", "LIVEC") == pytest.approx(0.20, abs=0.04)
    assert _share_used("uniform", "TID2013") == pytest.approx(0.42, abs=0.05)


def test_drawing_by_size_shows_every_data_set_until_the_end() -> None:
    assert min(_share_used("proportional", name) for name in PUBLISHED) > 0.9


def test_drawing_by_size_gives_each_step_its_share_on_average() -> None:
    mixture = _mixture(PUBLISHED, chunk_size=8)
    order = MixedOrder(mixture, per_step=64, seed=1)
    half = [mixture.names[index] for step in range(order.steps_per_epoch // 2) for index in order.indices(step)]
    shares = {name: count / len(half) for name, count in Counter(half).items()}
    total = sum(PUBLISHED.values())
    # 916 of 1832 chunks: a share's standard deviation is at most 0.012.
    assert all(abs(shares[name] - size / total) < 0.05 for name, size in PUBLISHED.items())


def test_the_published_sets_make_229_steps_an_epoch() -> None:
    # 765 + 225 + 755 + 87 chunks of 8 pictures, 8 chunks a step.
    assert _order(PUBLISHED, per_step=64, chunk_size=8).steps_per_epoch == 229


@pytest.mark.parametrize(
    ("sizes", "per_step", "chunk_size", "answer"),
    [
        ({"a": 8, "b": 8}, 6, 4, "data.chunk_size=4 must divide the 6 prompts of a step"),
        ({"a": 8, "b": 3}, 4, 4, r"data.chunk_size=4 is more than the prompts of b \(3\); lower it or leave them out"),
        ({"a": 7, "b": 7}, 12, 4, "a step of 12 items is larger than the 2 whole chunks of 4"),
        ({"a": 4, "b": 4, "c": 4}, 8, 4, "steps of 2 chunks leave out some of a, b, c for good"),
    ],
)
def test_what_cannot_be_dealt_out_is_refused(
    sizes: dict[str, int], per_step: int, chunk_size: int, answer: str
) -> None:
    with pytest.raises(ValueError, match=answer):
        _order(sizes, per_step=per_step, chunk_size=chunk_size)


def test_a_negative_step_is_refused() -> None:
    with pytest.raises(ValueError, match="steps count from 0"):
        _order({"a": 8}, per_step=4, chunk_size=4).indices(-1)
