"""Weights that explain preferences: logistic regression with weights of at least 0, exactly and as published.

With d the values of the preferred item minus those of the other, P(preferred) = 1 / (1 + exp(-d w)), no intercept:

    exact   minimise mean of log(1 + exp(-d w)) + l2/2 |w|^2 over w >= 0: one minimum, checked
    loop    repeat { w += a s(-d w) d, pair by pair; w = max(w, 0) } until w hardly moves (paper, algorithm 1)

The loop's end depends on step and order; it is here for fidelity.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import linprog, minimize
from scipy.special import expit

Array = NDArray[np.float64]

_TOLERANCE = 1e-6
"""How far the gradient may be from that of a minimum, per pair."""
_MAX_ITERATIONS = 10_000


class SeparablePairs(ValueError):
    """Without a penalty some weights grow for ever: their questions agree with every pair they say something about."""

    def __init__(self, questions: tuple[int, ...]) -> None:
        """Indices of those questions."""
        self.questions = questions
        super().__init__(
            f"the weights of questions {', '.join(map(str, questions))} have no finite best value: together they speak "
            "against no pair; use l2 above 0, or more pairs"
        )


@dataclass(frozen=True, kw_only=True, slots=True)
class LoopResult:
    """Where the published loop ended."""

    weights_Q: Array
    num_passes: int
    has_converged: bool


def fit_nonnegative(differences_NQ: Array, *, l2: float) -> Array:
    """The weights, ``[Q]``; those of a question that never differs are 0.

    Raises:
        SeparablePairs: There is no minimum; only with l2=0.
        ValueError: There are no pairs, a number is not finite, or the search ended short of the minimum.
    """
    _check(differences_NQ)
    if not 0.0 <= l2 < np.inf:
        raise ValueError(f"expected l2 of at least 0, got {l2}")
    if l2 == 0.0 and (questions := separating_questions(differences_NQ)):
        raise SeparablePairs(questions)

    def loss_and_gradient(weights_Q: Array) -> tuple[float, Array]:
        return _loss(weights_Q, differences_NQ, l2=l2), _gradient(weights_Q, differences_NQ, l2=l2)

    found = minimize(
        loss_and_gradient,
        x0=np.zeros(differences_NQ.shape[1]),
        jac=True,
        method="L-BFGS-B",
        bounds=[(0.0, None)] * differences_NQ.shape[1],
        options={"gtol": 1e-11, "ftol": 0.0, "maxiter": _MAX_ITERATIONS, "maxfun": 2 * _MAX_ITERATIONS},
    )
    weights_Q: Array = np.asarray(found.x, dtype=np.float64)
    # A weight at 0 may want to fall further; every other one must be where the loss is flat.
    gradient_Q = _gradient(weights_Q, differences_NQ, l2=l2)
    excess = float(np.abs(np.where(weights_Q > 0.0, gradient_Q, np.minimum(gradient_Q, 0.0))).max())
    if excess > _TOLERANCE:
        raise ValueError(f"no minimum found in {found.nit} iterations, gradient {excess:.1e}; use a larger l2")
    return weights_Q


def separating_questions(differences_NQ: Array) -> tuple[int, ...]:
    """Questions whose weights can grow for ever without speaking against a pair; empty where the pairs contradict all.

    A linear program: weights in 0..1 with no negative margin and the largest sum of margins.
    """
    found = linprog(
        -differences_NQ.sum(axis=0), A_ub=-differences_NQ, b_ub=np.zeros(len(differences_NQ)), bounds=(0, 1)
    )
    if not found.success:
        raise ValueError(f"the check for separable pairs failed: {found.message}")
    margins_N = differences_NQ @ found.x
    if margins_N.max(initial=0.0) <= _TOLERANCE:
        return ()
    return tuple(int(index) for index in np.flatnonzero(found.x > _TOLERANCE))


def published_loop(differences_NQ: Array, *, step: float, tolerance: float, max_passes: int) -> LoopResult:
    """The paper's loop, pairs in the order given; it leaves step and tolerance open.

    A weight set to 0 after a pass may come back in the next.

    Raises:
        ValueError: There are no pairs, or a number is not finite or not positive.
    """
    _check(differences_NQ)
    if not (step > 0.0 and tolerance > 0.0 and max_passes > 0):
        raise ValueError(f"expected numbers above 0, got step={step} tolerance={tolerance} max_passes={max_passes}")
    weights_Q: Array = np.zeros(differences_NQ.shape[1])
    for num_passes in range(1, max_passes + 1):
        before_Q = weights_Q.copy()
        for difference_Q in differences_NQ:
            weights_Q += step * expit(-(difference_Q @ weights_Q)) * difference_Q
        weights_Q = np.maximum(weights_Q, 0.0)
        if np.linalg.norm(weights_Q - before_Q) <= tolerance:
            return LoopResult(weights_Q=weights_Q, num_passes=num_passes, has_converged=True)
    return LoopResult(weights_Q=weights_Q, num_passes=max_passes, has_converged=False)


def log_loss(weights_Q: Array, differences_NQ: Array) -> float:
    """Mean of -log P(preferred) in nats; log 2 for weights of 0."""
    return _loss(weights_Q, differences_NQ, l2=0.0)


def _loss(weights_Q: Array, differences_NQ: Array, *, l2: float) -> float:
    losses_N = np.logaddexp(0.0, -(differences_NQ @ weights_Q))
    return float(losses_N.mean() + 0.5 * l2 * (weights_Q @ weights_Q))


def _gradient(weights_Q: Array, differences_NQ: Array, *, l2: float) -> Array:
    pull_N = expit(-(differences_NQ @ weights_Q))
    return np.asarray(l2 * weights_Q - pull_N @ differences_NQ / len(differences_NQ), dtype=np.float64)


def _check(differences_NQ: Array) -> None:
    if differences_NQ.ndim != 2 or not differences_NQ.size or not np.isfinite(differences_NQ).all():
        raise ValueError(f"expected finite differences of pairs by question, got shape {differences_NQ.shape}")
