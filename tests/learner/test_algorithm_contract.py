"""What holds for every algorithm, whatever it computes."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from learner.algorithms import ALGORITHMS, build_algorithm
from learner.algorithms.base import Algorithm, RunFacts
from learner.batching import loss_weights, plan
from learner.loss import PolicyTokens
from learner.metrics import MetricSums
from learner.types import Outcome
from tests.builders import make_group, make_scored_group
from tests.learner.builders import UNCORRECTED, make_config, shipped_config
from tests.learner.tokens import LENGTHS, make_tokens, rows

EVERY = pytest.mark.parametrize("kind", ALGORITHMS)
FACTS = RunFacts(max_tokens=64, term_weights={"term": 1.0})
WITH_EVERYTHING: dict[str, Any] = {
    "entropy_coefficient": 0.01,
    "kl": {"coefficient": 0.1, "estimator": "k3_k2", "placement": "loss"},
}


def make(kind: str, **changes: Any) -> Algorithm[Any]:
    """An algorithm for driver and learner."""
    return build_algorithm(make_config(kind, **changes), facts=FACTS)


def total(tokens: PolicyTokens, algorithm: Algorithm[Any]) -> Tensor:
    """The summed loss."""
    return algorithm.token_loss(tokens).losses_BT.sum()


def gradient(tokens: PolicyTokens, algorithm: Algorithm[Any]) -> Tensor:
    """Of the summed loss with regard to the current log-probs."""
    (found,) = torch.autograd.grad(total(tokens, algorithm), tokens.current_BT)
    return found


def report(tokens: PolicyTokens, algorithm: Algorithm[Any]) -> dict[str, float]:
    """Metrics of one micro-batch."""
    return algorithm.token_loss(tokens).metrics.means()


@EVERY
def test_its_file_its_section_and_its_class_agree(kind: str) -> None:
    config = shipped_config(kind)
    assert config.kind == kind
    assert build_algorithm(config, facts=FACTS).config == config


@EVERY
def test_loss_and_gradient_are_finite(kind: str) -> None:
    tokens, algorithm = make_tokens(), make(kind, **WITH_EVERYTHING)
    assert total(tokens, algorithm).isfinite()
    assert gradient(tokens, algorithm).isfinite().all()
    assert all(np.isfinite(list(report(tokens, algorithm).values())))


@EVERY
@pytest.mark.parametrize("distance", [1e4, -1e4])
def test_log_ratios_of_any_size_leave_everything_finite(kind: str, distance: float) -> None:
    tokens = make_tokens()
    far_BT = (tokens.current_BT.detach() + distance).requires_grad_()
    far = replace(tokens, current_BT=far_BT)
    assert total(far, make(kind)).isfinite()
    assert gradient(far, make(kind)).isfinite().all()


@EVERY
@pytest.mark.parametrize("garbage", [7.0, float("inf"), float("nan")])
def test_masked_tokens_do_not_matter(kind: str, garbage: float) -> None:
    tokens, algorithm = make_tokens(), make(kind, **WITH_EVERYTHING)
    assert tokens.reference_BT is not None

    def spoil(values_BT: Tensor) -> Tensor:
        return values_BT.detach().masked_fill(~tokens.mask_BT, garbage)

    spoilt = PolicyTokens(
        current_BT=spoil(tokens.current_BT).requires_grad_(),
        old_BT=spoil(tokens.old_BT),
        engine_BT=spoil(tokens.engine_BT),
        reference_BT=spoil(tokens.reference_BT),
        entropy_BT=spoil(tokens.entropy_BT),
        advantages_BT=spoil(tokens.advantages_BT),
        mask_BT=tokens.mask_BT,
    )
    torch.testing.assert_close(gradient(spoilt, algorithm), gradient(tokens, algorithm))
    assert report(spoilt, algorithm) == report(tokens, algorithm)


@EVERY
def test_masked_tokens_get_no_gradient(kind: str) -> None:
    tokens = make_tokens()
    assert not gradient(tokens, make(kind))[~tokens.mask_BT].any()


@EVERY
def test_without_credit_there_is_no_policy_gradient(kind: str) -> None:
    tokens = make_tokens()
    without = replace(tokens, advantages_BT=torch.zeros_like(tokens.advantages_BT))
    assert not gradient(without, make(kind)).any()


@EVERY
def test_at_the_start_of_a_batch_the_gradient_is_that_of_plain_policy_gradient(kind: str) -> None:
    tokens = make_tokens()
    here_BT = tokens.current_BT.detach()
    fresh = replace(tokens, old_BT=here_BT, engine_BT=here_BT)
    expected_BT = torch.where(tokens.mask_BT, -tokens.advantages_BT, 0.0)
    torch.testing.assert_close(gradient(fresh, make(kind, **UNCORRECTED)), expected_BT)


@EVERY
def test_permuting_completions_permutes_their_gradients(kind: str) -> None:
    tokens, algorithm = make_tokens(), make(kind, **WITH_EVERYTHING)
    order = torch.tensor([4, 2, 0, 5, 1, 3])
    moved = rows(tokens, order)
    (found,) = torch.autograd.grad(total(moved, algorithm), moved.current_BT)
    torch.testing.assert_close(found, gradient(tokens, algorithm)[order])


@EVERY
def test_micro_batches_add_up(kind: str) -> None:
    tokens, algorithm = make_tokens(), make(kind, **WITH_EVERYTHING)
    parts = [algorithm.token_loss(rows(tokens, torch.tensor(index))) for index in ([0, 3], [1], [2, 4, 5])]
    assert sum(part.losses_BT.sum().item() for part in parts) == pytest.approx(total(tokens, algorithm).item())
    merged = MetricSums()
    for part in parts:
        merged.merge(part.metrics)
    assert merged.means() == pytest.approx(report(tokens, algorithm), rel=1e-6)


@EVERY
@pytest.mark.parametrize("world_size", [1, 2, 4])
@pytest.mark.parametrize("micro_batch_size", [1, 4])
def test_ranks_add_up_to_the_loss_of_one_optimizer_step(kind: str, world_size: int, micro_batch_size: int) -> None:
    tokens, algorithm = make_tokens(), make(kind, **WITH_EVERYTHING)
    outcomes = [Outcome(reward=0.0, parts={}, group_index=i // 2, num_tokens=size) for i, size in enumerate(LENGTHS)]
    weights_B = torch.from_numpy(loss_weights(outcomes, aggregation=algorithm.config.aggregation, max_tokens=64))
    whole = (algorithm.token_loss(tokens).losses_BT * weights_B[:, None]).sum()
    planned = plan(LENGTHS, world_size=world_size, micro_batch_size=micro_batch_size, pack_tokens=None)
    shares = [
        (algorithm.token_loss(rows(tokens, torch.tensor(one))).losses_BT * weights_B[list(one), None]).sum().item()
        for passes in planned
        for one in passes
        if one
    ]
    assert sum(shares) == pytest.approx(whole.item(), rel=1e-12)


@EVERY
def test_float32_agrees_with_float64(kind: str) -> None:
    wide, narrow = (gradient(make_tokens(dtype=dtype), make(kind)) for dtype in (torch.float64, torch.float32))
    torch.testing.assert_close(narrow.double(), wide, rtol=1e-3, atol=1e-5)


@EVERY
def test_the_ratio_may_be_to_the_engine(kind: str) -> None:
    tokens, algorithm = make_tokens(), make(kind, **{**UNCORRECTED, "anchor": "engine"})
    by_hand = make(kind, **{**UNCORRECTED, "anchor": "learner"})
    torch.testing.assert_close(gradient(tokens, algorithm), gradient(replace(tokens, old_BT=tokens.engine_BT), by_hand))


@EVERY
def test_every_completion_gets_a_finite_advantage_for_each_token(kind: str) -> None:
    batch = make(kind).build_batch([make_scored_group([0.0, None, 1.0, 3.0]), make_scored_group([None, 2.0])])
    assert [len(sample.advantages_T) for sample in batch.samples] == [
        len(sample.completion.token_ids) for sample in batch.samples
    ]
    assert np.isfinite(np.concatenate([sample.advantages_T for sample in batch.samples])).all()
    assert batch.has_credit


@EVERY
def test_a_completion_without_reward_has_no_credit_and_stays(kind: str) -> None:
    batch = make(kind).build_batch([make_scored_group([0.0, None, 1.0, 3.0])])
    assert len(batch.samples) == 4
    assert batch.num_without_reward == 1
    assert not batch.samples[1].advantages_T.any()


@EVERY
@pytest.mark.parametrize("totals", [[2.0, 2.0, 2.0], [None, None, None], [2.1] * 7])
def test_equal_rewards_carry_no_credit(kind: str, totals: list[float | None]) -> None:
    # Two is a success to Refine-IQA's algorithm, which punishes equal failures.
    batch = make(kind).build_batch([make_scored_group(totals), make_scored_group(totals)])
    assert not batch.has_gradient


@EVERY
def test_better_completions_are_worth_more(kind: str) -> None:
    lengths = make_group(["12345"] * 4)
    batch = make(kind).build_batch([make_scored_group([0.0, 1.0, 0.5, 2.0], group=lengths)])
    worth = [float(sample.advantages_T[0]) for sample in batch.samples]
    assert np.argsort(worth).tolist() == [0, 2, 1, 3]


@EVERY
def test_a_kl_penalty_needs_a_reference_and_a_gradient(kind: str) -> None:
    with_penalty = make(kind, kl={"coefficient": 0.1, "placement": "loss"})
    assert (make(kind).needs_reference, with_penalty.needs_reference) == (False, True)
    batch = with_penalty.build_batch([make_scored_group([2.0, 2.0])])
    assert (batch.has_credit, batch.has_gradient) == (False, True)


@EVERY
def test_an_entropy_bonus_is_a_gradient_without_credit(kind: str) -> None:
    assert make(kind, entropy_coefficient=0.01).build_batch([make_scored_group([2.0, 2.0])]).has_gradient


@EVERY
def test_a_group_is_informative_when_its_rewards_differ_by_more_than_the_tolerance(kind: str) -> None:
    algorithm = make(kind, dynamic_sampling={"min_spread": 0.1, "max_rounds": 3})
    groups = [make_scored_group(totals) for totals in ([0.0, 1.0], [0.5, 0.55], [1.0, None], [None, None])]
    assert [algorithm.is_informative(group) for group in groups] == [True, False, False, False]
    assert algorithm.max_rounds == 3


@EVERY
def test_the_kl_may_be_part_of_the_reward_where_it_makes_sense(kind: str) -> None:
    algorithm = make(kind, kl={"coefficient": 0.1, "estimator": "k1", "placement": "reward"})
    batch = algorithm.build_batch([make_scored_group([0.0, 1.0]), make_scored_group([2.0, 3.0])])
    kl = [np.linspace(0.0, 1.0, len(sample.completion.token_ids)) for sample in batch.samples]
    if kind == "gdpo":
        with pytest.raises(ValueError, match=r"algorithm.kl.placement=loss"):
            algorithm.charged(batch, kl)
        return
    free = algorithm.charged(batch, [np.zeros_like(one) for one in kl])
    for sample, same in zip(batch.samples, free.samples, strict=True):
        np.testing.assert_array_equal(same.advantages_T, sample.advantages_T)
    # A penalty on the second completion alone makes it worth less and the first worth more.
    charged = algorithm.charged(batch, [5.0 * one * (index == 1) for index, one in enumerate(kl)])
    assert charged.samples[1].advantages_T[0] < batch.samples[1].advantages_T[0]
