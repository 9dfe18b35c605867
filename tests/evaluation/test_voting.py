"""Voting curves and position bias: small cases by hand, every draw enumerated, and the rules for ties."""

from collections.abc import Iterator, Sequence
from itertools import permutations, product, repeat

import numpy as np
import pytest

from evaluation.voting import Ballot, PositionReport, Vote, VotingPoint, position_report, vote_chances, voting_curve
from rollout.types import Choice

RIGHT: Choice = 1
WRONG: Choice = 2
ALL_KINDS = [kinds for kinds in product(range(4), range(3), range(3)) if sum(kinds)]
"""Right, wrong and unparsed votes of an item."""


def ballot(*votes: Vote) -> Ballot:
    """An item whose right answer is 1."""
    return Ballot(votes=votes, better=1)


def rates(points: Sequence[VotingPoint]) -> list[tuple[float, float]]:
    return [(point.vote_right, point.any_right) for point in points]


def every_draw(votes: Sequence[Vote], num_drawn: int) -> Iterator[list[Vote]]:
    """Every ordered draw, its unparsed votes dropped."""
    for draw in permutations(votes, num_drawn):
        yield [vote for vote in draw if vote is not None]


def mean(flags: Sequence[bool]) -> float:
    return sum(flags) / len(flags)


# Chances of one item


def test_three_votes_by_hand() -> None:
    # Two right, one wrong. Pairs: one of two rights, two mixed.
    one, two, three = (vote_chances(2, num_wrong=1, num_unparsed=0, num_drawn=k) for k in (1, 2, 3))
    assert (one.majority, one.any_right) == pytest.approx((2 / 3, 2 / 3))
    assert (two.majority, two.tied, two.any_right) == pytest.approx((1 / 3, 2 / 3, 1))
    assert (three.majority, three.any_right) == (1, 1)


def test_unparsed_votes_have_no_say() -> None:
    # Two of {right, wrong, unparsed}: right + unparsed is right, right + wrong ties.
    chances = vote_chances(1, num_wrong=1, num_unparsed=1, num_drawn=2)
    assert (chances.majority, chances.tied, chances.unparsed) == pytest.approx((1 / 3, 1 / 3, 0))


@pytest.mark.parametrize(("right", "wrong", "unparsed"), ALL_KINDS)
def test_the_closed_form_is_the_mean_over_every_draw(right: int, wrong: int, unparsed: int) -> None:
    votes: list[Vote] = [*repeat(RIGHT, right), *repeat(WRONG, wrong), *repeat(None, unparsed)]
    for num_drawn in range(1, min(len(votes), 5) + 1):
        draws = list(every_draw(votes, num_drawn))
        chances = vote_chances(right, num_wrong=wrong, num_unparsed=unparsed, num_drawn=num_drawn)
        assert chances.majority == pytest.approx(mean([draw.count(1) > draw.count(2) for draw in draws]))
        assert chances.tied == pytest.approx(mean([draw.count(1) == draw.count(2) > 0 for draw in draws]))
        assert chances.unparsed == pytest.approx(mean([not draw for draw in draws]))
        assert chances.any_right == pytest.approx(mean([1 in draw for draw in draws]))


@pytest.mark.parametrize(("right", "wrong", "unparsed"), ALL_KINDS)
def test_right_wrong_tied_and_unparsed_are_all_there_is(right: int, wrong: int, unparsed: int) -> None:
    for num_drawn in range(1, right + wrong + unparsed + 1):
        ours = vote_chances(right, num_wrong=wrong, num_unparsed=unparsed, num_drawn=num_drawn)
        theirs = vote_chances(wrong, num_wrong=right, num_unparsed=unparsed, num_drawn=num_drawn)
        assert ours.majority + theirs.majority + ours.tied + ours.unparsed == pytest.approx(1)


def test_more_votes_than_were_cast_cannot_be_drawn() -> None:
    with pytest.raises(ValueError, match=r"1\.\.3 votes, got 4"):
        vote_chances(1, num_wrong=1, num_unparsed=1, num_drawn=4)


# Ties


def test_a_tie_is_half_right() -> None:
    assert voting_curve([ballot(1, 2)])[1].vote_right == 0.5


def test_a_tie_is_worth_what_the_first_vote_of_a_draw_is_right() -> None:
    draws = list(every_draw([1, 1, 2, 2, None], 4))
    is_right = [draw.count(1) > draw.count(2) or (draw.count(1) == draw.count(2) and draw[0] == 1) for draw in draws]
    assert voting_curve([ballot(2, 1, None, 1, 2)])[3].vote_right == pytest.approx(mean(is_right))


# Curves


def test_a_curve_by_hand() -> None:
    # Two right of three: 2/3, 1/3, 1. One right of three: 1/3, 0, 0. Two votes tie in 2/3 of the draws of either.
    points = voting_curve([ballot(1, 2, 1), ballot(2, 2, 1)])
    assert rates(points) == [
        pytest.approx((1 / 2, 1 / 2)),
        pytest.approx((1 / 6 + (4 / 3) / 2 / 2, (1 + 2 / 3) / 2)),
        pytest.approx((1 / 2, 1)),
    ]
    assert [point.num_tied for point in points] == pytest.approx([0, 4 / 3, 0])


def test_an_item_without_parsed_votes_is_wrong_and_counted() -> None:
    last = voting_curve([ballot(1, 1), ballot(None, None)])[1]
    assert (last.vote_right, last.any_right, last.num_items, last.num_unparsed) == (0.5, 0.5, 2, 1)


def test_naming_the_answers_the_other_way_round_changes_nothing() -> None:
    mirrored = [Ballot(votes=(2, 1, None, 2), better=2), Ballot(votes=(1, 1, 2, 2), better=2)]
    assert voting_curve(mirrored) == voting_curve([ballot(1, 2, None, 1), ballot(2, 2, 1, 1)])


def test_any_never_falls_with_more_votes() -> None:
    random = np.random.default_rng(0)
    kinds: tuple[Vote, ...] = (1, 2, None)
    ballots = [ballot(*(kinds[kind] for kind in random.integers(3, size=15))) for _ in range(20)]
    shares = [point.any_right for point in voting_curve(ballots)]
    assert len(shares) == 15
    assert shares == sorted(shares)


@pytest.mark.parametrize("ballots", [[], [ballot()], [ballot(1), ballot(1, 2)]])
def test_items_need_one_same_number_of_votes(ballots: list[Ballot]) -> None:
    with pytest.raises(ValueError, match="same number of votes"):
        voting_curve(ballots)


# Position


def test_a_position_report_by_hand() -> None:
    pairs: list[tuple[Vote, Vote]] = [(1, 2), (2, 1), (1, 2), (1, 1), (1, 1), (2, 2), (1, None), (None, None)]
    report = position_report(pairs)
    assert report == PositionReport(num_pairs=8, num_consistent=3, num_both_first=2, num_both_second=1)
    assert (report.num_complete, report.consistency) == (6, 1 / 2)


def test_swapping_the_orders_changes_nothing() -> None:
    pairs: list[tuple[Vote, Vote]] = [(1, 2), (1, 1), (2, None), (2, 2), (2, 1)]
    assert position_report([(other, one) for one, other in pairs]) == position_report(pairs)


def test_no_complete_pair_leaves_consistency_undefined() -> None:
    assert position_report([(1, None)]).consistency is None


@pytest.mark.parametrize("better", [0, 3])
def test_a_right_answer_that_is_none_is_refused(better: int) -> None:
    with pytest.raises(ValueError, match="1 or 2"):
        Ballot(votes=(1, 2), better=better)  # type: ignore[arg-type]
