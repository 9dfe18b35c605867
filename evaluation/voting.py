"""Is a judge better when asked several times, and does it favour a position?

    N votes per item -> every draw of k of them -> majority right (vote@k), or at least one right (any@k)
    both orders of an item -> same winner twice, or the same position twice

A vote is 1 or 2, the answer as counted in its prompt, or None where none could be parsed. Unparsed votes have no
say in a majority, and an item without any other is wrong. A tie is worth 1/2: where the vote cast first decides, either
answer is first in half the orders of a tied draw.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from math import comb, fsum
from typing import get_args

from rollout.types import Choice

Vote = Choice | None


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
    """Voting with k votes per item: means over every draw of k votes without replacement."""

    num_votes: int
    """k."""
    vote_right: float
    """vote@k: share of items the majority gets right, a tie being half."""
    any_right: float
    """any@k: share of items with at least one right vote."""
    num_items: int
    num_tied: float
    """Expected number of items."""
    num_unparsed: float
    """Expected number of items without any parsed vote, which are wrong."""


@dataclass(frozen=True, kw_only=True, slots=True)
class PositionReport:
    """A judge asked about every item in both orders."""

    num_pairs: int
    num_consistent: int
    """The same answer won in both orders."""
    num_both_first: int
    """The answer shown first won twice."""
    num_both_second: int
    """The answer shown second won twice."""

    @property
    def num_complete(self) -> int:
        """Pairs parsed in both orders."""
        return self.num_consistent + self.num_both_first + self.num_both_second

    @property
    def consistency(self) -> float | None:
        """Share of complete pairs with one winner in both orders; coin flips give 1/2. None without one."""
        return self.num_consistent / self.num_complete if self.num_complete else None


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


def voting_curve(ballots: Sequence[Ballot]) -> tuple[VotingPoint, ...]:
    """vote@k and any@k for k = 1..N, N being the number of votes of every item.

    Raises:
        ValueError: There is no item, or items differ in their number of votes.
    """
    lengths = sorted({len(ballot.votes) for ballot in ballots})
    if len(lengths) != 1 or lengths[0] == 0:
        raise ValueError(f"a voting curve needs items with one same number of votes, got {lengths} votes")
    return tuple(_point(ballots, num_votes=num_votes) for num_votes in range(1, lengths[0] + 1))


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


def _point(ballots: Sequence[Ballot], *, num_votes: int) -> VotingPoint:
    chances = [_chances(ballot, num_drawn=num_votes) for ballot in ballots]
    return VotingPoint(
        num_votes=num_votes,
        vote_right=fsum(item.majority + 0.5 * item.tied for item in chances) / len(ballots),
        any_right=fsum(item.any_right for item in chances) / len(ballots),
        num_items=len(ballots),
        num_tied=fsum(item.tied for item in chances),
        num_unparsed=fsum(item.unparsed for item in chances),
    )


def _chances(ballot: Ballot, *, num_drawn: int) -> Chances:
    num_right, num_unparsed = ballot.votes.count(ballot.better), ballot.votes.count(None)
    num_wrong = len(ballot.votes) - num_right - num_unparsed
    return vote_chances(num_right, num_wrong=num_wrong, num_unparsed=num_unparsed, num_drawn=num_drawn)
