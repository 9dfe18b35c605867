"""One token, or one completion, through each surrogate: numbers worked out by hand."""

import math

import pytest
import torch
from torch import Tensor

from learner.surrogates import (
    RatioTokens,
    Surrogate,
    clamped_log_ratio,
    clipped,
    gated,
    ratio_weighted,
    sequence_clipped,
    variation_masked,
)


def make_tokens(new: list[float], old: list[float], advantage: float, *, bound: float = 20.0) -> RatioTokens:
    """One completion."""
    current_BT = torch.tensor([new], dtype=torch.float64, requires_grad=True)
    return RatioTokens(
        current_BT=current_BT,
        anchor_BT=torch.tensor([old], dtype=torch.float64),
        advantages_BT=torch.full_like(current_BT, advantage, requires_grad=False),
        mask_BT=torch.ones_like(current_BT, dtype=torch.bool),
        max_log_ratio=bound,
    )


def at_ratio(ratio: float, advantage: float, *, probability: float = 0.1) -> RatioTokens:
    """One token whose probability was ``probability`` and is ``ratio`` times that now."""
    old = math.log(probability)
    return make_tokens([old + math.log(ratio)], [old], advantage)


def gradient_of(surrogate: Surrogate, tokens: RatioTokens) -> Tensor:
    """Of the summed losses with regard to the current log-probs."""
    (found,) = torch.autograd.grad(surrogate.losses_BT.sum(), tokens.current_BT)
    return found


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
def test_the_clipped_loss_of_one_token(ratio: float, advantage: float, expected: float) -> None:
    found = clipped(at_ratio(ratio, advantage), clip_low=0.2, clip_high=0.28, dual_clip=3.0)
    assert found.losses_BT.item() == pytest.approx(expected)


@pytest.mark.parametrize(("advantage", "losses"), [(1.2, [-0.84, -1.2, -1.44]), (-1.2, [0.96, 1.2, 1.62])])
def test_the_clipped_loss_of_a_second_pass_as_published(advantage: float, losses: list[float]) -> None:
    # Refine-IQA's worked example D, clip 0.2, at ratios 0.7, 1 and 1.35.
    found = [
        clipped(at_ratio(ratio, advantage), clip_low=0.2, clip_high=0.2, dual_clip=None).losses_BT.item()
        for ratio in (0.7, 1.0, 1.35)
    ]
    assert found == pytest.approx(losses)


def test_without_dual_clip_a_bad_token_costs_its_ratio() -> None:
    found = clipped(at_ratio(5.0, -1.0), clip_low=0.2, clip_high=0.28, dual_clip=None)
    assert found.losses_BT.item() == pytest.approx(5.0)
    assert not found.is_dual_clipped_BT.any()


def test_a_completion_is_clipped_by_its_geometric_mean_ratio() -> None:
    # Ratios e^.3 and e^-.1: the mean of the logs is .1, beyond ln 1.0004 however small the tokens' own.
    tokens = make_tokens([-0.7, -1.1], [-1.0, -1.0], 1.0)
    found = sequence_clipped(tokens, clip_low=3e-4, clip_high=4e-4)
    assert found.losses_BT[0].tolist() == pytest.approx([-1.0004, -1.0004])
    assert not gradient_of(found, tokens).any()


def test_tokens_of_a_completion_share_the_gradient_of_its_ratio() -> None:
    tokens = make_tokens([-0.7, -1.1], [-1.0, -1.0], -1.0)
    found = sequence_clipped(tokens, clip_low=3e-4, clip_high=4e-4)
    ratio = math.exp(0.1)
    assert gradient_of(found, tokens)[0].tolist() == pytest.approx([ratio, ratio])


@pytest.mark.parametrize(("ratio", "weight"), [(0.1, 0.1), (2.0, 2.0), (9.0, 5.0)])
def test_a_clipped_weight_keeps_its_gradient(ratio: float, weight: float) -> None:
    tokens = at_ratio(ratio, 2.0)
    found = ratio_weighted(tokens, low=0.0, high=5.0)
    assert gradient_of(found, tokens).item() == pytest.approx(-2.0 * weight)
    assert found.is_clipped_BT.item() is (ratio != weight)


@pytest.mark.parametrize(("advantage", "sharpness"), [(1.0, 1.0), (-1.0, 1.05)])
def test_a_gate_closes_by_the_sign_of_the_advantage(advantage: float, sharpness: float) -> None:
    tokens = at_ratio(3.0, advantage)
    found = gated(tokens, positive=1.0, negative=1.05)
    gate = 1.0 / (1.0 + math.exp(-2.0 * sharpness))
    assert found.losses_BT.item() == pytest.approx(-4.0 / sharpness * gate * advantage)
    assert gradient_of(found, tokens).item() == pytest.approx(-4.0 * gate * (1.0 - gate) * 3.0 * advantage)


@pytest.mark.parametrize(
    ("probability", "ratio", "advantage", "expected"),
    [
        (0.1, 2.5, 1.0, -2.5),  # .10 -> .25: far as a ratio, .15 as a probability
        (0.1, 3.5, 1.0, 0.0),  # .10 -> .35
        (0.1, 3.5, -1.0, 3.5),  # it moved against its advantage
        (0.9, 0.8, -1.0, 0.8),  # .90 -> .72
        (0.9, 0.7, -1.0, 0.0),  # .90 -> .63
        (0.9, 0.7, 1.0, -0.7),
    ],
)
def test_a_token_is_masked_by_how_far_its_probability_has_moved(
    probability: float, ratio: float, advantage: float, expected: float
) -> None:
    tokens = at_ratio(ratio, advantage, probability=probability)
    found = variation_masked(tokens, max_fall=0.2, max_rise=0.2, max_ratio=20.0)
    assert gradient_of(found, tokens).item() == pytest.approx(expected)
    assert found.is_clipped_BT.item() is (expected == 0.0)


def test_a_rare_token_weighs_no_more_than_the_largest_ratio() -> None:
    tokens = at_ratio(50.0, 1.0, probability=1e-3)
    found = variation_masked(tokens, max_fall=0.2, max_rise=0.2, max_ratio=20.0)
    assert gradient_of(found, tokens).item() == pytest.approx(-20.0)


def test_clamping_bounds_the_log_ratio_on_both_sides() -> None:
    new, old = torch.tensor([0.0, -1.0, -50.0]), torch.tensor([-50.0, -1.5, 0.0])
    assert clamped_log_ratio(new, old, bound=20.0).tolist() == [20.0, 0.5, -20.0]


def test_a_bound_of_zero_is_refused() -> None:
    with pytest.raises(ValueError, match="must be positive"):
        clamped_log_ratio(torch.zeros(1), torch.zeros(1), bound=0.0)
