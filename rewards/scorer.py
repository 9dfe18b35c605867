"""Runs every term over a step and folds the parts into one reward per completion.

groups -> term, term, ... (side by side) -> parts per completion -> weighted_sum per group -> ScoredGroup
"""

import asyncio
import math
from collections.abc import Mapping, Sequence

from conf.reward_terms import RewardsConfig
from rewards.rules import weighted_sum
from rewards.tags import check_scale, parse_group
from rewards.terms import build_term
from rewards.terms.base import RewardTerm
from rewards.types import Reward, ScoredGroup
from rollout.types import RolloutGroup, Scale

Scores = list[list[float | None]]


class Scorer:
    """Scores groups with the configured terms, all on one declared scale."""

    def __init__(self, terms: Mapping[str, RewardTerm], *, weights: Mapping[str, float], scale: Scale) -> None:
        """Take the terms by name, a weight for each, and the scale every label must be on.

        Raises:
            ValueError: There is no term, or the weights name others.
        """
        if not terms:
            raise ValueError("a scorer needs at least one reward term; name one under rewards.terms")
        if set(terms) != set(weights):
            raise ValueError(f"every term needs one weight: terms {sorted(terms)}, weights {sorted(weights)}")
        self._terms, self._weights, self._scale = dict(terms), dict(weights), scale

    async def score(self, groups: Sequence[RolloutGroup]) -> list[ScoredGroup]:
        """Return the groups in order, each with one reward per completion.

        Raises:
            ValueError: A label is on another scale, or a term broke its promise.
        """
        check_scale(groups, scale=self._scale)
        by_term = await asyncio.gather(*(term.score(groups) for term in self._terms.values()))
        for name, scores in zip(self._terms, by_term, strict=True):
            _check_scores(name, scores, groups)
        named = dict(zip(self._terms, by_term, strict=True))
        return [
            self._score_group(group, {name: scores[g] for name, scores in named.items()})
            for g, group in enumerate(groups)
        ]

    def _score_group(self, group: RolloutGroup, scores: Mapping[str, Sequence[float | None]]) -> ScoredGroup:
        parts = [{name: row[c] for name, row in scores.items()} for c in range(len(group.completions))]
        totals = weighted_sum(parts, weights=self._weights)
        rewards = (Reward(total=t, parts=p) for t, p in zip(totals, parts, strict=True))
        return ScoredGroup(group=group, rewards=tuple(rewards), answers=parse_group(group))


def build_scorer(config: RewardsConfig, *, scale: Scale) -> Scorer:
    """Make the scorer a config section describes."""
    return Scorer(
        {name: build_term(term) for name, term in config.terms.items()},
        weights={name: term.weight for name, term in config.terms.items()},
        scale=scale,
    )


def _check_scores(name: str, scores: Scores, groups: Sequence[RolloutGroup]) -> None:
    expected = [len(group.completions) for group in groups]
    if (sizes := [len(row) for row in scores]) != expected:
        raise ValueError(f"reward term {name!r} scored {sizes} completions per group, expected {expected}")
    for group, row in zip(groups, scores, strict=True):
        if any(s is not None and not math.isfinite(s) for s in row):
            raise ValueError(f"reward term {name!r} gave {row} for {group.prompt.prompt_id!r}; use None to abstain")
