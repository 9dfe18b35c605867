"""Policy losses as pure functions of ``[B, T]`` log-probs. No model, no ranks, no configuration files.

    current, old --clamp--> ratio --clip, dual clip--> surrogate --+
    old, engine  --clamp--> weight (cap, masks) ---- times --------+--> losses_BT --+--> sum / window tokens
    current, reference --> KL (k3 value, k2 gradient) -------------+                +--> metrics

Everything is summed, never averaged, here: the mean is over the whole optimizer window, which no rank and no
micro-batch sees alone.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from conf.algorithms import CorrectionConfig, GrpoConfig
from learner.metrics import MetricSums

MAX_CORRECTION_LOG_RATIO = 20.0
"""Engine/trainer log-ratios are clamped to this before exp, so that one odd token cannot overflow a sum."""
MAX_KL = 10.0
"""Largest reported k3 value of one token."""


@dataclass(frozen=True, kw_only=True, slots=True)
class PolicyTokens:
    """What is known of each completion token of a micro-batch; masked positions may hold anything."""

    current_BT: Tensor
    """Log-probs of the policy being trained, with gradient."""
    old_BT: Tensor
    """Log-probs of the policy at the start of this batch, without gradient; equal to ``current_BT`` in value
    when there is one update per batch, so that the ratio is exactly 1 and its gradient flows."""
    engine_BT: Tensor
    """Log-probs the engine sampled with."""
    reference_BT: Tensor | None
    """Log-probs of the KL reference; None without a penalty."""
    entropy_BT: Tensor
    """Entropy of the trainer's distribution at each position, in nats, without gradient."""
    advantages_B: Tensor
    mask_BT: Tensor
    """True for completion tokens."""


@dataclass(frozen=True, kw_only=True, slots=True)
class TokenLoss:
    """Losses of a micro-batch's tokens and what is to be reported about them."""

    losses_BT: Tensor
    """0 at masked positions."""
    metrics: MetricSums


@dataclass(frozen=True, kw_only=True, slots=True)
class Surrogate:
    """The clipped objective token by token, with what was clipped."""

    losses: Tensor
    is_clipped: Tensor
    is_dual_clipped: Tensor


@dataclass(frozen=True, kw_only=True, slots=True)
class Correction:
    """How far the engine's distribution is from the trainer's, token by token, and what is done about it."""

    log_ratio_BT: Tensor
    raw_weights_BT: Tensor
    """``exp(trainer - engine)``, uncut; 0 at masked positions."""
    weights_BT: Tensor
    """Factor on the policy loss: cut at the cap, 0 for whole completions that are masked."""
    is_kept_B: Tensor


def clamped_log_ratio(new: Tensor, old: Tensor, *, bound: float) -> Tensor:
    """Return ``new - old`` in nats, clamped to ``[-bound, bound]``; the gradient is 0 beyond.

    Raises:
        ValueError: ``bound`` is not positive.
    """
    if bound <= 0.0:
        raise ValueError(f"the bound on a log-ratio must be positive, got {bound}")
    return (new - old).clamp(-bound, bound)


def dual_clip_surrogate(
    log_ratio_BT: Tensor, advantages_BT: Tensor, *, clip_low: float, clip_high: float, dual_clip: float
) -> Surrogate:
    """PPO's clipped loss, bounded by ``-dual_clip * advantage`` where the advantage is negative."""
    ratio_BT = log_ratio_BT.exp()
    unclipped = -ratio_BT * advantages_BT
    clipped = -ratio_BT.clamp(1.0 - clip_low, 1.0 + clip_high) * advantages_BT
    losses = torch.maximum(unclipped, clipped)
    ceiling = -dual_clip * advantages_BT
    is_dual_clipped = (advantages_BT < 0.0) & (losses > ceiling)
    return Surrogate(
        losses=torch.where(is_dual_clipped, ceiling, losses),
        is_clipped=clipped > unclipped,
        is_dual_clipped=is_dual_clipped,
    )


def engine_correction(
    trainer_BT: Tensor, engine_BT: Tensor, mask_BT: Tensor, *, config: CorrectionConfig
) -> Correction:
    """Truncated importance weights with a geometric sequence mask (rl_systems section 5.3), without gradient.

    A completion is dropped whole when the geometric mean of its weights leaves
    ``[sequence_low, sequence_high]`` or when one of its tokens weighs less than ``token_veto``. Its tokens
    stay in the loss denominator. With ``enabled`` off the weights are measured, and all factors are 1.
    """
    trainer_BT, engine_BT = trainer_BT.detach().float(), engine_BT.detach().float()
    bound = MAX_CORRECTION_LOG_RATIO
    log_ratio_BT = _where(mask_BT, clamped_log_ratio(trainer_BT, engine_BT, bound=bound))
    raw_BT = _where(mask_BT, log_ratio_BT.exp())
    geometric_B = (log_ratio_BT.sum(1) / mask_BT.sum(1).clamp(min=1)).exp()
    is_vetoed_B = ((raw_BT < config.token_veto) & mask_BT).any(1)
    is_kept_B = (geometric_B >= config.sequence_low) & (geometric_B <= config.sequence_high) & ~is_vetoed_B
    cut_BT = raw_BT.clamp(max=config.token_cap) * is_kept_B[:, None]
    weights_BT = cut_BT if config.enabled else mask_BT.to(raw_BT.dtype)
    return Correction(log_ratio_BT=log_ratio_BT, raw_weights_BT=raw_BT, weights_BT=weights_BT, is_kept_B=is_kept_B)


def kl_to_reference(current_BT: Tensor, reference_BT: Tensor) -> Tensor:
    """KL per token: the value of k3, the gradient of k2.

    k3 is never negative and varies little, but its gradient is biased; k2's is the true one on-policy.
    """
    x = reference_BT.detach() - current_BT
    k2 = 0.5 * x.square()
    bounded = x.detach().clamp(-MAX_CORRECTION_LOG_RATIO, MAX_CORRECTION_LOG_RATIO)
    k3 = (bounded.exp() - 1.0 - bounded).clamp(max=MAX_KL)
    return k2 + (k3 - k2.detach())


def clipped_policy_loss(tokens: PolicyTokens, *, config: GrpoConfig) -> TokenLoss:
    """Corrected dual-clip surrogate plus KL penalty, token by token."""
    mask_BT = tokens.mask_BT
    current_BT, old_BT = _where(mask_BT, tokens.current_BT), _where(mask_BT, tokens.old_BT.detach())
    log_ratio_BT = clamped_log_ratio(current_BT, old_BT, bound=config.max_log_ratio)
    surrogate = dual_clip_surrogate(
        log_ratio_BT,
        tokens.advantages_B[:, None].expand_as(current_BT),
        clip_low=config.clip_low,
        clip_high=config.clip_high,
        dual_clip=config.dual_clip,
    )
    correction = engine_correction(old_BT, tokens.engine_BT, mask_BT, config=config.correction)
    policy_BT = _where(mask_BT, surrogate.losses * correction.weights_BT)
    kl_BT = torch.zeros_like(policy_BT)
    if config.kl.coefficient > 0.0:
        if tokens.reference_BT is None:
            raise ValueError(f"algorithm.kl.coefficient={config.kl.coefficient} needs the reference's log-probs")
        kl_BT = _where(mask_BT, kl_to_reference(current_BT, tokens.reference_BT))
    metrics = MetricSums()
    _record_policy(metrics, tokens, surrogate=surrogate, bound=config.max_log_ratio)
    metrics.add("policy/loss", policy_BT.sum())
    metrics.add("policy/kl_reference", kl_BT.sum())
    _record_correction(metrics, correction, mask_BT=mask_BT, cap=config.correction.token_cap)
    return TokenLoss(losses_BT=policy_BT + config.kl.coefficient * kl_BT, metrics=metrics)


def _record_policy(metrics: MetricSums, tokens: PolicyTokens, *, surrogate: Surrogate, bound: float) -> None:
    mask_BT = tokens.mask_BT
    change_BT = _where(mask_BT, (tokens.current_BT - tokens.old_BT).detach())
    bounded_BT = change_BT.clamp(-bound, bound)
    metrics.count(tokens=mask_BT.sum(), completions=mask_BT.any(1).sum())
    metrics.add("policy/clip_fraction", (surrogate.is_clipped & mask_BT).sum())
    metrics.add("policy/dual_clip_fraction", (surrogate.is_dual_clipped & mask_BT).sum())
    metrics.add("policy/clamped_tokens", (change_BT.abs() > bound).sum(), per="total")
    metrics.add("policy/kl_old", ((-bounded_BT).exp() - 1.0 + bounded_BT).sum())
    metrics.add("policy/entropy", _where(mask_BT, tokens.entropy_BT).sum())


def _record_correction(metrics: MetricSums, correction: Correction, *, mask_BT: Tensor, cap: float) -> None:
    raw_BT, delta_BT = correction.raw_weights_BT, correction.log_ratio_BT
    dropped_B = ~correction.is_kept_B & mask_BT.any(1)
    metrics.add("correction/weight_mean", raw_BT.sum())
    metrics.add("correction/weight_square_mean", raw_BT.square().sum())
    metrics.add("correction/cut_fraction", (raw_BT > cap).sum())
    metrics.add("correction/masked_token_fraction", (dropped_B[:, None] & mask_BT).sum())
    metrics.add("correction/masked_completion_fraction", dropped_B.sum(), per="completion")
    metrics.add("correction/k3", _where(mask_BT, raw_BT - 1.0 - delta_BT).sum())
    metrics.add("correction/abs_delta_mean", delta_BT.abs().sum())
    metrics.maximum("correction/weight_max", raw_BT.max())
    metrics.maximum("correction/abs_delta_max", delta_BT.abs().max())


def _where(mask_BT: Tensor, values_BT: Tensor) -> Tensor:
    """``values_BT`` with exact zeros at masked positions, NaN and infinity included."""
    return torch.where(mask_BT, values_BT, torch.zeros_like(values_BT))
