"""Several answers to one question, ranked: which pairs to ask about, and what the verdicts say together.

N answers --plan--> pairs in both orders --a judge--> verdicts --merge_orders--> Bradley-Terry strengths
"""

from collections.abc import Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass

from conf.data import PairWording
from evaluation.benchmarks.answerers import Answerer
from evaluation.benchmarks.answers import Answer
from evaluation.benchmarks.questions import plan_requests, vote_key
from evaluation.tables import aligned
from rewards.comparisons.plans import Pair, both_orders
from rewards.comparisons.strengths import fit_strengths
from rewards.comparisons.structure import Structure
from rewards.comparisons.verdicts import Comparison, merge_orders, tally, win_rates
from rewards.tags import parse_choice
from rollout.datasets.pair_questions import ask_pair
from rollout.types import Media, Preference, Prompt

PRIOR_STD = 2.0
"""Of a strength, in nats: an item at one deviation beats an average one in 88 % of verdicts."""


@dataclass(frozen=True, kw_only=True, slots=True)
class RankingTask:
    """Answers to be ranked."""

    task_id: str
    question: str
    media: tuple[Media, ...]
    responses: tuple[str, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class RankedAnswer:
    """One answer and how it fared."""

    place: int
    """From 1; answers of equal strength share the better place."""
    index: int
    """Which of the task's responses, counted from 0."""
    strength: float
    """In nats, 0 being the average of the answers it can be compared with."""
    standard_error: float
    win_rate: float
    """Share of its verdicts it won, a tie being half."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Ranking:
    """Best first. Answers never compared stand in ``unranked``."""

    answers: tuple[RankedAnswer, ...]
    unranked: tuple[int, ...]
    structure: Structure
    """Cycles, ties, and whether all answers are linked."""
    num_agreed: int
    """Pairs of votes in opposite orders that name the same answer."""
    num_disagreed: int
    """Those that do not, and count as ties."""
    num_unanswered: int
    """Votes that failed or have no choice, of no effect."""


def plan_ranking(task: RankingTask, *, pairs: Sequence[Pair], wording: PairWording) -> tuple[Prompt, ...]:
    """The questions to ask, each pair in both orders; ``rewards.comparisons.plans`` chooses pairs.

    Raises:
        ValueError: A pair names an answer there is not.
    """
    return tuple(_prompt(task, first, second, wording=wording) for first, second in both_orders(pairs))


async def judge_ranking(
    task: RankingTask, *, pairs: Sequence[Pair], answerer: Answerer, num_votes: int, wording: PairWording
) -> Ranking:
    """Ask about the pairs and rank by the answers."""
    requests = plan_requests(plan_ranking(task, pairs=pairs, wording=wording), num_votes=num_votes)
    async with aclosing(answerer.answer(requests)) as stream:
        answers = {answer.key: answer async for answer in stream}
    return rank(task, pairs=pairs, answers=answers, num_votes=num_votes)


def rank(task: RankingTask, *, pairs: Sequence[Pair], answers: Mapping[str, Answer], num_votes: int) -> Ranking:
    """Fit the strengths to the answers given so far; a pair counts for one verdict, however many vote on it."""
    verdicts = [
        _verdict(pair, answers.get(vote_key(_prompt_id(task, *pair), vote=vote)), weight=1 / num_votes)
        for pair in both_orders(pairs)
        for vote in range(num_votes)
    ]
    known = [verdict for verdict in verdicts if verdict is not None]
    merged = merge_orders(known)
    counts = tally(merged.comparisons, num_items=len(task.responses))
    fitted = fit_strengths(counts, model="bradley_terry", prior_std=PRIOR_STD)
    rates_N, errors_N = win_rates(counts), fitted.standard_errors
    compared = [index for index in range(len(task.responses)) if fitted.structure.is_compared_N[index]]
    ordered = sorted(compared, key=lambda index: -fitted.strengths_N[index])
    strengths = [round(float(fitted.strengths_N[index]), 9) for index in ordered]
    return Ranking(
        answers=tuple(
            RankedAnswer(
                place=1 + strengths.index(strength),
                index=index,
                strength=strength,
                standard_error=float(errors_N[index]),
                win_rate=float(rates_N[index]),
            )
            for index, strength in zip(ordered, strengths, strict=True)
        ),
        unranked=tuple(sorted(set(range(len(task.responses))) - set(compared))),
        structure=fitted.structure,
        num_agreed=merged.num_agreed,
        num_disagreed=merged.num_disagreed,
        num_unanswered=len(verdicts) - len(known),
    )


def ranking_text(ranking: Ranking) -> str:
    """For a terminal."""
    header = ("place", "answer", "strength", "error", "won %")
    rows = [
        (
            str(one.place),
            str(one.index + 1),
            f"{one.strength:+.2f}",
            f"{one.standard_error:.2f}",
            f"{100 * one.win_rate:.0f}",
        )
        for one in ranking.answers
    ]
    graph = ranking.structure
    lines = [
        *aligned([header, *rows]),
        f"cycles {graph.num_cycles} of {graph.num_triples} decided triples",
        f"opposite orders: {ranking.num_agreed} agreed, {ranking.num_disagreed} disagreed and count as ties",
        f"votes without a choice: {ranking.num_unanswered}",
    ]
    if graph.num_components > 1:
        lines.append(
            f"! the verdicts link the answers in {graph.num_components} separate sets; places between sets mean nothing"
        )
    return "\n".join(lines)


def _prompt(task: RankingTask, first: int, second: int, *, wording: PairWording) -> Prompt:
    if not 0 <= min(first, second) <= max(first, second) < len(task.responses):
        raise ValueError(f"{task.task_id!r} has answers 0..{len(task.responses) - 1}, asked for {first} and {second}")
    responses = (task.responses[first], task.responses[second])
    return Prompt(
        prompt_id=_prompt_id(task, first, second),
        messages=ask_pair(wording, media=task.media, question=task.question, responses=responses),
        # Nobody knows the better one, which is why it is asked; nothing reads this.
        reference=Preference(better=1, pair_id=task.task_id, question=task.question, responses=responses),
        source="ranking",
        content_id=task.task_id,
    )


def _prompt_id(task: RankingTask, first: int, second: int) -> str:
    return f"ranking/{task.task_id}/{first}-{second}"


def _verdict(pair: Pair, answer: Answer | None, *, weight: float) -> Comparison | None:
    choice = None if answer is None or answer.text is None else parse_choice(answer.text).choice
    if choice is None:
        return None
    return Comparison(first=pair[0], second=pair[1], outcome="first" if choice == 1 else "second", weight=weight)
