"""Policy objectives token by token, ``[B, T]``: what the algorithms differ in once the credit is given.

All of them have the policy gradient ``-A grad(log p)`` where the ratio is 1, and 0 wherever the advantage is 0.
"""

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True, kw_only=True, slots=True)
class RatioTokens:
    """What a surrogate is a function of; everything is 0 at masked positions."""

    current_BT: Tensor
    """Log-probs of the policy being trained, with gradient."""
    anchor_BT: Tensor
    """Log-probs it is compared with."""
    advantages_BT: Tensor
    mask_BT: Tensor
    max_log_ratio: float
    """Log-ratios are clamped to this before exp."""

    def ratio(self) -> Tensor:
        """``p / p_anchor``, clamped, ``[B, T]``; without gradient beyond the clamp."""
        return clamped_log_ratio(self.current_BT, self.anchor_BT, bound=self.max_log_ratio).exp()


@dataclass(frozen=True, kw_only=True, slots=True)
class Surrogate:
    """Losses token by token, with what was clipped."""

    losses_BT: Tensor
    is_clipped_BT: Tensor
    """Tokens whose gradient or weight the trust region took or cut."""
    is_dual_clipped_BT: Tensor


def clamped_log_ratio(new: Tensor, old: Tensor, *, bound: float) -> Tensor:
    """Return ``new - old`` in nats, clamped to ``[-bound, bound]``; the gradient is 0 beyond.

    Raises:
        ValueError: ``bound`` is not positive.
    """
    if bound <= 0.0:
        raise ValueError(f"the bound on a log-ratio must be positive, got {bound}")
    return (new - old).clamp(-bound, bound)


def clipped(tokens: RatioTokens, *, clip_low: float, clip_high: float, dual_clip: float | None) -> Surrogate:
    """PPO's clipped loss, bounded by ``-dual_clip * advantage`` where the advantage is negative."""
    return _clipped(tokens, tokens.ratio(), clip_low=clip_low, clip_high=clip_high, dual_clip=dual_clip)


def sequence_clipped(tokens: RatioTokens, *, clip_low: float, clip_high: float) -> Surrogate:
    """PPO's clipped loss of the completion's geometric mean ratio, whose gradient each token carries (GSPO)."""
    length_B = tokens.mask_BT.sum(1).clamp(min=1)
    mean_B = (tokens.current_BT - tokens.anchor_BT).detach().sum(1) / length_B
    # A difference of 0 first: added to a log-prob, a mean of 1e-4 would lose half its digits.
    own_BT = tokens.current_BT - tokens.current_BT.detach()
    log_ratio_BT = (mean_B[:, None] + own_BT).clamp(-tokens.max_log_ratio, tokens.max_log_ratio)
    return _clipped(tokens, log_ratio_BT.exp(), clip_low=clip_low, clip_high=clip_high, dual_clip=None)


def ratio_weighted(tokens: RatioTokens, *, low: float, high: float) -> Surrogate:
    """REINFORCE whose token weight is the ratio cut to ``[low, high]``, without gradient (CISPO)."""
    ratio_BT = tokens.ratio().detach()
    weights_BT = ratio_BT.clamp(low, high)
    return _unclipped(-weights_BT * tokens.advantages_BT * tokens.current_BT, is_clipped_BT=weights_BT != ratio_BT)


def gated(tokens: RatioTokens, *, positive: float, negative: float) -> Surrogate:
    """``-4 / tau * sigmoid(tau (ratio - 1)) * advantage``, tau by the advantage's sign (SAPO)."""
    sharpness_BT = torch.where(tokens.advantages_BT > 0.0, positive, negative)
    gate_BT = torch.sigmoid(sharpness_BT * (tokens.ratio() - 1.0)) * 4.0 / sharpness_BT
    return _unclipped(-gate_BT * tokens.advantages_BT, is_clipped_BT=torch.zeros_like(tokens.mask_BT))


def variation_masked(tokens: RatioTokens, *, max_fall: float, max_rise: float, max_ratio: float) -> Surrogate:
    """REINFORCE weighted by the ratio, without tokens whose probability has followed its advantage too far (DPPO)."""
    with torch.no_grad():
        change_BT = tokens.current_BT.exp() - tokens.anchor_BT.exp()
        has_risen_BT = (tokens.advantages_BT > 0.0) & (change_BT > max_rise)
        has_fallen_BT = (tokens.advantages_BT < 0.0) & (change_BT < -max_fall)
        is_masked_BT = has_risen_BT | has_fallen_BT
        weights_BT = torch.where(is_masked_BT, 0.0, tokens.ratio().clamp(max=max_ratio))
    return _unclipped(-weights_BT * tokens.advantages_BT * tokens.current_BT, is_clipped_BT=is_masked_BT)


def _clipped(
    tokens: RatioTokens, ratio_BT: Tensor, *, clip_low: float, clip_high: float, dual_clip: float | None
) -> Surrogate:
    unclipped_BT = -ratio_BT * tokens.advantages_BT
    clipped_BT = -ratio_BT.clamp(1.0 - clip_low, 1.0 + clip_high) * tokens.advantages_BT
    losses_BT = torch.maximum(unclipped_BT, clipped_BT)
    is_dual_clipped_BT = torch.zeros_like(tokens.mask_BT)
    if dual_clip is not None:
        ceiling_BT = -dual_clip * tokens.advantages_BT
        is_dual_clipped_BT = (tokens.advantages_BT < 0.0) & (losses_BT > ceiling_BT)
        losses_BT = torch.where(is_dual_clipped_BT, ceiling_BT, losses_BT)
    return Surrogate(
        losses_BT=losses_BT, is_clipped_BT=clipped_BT > unclipped_BT, is_dual_clipped_BT=is_dual_clipped_BT
    )


def _unclipped(losses_BT: Tensor, *, is_clipped_BT: Tensor) -> Surrogate:
    return Surrogate(
        losses_BT=losses_BT, is_clipped_BT=is_clipped_BT, is_dual_clipped_BT=torch.zeros_like(is_clipped_BT)
    )
