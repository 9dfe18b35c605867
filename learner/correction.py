"""What is done about engine and learner giving the same tokens different probabilities (no gradient anywhere).

learner, engine --> w per token --> weight (cut, or 0 outside bounds) --> over its mean --+
                      +--> sequence mask, veto, negative drift ---------------------------+--> factor on the policy loss
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from conf.algorithms import CorrectionConfig
from learner.metrics import MetricSums
from learner.surrogates import clamped_log_ratio

MAX_LOG_RATIO = 20.0
"""Log-ratios are clamped to this before exp, so that one odd token cannot overflow a sum."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Correction:
    """How far the engine's distribution is from the learner's, token by token, and what follows from it."""

    log_ratio_BT: Tensor
    raw_weights_BT: Tensor
    """``w = exp(learner - engine)``, uncut; 0 at masked positions."""
    weights_BT: Tensor
    """The configured weight, whatever the sequence masks say; w itself where none is configured."""
    is_cut_BT: Tensor
    """Tokens whose weight the bounds changed."""
    factors_BT: Tensor
    """On the policy loss: the configured weight, 0 for tokens that carry no gradient."""
    is_kept_B: Tensor
    """Completions that nothing drops whole."""


@torch.no_grad()
def engine_correction(
    learner_BT: Tensor, engine_BT: Tensor, advantages_BT: Tensor, mask_BT: Tensor, *, config: CorrectionConfig
) -> Correction:
    """Weights and masks, in float32 or wider; masked tokens stay in the loss denominator.

    The advantages decide which tokens a mask by total variation spares; nothing else reads them.
    """
    log_ratio_BT = _log_ratio(learner_BT, engine_BT, mask_BT)
    raw_BT = torch.where(mask_BT, log_ratio_BT.exp(), 0.0)
    weights_BT, is_cut_BT = _weights(log_ratio_BT, mask_BT, config=config)
    is_kept_B = _is_kept(log_ratio_BT, raw_BT, mask_BT, config=config)
    factors_BT = mask_BT.to(raw_BT.dtype) if config.weight == "none" else weights_BT
    if config.sequence_mask == "total_variation":
        is_far_B = _mean(total_variation(raw_BT), mask_BT) > config.sequence_high
        goes_further_BT = advantages_BT * log_ratio_BT > 0.0
        factors_BT = torch.where(is_far_B[:, None] & goes_further_BT, 0.0, factors_BT)
    return Correction(
        log_ratio_BT=log_ratio_BT,
        raw_weights_BT=raw_BT,
        weights_BT=weights_BT,
        is_cut_BT=is_cut_BT,
        factors_BT=factors_BT * is_kept_B[:, None],
        is_kept_B=is_kept_B,
    )


@torch.no_grad()
def weight_sum(learner_BT: Tensor, engine_BT: Tensor, mask_BT: Tensor, *, config: CorrectionConfig) -> Tensor:
    """The configured weights of all tokens added up, whatever the masks say: what ``batch_normalise`` averages."""
    weights_BT, _ = _weights(_log_ratio(learner_BT, engine_BT, mask_BT), mask_BT, config=config)
    return weights_BT.double().sum()


def total_variation(raw_weights_BT: Tensor) -> Tensor:
    """Token by token ``|w - 1| / 2``, whose mean over the engine's samples is the distance of the distributions."""
    return (raw_weights_BT - 1.0).abs() / 2.0


@torch.no_grad()
def has_drifted(
    current_BT: Tensor, engine_BT: Tensor, advantages_BT: Tensor, mask_BT: Tensor, *, bound: float | None
) -> Tensor:
    """``[B, T]``: tokens of negative advantage in completions that lost over ``bound`` nats a token since sampling."""
    if bound is None:
        return torch.zeros_like(mask_BT)
    drift_BT = torch.where(mask_BT, engine_BT - current_BT, torch.zeros_like(current_BT))
    drift_B = drift_BT.sum(1) / mask_BT.sum(1).clamp(min=1)
    return (advantages_BT < 0.0) & (drift_B > bound)[:, None] & mask_BT


def record_correction(metrics: MetricSums, correction: Correction, *, has_drifted_BT: Tensor, mask_BT: Tensor) -> None:
    """Add what there is to report; weights as they are before ``batch_normalise`` divides them by their mean."""
    raw_BT, delta_BT, weights_BT = correction.raw_weights_BT, correction.log_ratio_BT, correction.weights_BT
    dropped_B = ~correction.is_kept_B & mask_BT.any(1)
    without_gradient_BT = ((correction.factors_BT == 0.0) | has_drifted_BT) & mask_BT
    metrics.add("learner/correction/ratio_mean", raw_BT.sum())
    metrics.add("learner/correction/ratio_square_mean", raw_BT.square().sum())
    metrics.add("learner/correction/weight_mean", weights_BT.sum())
    metrics.add("learner/correction/weight_square_mean", weights_BT.square().sum())
    metrics.add("learner/correction/cut_fraction", correction.is_cut_BT.sum())
    metrics.add("learner/correction/masked_token_fraction", without_gradient_BT.sum())
    metrics.add("learner/correction/masked_completion_fraction", dropped_B.sum(), per="completion")
    metrics.add("learner/correction/drifted_completion_fraction", has_drifted_BT.any(1).sum(), per="completion")
    metrics.add("learner/correction/k3", torch.where(mask_BT, raw_BT - 1.0 - delta_BT, 0.0).sum())
    metrics.add("learner/correction/total_variation", (total_variation(raw_BT) * mask_BT).sum())
    metrics.add("learner/correction/abs_delta_mean", delta_BT.abs().sum())
    metrics.maximum("learner/correction/ratio_max", raw_BT.max())
    metrics.maximum("learner/correction/abs_delta_max", delta_BT.abs().max())


def _log_ratio(learner_BT: Tensor, engine_BT: Tensor, mask_BT: Tensor) -> Tensor:
    """ln w, clamped, in float32 or wider; 0 at masked positions."""
    difference_BT = clamped_log_ratio(_wide(learner_BT), _wide(engine_BT), bound=MAX_LOG_RATIO)
    return torch.where(mask_BT, difference_BT, 0.0)


def _weights(log_ratio_BT: Tensor, mask_BT: Tensor, *, config: CorrectionConfig) -> tuple[Tensor, Tensor]:
    """The configured weight, 0 at masked positions, and where its bounds changed it."""
    weights_BT, is_cut_BT = _bounded(_unit(log_ratio_BT, mask_BT, config=config), config=config)
    return torch.where(mask_BT, weights_BT, 0.0), is_cut_BT & mask_BT


def _unit(log_ratio_BT: Tensor, mask_BT: Tensor, *, config: CorrectionConfig) -> Tensor:
    """The weight before its bounds."""
    sum_B = log_ratio_BT.sum(1)
    match config.weight:
        case "sequence":
            return sum_B.clamp(-MAX_LOG_RATIO, MAX_LOG_RATIO).exp()[:, None].expand_as(log_ratio_BT)
        case "geometric":
            return _mean(log_ratio_BT, mask_BT).exp()[:, None].expand_as(log_ratio_BT)
        case _:
            return log_ratio_BT.exp()


def _bounded(unit_BT: Tensor, *, config: CorrectionConfig) -> tuple[Tensor, Tensor]:
    """The weight within its bounds, and where they changed it."""
    is_outside_BT = (unit_BT < config.weight_low) | (unit_BT > config.weight_high)
    match config.weight:
        case "none":
            return unit_BT, torch.zeros_like(is_outside_BT)
        case "icepop":
            return unit_BT * ~is_outside_BT, is_outside_BT
        case "mask":
            return (~is_outside_BT).to(unit_BT.dtype), is_outside_BT
        case _:
            return unit_BT.clamp(max=config.weight_high), unit_BT > config.weight_high


def _is_kept(log_ratio_BT: Tensor, raw_BT: Tensor, mask_BT: Tensor, *, config: CorrectionConfig) -> Tensor:
    low, high = config.sequence_low, config.sequence_high
    match config.sequence_mask:
        case "geometric":
            measure_B = _mean(log_ratio_BT, mask_BT).exp()
        case "product":
            measure_B = log_ratio_BT.sum(1).clamp(-MAX_LOG_RATIO, MAX_LOG_RATIO).exp()
        case "k3":
            low, measure_B = -torch.inf, _mean(raw_BT - 1.0 - log_ratio_BT, mask_BT)
        case _:  # a mask by total variation takes tokens, not completions
            low, high, measure_B = -torch.inf, torch.inf, torch.zeros_like(raw_BT[:, 0])
    is_kept_B = (measure_B >= low) & (measure_B <= high)
    if config.token_veto is None:
        return is_kept_B
    least, most = config.token_veto
    return is_kept_B & ~(((raw_BT < least) | (raw_BT > most)) & mask_BT).any(1)


def _mean(values_BT: Tensor, mask_BT: Tensor) -> Tensor:
    """Over the tokens of each completion, ``[B]``; 0 without any."""
    return torch.where(mask_BT, values_BT, 0.0).sum(1) / mask_BT.sum(1).clamp(min=1)


def _wide(values: Tensor) -> Tensor:
    return values.to(torch.promote_types(values.dtype, torch.float32))
