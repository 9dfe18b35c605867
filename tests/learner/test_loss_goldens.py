"""Our losses against the numbers other systems compute on the same input, value and gradient."""

from typing import Any

import pytest
import torch
from torch import Tensor

from conf.algorithms import AlgorithmConfig, CorrectionConfig, KlEstimator
from learner.advantage import Floats, center, leave_one_out, scale_by_std
from learner.algorithms import build_algorithm
from learner.batching import loss_weights
from learner.correction import Correction, engine_correction, record_correction, weight_sum
from learner.credit import GroupCredit, within_groups
from learner.metrics import MetricSums
from learner.penalties import kl_to_reference
from tests.learner.builders import UNCORRECTED, make_config
from tests.learner.goldens import golden, golden_input, golden_outcomes, golden_tokens

RTOL = 1e-5
PLAIN: dict[str, Any] = {"max_log_ratio": 20.0, "aggregation": "token_mean", **UNCORRECTED}
PPO = {**PLAIN, "clip_low": 0.2, "clip_high": 0.2, "dual_clip": None}
DUAL = {**PPO, "dual_clip": 3.0}
HIGHER = {**DUAL, "clip_high": 0.28}
WIDE = {"weight_low": 0.5, "weight_high": 5.0, "sequence_low": 0.5, "sequence_high": 5.0, "token_veto": None}

LOSSES: dict[str, tuple[str, dict[str, Any]]] = {
    "openrlhf/ppo_token_mean_0.2": ("grpo", PPO),
    "openrlhf/ppo_dual3_0.2_0.28": ("grpo", HIGHER),
    "openrlhf/gspo_3e-4_4e-4": ("gspo", {**PLAIN, "aggregation": "seq_mean_token_mean"}),
    "openrlhf/ppo_is_icepop_0.5_5": (
        "grpo",
        {**PPO, "correction": {**WIDE, "weight": "icepop", "sequence_mask": "none"}},
    ),
    "openrlhf/ppo_is_seq-mask-tis_0.5_5": (
        "grpo",
        {**PPO, "correction": {**WIDE, "weight": "token", "sequence_mask": "geometric"}},
    ),
    "verl/vanilla_dual3_0.2": ("grpo", DUAL),
    "verl/vanilla_dual3_0.2_0.28": ("dapo", HIGHER),
    "verl/gspo_3e-4_4e-4": ("gspo", {**PLAIN, "aggregation": "seq_mean_token_mean"}),
    "verl/cispo_0.2_0.2": ("cispo", {**PLAIN, "clip_low": 0.2, "clip_high": 0.2}),
    "verl/sapo": ("sapo", {**PLAIN, "aggregation": "seq_mean_token_mean"}),
    "verl/dppo_tv_0.2_c20": ("dppo_tv", {**PLAIN, "anchor": "learner"}),
    "areal/ppo_token_mean_0.2": ("rloo", PPO),
    "areal/ppo_dual3_0.2_0.28": ("dr_grpo", HIGHER),
    "skyrl/regular_0.2_tokenmean(folded)": ("reinforce_pp", PPO),
    "skyrl/dual_clip3_0.2_0.28(folded)": ("gdpo", HIGHER),
    "skyrl/cispo_defaults(folded)": ("cispo", PLAIN),
    "slime/ppo_dual3_0.2_0.28_token_mean": ("reinforce_pp_baseline", HIGHER),
    "slime/cispo_1.0_4.0_token_mean": ("cispo", PLAIN),
    "r1_reward/stablereinforce_preclip_1e-3_1e3": ("stable_reinforce", UNCORRECTED),
}
"""Which algorithm, with which settings, computes a published figure."""

KL: dict[str, KlEstimator] = {
    "verl/kl_k1_vs_ref_tokenmean": "k1",
    "verl/kl_k2_vs_ref_tokenmean": "k2",
    "verl/kl_k3_vs_ref_tokenmean": "k3",
    "verl/kl_low_var_kl_vs_ref_tokenmean": "k3",
    "verl/kl_k3+_vs_ref_tokenmean": "k3_k2",
    "slime/kl_k1": "k1",
    "slime/kl_k2": "k2",
    "slime/kl_k3": "k3",
    "slime/kl_low_var_kl": "k3",
}

CREDIT: dict[str, GroupCredit] = {
    "verl/adv_grpo_nostd": center,
    "verl/adv_rloo": leave_one_out,
    "verl/adv_grpo_std": scale_by_std,
}

WEIGHTS: dict[str, dict[str, Any]] = {
    "verl/rc_tis_token_2": {"weight": "token", "weight_high": 2.0},
    "verl/rc_tis_seq_2": {"weight": "sequence", "weight_high": 2.0},
    "verl/rc_icepop_0.5_5": {"weight": "icepop", "weight_low": 0.5, "weight_high": 5.0},
}
KEPT: dict[str, dict[str, Any]] = {
    "verl/rc_rs_seq_mean_k1_0.99_1.01": {"sequence_mask": "geometric", "sequence_low": 0.99, "sequence_high": 1.01},
    "verl/rc_rs_seq_mean_k3_0.01": {"sequence_mask": "k3", "sequence_high": 0.01},
    "verl/rc_rs_token_k1_0.5_2": {"weight": "mask", "weight_low": 0.5, "weight_high": 2.0},
}

ELSEWHERE = {
    "skyrl/dppo_defaults(folded)": "compared below in its gradient: the loss is reported as -ratio * A there",
    "openrlhf/ppo_is_tis_0.5_5": "raises weights below 0.5 to 0.5, which truncation does not; we have no such option",
    "verl/geo_mean": "GMPO is not among our algorithms",
    "verl/kl_abs_vs_ref_tokenmean": "|x| is not among our estimators",
    "skyrl/rollout_is_0.2(folded)": "not among our algorithms; CISPO with anchor=engine is the nearest",
}


def corrected(changes: dict[str, Any]) -> CorrectionConfig:
    """Settings of the correction alone."""
    return make_config("grpo", correction={**UNCORRECTED["correction"], **changes}).correction


def golden_correction(changes: dict[str, Any]) -> Correction:
    """The correction of the fixed input."""
    tokens = golden_tokens()
    config = corrected(changes)
    return engine_correction(tokens.old_BT, tokens.engine_BT, tokens.advantages_BT, tokens.mask_BT, config=config)


def figures(loss: Tensor, current_BT: Tensor) -> dict[str, float]:
    """A loss and its gradient's norms, in the goldens' own terms."""
    (gradient,) = torch.autograd.grad(loss, current_BT)
    return {
        "loss": loss.item(),
        "grad_l2": float(gradient.norm()),
        "grad_abs_sum": float(gradient.abs().sum()),
        "nonfinite": int((~gradient.isfinite()).sum()),
    }


def loss_figures(config: AlgorithmConfig) -> dict[str, float]:
    """The whole policy loss of an algorithm on the fixed input."""
    tokens = golden_tokens()
    weights_B = torch.from_numpy(loss_weights(golden_outcomes(), aggregation=config.aggregation, max_tokens=None))
    losses_BT = build_algorithm(config).token_loss(tokens).losses_BT
    return figures((losses_BT * weights_B[:, None]).sum(), tokens.current_BT)


def test_every_published_figure_is_compared_or_explained() -> None:
    assert set(golden()["values"]) == {*LOSSES, *KL, *CREDIT, *WEIGHTS, *KEPT, *ELSEWHERE}


@pytest.mark.parametrize("peer", LOSSES)
def test_a_loss_equals_the_peers(peer: str) -> None:
    kind, changes = LOSSES[peer]
    expected = golden()["values"][peer]
    assert loss_figures(make_config(kind, **changes)) == pytest.approx(expected, rel=RTOL)


def test_the_probability_mask_around_the_engine_has_the_peers_gradient() -> None:
    expected = golden()["values"]["skyrl/dppo_defaults(folded)"]
    ours = loss_figures(make_config("dppo_tv", **{**PLAIN, "anchor": "engine", "max_ratio": 1e9}))
    names = ("grad_l2", "grad_abs_sum")
    assert [ours[name] for name in names] == pytest.approx([expected[name] for name in names], rel=RTOL)


def test_dual_clip_ppo_equals_the_published_figures() -> None:
    ours = loss_figures(make_config("grpo", **HIGHER))
    assert (ours["loss"], ours["grad_l2"]) == pytest.approx((-0.031889, 0.047285), rel=2e-5)


@pytest.mark.parametrize("peer", KL)
def test_a_kl_estimator_equals_the_peers(peer: str) -> None:
    mask_BT, current_BT = golden_input("mask"), golden_input("cur").requires_grad_()
    kl_BT = kl_to_reference(current_BT, golden_input("ref"), estimator=KL[peer])
    ours = figures((kl_BT * mask_BT).sum() / mask_BT.sum(), current_BT)
    assert ours == pytest.approx(golden()["values"][peer], rel=RTOL)


@pytest.mark.parametrize("peer", CREDIT)
def test_advantages_equal_the_peers(peer: str) -> None:
    # The peers add 1e-6 to the standard deviation where we add the published trainer's 1e-4: 3 parts in 10,000.
    tolerance = 4e-4 if CREDIT[peer] is scale_by_std else RTOL
    ours = [_first(advantages_T) for advantages_T in within_groups(golden_outcomes(), credit=CREDIT[peer]).advantages]
    assert ours == pytest.approx(golden()["values"][peer]["per_seq"], rel=tolerance)


def _first(advantages_T: Floats) -> float:
    return float(advantages_T[0])


@pytest.mark.parametrize("peer", WEIGHTS)
def test_weights_add_up_as_elsewhere(peer: str) -> None:
    tokens, expected = golden_tokens(), golden()["values"][peer]["weight_sum"]
    assert float(golden_correction(WEIGHTS[peer]).factors_BT.sum()) == pytest.approx(expected, rel=RTOL)
    config = corrected(WEIGHTS[peer])
    total = weight_sum(tokens.old_BT, tokens.engine_BT, tokens.mask_BT, config=config)
    assert total.item() == pytest.approx(expected, rel=RTOL)


@pytest.mark.parametrize("peer", KEPT)
def test_masks_keep_the_tokens_they_keep_elsewhere(peer: str) -> None:
    found = golden_correction(KEPT[peer])
    assert int((found.factors_BT > 0).sum()) == golden()["values"][peer]["kept_tokens"]


@pytest.mark.parametrize(
    ("ours", "theirs"),
    [
        ("learner/correction/k3", "rollout_corr/k3_kl"),
        ("learner/correction/chi_square", "rollout_corr/chi2_token"),
        ("learner/correction/effective_sample_share", "rollout_corr/rollout_is_eff_sample_size"),
    ],
)
@pytest.mark.parametrize("peer", WEIGHTS)
def test_correction_metrics_equal_those_measured_elsewhere(peer: str, ours: str, theirs: str) -> None:
    tokens, metrics = golden_tokens(), MetricSums()
    metrics.count(tokens=tokens.mask_BT.sum(), completions=tokens.mask_BT.any(1).sum())
    found = golden_correction(WEIGHTS[peer])
    nowhere_BT = torch.zeros_like(tokens.mask_BT)
    record_correction(metrics, found, has_drifted_BT=nowhere_BT, mask_BT=tokens.mask_BT)
    expected = golden()["values"][peer]["metrics"][theirs]
    assert metrics.means()[ours] == pytest.approx(expected, rel=RTOL)
