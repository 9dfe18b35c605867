"""How well score differences agree with people's preferences: accuracies with and without ties.

    margins m [N] and labels h in {1, 0, -1}, |m| <= eps being a tie -> concordant, discordant, tied by one or both
      tau         (concordant + both tied) / all (Deutsch et al., 2023), at eps = 0 or at the eps that makes it largest
      diff        right among the pairs that people do not call a tie

An eps chosen on the pairs it is judged by flatters: find it on others, and give it to ``tie_accuracy``.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from evaluation.intervals import Estimate, mean_share
from evaluation.tables import percent, percent_interval

Array = NDArray[np.float64]
ModelTies = Literal["wrong", "half", "drop"]
"""What equal scores mean where people see a difference; "wrong" is how diff is published."""


@dataclass(frozen=True, kw_only=True, slots=True)
class PairCounts:
    """Pairs by who calls them a tie, and whether both agree on the better one."""

    concordant: int
    discordant: int
    label_tied: int
    """By people alone."""
    model_tied: int
    """By the scores alone."""
    both_tied: int

    @property
    def tie_accuracy(self) -> float:
        """Share of pairs on which scores and people say the same, a tie being a third verdict."""
        agreed = self.concordant + self.both_tied
        return agreed / (agreed + self.discordant + self.label_tied + self.model_tied)


@dataclass(frozen=True, kw_only=True, slots=True)
class Calibrated:
    """The largest accuracy over tie thresholds, and the smallest threshold that has it."""

    accuracy: float
    epsilon: float


@dataclass(frozen=True, kw_only=True, slots=True)
class PreferenceReport:
    """Everything at once; shares in 0..1."""

    num_pairs: int
    tau: float
    """At eps = 0."""
    tau_calibrated: Calibrated
    diff: Estimate | None
    """None where people call every pair a tie, or none is left."""
    counts: PairCounts
    """At eps = 0."""


def judge_preferences(
    margins_N: Array, *, labels_N: NDArray[np.int_], clusters_N: Sequence[str], model_ties: ModelTies = "wrong"
) -> PreferenceReport:
    """Every figure of a model's margins, first minus second, against labels 1, 0 and -1.

    Raises:
        ValueError: Shapes differ, there are no pairs, a margin is not finite or a label none of the three.
    """
    counts = count_pairs(margins_N, labels_N=labels_N, epsilon=0.0)
    return PreferenceReport(
        num_pairs=len(margins_N),
        tau=counts.tie_accuracy,
        tau_calibrated=calibrate(margins_N, labels_N=labels_N),
        diff=diff_accuracy(margins_N, labels_N=labels_N, clusters_N=clusters_N, model_ties=model_ties),
        counts=counts,
    )


def one_line(report: PreferenceReport) -> str:
    """A report in one line; "-" where diff is undefined."""
    best = report.tau_calibrated
    return (
        f"tau {percent(report.tau)} %, {percent(best.accuracy)} % at its best eps {best.epsilon:g}, "
        f"diff {percent_interval(report.diff)} % of {report.num_pairs} pairs"
    )


def count_pairs(margins_N: Array, *, labels_N: NDArray[np.int_], epsilon: float) -> PairCounts:
    """Pairs by kind, a margin of at most ``epsilon`` being a tie."""
    _check(margins_N, labels_N)
    is_tie_N, is_label_tie_N = np.abs(margins_N) <= epsilon, labels_N == 0
    is_decided_N = ~is_tie_N & ~is_label_tie_N
    is_right_N = np.sign(margins_N) == labels_N
    return PairCounts(
        concordant=int(np.sum(is_decided_N & is_right_N)),
        discordant=int(np.sum(is_decided_N & ~is_right_N)),
        label_tied=int(np.sum(is_label_tie_N & ~is_tie_N)),
        model_tied=int(np.sum(is_tie_N & ~is_label_tie_N)),
        both_tied=int(np.sum(is_tie_N & is_label_tie_N)),
    )


def tie_accuracy(margins_N: Array, *, labels_N: NDArray[np.int_], epsilon: float) -> float:
    """Accuracy with ties at a given threshold."""
    return count_pairs(margins_N, labels_N=labels_N, epsilon=epsilon).tie_accuracy


def calibrate(margins_N: Array, *, labels_N: NDArray[np.int_]) -> Calibrated:
    """The best threshold among 0 and the margins themselves, which are all that differ."""
    _check(margins_N, labels_N)
    sizes_N = np.abs(margins_N)
    order_N = np.argsort(sizes_N, kind="stable")
    sizes_N, labels_N, signs_N = sizes_N[order_N], labels_N[order_N], np.sign(margins_N[order_N])
    is_right_N = (labels_N != 0) & (signs_N == labels_N)
    # With the first k margins called ties, label ties among those are right, and right signs among the rest.
    num_right_K = np.concatenate([[0], np.cumsum(labels_N == 0)]) + np.concatenate(
        [np.cumsum(is_right_N[::-1])[::-1], [0]]
    )
    epsilons_E = np.unique(np.concatenate([[0.0], sizes_N]))
    right_E = num_right_K[np.searchsorted(sizes_N, epsilons_E, side="right")]
    best = int(np.argmax(right_E))
    return Calibrated(accuracy=float(right_E[best] / len(margins_N)), epsilon=float(epsilons_E[best]))


def diff_accuracy(
    margins_N: Array, *, labels_N: NDArray[np.int_], clusters_N: Sequence[str], model_ties: ModelTies = "wrong"
) -> Estimate | None:
    """Pairwise accuracy without the pairs that people call a tie, with an interval over clusters."""
    _check(margins_N, labels_N)
    is_kept_N = labels_N != 0
    if model_ties == "drop":
        is_kept_N &= margins_N != 0.0
    if not is_kept_N.any():
        return None
    return mean_share(
        (_credit(float(margins_N[index]), int(labels_N[index]), model_ties=model_ties), clusters_N[index])
        for index in np.flatnonzero(is_kept_N)
    )


def _credit(margin: float, label: int, *, model_ties: ModelTies) -> float:
    if margin == 0.0:
        return 0.5 if model_ties == "half" else 0.0
    return float((margin > 0.0) == (label > 0))


def _check(margins_N: Array, labels_N: NDArray[np.int_]) -> None:
    if margins_N.shape != labels_N.shape or margins_N.ndim != 1 or not margins_N.size:
        raise ValueError(f"expected one label per margin, got shapes {margins_N.shape} and {labels_N.shape}")
    if not np.isfinite(margins_N).all() or not np.isin(labels_N, (-1, 0, 1)).all():
        raise ValueError("expected finite margins and labels of 1, 0 or -1; leave pairs without a score out")
