"""Rows laid end to end are computed as if each were alone: log-probs, entropies, gradients, and what is learned."""

from collections.abc import Mapping
from functools import cache
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor
from transformers.masking_utils import find_packed_sequence_indices
from transformers.modeling_flash_attention_utils import prepare_fa_kwargs_from_position_ids

from conf.algorithms import AlgorithmConfig
from learner.head import score, set_scoring_head
from learner.logprobs import CompletionScores, Targets, TokenScores
from learner.rows import Row, score_rows
from learner.types import TrainingBatch
from learner.worker import enable_gradient_checkpointing
from rollout.families.base import Layout
from tests.learner import scenarios
from tests.learner.builders import (
    make_demonstrations_of_every_kind,
    make_family,
    make_grpo,
    make_learner,
)
from tests.learner.ranks import Ranks
from tests.learner.scenarios import Outcome
from tests.learner.test_layouts import CHARGED, NORMALISED, WITH_BONUS, assert_same, learned

LARGE = 10_000
"""Tokens; everything in one pass."""
MIDDLE = 120
"""Tokens; a few rows to a pass."""
SMALL = 1
"""Tokens; every row alone."""
CLOSE = 1e-5


class Model:
    """A tiny model that scores rows, packed or padded."""

    def __init__(self, folder: str, *, attention: str = "sdpa", is_checkpointed: bool = False) -> None:
        self.family = make_family(folder)
        self.module = self.family.load_model(dtype=torch.float32, attention=attention)
        self._head = set_scoring_head(self.module, head_dtype="model")
        if is_checkpointed:
            enable_gradient_checkpointing(self.module.train())

    def rows(self) -> list[Row]:
        """One of every kind."""
        return [
            Row(prompt=self.family.encode(one.prompt), completion=self.family.encode_target(one.target))
            for one in make_demonstrations_of_every_kind()
        ]

    def scores(self, rows: list[Row], *, layout: Layout) -> CompletionScores:
        """Log-probs and entropies, with their gradients."""
        return score_rows(
            self._scores, rows, family=self.family, layout=layout, temperature=1.0, with_entropy_gradient=True
        )

    def gradients(self, passes: list[list[Row]], *, layout: Layout) -> dict[str, Tensor]:
        """Of a sum in which every row has another weight, over all passes."""
        self.module.zero_grad()
        for rows in passes:
            found = self.scores(rows, layout=layout)
            weights_B = torch.tensor([0.2 + 0.1 * (len(row.completion) % 5) for row in rows])
            total = ((0.3 * found.entropy_BT - found.logprobs_BT) * weights_B[:, None]).sum()
            torch.autograd.backward(total)
        named = self.module.named_parameters()
        return {name: one.grad.clone() for name, one in named if one.grad is not None}

    def _scores(self, arguments: Mapping[str, Tensor], targets: Targets) -> TokenScores:
        return score(self.module, self._head, arguments=arguments, targets=targets, device=torch.device("cpu"))


@cache
def make_shared_model(folder: str, attention: str = "sdpa") -> Model:
    """One per attention, loaded once."""
    return Model(folder, attention=attention)


@torch.no_grad()
@pytest.mark.parametrize("attention", ["sdpa", "eager"])
@pytest.mark.parametrize("order", [(0, 1, 2, 3, 4, 5), (5, 3, 1, 4, 2, 0), (2, 1), (3,)])
def test_packed_rows_score_as_they_do_alone(model_folder: str, attention: str, order: tuple[int, ...]) -> None:
    model = make_shared_model(model_folder, attention)
    every = model.rows()
    rows = [every[index] for index in order]
    together = model.scores(rows, layout="packed")
    for place, row in enumerate(rows):
        alone = model.scores([row], layout="padded")
        length = len(row.completion)
        torch.testing.assert_close(together.logprobs_BT[place, :length], alone.logprobs_BT[0], rtol=CLOSE, atol=1e-5)
        torch.testing.assert_close(together.entropy_BT[place, :length], alone.entropy_BT[0], rtol=CLOSE, atol=1e-5)
        assert not together.logprobs_BT[place, length:].any()


@torch.no_grad()
def test_no_row_sees_what_stands_before_it(model_folder: str) -> None:
    model = make_shared_model(model_folder)
    first, second, third, *_ = model.rows()
    other = Row(prompt=first.prompt, completion=first.completion[::-1].copy())
    one, changed = (model.scores([row, second, third], layout="packed").logprobs_BT for row in (first, other))
    assert (one[0] - changed[0]).abs().max() > 1e-3
    assert torch.equal(one[1:], changed[1:])


@pytest.mark.parametrize("is_checkpointed", [False, True])
def test_packing_changes_no_gradient(model_folder: str, *, is_checkpointed: bool) -> None:
    model = Model(model_folder, is_checkpointed=is_checkpointed)
    rows = model.rows()
    expected = model.gradients([[row] for row in rows], layout="padded")
    for passes in ([rows], [rows[:2], rows[2:]], [[row] for row in rows]):
        found = model.gradients(passes, layout="packed")
        assert found.keys() == expected.keys()
        for name, gradient in expected.items():
            assert float((found[name] - gradient).norm()) <= CLOSE * float(gradient.norm()), name


def test_attention_of_every_kind_finds_the_rows_in_the_first_plane_of_positions(model_folder: str) -> None:
    model = make_shared_model(model_folder)
    rows = model.rows()
    arguments = model.family.forward_arguments([(row.prompt, row.completion) for row in rows], layout="packed")
    lengths = [len(row.prompt.token_ids) + len(row.completion) for row in rows]
    assert arguments["position_ids"].shape == (4, 1, sum(lengths))
    assert "attention_mask" not in arguments
    plane_1S = arguments["position_ids"][0]
    # What sdpa and eager build their mask from, and what flash attention is given.
    block_1S = find_packed_sequence_indices(plane_1S)
    assert block_1S is not None
    assert block_1S[0].bincount().tolist() == lengths
    (starts, _), (longest, _) = prepare_fa_kwargs_from_position_ids(plane_1S)
    assert starts.diff().tolist() == lengths
    assert int(longest) == max(lengths)


def test_packed_rows_keep_the_positions_they_have_alone(model_folder: str) -> None:
    family = make_shared_model(model_folder).family
    rows = [(row.prompt, row.completion) for row in make_shared_model(model_folder).rows()]
    alone = [family.forward_arguments([row])["position_ids"][:, 0] for row in rows]
    packed = family.forward_arguments(rows, layout="packed")["position_ids"][1:, 0]
    assert torch.equal(packed, torch.cat(alone, dim=1))


def run(
    ranks: Ranks, folder: str, batch: TrainingBatch, *, algorithm: AlgorithmConfig | None = None, **layout: Any
) -> list[Outcome]:
    """Three steps of RL."""
    return ranks.run(
        scenarios.policy_steps,
        folder=folder,
        learner=make_learner(**layout),
        algorithm=make_grpo() if algorithm is None else algorithm,
        batch=batch,
    )


@pytest.mark.parametrize(("zero_stage", "pack_tokens"), [(0, SMALL), (0, MIDDLE), (3, LARGE)])
def test_packed_steps_learn_the_same(
    zero_stage: int, pack_tokens: int, one_rank: Ranks, model_folder: str, batch: TrainingBatch, plain_outcome: Outcome
) -> None:
    (found,) = run(one_rank, model_folder, batch, zero_stage=zero_stage, pack_tokens=pack_tokens)
    assert_same(found, plain_outcome)
    assert found.losses[0] == pytest.approx(plain_outcome.losses[0], rel=CLOSE)
    assert found.gradient_norms[0] == pytest.approx(plain_outcome.gradient_norms[0], rel=CLOSE)
    assert learned(found.metrics) == pytest.approx(learned(plain_outcome.metrics), abs=1e-3, rel=1e-3)


@pytest.mark.parametrize(("zero_stage", "pack_tokens"), [(0, MIDDLE), (2, SMALL), (3, MIDDLE), (3, LARGE)])
def test_packed_steps_on_two_ranks_learn_the_same(
    zero_stage: int, pack_tokens: int, two_ranks: Ranks, model_folder: str, batch: TrainingBatch, plain_outcome: Outcome
) -> None:
    layout: dict[str, Any] = {
        "zero_stage": zero_stage,
        "pack_tokens": pack_tokens,
        "gradient_checkpointing": zero_stage == 3,
    }
    for found in run(two_ranks, model_folder, batch, world_size=2, **layout):
        assert_same(found, plain_outcome)
        assert learned(found.metrics) == pytest.approx(learned(plain_outcome.metrics), abs=1e-3, rel=1e-3)


@pytest.mark.parametrize("algorithm", [CHARGED, WITH_BONUS, NORMALISED], ids=["charged", "bonus", "normalised"])
def test_references_bonuses_and_old_logprobs_are_the_same_when_packed(
    algorithm: AlgorithmConfig,
    one_rank: Ranks,
    two_ranks: Ranks,
    model_folder: str,
    batch: TrainingBatch,
) -> None:
    (padded,) = run(one_rank, model_folder, batch, algorithm=algorithm)
    layout: dict[str, Any] = {"zero_stage": 3, "world_size": 2, "pack_tokens": MIDDLE}
    for found in run(two_ranks, model_folder, batch, algorithm=algorithm, **layout):
        assert_same(found, padded)
        assert learned(found.metrics) == pytest.approx(learned(padded.metrics), abs=1e-3, rel=1e-3)


@pytest.mark.parametrize(("world_size", "pack_tokens"), [(1, 300), (1, LARGE), (2, SMALL), (2, 300)])
def test_packed_answers_to_prompts_of_every_kind_are_imitated_alike(
    world_size: int, pack_tokens: int, one_rank: Ranks, two_ranks: Ranks, model_folder: str
) -> None:
    shown: dict[str, Any] = {"folder": model_folder, "demonstrations": make_demonstrations_of_every_kind()}
    (padded,) = one_rank.run(scenarios.supervised_steps, learner=make_learner(micro_batch_size=2), **shown)
    learner = make_learner(world_size=world_size, pack_tokens=pack_tokens)
    ranks = two_ranks if world_size == 2 else one_rank
    for found in ranks.run(scenarios.supervised_steps, learner=learner, **shown):
        # The second and third loss are those of learned weights. AdamW divides by the size of a gradient, which turns
        # the rounding of a vanishing one into a step: parameters are compared through what they do.
        assert found.losses == pytest.approx(padded.losses, rel=1e-4)
        assert found.losses[0] == pytest.approx(padded.losses[0], rel=CLOSE)
        assert found.gradient_norms[0] == pytest.approx(padded.gradient_norms[0], rel=CLOSE)
        assert found.metrics["supervised/entropy"] == pytest.approx(padded.metrics["supervised/entropy"], rel=1e-4)


def test_what_the_engine_is_compared_with_is_the_same(one_rank: Ranks, model_folder: str) -> None:
    padded, packed = (
        one_rank.run(
            scenarios.score, folder=model_folder, learner=make_learner(pack_tokens=pack_tokens), algorithm=make_grpo()
        )[0]
        for pack_tokens in (None, LARGE)
    )
    for one, other in zip(padded, packed, strict=True):
        np.testing.assert_allclose(one.logprobs, other.logprobs, atol=1e-6)


def test_padding_and_tokens_of_a_pass_are_reported(one_rank: Ranks, model_folder: str, batch: TrainingBatch) -> None:
    lengths = [sample.num_tokens for sample in batch.samples]
    (padded,) = run(one_rank, model_folder, batch, micro_batch_size=len(lengths))
    share = 1 - sum(lengths) / (len(lengths) * max(lengths))
    assert share > 0.05
    assert padded.metrics["learner/passes/padding_share"] == pytest.approx(share)
    assert padded.metrics["learner/passes/tokens_mean"] == sum(lengths)
    (packed,) = run(one_rank, model_folder, batch, pack_tokens=-(-sum(lengths) // 2) + 5)
    assert packed.metrics["learner/passes/padding_share"] == 0.0
    assert packed.metrics["learner/passes/tokens_mean"] == sum(lengths) / 2
