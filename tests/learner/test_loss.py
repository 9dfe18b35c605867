"""The policy loss around the surrogates: correction, penalties, and what is counted."""

import math
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor

from conf.algorithms import Aggregation
from learner.algorithms import build_algorithm
from learner.batching import loss_weights
from learner.loss import PolicyTokens, TokenLoss
from learner.types import Outcome
from tests.learner.builders import UNCORRECTED, make_config
from tests.learner.tokens import NUM_TOKENS, make_tokens


def loss_of(tokens: PolicyTokens, kind: str = "grpo", **changes: Any) -> TokenLoss:
    """The token losses of an algorithm."""
    return build_algorithm(make_config(kind, **changes)).token_loss(tokens)


def report(tokens: PolicyTokens, kind: str = "grpo", **changes: Any) -> dict[str, float]:
    """Metrics of one micro-batch."""
    return loss_of(tokens, kind, **changes).metrics.means()


def hand_made(
    new: list[list[float]],
    old: list[list[float]],
    advantages: list[list[float]],
    lengths: list[int],
) -> PolicyTokens:
    """Tokens written out, in double precision; the engine agrees with the old policy."""
    current_BT = torch.tensor(new, dtype=torch.float64, requires_grad=True)
    old_BT = torch.tensor(old, dtype=torch.float64)
    return PolicyTokens(
        current_BT=current_BT,
        old_BT=old_BT,
        engine_BT=old_BT,
        reference_BT=None,
        entropy_BT=torch.zeros_like(old_BT),
        advantages_BT=torch.tensor(advantages, dtype=torch.float64),
        mask_BT=torch.arange(old_BT.shape[1])[None, :] < torch.tensor(lengths)[:, None],
    )


def reduced(tokens: PolicyTokens, *, aggregation: Aggregation, **changes: Any) -> Tensor:
    """StableReinforce's loss of a whole batch."""
    lengths = tokens.mask_BT.sum(1).tolist()
    outcomes = [Outcome(reward=0.0, parts={}, group_index=i, num_tokens=size) for i, size in enumerate(lengths)]
    weights_B = torch.from_numpy(loss_weights(outcomes, aggregation=aggregation, max_tokens=None))
    return (loss_of(tokens, "stable_reinforce", **changes).losses_BT * weights_B[:, None]).sum()


EXAMPLE_A = (
    [[-0.1, -0.1, -0.1, -0.1]],
    [[-10.0, -0.2, -0.2, -5.0]],
    [[-1.0, -1.0, 0.5, -0.5]],
    [4],
)
RAGGED = (
    [[-0.5, -0.2, -0.1, 0.0], [-1.0, -2.0, 0.0, 0.0]],
    [[-0.7, -0.2, -9.1, 0.0], [-0.9, -2.5, 0.0, 0.0]],
    [[1.0, 1.0, 1.0, 0.0], [-1.0, -1.0, 0.0, 0.0]],
    [3, 2],
)


def test_example_a_with_pre_clip() -> None:
    loss = reduced(hand_made(*EXAMPLE_A), aggregation="seq_mean_token_mean")
    assert loss.item() == pytest.approx(266.924369, abs=5e-7)


def test_example_a_without_pre_clip() -> None:
    loss = reduced(hand_made(*EXAMPLE_A), aggregation="seq_mean_token_mean", max_log_ratio=20.0)
    assert loss.item() == pytest.approx(4999.516978, abs=5e-7)


@pytest.mark.parametrize(("aggregation", "expected"), [("seq_mean_token_mean", 0.071723), ("token_mean", -0.169288)])
def test_the_ragged_example_pins_the_aggregation(aggregation: Aggregation, expected: float) -> None:
    loss = reduced(hand_made(*RAGGED), aggregation=aggregation)
    assert loss.item() == pytest.approx(expected, abs=5e-7)


def test_the_pre_clip_is_a_factor_of_a_thousand() -> None:
    config = make_config("stable_reinforce")
    assert math.exp(config.max_log_ratio) == pytest.approx(1e3, rel=1e-14)


def test_tokens_beyond_the_pre_clip_have_a_loss_but_no_gradient() -> None:
    tokens = hand_made(*EXAMPLE_A)
    losses_BT = loss_of(tokens, "stable_reinforce").losses_BT
    (gradient_BT,) = torch.autograd.grad(losses_BT.sum(), tokens.current_BT)
    assert losses_BT[0, 0].item() == pytest.approx(1000.0)
    assert gradient_BT[0].ne(0.0).tolist() == [False, True, True, True]


def test_tokens_beyond_the_pre_clip_are_counted() -> None:
    assert report(hand_made(*EXAMPLE_A), "stable_reinforce")["learner/clip/clamped_fraction"] == 0.25


def test_clipped_and_dual_clipped_tokens_are_counted() -> None:
    tokens = hand_made([[1.0, -1.0, 0.1, 2.0]], [[0.0] * 4], [[1.0, -1.0, 1.0, -1.0]], [4])
    found = report(tokens, "grpo", **UNCORRECTED)
    assert (found["learner/clip/fraction"], found["learner/clip/dual_fraction"]) == (0.5, 0.25)


def test_one_extreme_token_stays_bounded_by_the_dual_clip() -> None:
    tokens = hand_made([[28.0]], [[0.0]], [[-2.0]], [1])
    assert loss_of(tokens, "grpo", **UNCORRECTED).losses_BT.item() == pytest.approx(6.0)


def test_at_the_start_of_a_batch_nothing_is_clipped() -> None:
    tokens = make_tokens()
    fresh = report(replace(tokens, old_BT=tokens.current_BT.detach()))
    assert (fresh["learner/clip/fraction"], fresh["learner/policy/kl_old"]) == (0.0, 0.0)


def test_dropped_completions_and_those_without_credit_stay_in_the_denominator() -> None:
    strict = {"sequence_low": 1.0, "sequence_high": 1.0}
    assert loss_of(make_tokens(), "grpo", correction=strict).metrics.num_tokens == NUM_TOKENS


def test_a_correction_that_is_off_is_still_measured() -> None:
    assert report(make_tokens(), "grpo", **UNCORRECTED)["learner/correction/abs_delta_max"] > 0.0


def test_a_completion_that_became_unlikely_is_not_pushed_further_down() -> None:
    # The second completion has lost 0.5 nats a token since it was sampled; so has the first, which is to be rewarded.
    tokens = hand_made(
        [[-1.5, -1.5]] * 3, [[-1.0, -1.0], [-1.0, -1.0], [-1.4, -1.4]], [[1.0] * 2, [-1.0] * 2, [-1.0] * 2], [2] * 3
    )
    correction = {**UNCORRECTED["correction"], "max_negative_drift": 0.2}
    losses_BT = loss_of(tokens, "dapo", correction=correction).losses_BT
    assert losses_BT.ne(0.0).any(1).tolist() == [True, False, True]
    found = report(tokens, "dapo", correction=correction)
    assert found["learner/correction/drifted_completion_fraction"] == pytest.approx(1 / 3)


def test_the_mean_weight_divides_the_policys_loss_and_no_penalty() -> None:
    tokens, kl = make_tokens(), {"coefficient": 0.5}
    plain_BT = loss_of(tokens).losses_BT
    penalty_BT = loss_of(tokens, kl=kl).losses_BT - plain_BT
    found_BT = loss_of(replace(tokens, mean_weight=0.8), kl=kl).losses_BT
    torch.testing.assert_close(found_BT, plain_BT / 0.8 + penalty_BT)


def test_the_penalty_is_added_to_the_loss() -> None:
    tokens = make_tokens()
    plain, with_kl = loss_of(tokens), loss_of(tokens, kl={"coefficient": 0.5})
    kl_per_token = with_kl.metrics.means()["learner/reference/kl"]
    change = with_kl.losses_BT.sum() - plain.losses_BT.sum()
    assert change.item() == pytest.approx(0.5 * kl_per_token * NUM_TOKENS)


def test_a_penalty_in_the_reward_is_measured_and_not_added_again() -> None:
    tokens = make_tokens()
    charged = loss_of(tokens, "dr_grpo", kl={"coefficient": 0.5, "estimator": "k1", "placement": "reward"})
    torch.testing.assert_close(charged.losses_BT, loss_of(tokens, "dr_grpo").losses_BT)
    assert charged.metrics.means()["learner/reference/kl"] != 0.0


def test_a_penalty_without_reference_is_refused() -> None:
    with pytest.raises(ValueError, match="reference"):
        loss_of(replace(make_tokens(), reference_BT=None), kl={"coefficient": 0.1})


def test_the_entropy_bonus_is_taken_from_the_loss_with_its_gradient() -> None:
    tokens = make_tokens()
    entropy_BT = tokens.entropy_BT.clone().requires_grad_()
    losses_BT = loss_of(replace(tokens, entropy_BT=entropy_BT), entropy_coefficient=0.25).losses_BT
    (gradient_BT,) = torch.autograd.grad(losses_BT.sum(), entropy_BT)
    torch.testing.assert_close(gradient_BT, -0.25 * tokens.mask_BT.double())
