"""Settings of the ranking term for tests."""

from typing import Literal

from conf.reward_terms import RankingTermConfig
from rewards.readings import Scores
from rewards.terms.ranking import Comparison, Form, Ties


def make_ranking_config(
    *,
    comparison: Comparison = "mean",
    form: Form = "released",
    ties: Ties = "half",
    partners: Literal["same_source", "any_source"] = "same_source",
    chunk_size: int | None = None,
    scores: Scores = "all",
) -> RankingTermConfig:
    """VisualQuality-R1's, over the whole step, unless told."""
    return RankingTermConfig(
        kind="ranking",
        weight=1.0,
        comparison=comparison,
        form=form,
        ties=ties,
        partners=partners,
        chunk_size=chunk_size,
        scores=scores,
    )
