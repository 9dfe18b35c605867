"""The policy loss of a micro-batch, token by token. No model, no ranks, no configuration files.

    current, anchor --clamp--> ratio --algorithm--> surrogate --+
    old, engine --> correction factor -------------- times -----+--> losses_BT --> weighed and summed elsewhere
    current, reference --> KL, entropy -------------------------+--> metrics

Nothing is averaged here: what a token weighs depends on its whole optimizer window, which no rank and no micro-batch
sees alone.
"""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from conf.algorithms import PolicyConfig
from learner.correction import engine_correction, has_drifted, record_correction
from learner.metrics import MetricSums
from learner.penalties import kl_to_reference
from learner.surrogates import RatioTokens, Surrogate, clamped_log_ratio


@dataclass(frozen=True, kw_only=True, slots=True)
class PolicyTokens:
    """What is known of each completion token of a micro-batch; masked positions may hold anything."""

    current_BT: Tensor
    """Log-probs of the policy being trained, with gradient."""
    old_BT: Tensor
    """Log-probs of the policy at the start of this batch, without gradient; equal to ``current_BT`` in value
    when there is one optimizer step per batch, so that the ratio is exactly 1 and its gradient flows."""
    engine_BT: Tensor
    """Log-probs the engine sampled with."""
    reference_BT: Tensor | None
    """Log-probs of the KL reference; None without a penalty."""
    entropy_BT: Tensor
    """Entropy of the policy's distribution at each position, in nats; with gradient when there is a bonus."""
    advantages_BT: Tensor
    mask_BT: Tensor
    """True for completion tokens."""
    mean_weight: float = 1.0
    """What the correction's weights are divided by: their mean over the batch where they are normalised."""


@dataclass(frozen=True, kw_only=True, slots=True)
class TokenLoss:
    """Losses of a micro-batch's tokens and what is to be reported about them."""

    losses_BT: Tensor
    """0 at masked positions."""
    metrics: MetricSums


def policy_loss(
    tokens: PolicyTokens, *, surrogate: Callable[[RatioTokens], Surrogate], config: PolicyConfig
) -> TokenLoss:
    """Corrected surrogate, plus KL penalty where it is part of the loss, minus entropy bonus.

    Raises:
        ValueError: A penalty is configured and the reference's log-probs are missing.
    """
    mask_BT = tokens.mask_BT
    anchor_BT = tokens.old_BT if config.anchor == "learner" else tokens.engine_BT
    ratios = RatioTokens(
        current_BT=_masked(mask_BT, tokens.current_BT),
        anchor_BT=_masked(mask_BT, anchor_BT.detach()),
        advantages_BT=_masked(mask_BT, tokens.advantages_BT),
        mask_BT=mask_BT,
        max_log_ratio=config.max_log_ratio,
    )
    found = surrogate(ratios)
    correction = engine_correction(
        tokens.old_BT, tokens.engine_BT, ratios.advantages_BT, mask_BT, config=config.correction
    )
    has_drifted_BT = has_drifted(
        ratios.current_BT, tokens.engine_BT, ratios.advantages_BT, mask_BT, bound=config.correction.max_negative_drift
    )
    factors_BT = torch.where(has_drifted_BT, 0.0, correction.factors_BT / tokens.mean_weight)
    policy_BT = _masked(mask_BT, found.losses_BT * factors_BT)
    kl_BT = _kl(tokens, ratios.current_BT, config=config)
    entropy_BT = _masked(mask_BT, tokens.entropy_BT)
    losses_BT = policy_BT
    if config.kl.placement == "loss":
        losses_BT = losses_BT + config.kl.coefficient * kl_BT
    if config.entropy_coefficient > 0.0:
        losses_BT = losses_BT - config.entropy_coefficient * entropy_BT
    metrics = MetricSums()
    metrics.count(tokens=mask_BT.sum(), completions=mask_BT.any(1).sum())
    metrics.add("learner/policy/loss", policy_BT.sum())
    metrics.add("learner/reference/kl", kl_BT.sum())
    metrics.add("learner/policy/entropy", entropy_BT.sum())
    _record_ratios(metrics, ratios, old_BT=_masked(mask_BT, tokens.old_BT), surrogate=found)
    record_correction(metrics, correction, has_drifted_BT=has_drifted_BT, mask_BT=mask_BT)
    return TokenLoss(losses_BT=losses_BT, metrics=metrics)


def _kl(tokens: PolicyTokens, current_BT: Tensor, *, config: PolicyConfig) -> Tensor:
    if config.kl.coefficient == 0.0:
        return torch.zeros_like(current_BT)
    if tokens.reference_BT is None:
        raise ValueError(f"algorithm.kl.coefficient={config.kl.coefficient} needs the reference's log-probs")
    reference_BT = _masked(tokens.mask_BT, tokens.reference_BT)
    return kl_to_reference(current_BT, reference_BT, estimator=config.kl.estimator)


@torch.no_grad()
def _record_ratios(metrics: MetricSums, ratios: RatioTokens, *, old_BT: Tensor, surrogate: Surrogate) -> None:
    mask_BT, bound = ratios.mask_BT, ratios.max_log_ratio
    is_clamped_BT = (ratios.current_BT - ratios.anchor_BT).abs() > bound
    change_BT = clamped_log_ratio(ratios.current_BT, old_BT, bound=bound)
    metrics.add("learner/clip/fraction", (surrogate.is_clipped_BT & mask_BT).sum())
    metrics.add("learner/clip/dual_fraction", (surrogate.is_dual_clipped_BT & mask_BT).sum())
    metrics.add("learner/clip/clamped_fraction", is_clamped_BT.sum())
    metrics.add("learner/policy/kl_old", ((-change_BT).exp() - 1.0 + change_BT).sum())


def _masked(mask_BT: Tensor, values_BT: Tensor) -> Tensor:
    """``values_BT`` with exact zeros at masked positions, NaN and infinity included."""
    return torch.where(mask_BT, values_BT, torch.zeros_like(values_BT))
