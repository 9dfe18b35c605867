"""Several data sets as one: whose prompts come where, and whose demonstrations."""

from collections import Counter
from collections.abc import Callable
from dataclasses import replace

import pytest

from rollout.datasets.base import Data, Mixture
from rollout.datasets.mixed import ByTurns, DemonstrationsByTurns, EndToEnd, mix
from rollout.prompts import PromptStream
from rollout.types import Demonstration, Prompt
from tests.builders import make_defect_prompt, make_pair_prompt, make_prompt

MAKERS: dict[str, Callable[..., Prompt]] = {
    "scores": make_prompt,
    "pairs": make_pair_prompt,
    "defects": make_defect_prompt,
}


class Split:
    """``size`` prompts of one kind, and as many demonstrations."""

    def __init__(self, kind: str, size: int) -> None:
        self.source = kind
        self._kind, self._size = kind, size

    def __len__(self) -> int:
        return self._size

    def prompt(self, index: int) -> Prompt:
        return MAKERS[self._kind](str(range(self._size)[index]), source=self._kind)

    def demonstration(self, index: int) -> Demonstration:
        return Demonstration(prompt=self.prompt(index), target=f"{self._kind} {index}")


def part(kind: str, *, train: int = 6, test: int = 4, demonstrations: int | None = None) -> Data:
    shown = None if demonstrations is None else Split(kind, demonstrations)
    return Data(train=Split(kind, train), test=Split(kind, test), warm_up=None, cold_start=shown)


def ids(dataset: EndToEnd | ByTurns) -> list[str]:
    return [dataset.prompt(index).prompt_id for index in range(len(dataset))]


def test_training_prompts_stand_end_to_end_and_are_named_after_their_part() -> None:
    mixed = mix({"a": part("scores", train=2), "b": part("pairs", train=1)}, rule="uniform")
    assert [mixed.train.prompt(index).prompt_id for index in range(3)] == ["a/0", "a/1", "b/0"]
    assert mixed.mixture == Mixture(names=("a", "a", "b"), rule="uniform", chunk_size=1)


def test_test_prompts_take_turns_two_by_two() -> None:
    assert ids(ByTurns({"a": Split("scores", 3), "b": Split("pairs", 6)})) == [
        "a/0", "a/1", "b/0", "b/1", "a/2", "b/2", "b/3", "b/4", "b/5",
    ]  # fmt: skip


def test_turns_leave_nothing_out_and_repeat_nothing() -> None:
    parts = {"a": Split("scores", 5), "b": Split("pairs", 2), "c": Split("defects", 9)}
    assert sorted(ids(ByTurns(parts))) == sorted(ids(EndToEnd(parts)))


def test_prompts_keep_their_task_and_their_source() -> None:
    mixed = mix({kind: part(kind) for kind in MAKERS}, rule="uniform")
    prompts = [mixed.train.prompt(index) for index in range(len(mixed.train))]
    assert Counter((prompt.source, prompt.task) for prompt in prompts) == {
        ("scores", "score"): 6, ("pairs", "choice"): 6, ("defects", "defect"): 6,
    }  # fmt: skip
    assert mixed.train.source == "scores + pairs + defects"


@pytest.mark.parametrize(("rule", "share"), [("uniform", 0.5), ("proportional", 0.9)])
def test_parts_share_the_steps_by_the_rule(rule: str, share: float) -> None:
    parts = {"large": part("scores", train=900), "small": part("pairs", train=100)}
    mixed = mix(parts, rule="uniform" if rule == "uniform" else "proportional")
    stream = PromptStream(mixed.train, prompts_per_step=10, seed=0, mixture=mixed.mixture)
    # A quarter of the small part's prompts, whichever the rule, so that it is not used up.
    prompts = [prompt for step in range(5) for prompt in stream.batch(step)]
    num_large = sum(prompt.source == "scores" for prompt in prompts)
    # Standard deviations of 3.5 and 2.1.
    assert num_large == pytest.approx(50 * share, abs=11)


def test_demonstrations_take_turns_and_small_parts_come_again() -> None:
    shown = DemonstrationsByTurns({"a": Split("scores", 1), "b": Split("pairs", 3)})
    targets = [shown.demonstration(index).target for index in range(len(shown))]
    assert targets == ["scores 0", "pairs 0", "scores 0", "pairs 1", "scores 0", "pairs 2"]


def test_parts_without_demonstrations_are_left_out_and_named(caplog: pytest.LogCaptureFixture) -> None:
    mixed = mix({"a": part("scores", demonstrations=2), "b": part("pairs")}, rule="uniform")
    assert mixed.cold_start is not None
    assert {mixed.cold_start.demonstration(index).prompt.source for index in range(2)} == {"scores"}
    assert "phase=cold start parts=a without=b" in caplog.text


def test_no_demonstrations_in_any_part_are_none() -> None:
    assert mix({"a": part("scores"), "b": part("pairs")}, rule="uniform").warm_up is None


def test_media_limits_are_those_of_the_part_that_needs_most() -> None:
    one, other = replace(part("scores"), max_images=1, max_videos=2), replace(part("defects"), max_images=3)
    mixed = mix({"a": one, "b": other}, rule="uniform")
    assert (mixed.max_images, mixed.max_videos) == (3, 2)


def test_a_part_with_a_mixture_of_its_own_is_refused() -> None:
    mixture = Mixture(names=("x",) * 6, rule="uniform", chunk_size=2)
    with pytest.raises(ValueError, match=r"data\.parts\.a shares its prompts by a mixture of its own"):
        mix({"a": replace(part("scores"), mixture=mixture), "b": part("pairs")}, rule="uniform")


@pytest.mark.parametrize("index", [-1, 3])
def test_an_index_outside_is_an_error(index: int) -> None:
    with pytest.raises(IndexError, match=r"scores \+ pairs has entries 0\.\.2"):
        EndToEnd({"a": Split("scores", 2), "b": Split("pairs", 1)}).prompt(index)
