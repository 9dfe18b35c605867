"""A learner rank from checkpoint to export, on the real DeepSpeed."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from learner.rows import Row, score_rows
from learner.types import TrainingBatch
from tests.learner import scenarios
from tests.learner.builders import make_config, make_family, make_grpo, make_learner, make_requests
from tests.learner.full_logits import scores_by_the_book
from tests.learner.ranks import Ranks

BOTH_ENDS = pytest.mark.parametrize("zero_stage", [0, 3])


@pytest.mark.parametrize("zero_stage", [0, 2, 3])
def test_a_resumed_run_repeats_the_losses_bit_by_bit(
    zero_stage: int, two_ranks: Ranks, model_folder: str, batch: TrainingBatch, tmp_path: Path
) -> None:
    learner = make_learner(share_prompts=True, zero_stage=zero_stage, world_size=2)
    whole = two_ranks.run(
        scenarios.policy_steps,
        folder=model_folder,
        learner=learner,
        algorithm=make_grpo(),
        batch=batch,
        num_steps=4,
    )
    parts = two_ranks.run(
        scenarios.interrupted_policy_steps,
        folder=model_folder,
        learner=learner,
        batch=batch,
        checkpoint=str(tmp_path / "checkpoint"),
    )
    assert parts[0].losses == whole[0].losses
    for name, values in whole[1].parameters.items():
        np.testing.assert_array_equal(parts[1].parameters[name], values, err_msg=name)


def test_a_folder_without_checkpoint_is_refused(one_rank: Ranks, model_folder: str, tmp_path: Path) -> None:
    with pytest.raises(AssertionError, match="holds no learner checkpoint"):
        one_rank.run(
            scenarios.load_checkpoint,
            folder=model_folder,
            learner=make_learner(share_prompts=True),
            checkpoint=str(tmp_path),
        )


@BOTH_ENDS
def test_an_export_loads_in_transformers_and_scores_the_same(
    zero_stage: int, two_ranks: Ranks, model_folder: str, batch: TrainingBatch, tmp_path: Path
) -> None:
    folder = str(tmp_path / "exported")
    scores = two_ranks.run(
        scenarios.step_and_export,
        folder=model_folder,
        learner=make_learner(share_prompts=True, zero_stage=zero_stage, world_size=2),
        batch=batch,
        export_to=folder,
    )[1]
    family = make_family(folder)
    scores_of = scores_by_the_book(family.load_model(dtype=torch.float32, attention="sdpa"))
    for request, expected in zip(make_requests(), scores, strict=True):
        row = Row(prompt=family.encode(request.prompt), completion=request.token_ids)
        with torch.no_grad():
            found = score_rows(scores_of, [row], family=family, layout="padded", temperature=1.0)
        np.testing.assert_allclose(found.logprobs_BT[0].numpy(), expected.logprobs, atol=1e-5)


def test_an_export_leaves_nothing_half_written(
    one_rank: Ranks, model_folder: str, batch: TrainingBatch, tmp_path: Path
) -> None:
    target = tmp_path / "exported"
    target.mkdir()
    (target / "left-over").touch()
    one_rank.run(
        scenarios.step_and_export,
        folder=model_folder,
        learner=make_learner(share_prompts=True),
        batch=batch,
        export_to=str(target),
    )
    assert [path.name for path in tmp_path.iterdir()] == ["exported"]
    assert not (target / "left-over").exists()


@pytest.mark.parametrize("zero_stage", [0, 1, 3])
def test_a_new_phase_starts_with_fresh_moments(
    zero_stage: int, one_rank: Ranks, model_folder: str, batch: TrainingBatch, tmp_path: Path
) -> None:
    ((same, other),) = one_rank.run(
        scenarios.two_phases,
        folder=model_folder,
        learner=make_learner(share_prompts=True, zero_stage=zero_stage),
        batch=batch,
        export_to=str(tmp_path / "between"),
    )
    for name, values in other.items():
        np.testing.assert_allclose(same[name], values, atol=1e-6, err_msg=name)


@BOTH_ENDS
def test_one_rank_sends_and_the_other_only_gathers(zero_stage: int, two_ranks: Ranks, model_folder: str) -> None:
    learner = make_learner(share_prompts=True, zero_stage=zero_stage, world_size=2)
    (num_first, first), (num_second, second) = two_ranks.run(
        scenarios.publish_from_first_rank, folder=model_folder, learner=learner
    )
    assert num_first > 50
    assert num_second == 0
    assert first == second


def test_gathered_weights_equal_unsharded_ones(one_rank: Ranks, two_ranks: Ranks, model_folder: str) -> None:
    plain = one_rank.run(
        scenarios.publish_from_first_rank, folder=model_folder, learner=make_learner(share_prompts=True)
    )
    sharded = two_ranks.run(
        scenarios.publish_from_first_rank,
        folder=model_folder,
        learner=make_learner(share_prompts=True, zero_stage=3, world_size=2),
    )
    assert sharded[0] == plain[0]


def test_several_updates_move_the_ratio_away_from_one(one_rank: Ranks, model_folder: str, batch: TrainingBatch) -> None:
    (outcome,) = one_rank.run(
        scenarios.policy_steps,
        folder=model_folder,
        learner=make_learner(share_prompts=True),
        algorithm=make_grpo(num_updates=2),
        batch=batch,
        num_steps=1,
    )
    assert outcome.metrics["learner/policy/kl_old"] > 0.0


def test_every_minibatch_is_an_optimizer_step(one_rank: Ranks, model_folder: str, batch: TrainingBatch) -> None:
    (outcome,) = one_rank.run(
        scenarios.policy_steps,
        folder=model_folder,
        learner=make_learner(share_prompts=True),
        algorithm=make_config("rloo", num_minibatches=2, num_updates=3),
        batch=batch,
        num_steps=1,
    )
    assert outcome.metrics["learner/num_optimizer_steps"] == 6.0


def test_a_minibatch_without_credit_is_left_out(one_rank: Ranks, model_folder: str, batch: TrainingBatch) -> None:
    samples = tuple(
        replace(sample, advantages_T=sample.advantages_T * (sample.outcome.group_index == 0))
        for sample in batch.samples
    )
    (outcome,) = one_rank.run(
        scenarios.policy_steps,
        folder=model_folder,
        learner=make_learner(share_prompts=True),
        algorithm=make_config("rloo", num_minibatches=2),
        batch=replace(batch, samples=samples),
        num_steps=1,
    )
    assert outcome.metrics["learner/num_optimizer_steps"] == 1.0


def test_an_entropy_bonus_raises_the_entropy(one_rank: Ranks, model_folder: str, batch: TrainingBatch) -> None:
    entropies = [
        one_rank.run(
            scenarios.policy_steps,
            folder=model_folder,
            learner=make_learner(share_prompts=True, learning_rate=1e-2),
            algorithm=make_config("rloo", entropy_coefficient=coefficient),
            batch=replace(batch, has_penalty=True),
            num_steps=4,
        )[0].metrics["learner/policy/entropy"]
        for coefficient in (0.0, 3.0)
    ]
    assert entropies[1] > entropies[0]


def test_the_first_step_measures_no_distance_from_the_reference(
    two_ranks: Ranks, model_folder: str, batch: TrainingBatch
) -> None:
    distances = [
        two_ranks.run(
            scenarios.policy_steps,
            folder=model_folder,
            learner=make_learner(share_prompts=True, zero_stage=3, world_size=2),
            algorithm=make_grpo(kl_coefficient=0.1),
            batch=batch,
            num_steps=num_steps,
        )[0].metrics["learner/reference/kl"]
        for num_steps in (1, 2)
    ]
    assert distances[0] == pytest.approx(0.0, abs=1e-9)
    assert distances[1] > 1e-6


@pytest.mark.parametrize("zero_stage", [0, 1, 2, 3])
def test_a_step_that_is_not_finite_names_phase_and_step(
    zero_stage: int, one_rank: Ranks, model_folder: str, batch: TrainingBatch
) -> None:
    samples = tuple(replace(sample, advantages_T=np.full_like(sample.advantages_T, np.inf)) for sample in batch.samples)
    (said,) = one_rank.run(
        scenarios.failing_policy_step,
        folder=model_folder,
        learner=make_learner(share_prompts=True, zero_stage=zero_stage),
        batch=TrainingBatch(samples=samples, num_without_reward=0),
    )
    assert said.startswith("NonFiniteStepError")
    assert "phase=rl step=4" in said


def test_a_prompt_the_engine_saw_differently_is_refused(
    one_rank: Ranks, model_folder: str, batch: TrainingBatch
) -> None:
    other = replace(batch.samples[0], prompt_token_ids=batch.samples[0].prompt_token_ids[:-1])
    (said,) = one_rank.run(
        scenarios.failing_policy_step,
        folder=model_folder,
        learner=make_learner(share_prompts=True),
        batch=TrainingBatch(samples=(other, *batch.samples[1:]), num_without_reward=0),
    )
    assert "prompt noise-0: the engine saw" in said


def test_replacing_the_picture_changes_the_log_probs(one_rank: Ranks, model_folder: str) -> None:
    scores = one_rank.run(
        scenarios.score_same_answer_to_two_pictures, folder=model_folder, learner=make_learner(share_prompts=True)
    )[0]
    assert np.abs(scores[0].logprobs - scores[1].logprobs).max() > 1e-3
    assert [score.media_grids for score in scores] == [((1, 4, 4),), ((1, 4, 6),)]
    assert [score.num_media_tokens for score in scores] == [4, 6]


def test_an_answer_with_a_picture_token_is_not_imitated(one_rank: Ranks, model_folder: str) -> None:
    (said,) = one_rank.run(
        scenarios.failing_supervised_step,
        folder=model_folder,
        learner=make_learner(share_prompts=True),
        target="see <|image_pad|>",
    )
    assert said.startswith("prompt noise-0: the answer to imitate holds the tokens")


def test_a_learner_of_another_size_than_configured_is_refused(one_rank: Ranks, model_folder: str) -> None:
    with pytest.raises(AssertionError, match="world_size=2 but 1 ranks were started"):
        one_rank.run(
            scenarios.score,
            folder=model_folder,
            learner=make_learner(share_prompts=True, world_size=2),
            algorithm=make_grpo(),
        )
