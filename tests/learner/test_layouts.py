"""Ranks, micro-batches, ZeRO stages and recomputation change memory and speed, never what is learned."""

from typing import Any

import numpy as np
import pytest

from conf.algorithms import AlgorithmConfig
from learner.types import TrainingBatch
from tests.learner import scenarios
from tests.learner.builders import make_config, make_demonstrations, make_grpo, make_learner
from tests.learner.ranks import Ranks
from tests.learner.scenarios import Outcome

TOLERANCE = 1e-4


def assert_same(found: Outcome, expected: Outcome) -> None:
    """Losses, gradient norms and parameters agree."""
    assert found.losses == pytest.approx(expected.losses, abs=TOLERANCE)
    assert found.gradient_norms == pytest.approx(expected.gradient_norms, rel=TOLERANCE)
    assert found.parameters.keys() == expected.parameters.keys()
    for name, values in expected.parameters.items():
        np.testing.assert_allclose(found.parameters[name], values, atol=TOLERANCE, err_msg=name)


def learned(metrics: dict[str, float]) -> dict[str, float]:
    """Metrics that no layout may change: all but those that describe the layout."""
    return {name: value for name, value in metrics.items() if not name.startswith("learner/passes/")}


def run(
    ranks: Ranks, folder: str, batch: TrainingBatch, *, algorithm: AlgorithmConfig | None = None, **layout: Any
) -> list[Outcome]:
    """Three steps in another layout."""
    return ranks.run(
        scenarios.policy_steps,
        folder=folder,
        learner=make_learner(**layout),
        algorithm=make_grpo() if algorithm is None else algorithm,
        batch=batch,
    )


@pytest.mark.parametrize("zero_stage", [1, 2, 3])
def test_every_zero_stage_learns_the_same(
    zero_stage: int, one_rank: Ranks, model_folder: str, batch: TrainingBatch, plain_outcome: Outcome
) -> None:
    assert_same(run(one_rank, model_folder, batch, zero_stage=zero_stage)[0], plain_outcome)


@pytest.mark.parametrize("zero_stage", [0, 1, 2, 3])
def test_two_ranks_learn_the_same_as_one(
    zero_stage: int, two_ranks: Ranks, model_folder: str, batch: TrainingBatch, plain_outcome: Outcome
) -> None:
    for outcome in run(two_ranks, model_folder, batch, zero_stage=zero_stage, world_size=2):
        assert_same(outcome, plain_outcome)


@pytest.mark.parametrize("micro_batch_size", [1, 3, 8])
def test_micro_batches_of_any_size_learn_the_same(
    micro_batch_size: int, one_rank: Ranks, model_folder: str, batch: TrainingBatch, plain_outcome: Outcome
) -> None:
    assert_same(run(one_rank, model_folder, batch, micro_batch_size=micro_batch_size)[0], plain_outcome)


@pytest.mark.parametrize("zero_stage", [2, 3])
def test_small_micro_batches_add_up_under_zero_on_two_ranks(
    zero_stage: int, two_ranks: Ranks, model_folder: str, batch: TrainingBatch, plain_outcome: Outcome
) -> None:
    found = run(two_ranks, model_folder, batch, zero_stage=zero_stage, world_size=2, micro_batch_size=1)
    assert_same(found[0], plain_outcome)


@pytest.mark.parametrize("zero_stage", [0, 3])
def test_gradient_checkpointing_changes_nothing(
    zero_stage: int, one_rank: Ranks, model_folder: str, batch: TrainingBatch, plain_outcome: Outcome
) -> None:
    layout: dict[str, Any] = {"zero_stage": zero_stage, "gradient_checkpointing": True}
    assert_same(run(one_rank, model_folder, batch, **layout)[0], plain_outcome)


def test_gradients_reach_the_vision_tower_under_checkpointing(
    one_rank: Ranks, model_folder: str, batch: TrainingBatch
) -> None:
    before, after = (
        one_rank.run(
            scenarios.policy_steps,
            folder=model_folder,
            learner=make_learner(gradient_checkpointing=True),
            algorithm=make_grpo(),
            batch=batch,
            num_steps=num_steps,
        )[0].parameters["model.visual.patch_embed.proj.weight"]
        for num_steps in (1, 2)
    )
    assert np.abs(after - before).max() > 1e-5


@pytest.mark.parametrize("zero_stage", [1, 3])
def test_a_batch_that_does_not_divide_learns_the_same_on_two_ranks(
    zero_stage: int, one_rank: Ranks, two_ranks: Ranks, model_folder: str, batch: TrainingBatch
) -> None:
    odd = TrainingBatch(samples=batch.samples[:7], num_without_reward=0)
    layout: dict[str, Any] = {"zero_stage": zero_stage, "micro_batch_size": 1}
    (alone,) = run(one_rank, model_folder, odd, micro_batch_size=2)
    assert_same(run(two_ranks, model_folder, odd, world_size=2, **layout)[0], alone)


def test_metrics_are_those_of_all_ranks(
    two_ranks: Ranks, model_folder: str, batch: TrainingBatch, plain_outcome: Outcome
) -> None:
    for outcome in run(two_ranks, model_folder, batch, zero_stage=2, world_size=2):
        assert learned(outcome.metrics) == pytest.approx(learned(plain_outcome.metrics), abs=1e-3, rel=1e-3)


@pytest.mark.parametrize("zero_stage", [0, 3])
def test_scoring_between_steps_changes_nothing(
    zero_stage: int, two_ranks: Ranks, model_folder: str, batch: TrainingBatch, plain_outcome: Outcome
) -> None:
    found = two_ranks.run(
        scenarios.policy_steps,
        folder=model_folder,
        learner=make_learner(zero_stage=zero_stage, world_size=2),
        algorithm=make_grpo(),
        batch=batch,
        scores_between=True,
    )
    assert_same(found[0], plain_outcome)


def test_permuting_the_batch_changes_nothing(
    one_rank: Ranks, model_folder: str, batch: TrainingBatch, plain_outcome: Outcome
) -> None:
    turned = TrainingBatch(samples=batch.samples[::-1], num_without_reward=0)
    assert_same(run(one_rank, model_folder, turned)[0], plain_outcome)


CHARGED = make_config(
    "stable_reinforce",
    num_updates=2,
    correction={"sequence_low": 0.5, "sequence_high": 2.0},
    kl={"coefficient": 0.3, "estimator": "k3", "placement": "reward"},
)
"""Two passes over two minibatches, the KL in the returns of each token."""

WITH_BONUS = make_config(
    "rloo",
    aggregation="prompt_mean",
    entropy_coefficient=0.1,
    correction={"weight": "sequence", "sequence_mask": "none"},
    kl={"coefficient": 0.1},
)
"""Everything that is differentiated beside the surrogate."""


NORMALISED = make_config(
    "grpo",
    num_minibatches=2,
    correction={
        "weight_high": 1.05,
        "batch_normalise": True,
        "sequence_mask": "total_variation",
        "sequence_high": 0.03,
    },
)
"""Weights over their mean in the whole batch, two minibatches of it, and a mask that reads the advantages."""


@pytest.mark.parametrize(("zero_stage", "micro_batch_size"), [(0, 2), (3, 1)])
@pytest.mark.parametrize("algorithm", [CHARGED, WITH_BONUS, NORMALISED], ids=["charged", "with_bonus", "normalised"])
def test_other_algorithms_learn_the_same_on_two_ranks(
    algorithm: AlgorithmConfig,
    zero_stage: int,
    micro_batch_size: int,
    one_rank: Ranks,
    two_ranks: Ranks,
    model_folder: str,
    batch: TrainingBatch,
) -> None:
    (alone,) = run(one_rank, model_folder, batch, algorithm=algorithm, micro_batch_size=4)
    layout: dict[str, Any] = {"zero_stage": zero_stage, "world_size": 2, "micro_batch_size": micro_batch_size}
    for outcome in run(two_ranks, model_folder, batch, algorithm=algorithm, **layout):
        assert_same(outcome, alone)
        assert learned(outcome.metrics) == pytest.approx(learned(alone.metrics), abs=1e-3, rel=1e-3)


@pytest.mark.parametrize("weight", ["token", "geometric", "icepop"])
def test_normalised_weights_are_those_over_their_mean(
    weight: str, one_rank: Ranks, model_folder: str, batch: TrainingBatch
) -> None:
    # The batch's noise of a tenth of a nat, cut on one side only, leaves the mean below 1.
    plain, normalised = (
        one_rank.run(
            scenarios.policy_steps,
            folder=model_folder,
            learner=make_learner(micro_batch_size=3),
            algorithm=make_config(
                "rloo",
                correction={
                    "weight": weight,
                    "weight_low": 0.95,
                    "weight_high": 1.05,
                    "batch_normalise": batch_normalise,
                    "sequence_mask": "none",
                },
            ),
            batch=batch,
            num_steps=1,
        )[0]
        for batch_normalise in (False, True)
    )
    mean = plain.metrics["learner/correction/weight_mean"]
    assert abs(mean - 1.0) > 1e-3
    assert [loss * mean for loss in normalised.losses] == pytest.approx(plain.losses, rel=TOLERANCE)
    assert [norm * mean for norm in normalised.gradient_norms] == pytest.approx(plain.gradient_norms, rel=TOLERANCE)


@pytest.mark.parametrize("zero_stage", [0, 3])
def test_supervised_steps_equal_a_plain_torch_loop(zero_stage: int, one_rank: Ranks, model_folder: str) -> None:
    learner = make_learner(zero_stage=zero_stage)
    (found,) = one_rank.run(scenarios.supervised_steps, folder=model_folder, learner=learner)
    (expected,) = one_rank.run(scenarios.plain_supervised_steps, folder=model_folder, learner=learner)
    assert_same(found, expected)


@pytest.mark.parametrize(("zero_stage", "world_size", "size"), [(0, 1, 4), (3, 1, 4), (0, 2, 3), (3, 2, 3), (3, 2, 1)])
def test_the_loss_on_held_out_answers_is_that_of_a_step_and_moves_nothing(
    zero_stage: int, world_size: int, size: int, one_rank: Ranks, two_ranks: Ranks, model_folder: str
) -> None:
    learner = make_learner(zero_stage=zero_stage, world_size=world_size)
    ranks = two_ranks if world_size == 2 else one_rank
    (plain,) = one_rank.run(
        scenarios.supervised_steps,
        folder=model_folder,
        learner=make_learner(),
        demonstrations=make_demonstrations()[:size],
    )
    for measured, learned, parameters in ranks.run(
        scenarios.supervised_losses, folder=model_folder, learner=learner, size=size
    ):
        assert measured == pytest.approx(learned, rel=1e-5)
        assert learned == pytest.approx(plain.losses, rel=1e-4)
        for name, values in plain.parameters.items():
            np.testing.assert_allclose(parameters[name], values, atol=TOLERANCE, err_msg=name)


def test_supervised_steps_on_two_ranks_equal_those_on_one(one_rank: Ranks, two_ranks: Ranks, model_folder: str) -> None:
    # Three demonstrations over two ranks: one rank has nothing in the last pass.
    (alone,) = one_rank.run(
        scenarios.supervised_steps,
        folder=model_folder,
        learner=make_learner(),
        demonstrations=make_demonstrations()[:3],
    )
    learner = make_learner(zero_stage=2, world_size=2, micro_batch_size=1)
    pair = two_ranks.run(
        scenarios.supervised_steps, folder=model_folder, learner=learner, demonstrations=make_demonstrations()[:3]
    )
    assert_same(pair[1], alone)
