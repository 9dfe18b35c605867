"""Several answers ranked by a judge of pairs."""

import asyncio
from collections.abc import Callable, Sequence

import pytest

from evaluation.benchmarks.questions import JudgeRequest
from evaluation.benchmarks.ranking import Ranking, RankingTask, judge_ranking, plan_ranking, ranking_text
from rewards.comparisons.plans import Pair, ring, round_robin
from rollout.types import Choice
from tests.evaluation.benchmark_judges import ScriptedAnswerer

Prefer = Callable[[int, int], Choice | str]
"""What is answered when these two of the responses are shown in this order."""

TASK = RankingTask(task_id="t", question="Which animal?", media=(), responses=("worst", "good", "best", "fair"))
QUALITY = (0, 2, 3, 1)


def by_quality(first: int, second: int) -> Choice:
    return 1 if QUALITY[first] > QUALITY[second] else 2


def always_first(_first: int, _second: int) -> Choice:
    return 1


def ranked(prefer: Prefer, *, pairs: Sequence[Pair], num_votes: int = 1) -> Ranking:
    def decide(request: JudgeRequest) -> Choice | str:
        responses = request.prompt.preference.responses
        assert responses is not None
        first, second = (TASK.responses.index(response) for response in responses)
        return prefer(first, second)

    ranking = judge_ranking(
        TASK, pairs=pairs, answerer=ScriptedAnswerer(decide), num_votes=num_votes, wording="pairwise_brief"
    )
    return asyncio.run(ranking)


def test_each_pair_is_asked_in_both_orders() -> None:
    prompts = plan_ranking(TASK, pairs=[(0, 1)], wording="pairwise_brief")
    assert [prompt.preference.responses for prompt in prompts] == [("worst", "good"), ("good", "worst")]


@pytest.mark.parametrize("pairs", [round_robin(4), ring(4)])
def test_answers_come_best_first(pairs: Sequence[Pair]) -> None:
    ranking = ranked(by_quality, pairs=pairs)
    assert (ranking.answers[0].index, ranking.answers[-1].index) == (2, 0)
    assert sum(one.strength for one in ranking.answers) == pytest.approx(0.0)


def test_every_pair_asked_gives_the_whole_order() -> None:
    ranking = ranked(by_quality, pairs=round_robin(4))
    assert [(one.place, one.index, one.win_rate) for one in ranking.answers] == [
        (1, 2, 1.0),
        (2, 1, pytest.approx(2 / 3)),
        (3, 3, pytest.approx(1 / 3)),
        (4, 0, 0.0),
    ]


def test_more_votes_on_a_pair_do_not_make_it_count_more() -> None:
    once, thrice = (ranked(by_quality, pairs=round_robin(4), num_votes=votes) for votes in (1, 3))
    assert [one.strength for one in thrice.answers] == pytest.approx([one.strength for one in once.answers])


def test_a_judge_that_favours_a_position_ranks_nothing() -> None:
    ranking = ranked(always_first, pairs=round_robin(4))
    assert [one.place for one in ranking.answers] == [1, 1, 1, 1]
    assert (ranking.num_agreed, ranking.num_disagreed, ranking.structure.tie_fraction) == (0, 6, 1.0)


def test_cycles_are_counted() -> None:
    beats = {(0, 1), (1, 2), (2, 0)}
    ranking = ranked(lambda first, second: 1 if (first, second) in beats else 2, pairs=[(0, 1), (1, 2), (2, 0)])
    assert (ranking.structure.num_cycles, ranking.structure.num_triples) == (1, 1)


def test_an_answer_never_compared_has_no_place() -> None:
    ranking = ranked(by_quality, pairs=[(0, 1)])
    assert [one.index for one in ranking.answers] == [1, 0]
    assert ranking.unranked == (2, 3)


@pytest.mark.parametrize("answer", ["both", "FAIL"])
def test_answers_without_a_choice_are_counted_and_of_no_effect(answer: str) -> None:
    ranking = ranked(lambda _first, _second: answer, pairs=[(0, 1)])
    assert (ranking.num_unanswered, ranking.answers) == (2, ())


def test_unlinked_sets_are_announced() -> None:
    text = ranking_text(ranked(by_quality, pairs=[(0, 1), (2, 3)]))
    assert text.splitlines()[-1].startswith("! the verdicts link the answers in 2 separate sets")


def test_a_pair_of_answers_there_are_not_is_refused() -> None:
    with pytest.raises(ValueError, match=r"answers 0\.\.3, asked for 0 and 4"):
        plan_ranking(TASK, pairs=[(0, 4)], wording="pairwise_brief")
