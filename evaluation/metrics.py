"""Agreement between judged scores and opinion scores: rank and linear correlation, and error.

A correlation with a constant is undefined. It is None here, never NaN and never 0, so that a judge which
says the same of every picture cannot pass for one that is merely uninformed.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import least_squares
from scipy.special import expit
from scipy.stats import kendalltau, pearsonr, spearmanr

Array = NDArray[np.float64]

_NEARLY_CONSTANT = 1e-12
"""Relative range below which differences are rounding, not ranks."""
_NUM_LOGISTIC_PARAMETERS = 4


@dataclass(frozen=True, kw_only=True, slots=True)
class Agreement:
    """How scores agree with opinions; None where undefined."""

    num_pictures: int
    srcc: float | None
    """Spearman's rank correlation; ties share their average rank."""
    plcc: float | None
    """Pearson's correlation of the plain scores."""
    plcc_logistic: float | None
    """Pearson's correlation after a rising four-parameter logistic was fitted to the opinions."""
    krcc: float | None
    """Kendall's tau-b."""
    rmse: float | None
    """Root mean squared difference, in units of the scale."""


def agreement(scores_N: Array, *, opinions_N: Array) -> Agreement:
    """Every measure at once."""
    return Agreement(
        num_pictures=scores_N.size,
        srcc=srcc(scores_N, opinions_N=opinions_N),
        plcc=plcc(scores_N, opinions_N=opinions_N),
        plcc_logistic=plcc_logistic(scores_N, opinions_N=opinions_N),
        krcc=krcc(scores_N, opinions_N=opinions_N),
        rmse=rmse(scores_N, opinions_N=opinions_N),
    )


def agreement_by(keys: Sequence[str], *, scores_N: Array, opinions_N: Array) -> dict[str, Agreement]:
    """Agreement inside each group of pictures with the same key (source, content), keys sorted."""
    names, group_N = np.unique(np.asarray(keys, dtype=np.str_), return_inverse=True)
    return {
        str(name): agreement(scores_N[group_N == index], opinions_N=opinions_N[group_N == index])
        for index, name in enumerate(names)
    }


def mean_agreement(groups: Mapping[str, Agreement]) -> Agreement:
    """Unweighted mean over groups, each measure over the groups that define it.

    For label files whose scale differs by content (SRIQA-Bench), and for averages over test sets.
    ``num_pictures`` is the sum.
    """
    members = list(groups.values())
    return Agreement(
        num_pictures=sum(member.num_pictures for member in members),
        srcc=_mean_of_known(member.srcc for member in members),
        plcc=_mean_of_known(member.plcc for member in members),
        plcc_logistic=_mean_of_known(member.plcc_logistic for member in members),
        krcc=_mean_of_known(member.krcc for member in members),
        rmse=_mean_of_known(member.rmse for member in members),
    )


def srcc(scores_N: Array, *, opinions_N: Array) -> float | None:
    """Spearman's rank correlation, average ranks for ties; None for a constant."""
    if not _can_correlate(scores_N, opinions_N):
        return None
    return float(spearmanr(scores_N, opinions_N).statistic)


def plcc(scores_N: Array, *, opinions_N: Array) -> float | None:
    """Pearson's correlation; None for a constant."""
    if not _can_correlate(scores_N, opinions_N):
        return None
    return float(pearsonr(scores_N, opinions_N).statistic)


def krcc(scores_N: Array, *, opinions_N: Array) -> float | None:
    """Kendall's tau-b, which corrects for ties; None for a constant."""
    if not _can_correlate(scores_N, opinions_N):
        return None
    return float(kendalltau(scores_N, opinions_N).statistic)


def rmse(scores_N: Array, *, opinions_N: Array) -> float | None:
    """Root mean squared difference; None without pictures."""
    return float(np.sqrt(np.mean((scores_N - opinions_N) ** 2))) if scores_N.size else None


def plcc_logistic(scores_N: Array, *, opinions_N: Array) -> float | None:
    """Pearson's correlation of ``low + span / (1 + exp(-(score - middle) / width))`` with the opinions.

    Span and width are kept non-negative: a free fit would turn a reversed judge the right way round. None
    for a constant, with too few pictures to fit four parameters, or when the best curve is flat.
    """
    if scores_N.size <= _NUM_LOGISTIC_PARAMETERS or not _can_correlate(scores_N, opinions_N):
        return None
    low, span, spread = float(opinions_N.min()), float(np.ptp(opinions_N)), float(np.std(scores_N))
    fit = least_squares(
        lambda parameters: _logistic(scores_N, parameters) - opinions_N,
        x0=np.array([low, span, float(np.mean(scores_N)), spread]),
        bounds=([-np.inf, 0.0, -np.inf, 1e-3 * spread], np.inf),
        x_scale=np.array([span, span, spread, spread]),
    )
    return plcc(_logistic(scores_N, fit.x), opinions_N=opinions_N) if fit.success else None


def _logistic(scores_N: Array, parameters: Array) -> Array:
    low, span, middle, width = parameters
    rising_N: Array = low + span * expit((scores_N - middle) / width)
    return rising_N


def _can_correlate(scores_N: Array, opinions_N: Array) -> bool:
    if scores_N.shape != opinions_N.shape or scores_N.ndim != 1:
        raise ValueError(f"one score per opinion expected, got shapes {scores_N.shape} and {opinions_N.shape}")
    if not (np.isfinite(scores_N).all() and np.isfinite(opinions_N).all()):
        raise ValueError("correlations need finite numbers; leave pictures without a score out and count them")
    return scores_N.size >= 2 and not _is_constant(scores_N) and not _is_constant(opinions_N)


def _is_constant(values_N: Array) -> bool:
    return bool(np.ptp(values_N) <= _NEARLY_CONSTANT * np.abs(values_N).max())


def _mean_of_known(values: Iterable[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return float(np.mean(known)) if known else None
