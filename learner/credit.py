"""Credit over a step's completions: which rewards are compared with which. Numpy only, no torch.

    rewards - penalties --by group--> baseline, scale --------------------------> advantages    within_groups
    rewards --by group--> baseline --> returns per token --> z over the batch --> advantages    over_batch
    parts --by group and term--> scale --> weighted sum --> z over the batch ---> advantages    by_term

A whole step is one call, on the driver. When a KL penalty is part of the reward, every rank repeats the call with
the penalties of all ranks: whatever their number, the advantages are the same to the last digit.
"""

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from conf.algorithms import AdvantageFilter, Statistics
from learner.advantage import (
    Z_EPSILON,
    Bools,
    Floats,
    is_plausible,
    moments,
    over_rewarded,
    returns_to_go,
    scale_by_std,
    within_three_of,
    within_three_sigma,
)
from learner.types import Credit, Outcome

logger = logging.getLogger(__name__)

MAX_REWARD = 10.0
"""Algorithms that normalise over the batch cut rewards to this size (arXiv 2505.02835, code); cut ones are counted."""
MIN_REWARD_SPREAD = 1e-6
"""Rewards that differ by less are equal: what is left to normalise would be rounding, or the noise of the KL."""

GroupCredit = Callable[[Floats], Floats]
"""Rewards ``[G]`` of a group to what they are worth beside one another, ``[G]``."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Whitening:
    """How returns are compared over the batch."""

    baseline: GroupCredit | None
    """Taken from the rewards of each group first."""
    statistics: Statistics
    filter: AdvantageFilter | None
    """StableReinforce's choice of z; None for algorithms that keep them all."""


@dataclass(frozen=True, kw_only=True, slots=True)
class _Tokens:
    """All completion tokens of a step in one row, ``[N]``."""

    returns: Floats
    """Reward still to come."""
    penalties: Floats
    """The part of it that penalties took."""
    weights: Floats
    """In mean and deviation; 0 for tokens of completions without reward."""


def within_groups(
    outcomes: Sequence[Outcome], *, credit: GroupCredit, penalties: Sequence[Floats] | None = None
) -> Credit:
    """Give every token of a completion what its reward, less its penalties, is worth in its group."""
    rewards = [one.reward for one in outcomes]
    if penalties is not None:
        charged = zip(rewards, penalties, strict=True)
        rewards = [None if reward is None else reward - float(charge_T.sum()) for reward, charge_T in charged]
    values = _by_group(outcomes, rewards, credit=credit)
    return Credit(
        advantages=tuple(np.full(one.num_tokens, value) for one, value in zip(outcomes, values, strict=True)),
        metrics={},
    )


def over_batch(
    outcomes: Sequence[Outcome], *, whitening: Whitening, penalties: Sequence[Floats] | None = None
) -> Credit:
    """Normalise the returns of all tokens of the batch together.

    When no two rewards differ, all advantages are 0: the returns then differ by their penalties alone, which
    division by their own deviation would blow up to unit size.
    """
    rewards = [None if one.reward is None else min(max(one.reward, -MAX_REWARD), MAX_REWARD) for one in outcomes]
    num_cut = sum(one.reward != reward for one, reward in zip(outcomes, rewards, strict=True))
    values = _by_group(outcomes, rewards, credit=whitening.baseline) if whitening.baseline else _numbers(rewards)
    metrics = {"learner/reward/cut_count": float(num_cut)}
    if _are_equal(values, outcomes):
        logger.warning("no two rewards differ completions=%d: this batch carries no credit", len(outcomes))
        nothing = tuple(np.zeros(one.num_tokens) for one in outcomes)
        return Credit(advantages=nothing, metrics=metrics | {"learner/reward/all_equal": 1.0})
    tokens = _tokens(outcomes, values, penalties, statistics=whitening.statistics)
    z, report = _z_scores(tokens, outcomes, chosen=whitening.filter)
    return Credit(advantages=_cut(z, outcomes), metrics=metrics | report | {"learner/reward/all_equal": 0.0})


def by_term(outcomes: Sequence[Outcome], *, weights: Mapping[str, float]) -> Credit:
    """Scale each reward term within its group, add them up by weight, and normalise the sums over the batch.

    A term that abstained on a completion adds nothing to it and does not enter the term's own statistics.

    Raises:
        ValueError: An outcome lacks the score of a term.
    """
    values = np.zeros(len(outcomes))
    for term, weight in weights.items():
        values += weight * _by_group(outcomes, [_part(one, term) for one in outcomes], credit=scale_by_std)
    counts = np.array([float(one.reward is not None) for one in outcomes])
    if values.any():
        values = moments(values, counts).z_scores(values) * counts
    return Credit(
        advantages=tuple(np.full(one.num_tokens, value) for one, value in zip(outcomes, values, strict=True)),
        metrics={},
    )


def _by_group(outcomes: Sequence[Outcome], rewards: Sequence[float | None], *, credit: GroupCredit) -> Floats:
    members: dict[int, list[int]] = {}
    for index, one in enumerate(outcomes):
        members.setdefault(one.group_index, []).append(index)
    values = np.zeros(len(outcomes))
    for indices in members.values():
        values[indices] = over_rewarded([rewards[index] for index in indices], credit=credit)
    return values


def _numbers(rewards: Sequence[float | None]) -> Floats:
    return over_rewarded(rewards, credit=lambda given: given)


def _part(outcome: Outcome, term: str) -> float | None:
    if term not in outcome.parts:
        raise ValueError(f"expected a score of reward term {term!r}, got those of {sorted(outcome.parts)}")
    return outcome.parts[term] if outcome.reward is not None else None


def _are_equal(values: Floats, outcomes: Sequence[Outcome]) -> bool:
    counted = values[[one.reward is not None for one in outcomes]]
    return not counted.size or float(np.ptp(counted)) < MIN_REWARD_SPREAD


def _tokens(
    outcomes: Sequence[Outcome], values: Floats, penalties: Sequence[Floats] | None, *, statistics: Statistics
) -> _Tokens:
    charges = [np.zeros(one.num_tokens) for one in outcomes] if penalties is None else penalties
    pairs = list(zip(outcomes, values, charges, strict=True))
    return _Tokens(
        returns=np.concatenate([returns_to_go(value, charge_T) for _, value, charge_T in pairs]),
        penalties=np.concatenate([returns_to_go(0.0, charge_T) for _, _, charge_T in pairs]),
        weights=np.concatenate([_weights(one, statistics=statistics) for one in outcomes]),
    )


def _weights(outcome: Outcome, *, statistics: Statistics) -> Floats:
    size = outcome.num_tokens
    share = 1.0 / max(size, 1) if statistics == "sample" else 1.0
    return np.full(size, 0.0 if outcome.reward is None else share)


def _z_scores(
    tokens: _Tokens, outcomes: Sequence[Outcome], *, chosen: AdvantageFilter | None
) -> tuple[Floats, dict[str, float]]:
    counted: Bools = tokens.weights > 0.0
    of_returns = moments(tokens.returns, tokens.weights)
    of_penalties = moments(tokens.penalties, tokens.weights)
    report = {
        "learner/return/mean": of_returns.mean,
        "learner/return/std": of_returns.variance**0.5,
        "learner/return/penalty_share": of_penalties.variance
        / max(of_returns.variance, float(np.finfo(np.float64).tiny)),
    }
    z = np.where(counted, of_returns.z_scores(tokens.returns), 0.0)
    if chosen is None:
        return z, report
    z = np.where(counted, z + Z_EPSILON, 0.0)
    kept = _kept(z, chosen=chosen, raw_mean=of_returns.mean)
    dropped = counted & ~(kept & is_plausible(z))
    rows = np.split(dropped, np.cumsum([one.num_tokens for one in outcomes])[:-1])
    report |= {
        "learner/filter/token_fraction": float(dropped.sum() / counted.sum()),
        "learner/filter/completion_fraction": float(np.mean([row.any() for row in rows])),
        "learner/filter/implausible_tokens": float((counted & ~is_plausible(z)).sum()),
    }
    return np.where(dropped, 0.0, z), report


def _kept(z: Floats, *, chosen: AdvantageFilter, raw_mean: float) -> Bools:
    if chosen == "paper":
        return within_three_sigma(z)
    if chosen == "released":
        return within_three_of(z, raw_mean=raw_mean)
    return np.ones_like(z, dtype=np.bool_)


def _cut(values: Floats, outcomes: Sequence[Outcome]) -> tuple[Floats, ...]:
    """A row of all tokens as one array per completion."""
    return tuple(np.split(values, np.cumsum([one.num_tokens for one in outcomes])[:-1]))
