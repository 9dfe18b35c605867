"""What must hold of the policy loss whatever the numbers are."""

from dataclasses import replace

import pytest
import torch
from torch import Tensor

from conf.algorithms import GrpoConfig
from learner.loss import (
    PolicyTokens,
    clamped_log_ratio,
    clipped_policy_loss,
    dual_clip_surrogate,
    engine_correction,
    kl_to_reference,
)
from learner.metrics import MetricSums
from tests.learner.builders import make_correction, make_grpo

UNCORRECTED = make_grpo(correction=make_correction(enabled=False))
WITH_KL = make_grpo(kl_coefficient=0.1)


def make_tokens(*, dtype: torch.dtype = torch.float64) -> PolicyTokens:
    """Six completions of up to ten tokens from a fixed generator."""
    generator = torch.Generator().manual_seed(3)
    lengths = torch.tensor([10, 7, 1, 4, 9, 2])
    old_BT = -torch.rand(6, 10, generator=generator, dtype=torch.float64) * 3.0

    def near(spread: float) -> Tensor:
        return (old_BT + spread * torch.randn(6, 10, generator=generator, dtype=torch.float64)).to(dtype)

    return PolicyTokens(
        current_BT=near(0.3).requires_grad_(),
        old_BT=old_BT.to(dtype),
        engine_BT=near(0.05),
        reference_BT=near(0.2),
        entropy_BT=torch.rand(6, 10, generator=generator, dtype=torch.float64).to(dtype),
        advantages_B=torch.tensor([1.0, -1.0, 0.5, -2.0, 0.0, 0.7], dtype=dtype),
        mask_BT=torch.arange(10)[None, :] < lengths[:, None],
    )


def rows(tokens: PolicyTokens, index: Tensor) -> PolicyTokens:
    """Some of the completions, sharing the gradient of the whole."""
    assert tokens.reference_BT is not None
    return PolicyTokens(
        current_BT=tokens.current_BT[index],
        old_BT=tokens.old_BT[index],
        engine_BT=tokens.engine_BT[index],
        reference_BT=tokens.reference_BT[index],
        entropy_BT=tokens.entropy_BT[index],
        advantages_B=tokens.advantages_B[index],
        mask_BT=tokens.mask_BT[index],
    )


def total(tokens: PolicyTokens, config: GrpoConfig = WITH_KL) -> Tensor:
    """The summed loss."""
    return clipped_policy_loss(tokens, config=config).losses_BT.sum()


def gradient(tokens: PolicyTokens, config: GrpoConfig = WITH_KL) -> Tensor:
    """Of the summed loss with regard to the current log-probs."""
    (found,) = torch.autograd.grad(total(tokens, config), tokens.current_BT)
    return found


def report(tokens: PolicyTokens, config: GrpoConfig = WITH_KL) -> dict[str, float]:
    """Metrics of one micro-batch."""
    return clipped_policy_loss(tokens, config=config).metrics.means()


def test_the_sum_over_shards_is_the_sum_over_the_batch() -> None:
    tokens = make_tokens()
    parts = [total(rows(tokens, torch.tensor(index))).item() for index in ([0, 3], [1], [2, 4, 5])]
    assert sum(parts) == pytest.approx(total(tokens).item(), rel=1e-12)


def test_the_metrics_of_shards_merge_to_those_of_the_batch() -> None:
    tokens = make_tokens()
    merged = MetricSums()
    for index in ([0, 3], [1], [2, 4, 5]):
        merged.merge(clipped_policy_loss(rows(tokens, torch.tensor(index)), config=WITH_KL).metrics)
    assert merged.means() == pytest.approx(report(tokens), rel=1e-6)


def test_permuting_completions_permutes_their_gradients() -> None:
    tokens = make_tokens()
    order = torch.tensor([4, 2, 0, 5, 1, 3])
    moved = rows(tokens, order)
    (found,) = torch.autograd.grad(total(moved), moved.current_BT)
    torch.testing.assert_close(found, gradient(tokens)[order])


@pytest.mark.parametrize("garbage", [7.0, float("inf"), float("nan")])
def test_masked_tokens_do_not_matter(garbage: float) -> None:
    tokens = make_tokens()
    assert tokens.reference_BT is not None

    def spoil(values_BT: Tensor) -> Tensor:
        return values_BT.detach().masked_fill(~tokens.mask_BT, garbage)

    spoilt = replace(
        tokens,
        current_BT=spoil(tokens.current_BT).requires_grad_(),
        old_BT=spoil(tokens.old_BT),
        engine_BT=spoil(tokens.engine_BT),
        reference_BT=spoil(tokens.reference_BT),
        entropy_BT=spoil(tokens.entropy_BT),
    )
    torch.testing.assert_close(gradient(spoilt), gradient(tokens))
    assert report(spoilt) == report(tokens)


def test_masked_tokens_get_no_gradient() -> None:
    tokens = make_tokens()
    assert not gradient(tokens)[~tokens.mask_BT].any()


def test_float32_agrees_with_float64() -> None:
    wide, narrow = gradient(make_tokens()), gradient(make_tokens(dtype=torch.float32))
    torch.testing.assert_close(narrow.double(), wide, rtol=1e-4, atol=1e-6)


def test_with_one_update_the_gradient_is_that_of_plain_policy_gradient() -> None:
    tokens = make_tokens()
    fresh = replace(tokens, old_BT=tokens.current_BT.detach())
    expected = torch.where(tokens.mask_BT, -tokens.advantages_B[:, None].expand_as(tokens.old_BT), 0.0)
    torch.testing.assert_close(gradient(fresh, UNCORRECTED), expected)


def test_with_one_update_nothing_is_clipped() -> None:
    tokens = make_tokens()
    fresh = report(replace(tokens, old_BT=tokens.current_BT.detach()), UNCORRECTED)
    assert (fresh["policy/clip_fraction"], fresh["policy/kl_old"]) == (0.0, 0.0)


def test_a_completion_without_credit_still_counts_in_the_mean() -> None:
    tokens = make_tokens()
    assert clipped_policy_loss(tokens, config=UNCORRECTED).metrics.num_tokens == 33.0


@pytest.mark.parametrize(
    ("ratio", "advantage", "expected"),
    [
        (1.0, 2.0, -2.0),
        (1.5, 1.0, -1.28),  # clipped above
        (0.5, 1.0, -0.5),  # the clip never helps a good token that became rarer
        (0.5, -1.0, 0.8),  # clipped below
        (1.5, -1.0, 1.5),
        (5.0, -1.0, 3.0),  # the dual clip
        (5.0, 1.0, -1.28),
    ],
)
def test_the_surrogate_of_one_token(ratio: float, advantage: float, expected: float) -> None:
    surrogate = dual_clip_surrogate(
        torch.tensor([[ratio]]).log(),
        torch.tensor([[advantage]]),
        clip_low=0.2,
        clip_high=0.28,
        dual_clip=3.0,
    )
    assert float(surrogate.losses) == pytest.approx(expected, rel=1e-6)


def test_one_extreme_token_stays_bounded_by_the_dual_clip() -> None:
    tokens = make_tokens()
    current_BT = tokens.current_BT.detach().clone()
    current_BT[3, 0] = tokens.old_BT[3, 0] + 28.0  # advantage -2
    extreme = replace(tokens, current_BT=current_BT.requires_grad_())
    losses_BT = clipped_policy_loss(extreme, config=UNCORRECTED).losses_BT
    assert losses_BT[3, 0].item() == pytest.approx(6.0)


def test_clamped_tokens_are_counted() -> None:
    tokens = make_tokens()
    current_BT = tokens.current_BT.detach().clone()
    current_BT[3, 0], current_BT[0, 1] = tokens.old_BT[3, 0] + 28.0, tokens.old_BT[0, 1] - 30.0
    assert report(replace(tokens, current_BT=current_BT))["policy/clamped_tokens"] == 2.0


def test_clamping_bounds_the_log_ratio_on_both_sides() -> None:
    new = torch.tensor([0.0, -1.0, -50.0])
    old = torch.tensor([-50.0, -1.5, 0.0])
    assert clamped_log_ratio(new, old, bound=20.0).tolist() == [20.0, 0.5, -20.0]


def test_a_bound_of_zero_is_refused() -> None:
    with pytest.raises(ValueError, match="must be positive"):
        clamped_log_ratio(torch.zeros(1), torch.zeros(1), bound=0.0)


def correct(deltas: list[list[float]], *, low: float, high: float, enabled: bool = True) -> list[list[float]]:
    """Factors for completions whose trainer/engine log-ratios are ``deltas``."""
    trainer_BT = torch.tensor(deltas)
    found = engine_correction(
        trainer_BT,
        torch.zeros_like(trainer_BT),
        torch.ones_like(trainer_BT, dtype=torch.bool),
        config=make_correction(low=low, high=high, enabled=enabled),
    )
    return [[round(value, 4) for value in row] for row in found.weights_BT.tolist()]


def test_equal_log_probs_weigh_one() -> None:
    assert correct([[0.0, 0.0]], low=0.99, high=1.01) == [[1.0, 1.0]]


def test_token_weights_are_cut_at_the_cap_and_small_ones_kept() -> None:
    assert correct([[1.0, -1.0]], low=0.99, high=1.01) == [[2.0, 0.3679]]


def test_a_completion_off_on_average_is_dropped_whole() -> None:
    assert correct([[0.1, 0.1], [0.1, -0.1]], low=0.99, high=1.01) == [[0.0, 0.0], [1.1052, 0.9048]]


def test_one_impossible_token_drops_its_completion() -> None:
    assert correct([[-10.0, 10.0], [0.0, 0.0]], low=0.5, high=2.0) == [[0.0, 0.0], [1.0, 1.0]]


def test_a_correction_that_is_off_changes_nothing() -> None:
    assert correct([[1.0, 1.0]], low=0.99, high=1.01, enabled=False) == [[1.0, 1.0]]


def test_a_correction_that_is_off_is_still_measured() -> None:
    assert report(make_tokens(), UNCORRECTED)["correction/abs_delta_max"] > 0.0


def test_the_correction_carries_no_gradient() -> None:
    trainer_BT = torch.zeros(1, 2, requires_grad=True)
    mask_BT = torch.ones(1, 2, dtype=torch.bool)
    found = engine_correction(trainer_BT, torch.zeros(1, 2), mask_BT, config=make_correction())
    assert not found.weights_BT.requires_grad


def test_dropped_completions_stay_in_the_denominator() -> None:
    tokens = make_tokens()
    strict = make_grpo(correction=make_correction(low=1.0, high=1.0))
    assert clipped_policy_loss(tokens, config=strict).metrics.num_tokens == 33.0


def test_kl_to_itself_is_zero() -> None:
    logprobs_BT = -torch.rand(2, 3)
    assert not kl_to_reference(logprobs_BT, logprobs_BT).any()


def test_kl_of_an_extreme_token_is_bounded() -> None:
    assert float(kl_to_reference(torch.tensor([-40.0]), torch.tensor([0.0]))) == pytest.approx(10.0)


def test_a_penalty_without_reference_is_refused() -> None:
    with pytest.raises(ValueError, match="reference"):
        clipped_policy_loss(replace(make_tokens(), reference_BT=None), config=WITH_KL)
