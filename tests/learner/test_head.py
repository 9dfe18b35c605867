"""Scores from inside the model: the same under every ZeRO stage, tied or not, frozen or not, at any temperature."""

import json
from collections.abc import Mapping

import numpy as np
import pytest
import torch
from torch import Tensor
from transformers import PreTrainedModel

from learner.head import HeadDtype, ScoringHead, score, set_scoring_head
from learner.logprobs import CompletionScores, Targets, TokenScores
from learner.rows import Row, score_rows
from learner.types import TrainingBatch
from tests.learner import scenarios
from tests.learner.builders import (
    make_config,
    make_demonstrations_of_every_kind,
    make_family,
    make_grpo,
    make_learner,
    make_requests,
)
from tests.learner.full_logits import UNCHANGED, full_scores, scores_by_the_book
from tests.learner.ranks import Ranks
from tests.learner.test_layouts import assert_same

CPU = torch.device("cpu")


def load_plain(folder: str) -> PreTrainedModel:
    """As transformers loads it."""
    model = make_family(folder).load_model(dtype=torch.float32, attention="sdpa")
    assert isinstance(model, PreTrainedModel)
    return model


@pytest.fixture(scope="module")
def untied_folder(model_folder: str, tmp_path_factory: pytest.TempPathFactory) -> str:
    """The tiny model with an output layer of its own, unlike its embedding."""
    folder = tmp_path_factory.mktemp("untied") / "model"
    load_plain(model_folder).save_pretrained(folder)
    make_family(model_folder).save_processor(str(folder))
    settings = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    settings["tie_word_embeddings"] = settings["text_config"]["tie_word_embeddings"] = False
    (folder / "config.json").write_text(json.dumps(settings), encoding="utf-8")
    untied = load_plain(str(folder))
    with torch.no_grad():
        (weight,) = untied.get_output_embeddings().parameters()
        weight.copy_(torch.randn(weight.shape, generator=torch.Generator().manual_seed(3)) / weight.shape[1] ** 0.5)
    untied.save_pretrained(folder)
    return str(folder)


@pytest.mark.parametrize("world_size", [1, 2])
@pytest.mark.parametrize("zero_stage", [0, 1, 2, 3])
@pytest.mark.parametrize("is_tied", [True, False])
def test_every_layout_learns_what_a_plain_torch_loop_over_all_logits_does(
    zero_stage: int,
    world_size: int,
    one_rank: Ranks,
    two_ranks: Ranks,
    model_folder: str,
    untied_folder: str,
    *,
    is_tied: bool,
) -> None:
    folder = model_folder if is_tied else untied_folder
    learner = make_learner(zero_stage=zero_stage, world_size=world_size)
    ranks = two_ranks if world_size == 2 else one_rank
    (expected,) = one_rank.run(scenarios.plain_supervised_steps, folder=folder, learner=learner)
    assert ("lm_head.weight" in expected.parameters) != is_tied
    for found in ranks.run(scenarios.supervised_steps, folder=folder, learner=learner):
        assert_same(found, expected)


@pytest.mark.parametrize("zero_stage", [0, 3])
def test_the_trainer_scores_the_distribution_sampled_at_a_temperature(
    zero_stage: int, one_rank: Ranks, model_folder: str
) -> None:
    learner = make_learner(zero_stage=zero_stage)
    (found,) = one_rank.run(
        scenarios.score, folder=model_folder, learner=learner, algorithm=make_grpo(), temperature=0.6
    )
    family = make_family(model_folder)
    scores_of = scores_by_the_book(load_plain(model_folder))
    for request, score_found in zip(make_requests(), found, strict=True):
        row = Row(prompt=family.encode(request.prompt), completion=request.token_ids)
        with torch.no_grad():
            expected = score_rows(scores_of, [row], family=family, layout="padded", temperature=0.6)
        np.testing.assert_allclose(score_found.logprobs, expected.logprobs_BT[0].numpy(), atol=1e-5)


def test_an_entropy_bonus_far_above_one_trains(one_rank: Ranks, model_folder: str, batch: TrainingBatch) -> None:
    (outcome,) = one_rank.run(
        scenarios.policy_steps,
        folder=model_folder,
        learner=make_learner(),
        algorithm=make_config("grpo", entropy_coefficient=1000.0),
        batch=batch,
        num_steps=2,
    )
    assert np.isfinite(outcome.gradient_norms).all()
    assert outcome.losses[1] < outcome.losses[0]


class Fused:
    """A model with a scoring head."""

    def __init__(self, folder: str) -> None:
        self.family, self.model = make_family(folder), load_plain(folder)
        self.head = set_scoring_head(self.model, head_dtype="model")

    def rows(self) -> list[Row]:
        return [
            Row(prompt=self.family.encode(one.prompt), completion=self.family.encode_target(one.target))
            for one in make_demonstrations_of_every_kind()
        ]

    def scores(self, rows: list[Row]) -> CompletionScores:
        return score_rows(self._scores, rows, family=self.family, layout="padded", temperature=1.0)

    def _scores(self, arguments: Mapping[str, Tensor], targets: Targets) -> TokenScores:
        return score(self.model, self.head, arguments=arguments, targets=targets, device=CPU)


def test_a_scoring_head_changes_no_parameter_and_no_name(model_folder: str, untied_folder: str) -> None:
    for folder in (model_folder, untied_folder):
        plain = load_plain(folder)
        before = dict(plain.named_parameters())
        names = list(plain.state_dict())
        set_scoring_head(plain, head_dtype="model")
        after = dict(plain.named_parameters())
        assert list(after) == list(before)
        assert list(plain.state_dict()) == names
        assert all(after[name] is one for name, one in before.items())


def test_a_pass_of_empty_completions_has_a_gradient_of_zeros(model_folder: str) -> None:
    fused = Fused(model_folder)
    rows = [Row(prompt=row.prompt, completion=row.completion[:0]) for row in fused.rows()[:2]]
    torch.autograd.backward(fused.scores(rows).logprobs_BT.sum())
    gradients = [one.grad for name, one in fused.model.named_parameters() if "language_model" in name]
    assert all(one is not None and not one.any() for one in gradients)


@torch.no_grad()
@pytest.mark.parametrize("head_dtype", ["model", "float32"])
def test_logits_of_a_bfloat16_model_are_computed_in_the_dtype_of_its_head(
    model_folder: str, head_dtype: HeadDtype
) -> None:
    plain = make_family(model_folder).load_model(dtype=torch.bfloat16, attention="sdpa")
    assert isinstance(plain, PreTrainedModel)
    (weight_VD,) = (one.detach() for one in plain.get_output_embeddings().parameters())
    hidden_1KD = torch.randn(1, 9, weight_VD.shape[1], generator=torch.Generator().manual_seed(0)).bfloat16()
    targets = Targets(
        rows_N=np.zeros(3, dtype=np.int64),
        positions_N=np.array([8, 2, 4]),
        token_ids_N=np.array([5, 50, 500]),
        distribution=UNCHANGED,
        with_entropy_gradient=False,
    )
    wide = torch.float32 if head_dtype == "float32" else torch.bfloat16
    logits_NV = hidden_1KD[0, [8, 2, 4]].to(wide) @ weight_VD.to(wide).T
    expected = full_scores(logits_NV, targets.token_ids_N.tolist(), distribution=UNCHANGED)
    head = set_scoring_head(plain, head_dtype=head_dtype)
    with head.scoring(targets):
        logprobs_N, entropy_N = head(hidden_1KD)
    torch.testing.assert_close(logprobs_N, expected.logprobs_N, rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(entropy_N, expected.entropy_N, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("zero_stage", [0, 2])
def test_a_bfloat16_learner_with_a_float32_head_learns(zero_stage: int, one_rank: Ranks, model_folder: str) -> None:
    (outcome,) = one_rank.run(
        scenarios.supervised_steps,
        folder=model_folder,
        learner=make_learner(dtype="bfloat16_head_float32", zero_stage=zero_stage),
    )
    assert outcome.losses[-1] < outcome.losses[0]


def test_a_model_without_a_plain_output_layer_is_refused(model_folder: str) -> None:
    fused = Fused(model_folder)
    assert isinstance(fused.model.get_output_embeddings(), ScoringHead)
    with pytest.raises(TypeError, match="expected a linear output layer without bias"):
        set_scoring_head(fused.model, head_dtype="model")
    with pytest.raises(TypeError, match="expected a transformers model, got Linear"):
        set_scoring_head(torch.nn.Linear(2, 3), head_dtype="model")


def test_logits_are_not_to_be_had_from_a_scoring_head(model_folder: str) -> None:
    fused = Fused(model_folder)
    (row, *_) = fused.rows()
    arguments = fused.family.forward_arguments([(row.prompt, row.completion)])
    with pytest.raises(RuntimeError, match="say what to score"):
        fused.model(**arguments)
