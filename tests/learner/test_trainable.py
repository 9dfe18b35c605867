"""Frozen parts and low-rank adapters, on the real DeepSpeed."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from conf.machine import ModelPart
from learner.types import TrainingBatch
from tests.learner import scenarios
from tests.learner.builders import make_family, make_grpo, make_learner
from tests.learner.ranks import Ranks
from tests.learner.scenarios import Outcome, Vector
from tests.learner.test_layouts import assert_same

RANK = 3
LANGUAGE_ONLY: tuple[ModelPart, ...] = ("vision", "projector")


def learn(ranks: Ranks, folder: str, batch: TrainingBatch, *, num_steps: int = 3, **layout: Any) -> list[Outcome]:
    """Steps with these options of the learner."""
    return ranks.run(
        scenarios.policy_steps,
        folder=folder,
        learner=make_learner(**layout),
        algorithm=make_grpo(),
        batch=batch,
        num_steps=num_steps,
    )


def moved(after: dict[str, Vector], before: dict[str, Vector]) -> set[str]:
    """Names of the parameters that differ."""
    assert after.keys() == before.keys()
    return {name for name in before if not np.array_equal(after[name], before[name])}


@pytest.fixture(scope="module")
def start(model_folder: str, one_rank: Ranks, batch: TrainingBatch) -> dict[str, Vector]:
    """The weights before any step."""
    return learn(one_rank, model_folder, batch, num_steps=0)[0].parameters


@pytest.fixture(scope="module")
def adapted(model_folder: str, one_rank: Ranks, batch: TrainingBatch) -> Outcome:
    """Three steps of adapters beside the language model's layers."""
    return learn(one_rank, model_folder, batch, frozen=LANGUAGE_ONLY, lora_rank=RANK)[0]


@pytest.mark.parametrize(
    "frozen", [("vision",), ("projector",), ("language",), LANGUAGE_ONLY, ("vision", "language")], ids=str
)
def test_frozen_parts_stay_and_every_other_weight_moves(
    frozen: tuple[ModelPart, ...], one_rank: Ranks, model_folder: str, batch: TrainingBatch, start: dict[str, Vector]
) -> None:
    part_of = make_family(model_folder).part_of
    after = learn(one_rank, model_folder, batch, frozen=frozen)[0].parameters
    parts = {name: part_of(name) for name in start}
    assert set(parts.values()) == {"vision", "projector", "language"}
    assert moved(after, start) == {name for name, part in parts.items() if part not in frozen}


def test_adapters_begin_as_the_model_they_are_added_to(
    one_rank: Ranks, model_folder: str, batch: TrainingBatch, start: dict[str, Vector]
) -> None:
    (begun,) = learn(one_rank, model_folder, batch, num_steps=0, lora_rank=RANK)
    assert not moved(begun.parameters, start)


def test_adapters_move_the_linear_layers_that_are_not_frozen_and_nothing_else(
    adapted: Outcome, start: dict[str, Vector], model_folder: str
) -> None:
    part_of = make_family(model_folder).part_of
    expected = {
        name for name in start if part_of(name) == "language" and name.endswith("_proj.weight") and "layers" in name
    }
    assert len(expected) == 14  # q k v o gate up down of two layers
    assert moved(adapted.parameters, start) == expected


def test_an_adapter_adds_a_matrix_of_its_rank(adapted: Outcome, start: dict[str, Vector]) -> None:
    for name in moved(adapted.parameters, start):
        difference = adapted.parameters[name].astype(np.float64) - start[name]
        singular = np.linalg.svd(difference, compute_uv=False)
        assert singular[RANK - 1] > 100 * singular[RANK], name


def test_without_frozen_parts_adapters_sit_in_all_of_the_model(
    one_rank: Ranks, model_folder: str, batch: TrainingBatch, start: dict[str, Vector]
) -> None:
    whole = learn(one_rank, model_folder, batch, lora_rank=RANK)[0].parameters
    parts = {make_family(model_folder).part_of(name) for name in moved(whole, start)}
    assert parts == {"vision", "projector", "language"}


@pytest.mark.parametrize("zero_stage", [1, 2, 3])
def test_adapters_learn_the_same_under_every_zero_stage_and_on_two_ranks(
    zero_stage: int, two_ranks: Ranks, model_folder: str, batch: TrainingBatch, adapted: Outcome
) -> None:
    layout: dict[str, Any] = {"frozen": LANGUAGE_ONLY, "lora_rank": RANK, "zero_stage": zero_stage, "world_size": 2}
    for outcome in learn(two_ranks, model_folder, batch, **layout):
        assert_same(outcome, adapted)


def test_gradient_checkpointing_changes_nothing_for_adapters(
    one_rank: Ranks, model_folder: str, batch: TrainingBatch, adapted: Outcome
) -> None:
    layout: dict[str, Any] = {"frozen": LANGUAGE_ONLY, "lora_rank": RANK, "gradient_checkpointing": True}
    assert_same(learn(one_rank, model_folder, batch, **layout)[0], adapted)


@pytest.mark.parametrize("zero_stage", [0, 3])
def test_an_export_with_adapters_is_a_plain_model_that_scores_the_same(
    zero_stage: int, one_rank: Ranks, model_folder: str, batch: TrainingBatch, tmp_path: Path
) -> None:
    folder = str(tmp_path / "exported")
    (expected,) = one_rank.run(
        scenarios.step_and_export,
        folder=model_folder,
        learner=make_learner(lora_rank=RANK, zero_stage=zero_stage),
        batch=batch,
        export_to=folder,
    )
    (found,) = one_rank.run(scenarios.score, folder=folder, learner=make_learner(), algorithm=make_grpo())
    for one, other in zip(found, expected, strict=True):
        np.testing.assert_allclose(one.logprobs, other.logprobs, atol=1e-5)


def test_a_resumed_run_with_adapters_repeats_the_losses_bit_by_bit(
    one_rank: Ranks, model_folder: str, batch: TrainingBatch, tmp_path: Path
) -> None:
    layout: dict[str, Any] = {"frozen": LANGUAGE_ONLY, "lora_rank": RANK}
    (whole,) = learn(one_rank, model_folder, batch, num_steps=4, **layout)
    (parts,) = one_rank.run(
        scenarios.interrupted_policy_steps,
        folder=model_folder,
        learner=make_learner(**layout),
        batch=batch,
        checkpoint=str(tmp_path / "checkpoint"),
    )
    assert parts.losses == whole.losses
    assert not moved(parts.parameters, whole.parameters)


def test_a_model_that_is_frozen_whole_is_refused(one_rank: Ranks, model_folder: str, batch: TrainingBatch) -> None:
    with pytest.raises(AssertionError, match="leaves nothing to learn; remove a part"):
        learn(one_rank, model_folder, batch, frozen=("vision", "projector", "language"))
