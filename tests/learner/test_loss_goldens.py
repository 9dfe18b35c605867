"""Our losses against the numbers other systems compute on the same input, value and gradient."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from learner.loss import clipped_policy_loss, engine_correction, kl_to_reference
from learner.metrics import MetricSums
from tests.learner.builders import make_correction, make_grpo
from tests.learner.goldens import golden, golden_input, golden_tokens

RTOL = 1e-5


def value_and_gradient(losses_of: Callable[[Tensor], Tensor]) -> dict[str, float]:
    """Token-mean and its gradient's norms, in the goldens' own terms."""
    mask_BT = golden_input("mask")
    current_BT = golden_input("cur").requires_grad_()
    loss = (losses_of(current_BT) * mask_BT).sum() / mask_BT.sum()
    (gradient,) = torch.autograd.grad(loss, current_BT)
    return {
        "loss": loss.item(),
        "grad_l2": float(gradient.norm()),
        "grad_abs_sum": float(gradient.abs().sum()),
        "nonfinite": int((~gradient.isfinite()).sum()),
    }


def policy_losses(*, clip_high: float) -> dict[str, float]:
    """The whole policy loss without correction, through the fixed input."""
    tokens = golden_tokens()
    config = make_grpo(clip_high=clip_high, correction=make_correction(enabled=False))
    loss = clipped_policy_loss(tokens, config=config).losses_BT.sum() / tokens.mask_BT.sum()
    (gradient,) = torch.autograd.grad(loss, tokens.current_BT)
    return {
        "loss": loss.item(),
        "grad_l2": float(gradient.norm()),
        "grad_abs_sum": float(gradient.abs().sum()),
    }


@pytest.mark.parametrize(
    ("clip_high", "peer"),
    [
        (0.28, "openrlhf/ppo_dual3_0.2_0.28"),
        (0.28, "verl/vanilla_dual3_0.2_0.28"),
        (0.28, "areal/ppo_dual3_0.2_0.28"),
        (0.28, "skyrl/dual_clip3_0.2_0.28(folded)"),
        (0.28, "slime/ppo_dual3_0.2_0.28_token_mean"),
        (0.2, "verl/vanilla_dual3_0.2"),
        (0.2, "areal/ppo_token_mean_0.2"),
    ],
)
def test_dual_clip_ppo_equals_the_peers(clip_high: float, peer: str) -> None:
    expected = golden()["values"][peer]
    ours = policy_losses(clip_high=clip_high)
    assert ours == pytest.approx({name: expected[name] for name in ours}, rel=RTOL)


def test_dual_clip_ppo_equals_the_published_figures() -> None:
    ours = policy_losses(clip_high=0.28)
    assert (ours["loss"], ours["grad_l2"]) == pytest.approx((-0.031889, 0.047285), rel=2e-5)


def test_the_kl_penalty_has_the_value_of_k3_and_the_gradient_of_k2() -> None:
    expected = golden()["values"]["verl/kl_k3+_vs_ref_tokenmean"]
    ours = value_and_gradient(lambda current_BT: kl_to_reference(current_BT, golden_input("ref")))
    assert ours == pytest.approx({name: expected[name] for name in ours}, rel=RTOL)


def test_token_weights_cut_at_two_add_up_as_elsewhere() -> None:
    tokens = golden_tokens()
    config = make_correction(low=1e-6, high=1e6)
    weights_BT = engine_correction(tokens.old_BT, tokens.engine_BT, tokens.mask_BT, config=config).weights_BT
    assert float(weights_BT.sum()) == pytest.approx(golden()["values"]["verl/rc_tis_token_2"]["weight_sum"], rel=RTOL)


def test_the_geometric_sequence_mask_keeps_the_tokens_it_keeps_elsewhere() -> None:
    tokens = golden_tokens()
    config = make_correction(low=0.99, high=1.01)
    weights_BT = engine_correction(tokens.old_BT, tokens.engine_BT, tokens.mask_BT, config=config).weights_BT
    expected = golden()["values"]["verl/rc_rs_seq_mean_k1_0.99_1.01"]["kept_tokens"]
    assert int((weights_BT > 0).sum()) == expected


@pytest.mark.parametrize(
    ("ours", "theirs"),
    [
        ("correction/k3", "rollout_corr/k3_kl"),
        ("correction/chi_square", "rollout_corr/chi2_token"),
        ("correction/effective_sample_share", "rollout_corr/rollout_is_eff_sample_size"),
    ],
)
def test_correction_metrics_equal_those_measured_elsewhere(ours: str, theirs: str) -> None:
    metrics = MetricSums()
    metrics.merge(clipped_policy_loss(golden_tokens(), config=make_grpo()).metrics)
    expected = golden()["values"]["verl/rc_tis_token_2"]["metrics"][theirs]
    assert metrics.means()[ours] == pytest.approx(expected, rel=RTOL)
