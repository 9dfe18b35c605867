"""RL2R: does a score rank its picture rightly among the other pictures of the step? (arXiv 2505.14460)

Every completion's score is compared with the *mean* score of each other picture of the same source, and
the modelled probability of "better than" is held against the opinion scores by a fidelity measure.
"""

from collections.abc import Sequence
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtr

from conf.reward_terms import RankingTermConfig
from rewards.tags import OutOfRange, counted_score, parse_group
from rollout.types import RolloutGroup

Form = Literal["released", "paper"]
Ties = Literal["half", "one"]
Array = NDArray[np.float64]

VARIANCE_OFFSET = 1e-6
"""Gamma: keeps the probability defined when two pictures have no spread of scores."""
ROOT_OFFSET: dict[Form, float] = {"released": 1e-6, "paper": 0.0}
"""Added inside both fidelity roots; the released code has it, the paper's equation does not."""
TIE_LABEL: dict[Ties, float] = {"half": 0.5, "one": 1.0}


def rank_rewards(scores_BK: Array, *, opinions_B: Array, sources_B: Sequence[str], form: Form, ties: Ties) -> Array:
    """Mean fidelity of each score over the other pictures, ``[B, K]``; NaN where nothing can be compared.

    ``scores_BK`` holds NaN for an unparsed answer and for padding; those enter no mean and no variance.
    A picture with fewer than two scores has no variance, so it is compared with nothing: its whole row
    is NaN, and so is the row of a picture without a partner in its source. In all other rows an unparsed
    answer earns 0. Variances are unbiased. Needs memory for a few ``[B, K, B]`` arrays.

    Raises:
        ValueError: An opinion or a score is infinite, or an opinion is NaN.
    """
    if np.isinf(scores_BK).any() or not np.isfinite(opinions_B).all():
        raise ValueError("ranking needs finite opinions and finite scores (NaN for an unparsed answer)")
    is_parsed_BK = ~np.isnan(scores_BK)
    is_pair_BB = _pairs(is_parsed_BK.sum(axis=1) >= 2, sources_B)
    probability_BKB, complement_BKB = _better_than_probabilities(scores_BK, is_parsed_BK)
    label_B1B = _labels(opinions_B, tie_label=TIE_LABEL[ties])[:, None, :]
    offset = ROOT_OFFSET[form]
    fidelity_BKB = np.sqrt(probability_BKB * label_B1B + offset)
    fidelity_BKB += np.sqrt(complement_BKB * (1.0 - label_B1B) + offset)
    num_partners_B = is_pair_BB.sum(axis=1)
    total_BK = np.where(is_pair_BB[:, None, :], fidelity_BKB, 0.0).sum(axis=2)
    rewards_BK = np.where(is_parsed_BK, total_BK / np.maximum(num_partners_B, 1)[:, None], 0.0)
    return np.where(num_partners_B[:, None] > 0, rewards_BK, np.nan)


def _pairs(has_variance_B: NDArray[np.bool_], sources_B: Sequence[str]) -> NDArray[np.bool_]:
    """Which pictures are compared, ``[B, B]``: same source, both with a variance, never with itself."""
    names_B = np.asarray(sources_B)
    is_pair_BB: NDArray[np.bool_] = names_B[:, None] == names_B[None, :]
    is_pair_BB &= has_variance_B[:, None] & has_variance_B[None, :]
    np.fill_diagonal(is_pair_BB, False)
    return is_pair_BB


def _labels(opinions_B: Array, *, tie_label: float) -> Array:
    """1, ``tie_label`` or 0 for a row picture above, level with or below a column picture, ``[B, B]``."""
    above_BB = np.sign(opinions_B[:, None] - opinions_B[None, :])
    return np.where(above_BB == 0, tie_label, (above_BB + 1.0) / 2.0)


def _better_than_probabilities(scores_BK: Array, is_parsed_BK: NDArray[np.bool_]) -> tuple[Array, Array]:
    """Thurstone probability that score ``[i, k]`` beats picture ``j``, ``[B, K, B]``, and its complement.

    The complement is computed on its own because ``1 - p`` loses every digit once ``p`` rounds to 1.
    """
    known_BK = np.where(is_parsed_BK, scores_BK, 0.0)
    num_parsed_B = is_parsed_BK.sum(axis=1)
    mean_B = known_BK.sum(axis=1) / np.maximum(num_parsed_B, 1)
    squares_BK = np.where(is_parsed_BK, (known_BK - mean_B[:, None]) ** 2, 0.0)
    variance_B = squares_BK.sum(axis=1) / np.maximum(num_parsed_B - 1, 1)
    spread_BB = np.sqrt(variance_B[:, None] + variance_B[None, :] + VARIANCE_OFFSET)
    z_BKB = (known_BK[:, :, None] - mean_B[None, None, :]) / spread_BB[:, None, :]
    return ndtr(z_BKB), ndtr(-z_BKB)


class RankingTerm:
    """The RL2R reward over all groups of a step; groups may differ in size.

    A group that cannot be compared (no partner in its source, or fewer than two parsed scores) abstains
    as a whole; elsewhere an unparsed answer earns 0.
    """

    def __init__(self, config: RankingTermConfig) -> None:
        """Keep the form of the fidelity and the label of ties."""
        self._form: Form = config.form
        self._ties: Ties = config.ties
        self._out_of_range: OutOfRange = config.out_of_range

    async def score(self, groups: Sequence[RolloutGroup]) -> list[list[float | None]]:
        """Return a reward per completion, in 0.002..1.0010005 ("released") or 0..1 ("paper").

        Raises:
            ValueError: A group has a single completion, so its scores can have no variance.
        """
        if not groups:
            return []
        rewards_BK = rank_rewards(
            _padded_scores(groups, out_of_range=self._out_of_range),
            opinions_B=np.array([g.prompt.opinion.score for g in groups], dtype=np.float64),
            sources_B=[g.prompt.source for g in groups],
            form=self._form,
            ties=self._ties,
        )
        return [
            [None if np.isnan(r) else float(r) for r in row[: len(group.completions)]]
            for group, row in zip(groups, rewards_BK, strict=True)
        ]


def _padded_scores(groups: Sequence[RolloutGroup], *, out_of_range: OutOfRange) -> Array:
    scores_BK = np.full((len(groups), max(len(g.completions) for g in groups)), np.nan)
    for row, group in zip(scores_BK, groups, strict=True):
        if len(group.completions) < 2:
            raise ValueError(
                f"the ranking reward needs two completions per prompt, prompt {group.prompt.prompt_id!r} has "
                f"{len(group.completions)}; raise rollout.num_completions"
            )
        scores = [counted_score(answer, out_of_range=out_of_range) for answer in parse_group(group)]
        row[: len(scores)] = [np.nan if score is None else score for score in scores]
    return scores_BK
