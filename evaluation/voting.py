"""Is a judge better when asked several times, and does it favour a position?

    N votes per item -> every draw of k of them -> majority right (vote@k), or at least one right (any@k)
    both orders of an item -> same winner twice, or the same position twice

A vote is 1 or 2, the answer as counted in its prompt, or None where none could be parsed. Unparsed votes have no
say in a majority. Rules for ties are named in ``TieRule``.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from math import comb, fsum
from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray

from rollout.types import Choice

Array = NDArray[np.float64]
Vote = Choice | None
Draws = Literal["all", "prefix"]
"""all: the mean over every draw of k votes without replacement, in closed form; prefix: the first k votes."""
TieRule = Literal["wrong", "first", "random_seeded"]
"""What as many votes for one answer as for the other are worth. wrong: nothing; first: the vote cast first decides;
random_seeded: a coin, one per item. Over all draws the last two are both worth 1/2, since either answer is first
in half the orders of a tied draw."""
UnparsedRule = Literal["wrong", "leave_out"]
"""What an item without any parsed vote in a draw is. wrong: a wrong item; leave_out: no item at all, neither right
nor in the denominator (the official script of VL-RewardBench)."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Ballot:
    """One item: its votes in the order cast, and the right answer."""

    votes: tuple[Vote, ...]
    better: Choice

    def __post_init__(self) -> None:
        if not set(self.votes) <= {1, 2, None}:
            raise ValueError(f"a vote is 1, 2 or None, got {self.votes}")
        if self.better not in get_args(Choice):
            raise ValueError(f"the right answer is 1 or 2, got {self.better!r}")


@dataclass(frozen=True, kw_only=True, slots=True)
class Chances:
    """Probabilities over draws of k votes of one item; 0 or 1 when the draw is all there is."""

    majority: float
    """More right than wrong votes."""
    tied: float
    """As many right as wrong votes, and at least one of each."""
    unparsed: float
    """No parsed vote."""
    any_right: float
    """At least one right vote."""


@dataclass(frozen=True, kw_only=True, slots=True)
class VotingPoint:
    """Voting with k votes per item; counts are expected values, whole numbers for ``draws="prefix"``."""

    num_votes: int
    """k."""
    vote_right: float | None
    """vote@k: share of items the majority gets right; None when every item was left out."""
    any_right: float | None
    """any@k: share of items with at least one right vote, over the same items."""
    num_items: float
    """Denominator of both shares."""
    num_tied: float
    num_unparsed: float
    """Items without any parsed vote, wrong or left out."""


@dataclass(frozen=True, kw_only=True, slots=True)
class PositionReport:
    """A judge asked about every item in both orders. Shares are over complete pairs, None without one."""

    num_pairs: int
    num_consistent: int
    """The same answer won in both orders."""
    num_both_first: int
    """The answer shown first won twice."""
    num_both_second: int
    """The answer shown second won twice."""

    @property
    def num_complete(self) -> int:
        """Pairs parsed in both orders. Only there is either answer shown first once, so that which of them is
        better cancels out of ``first_share``."""
        return self.num_consistent + self.num_both_first + self.num_both_second

    @property
    def num_unparsed(self) -> int:
        """Pairs left out because an order has no vote."""
        return self.num_pairs - self.num_complete

    @property
    def consistency(self) -> float | None:
        """Share of pairs with one winner in both orders; coin flips give 1/2."""
        return self.num_consistent / self.num_complete if self.num_complete else None

    @property
    def first_share(self) -> float | None:
        """Share of votes for the answer shown first."""
        num_first = self.num_consistent + 2 * self.num_both_first
        return num_first / (2 * self.num_complete) if self.num_complete else None

    @property
    def bias_points(self) -> float | None:
        """``first_share`` above one half, in percentage points; negative for a judge who favours the second."""
        return None if self.first_share is None else 100.0 * (self.first_share - 0.5)


@cache
def vote_chances(num_right: int, *, num_wrong: int, num_unparsed: int, num_drawn: int) -> Chances:
    """Chances of a draw of ``num_drawn`` votes without replacement: hypergeometric counts, exact until divided.

    Raises:
        ValueError: Fewer votes than are drawn, or none drawn.
    """
    num_votes = num_right + num_wrong + num_unparsed
    if not 1 <= num_drawn <= num_votes:
        raise ValueError(f"expected a draw of 1..{num_votes} votes, got {num_drawn}")

    def num_draws(right: int, wrong: int) -> int:
        return comb(num_right, right) * comb(num_wrong, wrong) * comb(num_unparsed, num_drawn - right - wrong)

    total = comb(num_votes, num_drawn)
    majority = sum(
        num_draws(right, wrong)
        for right in range(1, num_drawn + 1)
        for wrong in range(min(right, num_drawn - right + 1))
    )
    return Chances(
        majority=majority / total,
        tied=sum(num_draws(half, half) for half in range(1, num_drawn // 2 + 1)) / total,
        unparsed=num_draws(0, 0) / total,
        any_right=1.0 - comb(num_votes - num_right, num_drawn) / total,
    )


def vote_values(ballots: Sequence[Ballot], *, num_votes: int, draws: Draws, ties: TieRule, seed: int) -> Array:
    """Chance that a vote of ``num_votes`` gets each item right, ``[N]``; an item without parsed votes has 0.

    What to resample for an interval of vote@k. ``seed`` is read by ``random_seeded`` alone.
    """
    coins_N = np.random.default_rng(seed).random(len(ballots)) < 0.5
    values_N = np.zeros(len(ballots))
    for index, ballot in enumerate(ballots):
        chances = _chances(ballot, num_votes=num_votes, draws=draws)
        cast, is_heads = ballot.votes[:num_votes], bool(coins_N[index])
        credit = _tie_credit(cast, better=ballot.better, draws=draws, ties=ties, is_heads=is_heads)
        values_N[index] = chances.majority + credit * chances.tied
    return values_N


def voting_curve(
    ballots: Sequence[Ballot], *, draws: Draws, ties: TieRule, unparsed: UnparsedRule, seed: int
) -> tuple[VotingPoint, ...]:
    """vote@k and any@k for k = 1..N, N being the number of votes of every item.

    Raises:
        ValueError: There is no item, or items differ in their number of votes.
    """
    lengths = sorted({len(ballot.votes) for ballot in ballots})
    if len(lengths) != 1 or lengths[0] == 0:
        raise ValueError(f"a voting curve needs items with one same number of votes, got {lengths} votes")
    points: list[VotingPoint] = []
    for num_votes in range(1, lengths[0] + 1):
        values_N = vote_values(ballots, num_votes=num_votes, draws=draws, ties=ties, seed=seed)
        chances = [_chances(ballot, num_votes=num_votes, draws=draws) for ballot in ballots]
        points.append(_point(values_N, chances, num_votes=num_votes, unparsed=unparsed))
    return tuple(points)


def position_report(pairs: Sequence[tuple[Vote, Vote]]) -> PositionReport:
    """How a judge answers when the two answers change places: (vote in one order, vote in the other).

    Votes count positions, so a judge who names the same answer twice votes 1 once and 2 once.
    """
    return PositionReport(
        num_pairs=len(pairs),
        num_consistent=sum(pair in ((1, 2), (2, 1)) for pair in pairs),
        num_both_first=sum(pair == (1, 1) for pair in pairs),
        num_both_second=sum(pair == (2, 2) for pair in pairs),
    )


def _chances(ballot: Ballot, *, num_votes: int, draws: Draws) -> Chances:
    """A prefix is a draw of everything from the first votes."""
    votes = ballot.votes if draws == "all" else ballot.votes[:num_votes]
    num_right, num_unparsed = votes.count(ballot.better), votes.count(None)
    num_wrong = len(votes) - num_right - num_unparsed
    return vote_chances(num_right, num_wrong=num_wrong, num_unparsed=num_unparsed, num_drawn=num_votes)


def _tie_credit(votes: Sequence[Vote], *, better: Choice, draws: Draws, ties: TieRule, is_heads: bool) -> float:
    if ties == "wrong":
        return 0.0
    if draws == "all":
        return 0.5
    if ties == "first":
        return float(next((vote for vote in votes if vote is not None), None) == better)
    return float(is_heads)


def _point(values_N: Array, chances: Sequence[Chances], *, num_votes: int, unparsed: UnparsedRule) -> VotingPoint:
    num_unparsed = fsum(item.unparsed for item in chances)
    num_items = len(chances) - num_unparsed if unparsed == "leave_out" else float(len(chances))
    return VotingPoint(
        num_votes=num_votes,
        vote_right=fsum(values_N) / num_items if num_items else None,
        any_right=fsum(item.any_right for item in chances) / num_items if num_items else None,
        num_items=num_items,
        num_tied=fsum(item.tied for item in chances),
        num_unparsed=num_unparsed,
    )
