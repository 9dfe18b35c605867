"""Runs every term over a step and folds the parts into one reward per completion.

completion, completion, ... --begin--> slow terms work while the step is still being generated
groups -> term, term, ... (side by side) -> parts per completion -> rule per group -> ScoredGroup

Where a run mixes tasks, a term sees the groups of its task alone; the others have no part of that name.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType

from conf.reward_terms import RewardsConfig
from conf.tasks import task_of_term
from judge_client.types import Judge
from rewards.eager import all_or_none
from rewards.rules import Rule, build_rule
from rewards.tags import check_scale, parse_group
from rewards.terms import build_term
from rewards.terms.base import EagerTerm, RewardTerm
from rewards.types import Noted, Reward, Score, ScoredGroup, TokenForcer
from rollout.types import Prompt, RolloutGroup, Scale, Task


class Scorer:
    """Scores groups with the configured terms; opinion labels are all on one declared scale."""

    def __init__(
        self,
        terms: Mapping[str, RewardTerm],
        *,
        weights: Mapping[str, float],
        rule: Rule,
        scale: Scale | None,
        tasks: Mapping[str, Task] = MappingProxyType({}),
    ) -> None:
        """Take the terms by name, a weight for each, and how they combine; ``scale=None``: no label is an opinion.

        ``tasks`` names the terms that are for answers to one task only.

        Raises:
            ValueError: There is no term, or the weights name others.
        """
        if not terms:
            raise ValueError("a scorer needs at least one reward term; name one under rewards.terms")
        if set(terms) != set(weights):
            raise ValueError(f"every term needs one weight: terms {sorted(terms)}, weights {sorted(weights)}")
        self._terms, self._weights, self._rule, self._scale = dict(terms), dict(weights), rule, scale
        self._tasks = dict(tasks)
        self._eager = {name: term for name, term in terms.items() if isinstance(term, EagerTerm)}

    @property
    def on_end(self) -> Callable[[Prompt, str], None] | None:
        """What the text of each completion should be passed to as it ends; None when no term is slow."""
        return self._begin if self._eager else None

    async def score(self, groups: Sequence[RolloutGroup]) -> list[ScoredGroup]:
        """Return the groups in order, each with one reward per completion. May run several times side by side.

        Raises:
            ValueError: A label is on another scale, or a term broke its promise.
        """
        check_scale(groups, scale=self._scale)
        by_term = await all_or_none(self._score_term(name, groups) for name in self._terms)
        named = dict(zip(self._terms, by_term, strict=True))
        return [
            self._score_group(group, {name: row for name, rows in named.items() if (row := rows[g]) is not None})
            for g, group in enumerate(groups)
        ]

    async def close(self) -> None:
        """End what the slow terms have begun and close their connections."""
        for term in self._eager.values():
            await term.close()

    def _begin(self, prompt: Prompt, text: str) -> None:
        """Let the slow terms start on a completion of the step being generated; ``score`` is called all the same."""
        for name, term in self._eager.items():
            if self._is_for(name, prompt):
                term.begin(prompt, text)

    def _is_for(self, name: str, prompt: Prompt) -> bool:
        return self._tasks.get(name, prompt.task) == prompt.task

    async def _score_term(self, name: str, groups: Sequence[RolloutGroup]) -> list[Sequence[Score] | None]:
        """One row per group; None for groups the term is not for."""
        own = [group for group in groups if self._is_for(name, group.prompt)]
        scores = await self._terms[name].score(own)
        _check_scores(name, scores, own)
        rows = iter(scores)
        return [next(rows) if self._is_for(name, group.prompt) else None for group in groups]

    def _score_group(self, group: RolloutGroup, scores: Mapping[str, Sequence[Score]]) -> ScoredGroup:
        columns = [{name: row[c] for name, row in scores.items()} for c in range(len(group.completions))]
        parts = [{name: _number(score) for name, score in column.items()} for column in columns]
        notes = [{n: score.note for n, score in column.items() if isinstance(score, Noted)} for column in columns]
        totals = self._rule(parts, weights=self._weights)
        rewards = (Reward(total=t, parts=p, notes=n) for t, p, n in zip(totals, parts, notes, strict=True))
        return ScoredGroup(group=group, rewards=tuple(rewards), answers=parse_group(group))


def build_scorer(
    config: RewardsConfig, *, scale: Scale | None, judge: Judge | None, forcer: TokenForcer | None = None
) -> Scorer:
    """Make the scorer a config section describes.

    Raises:
        ValueError: A term asks a judge or the policy and there is none, or a custom function cannot be used.
    """
    return Scorer(
        {name: build_term(term, name=name, judge=judge, forcer=forcer) for name, term in config.terms.items()},
        weights={name: term.weight for name, term in config.terms.items()},
        rule=build_rule(config.rule),
        scale=scale,
        tasks={name: task for name, term in config.terms.items() if (task := task_of_term(term)) is not None},
    )


def _number(score: Score) -> float | None:
    return score.score if isinstance(score, Noted) else score


def _check_scores(name: str, scores: Sequence[Sequence[Score]], groups: Sequence[RolloutGroup]) -> None:
    expected = [len(group.completions) for group in groups]
    if (sizes := [len(row) for row in scores]) != expected:
        raise ValueError(f"reward term {name!r} scored {sizes} completions per group, expected {expected}")
    for group, row in zip(groups, scores, strict=True):
        numbers = [_number(score) for score in row]
        if any(number is not None and not math.isfinite(number) for number in numbers):
            raise ValueError(f"reward term {name!r} gave {numbers} for {group.prompt.prompt_id!r}; use None to abstain")
