"""Completions that share a prompt are computed as if each had its own: log-probs, gradients, and what is learned."""

from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor

from conf.algorithms import AlgorithmConfig
from learner.logprobs import CompletionScores
from learner.rows import Row, places_of, score_rows
from learner.types import TrainingBatch
from learner.worker import enable_gradient_checkpointing
from rollout.families.base import EncodedPrompt, Family, Layout
from tests.learner import scenarios
from tests.learner.builders import (
    make_demonstrations_of_every_kind,
    make_family,
    make_grpo,
    make_learner,
    make_pair_prompt,
    make_picture_prompt,
    make_prompt,
    make_prompts_of_every_kind,
    make_video_prompt,
)
from tests.learner.full_logits import scores_by_the_book
from tests.learner.ranks import Ranks
from tests.learner.scenarios import Outcome
from tests.learner.test_layouts import CHARGED, NORMALISED, WITH_BONUS, assert_same, learned

CLOSE = 1e-5
"""Largest relative difference in float32."""
KINDS = ("picture", "video", "text", "pictures", "pair", "both")
UNEVEN = (5, 17, 9, 0, 1, 6)
"""Completion lengths, an empty one and a single token among them."""


class Models:
    """The same weights as a model that computes shared prompts, and as one that computes rows."""

    def __init__(self, folder: str, *, is_checkpointed: bool = False) -> None:
        self.family = make_family(folder)
        self.modules = {layout: _load(self.family, layout) for layout in ("padded", "shared")}
        if is_checkpointed:
            for module in self.modules.values():
                enable_gradient_checkpointing(module.train())

    def prompt(self, kind: str) -> EncodedPrompt:
        """One of ``KINDS``, encoded once."""
        return _encoded_prompts(self)[kind]

    def scores(self, rows: Sequence[Row], *, layout: Layout) -> CompletionScores:
        """Log-probs and entropies, with their gradients."""
        return score_rows(
            scores_by_the_book(self.modules[layout]),
            rows,
            family=self.family,
            layout=layout,
            temperature=1.0,
            with_entropy_gradient=True,
        )

    def gradients(self, passes: Sequence[Sequence[Row]], *, layout: Layout) -> dict[str, Tensor]:
        """Of a sum in which every completion has another weight, over all passes."""
        module = self.modules[layout]
        module.zero_grad()
        for rows in passes:
            found = self.scores(rows, layout=layout)
            weights_B = torch.tensor([0.2 + 0.1 * (len(row.completion) % 5) for row in rows])
            torch.autograd.backward(((0.3 * found.entropy_BT - found.logprobs_BT) * weights_B[:, None]).sum())
        return {name: one.grad.clone() for name, one in module.named_parameters() if one.grad is not None}


def _load(family: Family, layout: Layout) -> torch.nn.Module:
    return family.load_model(dtype=torch.float32, attention="sdpa", layout=layout)


@cache
def _encoded_prompts(models: Models) -> dict[str, EncodedPrompt]:
    prompts = make_prompts_of_every_kind()
    return {kind: models.family.encode(prompt) for kind, prompt in zip(KINDS, prompts, strict=True)}


@cache
def make_models(folder: str) -> Models:
    """Loaded once."""
    return Models(folder)


def make_completion(length: int, *, seed: int = 0) -> NDArray[np.int32]:
    """Ordinary tokens."""
    return np.random.default_rng((seed, length)).integers(0, 200, length).astype(np.int32)


def make_group(prompt: EncodedPrompt, lengths: Sequence[int] = UNEVEN, *, seed: int = 0) -> list[Row]:
    """Completions of one prompt."""
    return [Row(prompt=prompt, completion=make_completion(length, seed=seed)) for length in lengths]


def make_mixture(models: Models) -> list[Row]:
    """Several groups, some of a single completion, their rows in any order."""
    lengths = ((5, 17, 9, 0), (1,), (3, 3), (30, 2), (0,), (4, 4, 4))
    rows = [row for kind, some in zip(KINDS, lengths, strict=True) for row in make_group(models.prompt(kind), some)]
    np.random.default_rng(0).shuffle(rows)
    return rows


def assert_scored_as_alone(models: Models, rows: Sequence[Row]) -> None:
    """Log-probs and entropies of each completion in one shared pass are those of a row of its own."""
    together = models.scores(rows, layout="shared")
    for place, row in enumerate(rows):
        alone = models.scores([row], layout="padded")
        length = len(row.completion)
        for found, expected in ((together.logprobs_BT, alone.logprobs_BT), (together.entropy_BT, alone.entropy_BT)):
            torch.testing.assert_close(found[place, :length], expected[0, :length], rtol=CLOSE, atol=1e-6)
            assert not found[place, length:].any()


def assert_same_gradients(found: Mapping[str, Tensor], expected: Mapping[str, Tensor]) -> None:
    """Of every parameter, in relation to its size."""
    assert found.keys() == expected.keys()
    for name, gradient in expected.items():
        assert float((found[name] - gradient).norm()) <= CLOSE * float(gradient.norm()), name


@torch.no_grad()
@pytest.mark.parametrize("kind", KINDS)
def test_completions_of_a_prompt_of_any_kind_score_as_they_do_alone(model_folder: str, kind: str) -> None:
    models = make_models(model_folder)
    assert_scored_as_alone(models, make_group(models.prompt(kind)))


@torch.no_grad()
@pytest.mark.parametrize("lengths", [(4, 4, 4), (7,), (0,), (0, 0), (3, 0), (40, 1), (1, 1)])
def test_groups_of_any_lengths_score_as_they_do_alone(model_folder: str, lengths: tuple[int, ...]) -> None:
    models = make_models(model_folder)
    assert_scored_as_alone(models, make_group(models.prompt("picture"), lengths))


@torch.no_grad()
def test_several_groups_in_any_order_score_as_they_do_alone(model_folder: str) -> None:
    models = make_models(model_folder)
    assert_scored_as_alone(models, make_mixture(models))


@pytest.mark.parametrize("kind", KINDS)
def test_gradients_of_a_prompt_of_any_kind_are_those_of_rows(model_folder: str, kind: str) -> None:
    models = make_models(model_folder)
    rows = make_group(models.prompt(kind))
    expected = models.gradients([[row] for row in rows], layout="padded")
    assert_same_gradients(models.gradients([rows], layout="shared"), expected)


@pytest.mark.parametrize("is_checkpointed", [False, True])
def test_gradients_are_the_same_however_groups_are_split_over_passes(
    model_folder: str, *, is_checkpointed: bool
) -> None:
    models = Models(model_folder, is_checkpointed=is_checkpointed)
    rows = make_mixture(models)
    expected = models.gradients([[row] for row in rows], layout="padded")
    for passes in ([rows], [rows[:3], rows[3:9], rows[9:]], [[row] for row in rows]):
        assert_same_gradients(models.gradients(passes, layout="shared"), expected)


@torch.no_grad()
def test_another_picture_changes_all_completions_of_its_prompt_and_no_other(model_folder: str) -> None:
    models = make_models(model_folder)
    first, other = models.prompt("picture"), models.prompt("pair")
    pixels = first.features["pixel_values"]
    changed = EncodedPrompt(
        token_ids=first.token_ids,
        features={**first.features, "pixel_values": pixels.flip(0)},
        num_media_tokens=first.num_media_tokens,
        positions=first.positions,
        media_grids=first.media_grids,
    )
    bystanders = make_group(other, (4, 6))
    before, after = (
        models.scores([*make_group(prompt, (5, 3, 2)), *bystanders], layout="shared").logprobs_BT
        for prompt in (first, changed)
    )
    assert (before[:3] - after[:3]).abs().amax(dim=1).min() > 1e-3
    assert torch.equal(before[3:], after[3:])


@torch.no_grad()
@pytest.mark.parametrize("changed", [0, 1, 2])
def test_no_completion_sees_a_sibling(model_folder: str, changed: int) -> None:
    models = make_models(model_folder)
    rows = make_group(models.prompt("picture"), (6, 6, 5))
    others = list(rows)
    others[changed] = Row(
        prompt=rows[changed].prompt, completion=make_completion(len(rows[changed].completion), seed=9)
    )
    one, other = (models.scores(some, layout="shared").logprobs_BT for some in (rows, others))
    assert (one[changed] - other[changed]).abs().max() > 1e-3
    kept = [index for index in range(3) if index != changed]
    assert torch.equal(one[kept], other[kept])


@torch.no_grad()
def test_equal_prompts_that_are_two_objects_are_laid_out_twice_and_score_the_same(model_folder: str) -> None:
    models = make_models(model_folder)
    twice = [models.family.encode(make_picture_prompt(0)) for _ in range(2)]
    completions = [make_completion(length) for length in (5, 3)]
    apart = [Row(prompt=prompt, completion=one) for prompt, one in zip(twice, completions, strict=True)]
    together = [Row(prompt=twice[0], completion=one) for one in completions]
    assert len({place.prompt for place in places_of(apart, layout="shared")}) == 2
    torch.testing.assert_close(
        models.scores(apart, layout="shared").logprobs_BT, models.scores(together, layout="shared").logprobs_BT
    )


@torch.no_grad()
def test_a_shared_prompt_goes_through_the_vision_tower_once(model_folder: str) -> None:
    models = make_models(model_folder)
    pair, video = models.prompt("pair"), models.prompt("video")
    rows = [*make_group(pair), *make_group(video, (3, 2))]
    arguments = models.family.forward_arguments([(row.prompt, row.completion) for row in rows], layout="shared")
    for prompt in (pair, video):
        for name, feature in prompt.features.items():
            assert torch.equal(arguments[name], feature), name
    assert arguments["input_ids"].shape == (1, len(pair.token_ids) + sum(UNEVEN) + len(video.token_ids) + 5)


def test_siblings_have_the_positions_they_have_alone(model_folder: str) -> None:
    family = make_models(model_folder).family
    for asked in (make_picture_prompt(1), make_video_prompt(), make_pair_prompt(), make_prompt("text", "Why?")):
        prompt = family.encode(asked)
        completions = [make_completion(length) for length in (2, 4)]
        found = family.forward_arguments([(prompt, one) for one in completions], layout="shared")["position_ids"]
        alone = family.forward_arguments([(prompt, completions[1])])["position_ids"]
        # The longer one comes first.
        assert torch.equal(found[:, :, : alone.shape[2]], alone)
        assert torch.equal(found[:, :, alone.shape[2] :], alone[:, :, -4:-2])


def test_eager_attention_cannot_share_prompts(model_folder: str) -> None:
    family = make_models(model_folder).family
    with pytest.raises(ValueError, match="sdpa or flash_attention_2, not with eager"):
        family.load_model(dtype=torch.float32, attention="eager", layout="shared")


def run(
    ranks: Ranks, folder: str, batch: TrainingBatch, *, algorithm: AlgorithmConfig | None = None, **layout: Any
) -> list[Outcome]:
    """Three steps of RL with shared prompts."""
    return ranks.run(
        scenarios.policy_steps,
        folder=folder,
        learner=make_learner(share_prompts=True, **layout),
        algorithm=make_grpo() if algorithm is None else algorithm,
        batch=batch,
    )


@pytest.mark.parametrize(
    "layout",
    [
        {"micro_batch_size": 8},
        {"micro_batch_size": 4, "zero_stage": 1},
        {"micro_batch_size": 3, "zero_stage": 2, "gradient_checkpointing": True},
        {"pack_tokens": 10_000, "zero_stage": 3},
        {"pack_tokens": 60, "zero_stage": 3, "gradient_checkpointing": True},
        {"pack_tokens": 1},
    ],
)
def test_steps_on_shared_prompts_learn_the_same(
    layout: dict[str, Any], one_rank: Ranks, model_folder: str, batch: TrainingBatch, plain_outcome: Outcome
) -> None:
    (found,) = run(one_rank, model_folder, batch, **layout)
    assert_same(found, plain_outcome)
    assert found.losses[0] == pytest.approx(plain_outcome.losses[0], rel=CLOSE)
    assert found.gradient_norms[0] == pytest.approx(plain_outcome.gradient_norms[0], rel=CLOSE)
    assert learned(found.metrics) == pytest.approx(learned(plain_outcome.metrics), abs=1e-3, rel=1e-3)


@pytest.mark.parametrize(
    "layout",
    [
        {"zero_stage": 0, "micro_batch_size": 8},
        {"zero_stage": 1, "micro_batch_size": 3},
        {"zero_stage": 2, "pack_tokens": 60},
        {"zero_stage": 3, "pack_tokens": 60, "gradient_checkpointing": True},
        {"zero_stage": 3, "micro_batch_size": 1},
    ],
)
def test_steps_on_shared_prompts_on_two_ranks_learn_the_same(
    layout: dict[str, Any], two_ranks: Ranks, model_folder: str, batch: TrainingBatch, plain_outcome: Outcome
) -> None:
    for found in run(two_ranks, model_folder, batch, world_size=2, **layout):
        assert_same(found, plain_outcome)
        assert found.losses[0] == pytest.approx(plain_outcome.losses[0], rel=CLOSE)
        assert found.gradient_norms[0] == pytest.approx(plain_outcome.gradient_norms[0], rel=CLOSE)


def test_a_group_split_over_ranks_learns_the_same(
    one_rank: Ranks, two_ranks: Ranks, model_folder: str, batch: TrainingBatch
) -> None:
    alone = TrainingBatch(samples=batch.samples[:4], num_without_reward=0)
    (expected,) = run(one_rank, model_folder, alone, micro_batch_size=8)
    for found in run(two_ranks, model_folder, alone, world_size=2, zero_stage=3, micro_batch_size=8):
        assert_same(found, expected)
        # Two of four on each rank, so that both compute the prompt.
        assert found.metrics["learner/passes/shared_share"] > 0.3


@pytest.mark.parametrize("algorithm", [CHARGED, WITH_BONUS, NORMALISED], ids=["charged", "bonus", "normalised"])
def test_references_bonuses_and_old_logprobs_are_the_same_when_shared(
    algorithm: AlgorithmConfig, one_rank: Ranks, two_ranks: Ranks, model_folder: str, batch: TrainingBatch
) -> None:
    (padded,) = one_rank.run(
        scenarios.policy_steps, folder=model_folder, learner=make_learner(), algorithm=algorithm, batch=batch
    )
    layout: dict[str, Any] = {"zero_stage": 3, "world_size": 2, "micro_batch_size": 4}
    for found in run(two_ranks, model_folder, batch, algorithm=algorithm, **layout):
        assert_same(found, padded)
        assert learned(found.metrics) == pytest.approx(learned(padded.metrics), abs=1e-3, rel=1e-3)


def test_adapters_learn_the_same_from_shared_prompts(one_rank: Ranks, model_folder: str, batch: TrainingBatch) -> None:
    padded, shared = (
        one_rank.run(
            scenarios.policy_steps,
            folder=model_folder,
            learner=make_learner(lora_rank=4, frozen=("vision",), share_prompts=share_prompts, micro_batch_size=8),
            algorithm=make_grpo(),
            batch=batch,
        )[0]
        for share_prompts in (False, True)
    )
    assert_same(shared, padded)


@pytest.mark.parametrize("layout", [{"micro_batch_size": 6}, {"pack_tokens": 300}])
def test_answers_to_prompts_that_share_nothing_are_imitated_alike(
    layout: dict[str, Any], one_rank: Ranks, model_folder: str
) -> None:
    shown: dict[str, Any] = {"folder": model_folder, "demonstrations": make_demonstrations_of_every_kind()}
    padded, shared = (
        one_rank.run(scenarios.supervised_steps, learner=learner, **shown)[0]
        for learner in (make_learner(), make_learner(share_prompts=True, **layout))
    )
    assert shared.losses == pytest.approx(padded.losses, rel=1e-4)
    assert shared.losses[0] == pytest.approx(padded.losses[0], rel=CLOSE)
    assert shared.gradient_norms[0] == pytest.approx(padded.gradient_norms[0], rel=CLOSE)
    assert shared.metrics["learner/passes/shared_share"] == 0.0


def test_what_the_engine_is_compared_with_is_the_same(one_rank: Ranks, model_folder: str) -> None:
    padded, shared = (
        one_rank.run(
            scenarios.score, folder=model_folder, learner=make_learner(share_prompts=share), algorithm=make_grpo()
        )[0]
        for share in (False, True)
    )
    for one, other in zip(padded, shared, strict=True):
        np.testing.assert_allclose(one.logprobs, other.logprobs, atol=1e-6)


def test_tokens_that_sharing_saves_are_reported(one_rank: Ranks, model_folder: str, batch: TrainingBatch) -> None:
    prompts = {sample.outcome.group_index: len(sample.prompt_token_ids) for sample in batch.samples}
    alone = sum(sample.num_tokens for sample in batch.samples)
    computed = sum(prompts.values()) + batch.num_loss_tokens
    (found,) = run(one_rank, model_folder, batch, micro_batch_size=8)
    assert found.metrics["learner/passes/tokens_mean"] == computed
    assert found.metrics["learner/passes/shared_share"] == pytest.approx(1 - computed / alone)
    assert found.metrics["learner/passes/padding_share"] == 0.0
