"""RL2R: does a score rank its picture rightly among the other pictures of the step? (arXiv 2505.14460)

Every completion's score is compared with the scores of each other picture, and the modelled probability of "better
than" is held against the opinion scores by a fidelity measure:

    scores [B, K] --other's mean, or other's scores one by one--> p(score beats picture) [B, K, B]
    opinions [B] --ties--> label [B, B] --form--> sqrt(p label) + sqrt((1 - p)(1 - label)) --over partners--> [B, K]
"""

from collections.abc import Sequence
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtr

from conf.reward_terms import RankingTermConfig
from rewards.readings import Scores, read_scores
from rollout.types import RolloutGroup

Comparison = Literal["mean", "probability_average", "fixed_variance"]
Form = Literal["released", "rounded", "paper"]
Ties = Literal["half", "one"]
Array = NDArray[np.float64]

VARIANCE_OFFSET = 1e-6
"""Gamma: keeps the probability defined when two pictures have no spread of scores."""
MIN_SCORES: dict[Comparison, int] = {"mean": 2, "probability_average": 2, "fixed_variance": 1}
"""Scores a picture needs to take part: an unbiased variance needs two."""
ROOT_OFFSET: dict[Form, float] = {"released": 1e-6, "rounded": 1e-6, "paper": 0.0}
"""Added inside both fidelity roots; the released code has it, the paper's equation does not."""
ROUNDED_DECIMALS = 4
"""What Aes-R1's code rounds its rewards to."""
TIE_LABEL: dict[Ties, float] = {"half": 0.5, "one": 1.0}


def rank_rewards(
    scores_BK: Array, *, opinions_B: Array, sources_B: Sequence[str], comparison: Comparison, form: Form, ties: Ties
) -> Array:
    """Mean fidelity of each score over the other pictures of its source, ``[B, K]``; NaN where nothing can be compared.

    ``scores_BK`` holds NaN for an unparsed answer and for padding; those enter no mean and no variance.
    A picture with fewer than ``MIN_SCORES`` scores is compared with nothing: its whole row is NaN, and so is the row of
    a picture without a partner in its source. In all other rows an unparsed answer earns 0. Variances are unbiased.
    Needs memory for a few ``[B, K, B]`` arrays.

    Raises:
        ValueError: An opinion or a score is infinite, or an opinion is NaN.
    """
    if np.isinf(scores_BK).any() or not np.isfinite(opinions_B).all():
        raise ValueError("ranking needs finite opinions and finite scores (NaN for an unparsed answer)")
    is_parsed_BK = ~np.isnan(scores_BK)
    is_pair_BB = _pairs(is_parsed_BK.sum(axis=1) >= MIN_SCORES[comparison], sources_B)
    probability_BKB, complement_BKB = better_than_probabilities(scores_BK, comparison=comparison)
    label_B1B = _labels(opinions_B, tie_label=TIE_LABEL[ties])[:, None, :]
    offset = ROOT_OFFSET[form]
    fidelity_BKB = np.sqrt(probability_BKB * label_B1B + offset)
    fidelity_BKB += np.sqrt(complement_BKB * (1.0 - label_B1B) + offset)
    num_partners_B = is_pair_BB.sum(axis=1)
    total_BK = np.where(is_pair_BB[:, None, :], fidelity_BKB, 0.0).sum(axis=2)
    rewards_BK = np.where(is_parsed_BK, total_BK / np.maximum(num_partners_B, 1)[:, None], 0.0)
    if form == "rounded":
        rewards_BK = np.round(rewards_BK, ROUNDED_DECIMALS)
    return np.where(num_partners_B[:, None] > 0, rewards_BK, np.nan)


def better_than_probabilities(scores_BK: Array, *, comparison: Comparison) -> tuple[Array, Array]:
    """Thurstone probability that score ``[i, k]`` beats picture ``j``, ``[B, K, B]``, and its complement.

    Without meaning where a score is NaN or a picture has fewer than ``MIN_SCORES``. The complement is computed on its
    own because ``1 - p`` loses every digit once ``p`` rounds to 1.
    """
    is_parsed_BK = ~np.isnan(scores_BK)
    known_BK = np.where(is_parsed_BK, scores_BK, 0.0)
    num_parsed_B1 = np.maximum(is_parsed_BK.sum(axis=1, keepdims=True), 1)
    shares_BK = is_parsed_BK / num_parsed_B1
    mean_B1 = known_BK.sum(axis=1, keepdims=True) / num_parsed_B1
    variance_B = np.ones(len(scores_BK))
    if comparison != "fixed_variance":
        squares_BK = np.where(is_parsed_BK, (known_BK - mean_B1) ** 2, 0.0)
        variance_B = squares_BK.sum(axis=1) / np.maximum(num_parsed_B1[:, 0] - 1, 1)
    spread_BB = np.sqrt(variance_B[:, None] + variance_B[None, :] + VARIANCE_OFFSET)
    # What picture j is compared by: its mean, or each of its scores, which weigh the same.
    opponents_BL, shares_BL = (mean_B1, np.ones_like(mean_B1)) if comparison == "mean" else (known_BK, shares_BK)
    probability_BKB = np.zeros((*scores_BK.shape, len(scores_BK)))
    complement_BKB = np.zeros_like(probability_BKB)
    for opponent_B, share_B in zip(opponents_BL.T, shares_BL.T, strict=True):
        z_BKB = (known_BK[:, :, None] - opponent_B) / spread_BB[:, None, :]
        probability_BKB += share_B * ndtr(z_BKB)
        complement_BKB += share_B * ndtr(-z_BKB)
    return probability_BKB, complement_BKB


def _pairs(takes_part_B: NDArray[np.bool_], sources_B: Sequence[str]) -> NDArray[np.bool_]:
    """Which pictures are compared, ``[B, B]``: same source, both with enough scores, never with itself."""
    names_B = np.asarray(sources_B)
    is_pair_BB: NDArray[np.bool_] = names_B[:, None] == names_B[None, :]
    is_pair_BB &= takes_part_B[:, None] & takes_part_B[None, :]
    np.fill_diagonal(is_pair_BB, False)
    return is_pair_BB


def _labels(opinions_B: Array, *, tie_label: float) -> Array:
    """1, ``tie_label`` or 0 for a row picture above, level with or below a column picture, ``[B, B]``."""
    above_BB = np.sign(opinions_B[:, None] - opinions_B[None, :])
    return np.where(above_BB == 0, tie_label, (above_BB + 1.0) / 2.0)


class RankingTerm:
    """The RL2R reward over all groups of a step, or over chunks of them in order; groups may differ in size.

    A group that cannot be compared (no partner, or too few parsed scores) abstains as a whole; elsewhere an unparsed
    answer earns 0. Over the whole step the order of the groups means nothing, and in either case it is that of the
    step's prompts: rewards do not depend on the number of engines or learner ranks.
    """

    def __init__(self, config: RankingTermConfig) -> None:
        """Keep how scores are read and compared."""
        self._comparison: Comparison = config.comparison
        self._form: Form = config.form
        self._ties: Ties = config.ties
        self._is_inside_sources = config.partners == "same_source"
        self._chunk_size = config.chunk_size
        self._scores: Scores = config.scores

    async def score(self, groups: Sequence[RolloutGroup]) -> list[list[float | None]]:
        """Return a reward per completion, in 0.002..1.0010005 ("rounded": to four decimals), or 0..1 for "paper".

        Raises:
            ValueError: A group has too few completions for its scores to have a variance.
        """
        size = self._chunk_size or max(len(groups), 1)
        chunks = [groups[start : start + size] for start in range(0, len(groups), size)]
        return [row for chunk in chunks for row in self._score_chunk(chunk)]

    def _score_chunk(self, groups: Sequence[RolloutGroup]) -> list[list[float | None]]:
        rewards_BK = rank_rewards(
            self._padded_scores(groups),
            opinions_B=np.array([g.prompt.opinion.score for g in groups], dtype=np.float64),
            sources_B=[g.prompt.source if self._is_inside_sources else "" for g in groups],
            comparison=self._comparison,
            form=self._form,
            ties=self._ties,
        )
        return [
            [None if np.isnan(r) else float(r) for r in row[: len(group.completions)]]
            for group, row in zip(groups, rewards_BK, strict=True)
        ]

    def _padded_scores(self, groups: Sequence[RolloutGroup]) -> Array:
        scores_BK = np.full((len(groups), max(len(g.completions) for g in groups)), np.nan)
        for row, group in zip(scores_BK, groups, strict=True):
            if len(group.completions) < MIN_SCORES[self._comparison]:
                raise ValueError(
                    f"the ranking reward needs two completions per prompt, prompt {group.prompt.prompt_id!r} has "
                    f"{len(group.completions)}; raise rollout.num_completions"
                )
            scores_K = read_scores(group, scores=self._scores)
            row[: len(scores_K)] = scores_K
        return scores_BK
