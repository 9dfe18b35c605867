"""Agreement between judged scores and opinion scores: rank and linear correlation, and error.

A correlation with a constant is undefined. It is None here, never NaN and never 0, so that a judge which says the same
of every picture cannot pass for one that is merely uninformed; ``Agreement.notes`` says why.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import least_squares
from scipy.special import expit
from scipy.stats import kendalltau, pearsonr, spearmanr

from evaluation.bootstrap import bootstrap_statistic
from evaluation.intervals import Estimate

Array = NDArray[np.float64]
Measure = Literal["srcc", "plcc", "plcc_logistic", "krcc", "rmse"]
MEASURES: tuple[Measure, ...] = get_args(Measure)
MEASURE_NAMES: Mapping[Measure, str] = {
    "srcc": "SRCC",
    "plcc": "PLCC",
    "plcc_logistic": "PLCC, logistic fit",
    "krcc": "KRCC",
    "rmse": "RMSE",
}

CONVERGED = "converged"
NUM_RESAMPLES = 1000

_NEARLY_CONSTANT = 1e-12
"""Relative range below which differences are rounding, not ranks."""
_NUM_LOGISTIC_PARAMETERS = 4
_MAX_EVALUATIONS = 400
_NARROWEST, _WIDEST = 1e-3, 10.0
"""Bounds of a curve's width, in ranges of the scores."""
_FLAT = 1e-6
"""Share of the opinions' range below which a fitted curve says nothing."""


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
    notes: Mapping[Measure, str] = field(default_factory=dict[Measure, str])
    """Why a measure is undefined, or which groups are missing from a mean."""

    def value(self, measure: Measure) -> float | None:
        """A measure by name."""
        values: dict[Measure, float | None] = {
            "srcc": self.srcc,
            "plcc": self.plcc,
            "plcc_logistic": self.plcc_logistic,
            "krcc": self.krcc,
            "rmse": self.rmse,
        }
        return values[measure]


@dataclass(frozen=True, kw_only=True, slots=True)
class LogisticCurve:
    """``low + span / (1 + exp(-(score - middle) / width))``, never falling."""

    low: float
    span: float
    middle: float
    width: float

    def at(self, scores_N: Array) -> Array:
        """Its values."""
        rising_N: Array = self.low + self.span * expit((scores_N - self.middle) / self.width)
        return rising_N


@dataclass(frozen=True, kw_only=True, slots=True)
class LogisticFit:
    """What fitting a curve came to."""

    curve: LogisticCurve | None
    status: str
    """``CONVERGED``, or why there is no curve."""


def agreement(scores_N: Array, *, opinions_N: Array) -> Agreement:
    """Every measure at once."""
    fit = fit_logistic(scores_N, opinions_N=opinions_N)
    measured = Agreement(
        num_pictures=scores_N.size,
        srcc=srcc(scores_N, opinions_N=opinions_N),
        plcc=plcc(scores_N, opinions_N=opinions_N),
        plcc_logistic=_plcc_of_fit(fit, scores_N, opinions_N),
        krcc=krcc(scores_N, opinions_N=opinions_N),
        rmse=rmse(scores_N, opinions_N=opinions_N),
    )
    reasons = dict.fromkeys(MEASURES, _why_undefined(scores_N, opinions_N))
    reasons["plcc_logistic"] = fit.status
    notes = {one: why for one, why in reasons.items() if why is not None and measured.value(one) is None}
    return replace(measured, notes=notes)


def agreement_by(keys: Sequence[str], *, scores_N: Array, opinions_N: Array) -> dict[str, Agreement]:
    """Agreement inside each group of pictures with the same key (source, content), keys sorted."""
    names, group_N = np.unique(np.asarray(keys, dtype=np.str_), return_inverse=True)
    in_order_N = np.argsort(group_N, kind="stable")
    ends = np.cumsum(np.bincount(group_N, minlength=len(names)))
    members = {str(name): in_order_N[start:end] for name, start, end in zip(names, [0, *ends], ends, strict=False)}
    return {name: agreement(scores_N[group], opinions_N=opinions_N[group]) for name, group in members.items()}


def mean_agreement(groups: Mapping[str, Agreement]) -> Agreement:
    """Unweighted mean over groups, each measure over the groups that define it; ``notes`` count the others.

    For label files whose scale differs by content (SRIQA-Bench), and for averages over test sets. ``num_pictures`` is
    the sum.
    """
    members = list(groups.values())
    known = {measure: [value for one in members if (value := one.value(measure)) is not None] for measure in MEASURES}
    mean = {measure: float(np.mean(values)) if values else None for measure, values in known.items()}
    return Agreement(
        num_pictures=sum(one.num_pictures for one in members),
        srcc=mean["srcc"],
        plcc=mean["plcc"],
        plcc_logistic=mean["plcc_logistic"],
        krcc=mean["krcc"],
        rmse=mean["rmse"],
        notes={
            measure: f"undefined in {len(members) - len(values)} of {len(members)} groups"
            for measure, values in known.items()
            if len(values) < len(members)
        },
    )


def intervals(scores_N: Array, *, opinions_N: Array, content_ids: Sequence[str]) -> dict[Measure, Estimate]:
    """Measures with their 95 % bootstrap intervals; contents are drawn whole.

    ``plcc_logistic`` has none: a curve would have to be fitted anew to every draw.
    """
    of: dict[Measure, Callable[[Array, Array], float | None]] = {
        "srcc": lambda scores, opinions: srcc(scores, opinions_N=opinions),
        "plcc": lambda scores, opinions: plcc(scores, opinions_N=opinions),
        "krcc": lambda scores, opinions: krcc(scores, opinions_N=opinions),
        "rmse": lambda scores, opinions: rmse(scores, opinions_N=opinions),
    }
    pictures = (scores_N, opinions_N)
    found = {
        measure: bootstrap_statistic(one, arrays=pictures, cluster_ids=content_ids, num_resamples=NUM_RESAMPLES, seed=0)
        for measure, one in of.items()
    }
    return {measure: estimate for measure, estimate in found.items() if estimate is not None}


def srcc(scores_N: Array, *, opinions_N: Array) -> float | None:
    """Spearman's rank correlation, average ranks for ties; None for a constant."""
    return None if _why_undefined(scores_N, opinions_N) else float(spearmanr(scores_N, opinions_N).statistic)


def plcc(scores_N: Array, *, opinions_N: Array) -> float | None:
    """Pearson's correlation; None for a constant."""
    return None if _why_undefined(scores_N, opinions_N) else float(pearsonr(scores_N, opinions_N).statistic)


def krcc(scores_N: Array, *, opinions_N: Array) -> float | None:
    """Kendall's tau-b, which corrects for ties; None for a constant."""
    return None if _why_undefined(scores_N, opinions_N) else float(kendalltau(scores_N, opinions_N).statistic)


def rmse(scores_N: Array, *, opinions_N: Array) -> float | None:
    """Root mean squared difference; None without pictures."""
    return float(np.sqrt(np.mean((scores_N - opinions_N) ** 2))) if scores_N.size else None


def plcc_logistic(scores_N: Array, *, opinions_N: Array) -> float | None:
    """Pearson's correlation of the fitted curve's values with the opinions; None where ``fit_logistic`` finds none."""
    return _plcc_of_fit(fit_logistic(scores_N, opinions_N=opinions_N), scores_N, opinions_N)


def fit_logistic(scores_N: Array, *, opinions_N: Array, max_evaluations: int = _MAX_EVALUATIONS) -> LogisticFit:
    """The four-parameter logistic nearest to the opinions in the least-squares sense.

    It never falls: a free fit would turn a reversed judge the right way round. Only middle and width are searched for;
    low and span follow from them, without which a nearly straight relation sends all four to infinity.
    """
    why = _why_undefined(scores_N, opinions_N)
    if why is not None:
        return LogisticFit(curve=None, status=why)
    if scores_N.size <= _NUM_LOGISTIC_PARAMETERS:
        return LogisticFit(curve=None, status=f"{scores_N.size} pictures are too few for four parameters")
    reach = float(np.ptp(scores_N))
    fit = least_squares(
        lambda shape: _steepest(shape, scores_N, opinions_N).at(scores_N) - opinions_N,
        x0=np.array([float(np.mean(scores_N)), math.log(float(np.std(scores_N)))]),
        # Beyond these a curve cannot be told from a straight line, an exponential or a step.
        bounds=(
            [scores_N.min() - reach, math.log(_NARROWEST * reach)],
            [scores_N.max() + reach, math.log(_WIDEST * reach)],
        ),
        x_scale=np.array([reach, 1.0]),
        max_nfev=max_evaluations,
    )
    if not fit.success:
        return LogisticFit(curve=None, status=f"no convergence in {max_evaluations} evaluations")
    curve = _steepest(fit.x, scores_N, opinions_N)
    if np.ptp(curve.at(scores_N)) <= _FLAT * np.ptp(opinions_N):
        return LogisticFit(curve=None, status="the best rising curve is flat")
    return LogisticFit(curve=curve, status=CONVERGED)


def _steepest(shape: Array, scores_N: Array, opinions_N: Array) -> LogisticCurve:
    """The best curve with a given middle and logarithm of the width: its height is a straight line's slope."""
    middle, width = float(shape[0]), math.exp(float(shape[1]))
    step_N = expit((scores_N - middle) / width)
    off_N = step_N - step_N.mean()
    variance = float(off_N @ off_N)
    span = max(0.0, float(off_N @ opinions_N) / variance) if variance else 0.0
    return LogisticCurve(
        low=float(opinions_N.mean()) - span * float(step_N.mean()), span=span, middle=middle, width=width
    )


def _plcc_of_fit(fit: LogisticFit, scores_N: Array, opinions_N: Array) -> float | None:
    return None if fit.curve is None else plcc(fit.curve.at(scores_N), opinions_N=opinions_N)


def _why_undefined(scores_N: Array, opinions_N: Array) -> str | None:
    """Why there is no correlation; None when there is one."""
    if scores_N.shape != opinions_N.shape or scores_N.ndim != 1:
        raise ValueError(f"one score per opinion expected, got shapes {scores_N.shape} and {opinions_N.shape}")
    if not (np.isfinite(scores_N).all() and np.isfinite(opinions_N).all()):
        raise ValueError("correlations need finite numbers; leave pictures without a score out and count them")
    if scores_N.size < 2:
        return f"{scores_N.size} pictures have a score, a correlation needs 2"
    if _is_constant(scores_N):
        return "the scores are all the same"
    return "the opinions are all the same" if _is_constant(opinions_N) else None


def _is_constant(values_N: Array) -> bool:
    return bool(np.ptp(values_N) <= _NEARLY_CONSTANT * np.abs(values_N).max())
