"""Weights from preferences, how strongly to hold them down, how sure they are, and what they are worth on unseen pairs.

    table --folds of whole prompts--> log loss by strength --smallest--> l2 --> weights
                    |                                                     +--whole prompts redrawn--> intervals
                    +--> accuracy on the pairs held out, beside that of the single question best on the rest

The strength is chosen on the folds that also measure the accuracy: one number among a few, too little to flatter.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from evaluation.bootstrap import are_enough, clusters, drawn_items, percentiles
from evaluation.intervals import Estimate, mean_difference, mean_share
from rewards.checklist.features import PreferenceTable
from rewards.checklist.regression import SeparablePairs, fit_nonnegative, log_loss, separating_questions
from rewards.checklist.weights import Weights

Array = NDArray[np.float64]


@dataclass(frozen=True, kw_only=True, slots=True)
class LearningPlan:
    """How to learn weights."""

    strengths: tuple[float, ...]
    """Penalties l2 to choose from, per pair; 0 for none."""
    num_folds: int
    num_resamples: int
    seed: int

    def __post_init__(self) -> None:
        if not self.strengths or any(not 0.0 <= one < np.inf for one in self.strengths):
            raise ValueError(f"expected strengths of at least 0, got {self.strengths}")
        if self.num_folds < 2 or self.num_resamples < 1:
            raise ValueError(
                f"expected two folds and one resample at least, got {self.num_folds} and {self.num_resamples}"
            )


@dataclass(frozen=True, kw_only=True, slots=True)
class StrengthResult:
    """One strength on the pairs held out."""

    l2: float
    log_loss: float | None
    """Mean over all pairs, in nats; None where a fold has no finite weights without a penalty."""


@dataclass(frozen=True, kw_only=True, slots=True)
class QuestionWeight:
    """What was learned about one question."""

    question_id: str
    weight: float
    interval: tuple[float, float] | None
    """95 %, from redrawn prompts; None where too many draws have no finite weights."""
    kept_share: float | None
    """Draws in which it has a weight above 0."""
    num_differing: int
    """Pairs whose two items it tells apart."""
    agreement: float | None
    """Of those, the share in which it speaks for the preferred item; None without any."""


@dataclass(frozen=True, kw_only=True, slots=True)
class LearnedWeights:
    """Weights and everything that says how far to trust them."""

    questions: tuple[QuestionWeight, ...]
    l2: float
    strengths: tuple[StrengthResult, ...]
    accuracy: Estimate
    """On pairs held out, equal scores being half right."""
    best_single: Estimate
    """Likewise of one question, that which does best on the other folds."""
    gain: Estimate
    """The first minus the second, on the same pairs."""
    separating: tuple[str, ...]
    """Questions that together speak against no pair: only the penalty keeps their weights finite."""
    num_pairs: int
    num_prompts: int
    num_ties: int
    num_unusable: int

    @property
    def weights(self) -> Weights:
        """To score with."""
        return Weights(by_id={one.question_id: one.weight for one in self.questions})


def learn_weights(table: PreferenceTable, *, plan: LearningPlan) -> LearnedWeights:
    """Exact non-negative weights with their intervals and their accuracy on unseen prompts.

    Raises:
        ValueError: There are fewer prompts than folds, or no strength has finite weights on every fold.
    """
    fold_N = _folds(table.clusters_N, num_folds=plan.num_folds, seed=plan.seed)
    strengths = tuple(
        StrengthResult(l2=l2, log_loss=_held_out_loss(table.differences_NQ, fold_N, l2=l2))
        for l2 in sorted(plan.strengths, reverse=True)
    )
    separating = tuple(table.question_ids[index] for index in separating_questions(table.differences_NQ))
    l2 = _best(strengths, separating=separating)
    weights_Q = fit_nonnegative(table.differences_NQ, l2=l2)
    margins_N, single_N = _held_out_margins(table.differences_NQ, fold_N, l2=l2)
    credit_N, single_credit_N = _credits(margins_N), _credits(single_N)
    return LearnedWeights(
        questions=_question_weights(table, weights_Q, l2=l2, plan=plan),
        l2=l2,
        strengths=strengths,
        accuracy=mean_share(zip(credit_N.tolist(), table.clusters_N, strict=True)),
        best_single=mean_share(zip(single_credit_N.tolist(), table.clusters_N, strict=True)),
        gain=mean_difference(zip((credit_N - single_credit_N).tolist(), table.clusters_N, strict=True)),
        separating=separating,
        num_pairs=len(table),
        num_prompts=len(set(table.clusters_N)),
        num_ties=table.num_ties,
        num_unusable=table.num_unusable,
    )


def _folds(clusters_N: Sequence[str], *, num_folds: int, seed: int) -> NDArray[np.intp]:
    """Each pair's fold; a prompt's pairs share one, and folds differ by one prompt at most."""
    cluster_N = clusters(clusters_N)
    num_clusters = int(cluster_N.max()) + 1
    if num_clusters < num_folds:
        raise ValueError(f"{num_clusters} prompts cannot make {num_folds} folds; lower num_folds, or label more")
    order_C = np.random.default_rng(seed).permutation(num_clusters)
    fold_C = np.empty(num_clusters, dtype=np.intp)
    fold_C[order_C] = np.arange(num_clusters) % num_folds
    return np.asarray(fold_C[cluster_N], dtype=np.intp)


def _held_out_loss(differences_NQ: Array, fold_N: NDArray[np.intp], *, l2: float) -> float | None:
    total = 0.0
    for fold in range(int(fold_N.max()) + 1):
        is_held_out_N = fold_N == fold
        try:
            weights_Q = fit_nonnegative(differences_NQ[~is_held_out_N], l2=l2)
        except SeparablePairs:
            return None
        total += log_loss(weights_Q, differences_NQ[is_held_out_N]) * int(is_held_out_N.sum())
    return total / len(differences_NQ)


def _best(strengths: Sequence[StrengthResult], *, separating: Sequence[str]) -> float:
    """The smallest loss, among equals the largest strength, which comes first."""
    known = [(one.log_loss, one.l2) for one in strengths if one.log_loss is not None]
    if not known:
        which = ", ".join(separating) or "some, on the pairs of a fold,"
        raise ValueError(
            f"without a penalty the weights of {which} have no finite best value: together they speak against no pair; "
            "add a strength above 0, or label more pairs"
        )
    return min(known, key=lambda one: one[0])[1]


def _held_out_margins(differences_NQ: Array, fold_N: NDArray[np.intp], *, l2: float) -> tuple[Array, Array]:
    """Of every pair, by the weights and by the best single question of the other folds."""
    margins_N, single_N = np.zeros(len(fold_N)), np.zeros(len(fold_N))
    for fold in range(int(fold_N.max()) + 1):
        is_held_out_N = fold_N == fold
        rest_NQ, held_out_NQ = differences_NQ[~is_held_out_N], differences_NQ[is_held_out_N]
        margins_N[is_held_out_N] = held_out_NQ @ fit_nonnegative(rest_NQ, l2=l2)
        single_N[is_held_out_N] = held_out_NQ[:, np.argmax(np.sign(rest_NQ).sum(axis=0))]
    return margins_N, single_N


def _credits(margins_N: Array) -> Array:
    return np.asarray((np.sign(margins_N) + 1.0) / 2.0, dtype=np.float64)


def _question_weights(
    table: PreferenceTable, weights_Q: Array, *, l2: float, plan: LearningPlan
) -> tuple[QuestionWeight, ...]:
    drawn_RQ = _redrawn(table, l2=l2, plan=plan)
    is_known = are_enough(len(drawn_RQ), num_resamples=plan.num_resamples)
    low_Q, high_Q = percentiles(drawn_RQ) if is_known else (weights_Q, weights_Q)
    num_for_Q, num_against_Q = (table.differences_NQ > 0).sum(axis=0), (table.differences_NQ < 0).sum(axis=0)
    return tuple(
        QuestionWeight(
            question_id=question_id,
            weight=float(weights_Q[index]),
            interval=(float(low_Q[index]), float(high_Q[index])) if is_known else None,
            kept_share=float((drawn_RQ[:, index] > 0.0).mean()) if is_known else None,
            num_differing=int(num_for_Q[index] + num_against_Q[index]),
            agreement=_share(int(num_for_Q[index]), int(num_against_Q[index])),
        )
        for index, question_id in enumerate(table.question_ids)
    )


def _redrawn(table: PreferenceTable, *, l2: float, plan: LearningPlan) -> Array:
    """Weights of redrawn prompts, ``[R, Q]``; draws without finite weights are left out."""
    drawn: list[Array] = []
    for items in drawn_items(table.clusters_N, num_resamples=plan.num_resamples, seed=plan.seed):
        try:
            drawn.append(fit_nonnegative(table.differences_NQ[items], l2=l2))
        except SeparablePairs:
            continue
    return np.array(drawn, dtype=np.float64).reshape(len(drawn), len(table.question_ids))


def _share(num_for: int, num_against: int) -> float | None:
    return num_for / (num_for + num_against) if num_for + num_against else None
