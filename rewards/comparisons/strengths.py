"""Strengths from verdicts: Bradley-Terry, Davidson's extension to ties, and Thurstone's case V.

With ``d`` the difference of two strengths, the better item wins with probability

    bradley_terry   1 / (1 + exp(-d))               a tie counts as half a win for each
    thurstone       Phi(d)                          likewise; a unit is one deviation of a single difference
    davidson        exp(d/2) / z, tie: exp(t) / z   z = exp(d/2) + exp(-d/2) + exp(t), t fitted as well

The fit is the maximum a posteriori under independent normal priors around 0, of which two things follow. An
unbeaten item has a finite strength. And strengths add up to 0 inside every set of linked items, so strengths of
unlinked items differ by the prior alone.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from math import isfinite

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit, log_expit, log_ndtr, ndtr

from conf.reward_terms import StrengthModel
from rewards.comparisons.structure import Structure, structure
from rewards.comparisons.verdicts import Tally

Array = NDArray[np.float64]

LOGITS_PER_UNIT: Mapping[StrengthModel, float] = {"bradley_terry": 1.0, "davidson": 1.0, "thurstone": 1.702}
"""How a strength compares with one of Bradley and Terry's: ``Phi(d)`` is ``1 / (1 + exp(-1.702 d))`` to 0.01."""

_LOG_ROOT_TWO_PI = 0.5 * np.log(2.0 * np.pi)
_CLOSE = 1e-7
"""Newton decrement, which is the distance to the optimum in standard errors, from which one more step is the last."""
_MAX_STEPS = 200


@dataclass(frozen=True, kw_only=True, slots=True)
class Strengths:
    """A fitted model of N items."""

    model: StrengthModel
    strengths_N: Array
    """Mean 0 in every set of linked items; 0 for an item never compared, which is the prior's word."""
    covariance_NN: Array
    """Of the strengths around the mean of their linked set, from the Hessian of the log-posterior."""
    log_tie: float | None
    """``t`` of Davidson's model; None in the others."""
    structure: Structure
    """Which strengths can be compared, and how far the verdicts contradict each other."""
    gradient_norm: float
    """Euclidean, of the log-posterior where the fit ended."""

    @property
    def standard_errors(self) -> Array:
        """Of each strength around the mean of its linked set, ``[N]``; NaN for an item never compared."""
        return np.where(self.structure.is_compared_N, np.sqrt(np.diagonal(self.covariance_NN)), np.nan)

    def difference(self, first: int, second: int) -> tuple[float, float] | None:
        """How much stronger ``first`` is, with its standard error; None where no verdict links the two."""
        if not self.structure.can_compare(first, second):
            return None
        covariance = self.covariance_NN[np.ix_([first, second], [first, second])]
        variance = float(covariance[0, 0] + covariance[1, 1] - 2.0 * covariance[0, 1])
        return float(self.strengths_N[first] - self.strengths_N[second]), max(variance, 0.0) ** 0.5


@dataclass(frozen=True, kw_only=True, slots=True)
class _Loss:
    """Minus a log-likelihood or log-posterior at one point."""

    loss: float
    gradient_P: Array
    hessian_PP: Array


def fit_strengths(counts: Tally, *, model: StrengthModel, prior_std: float) -> Strengths:
    """Fit by Newton's method; the loss is strictly convex, so there is one answer.

    ``prior_std`` is the prior's deviation of a strength, and of ``t`` in Davidson's model, whose mean of 0 lets
    equal items tie once in three.

    Raises:
        ValueError: The prior is not positive, or so wide, or the weights so large, that rounding stops the fit.
    """
    if not (isfinite(prior_std) and prior_std > 0):
        raise ValueError(f"prior_std must be finite and above 0, got {prior_std}")
    likelihood = _LIKELIHOODS[model]

    def posterior(point_P: Array) -> _Loss:
        return _with_prior(likelihood(point_P, counts), point_P, precision=prior_std**-2)

    num_parameters = counts.num_items + (model == "davidson")
    point_P, final = _minimise(posterior, np.zeros(num_parameters))
    graph = structure(counts)
    centre_NN = _centring(graph.component_N)
    covariance_NN = np.linalg.inv(final.hessian_PP)[: counts.num_items, : counts.num_items]
    return Strengths(
        model=model,
        strengths_N=centre_NN @ point_P[: counts.num_items],
        covariance_NN=centre_NN @ covariance_NN @ centre_NN,
        log_tie=float(point_P[-1]) if model == "davidson" else None,
        structure=graph,
        gradient_norm=float(np.linalg.norm(final.gradient_P)),
    )


def win_probabilities(fitted: Strengths, *, against: Sequence[int]) -> Array:
    """Expected result of each item against an opponent of average strength, ``[N]`` in 0..1, a tie being half.

    The average is over the items ``against`` (a whole group, the item included, or references) that verdicts link
    to the item. NaN where there are none, and for an item never compared.

    Raises:
        ValueError: An opponent is not one of the items.
    """
    component_N = fitted.structure.component_N
    if not all(0 <= item < len(component_N) for item in against):
        raise ValueError(f"opponents are items 0..{len(component_N) - 1}, got {list(against)}")
    is_opponent_N = np.isin(np.arange(len(component_N)), against)
    is_met_NN = (component_N[:, None] == component_N[None, :]) & is_opponent_N[None, :]
    num_met_N = is_met_NN.sum(axis=1)
    average_N = (is_met_NN @ fitted.strengths_N) / np.maximum(num_met_N, 1)
    expected_N = _expected_result(fitted.strengths_N - average_N, model=fitted.model, log_tie=fitted.log_tie)
    return np.where((num_met_N > 0) & fitted.structure.is_compared_N, expected_N, np.nan)


def _expected_result(gap_N: Array, *, model: StrengthModel, log_tie: float | None) -> Array:
    if model == "thurstone":
        return np.asarray(ndtr(gap_N), dtype=np.float64)
    if log_tie is None:
        return np.asarray(expit(gap_N), dtype=np.float64)
    log_win_N, log_tie_N = _davidson_log_probabilities(gap_N, log_tie)
    return np.asarray(np.exp(log_win_N) + 0.5 * np.exp(log_tie_N), dtype=np.float64)


def _bradley_terry(strengths_N: Array, counts: Tally) -> _Loss:
    gap_NN = strengths_N[:, None] - strengths_N[None, :]
    lose_NN = expit(-gap_NN)
    return _half_ties(
        counts.points, log_win_NN=log_expit(gap_NN), slope_NN=lose_NN, curvature_NN=lose_NN * expit(gap_NN)
    )


def _thurstone(strengths_N: Array, counts: Tally) -> _Loss:
    gap_NN = strengths_N[:, None] - strengths_N[None, :]
    log_win_NN = log_ndtr(gap_NN)
    slope_NN = np.exp(-0.5 * gap_NN**2 - _LOG_ROOT_TWO_PI - log_win_NN)
    return _half_ties(
        counts.points, log_win_NN=log_win_NN, slope_NN=slope_NN, curvature_NN=slope_NN * (slope_NN + gap_NN)
    )


def _half_ties(points_NN: Array, *, log_win_NN: Array, slope_NN: Array, curvature_NN: Array) -> _Loss:
    """Sum of ``points * -log P(win)``, given the slope and minus the curvature of ``log P(win)`` in the gap."""
    push_NN = points_NN * slope_NN
    stiffness_NN = points_NN * curvature_NN
    return _Loss(
        loss=-float(np.sum(points_NN * log_win_NN)),
        gradient_P=push_NN.sum(axis=0) - push_NN.sum(axis=1),
        hessian_PP=_laplacian(stiffness_NN + stiffness_NN.T),
    )


def _davidson(point_P: Array, counts: Tally) -> _Loss:
    """Three outcomes with utilities ``d/2``, ``-d/2`` and ``t``: a softmax, whose Hessian is their covariance.

    Written without ``1 - p``, which loses every digit once ``p`` rounds to 1.
    """
    strengths_N, log_tie = point_P[:-1], float(point_P[-1])
    log_win_NN, log_tie_NN = _davidson_log_probabilities(strengths_N[:, None] - strengths_N[None, :], log_tie)
    win_NN, tie_NN = np.exp(log_win_NN), np.exp(log_tie_NN)
    decided_NN = win_NN + win_NN.T
    lead_NN = 0.5 * (win_NN - win_NN.T)
    push_NN = counts.wins_NN * (win_NN.T + 0.5 * tie_NN)
    surplus_N = (push_NN - push_NN.T - counts.ties_NN * lead_NN).sum(axis=1)
    stiffness_NN = counts.verdicts * (win_NN * win_NN.T + 0.25 * tie_NN * decided_NN)
    mixed_N1 = -(counts.verdicts * lead_NN * tie_NN).sum(axis=1, keepdims=True)
    # A pair stands twice in a symmetric matrix, hence the halves.
    surplus_of_ties = float(np.sum(0.5 * counts.ties_NN * decided_NN - counts.wins_NN * tie_NN))
    stiffness_of_ties = np.array([[0.5 * np.sum(counts.verdicts * tie_NN * decided_NN)]])
    return _Loss(
        loss=-float(np.sum(counts.wins_NN * log_win_NN) + 0.5 * np.sum(counts.ties_NN * log_tie_NN)),
        gradient_P=-np.append(surplus_N, surplus_of_ties),
        hessian_PP=np.block([[_laplacian(stiffness_NN), mixed_N1], [mixed_N1.T, stiffness_of_ties]]),
    )


def _davidson_log_probabilities(gap: Array, log_tie: float) -> tuple[Array, Array]:
    """Of a win and of a tie, elementwise."""
    log_odds_of_win = -np.logaddexp(-gap, log_tie - 0.5 * gap)
    log_odds_of_tie = log_tie - np.logaddexp(0.5 * gap, -0.5 * gap)
    return log_expit(log_odds_of_win), log_expit(log_odds_of_tie)


_LIKELIHOODS: dict[StrengthModel, Callable[[Array, Tally], _Loss]] = {
    "bradley_terry": _bradley_terry,
    "davidson": _davidson,
    "thurstone": _thurstone,
}


def _laplacian(stiffness_NN: Array) -> Array:
    """Hessian of a sum over pairs of functions of the gap."""
    return np.diag(stiffness_NN.sum(axis=1)) - stiffness_NN


def _centring(component_N: NDArray[np.intp]) -> Array:
    """The projection that takes the mean of each linked set away.

    The verdicts say nothing of that mean. Left in, its prior variance would sit in every standard error.
    """
    is_linked_NN = component_N[:, None] == component_N[None, :]
    shares_NN: Array = is_linked_NN / is_linked_NN.sum(axis=1)
    return np.eye(len(component_N)) - shares_NN


def _with_prior(fit: _Loss, point_P: Array, *, precision: float) -> _Loss:
    return _Loss(
        loss=fit.loss + 0.5 * precision * float(point_P @ point_P),
        gradient_P=fit.gradient_P + precision * point_P,
        hessian_PP=fit.hessian_PP + precision * np.eye(len(point_P)),
    )


def _minimise(function: Callable[[Array], _Loss], start_P: Array) -> tuple[Array, _Loss]:
    """Newton's method with backtracking."""
    point_P, here = start_P, function(start_P)
    for _ in range(_MAX_STEPS):
        step_P = np.asarray(np.linalg.solve(here.hessian_PP, here.gradient_P), dtype=np.float64)
        decrement = float(here.gradient_P @ step_P)
        if decrement <= _CLOSE**2:
            return point_P - step_P, function(point_P - step_P)
        point_P, here = _descend(function, point_P, here, step_P)
    raise ValueError(f"the fit did not converge in {_MAX_STEPS} steps; narrow prior_std or scale the weights down")


def _descend(function: Callable[[Array], _Loss], point_P: Array, here: _Loss, step_P: Array) -> tuple[Array, _Loss]:
    """The longest halving of a step that lowers the loss by its fair share (Armijo), up to rounding."""
    decrement = float(here.gradient_P @ step_P)
    rounding = 1e-13 * (1.0 + abs(here.loss))
    length = 1.0
    there = function(point_P - step_P)
    while there.loss > here.loss - 1e-4 * length * decrement + rounding:
        length /= 2.0
        there = function(point_P - length * step_P)
    return point_P - length * step_P, there
