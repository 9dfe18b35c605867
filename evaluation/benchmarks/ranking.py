"""Several answers to one question, ranked: which pairs to ask about, and what the verdicts say together.

N answers --plan_rankings--> pairs in both orders --a judge--> votes --rank--> one verdict per pair --> strengths
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from math import ceil

import numpy as np

from conf.data import PairWording
from conf.reward_terms import StrengthModel
from evaluation.benchmarks.answers import Answer
from evaluation.benchmarks.questions import stable_hash, vote_key
from evaluation.benchmarks.ranking_tasks import RankingTask
from rewards.comparisons.plans import Pair, both_orders, round_robin, sparse
from rewards.comparisons.strengths import LOGITS_PER_UNIT, Strengths, fit_strengths
from rewards.comparisons.structure import Structure
from rewards.comparisons.verdicts import Comparison, merge_orders, tally, win_rates
from rewards.tags import parse_choice
from rollout.datasets.pair_questions import ask_pair
from rollout.types import Preference, Prompt

PRIOR_STD = 2.0
"""Of a strength, in logits: an item at one deviation beats an average one in 88 % of verdicts."""
_DIGITS = 9
"""Strengths that differ beyond are equal, and what differs is rounding."""


@dataclass(frozen=True, kw_only=True, slots=True)
class RankingPlan:
    """How the tasks are asked, and how the answers are read."""

    num_opponents: int | None
    """Other answers each is compared with, give or take one; None: all."""
    num_votes: int
    """Answers to each question."""
    seed: int
    """Of the pairs and of all sampling."""
    wording: PairWording
    model: StrengthModel


@dataclass(frozen=True, kw_only=True, slots=True)
class RankedAnswer:
    """One answer and how it fared among those that verdicts link it with."""

    linked_set: int
    """From 1, the largest; strengths and places of different sets cannot be compared."""
    place: int
    """From 1; answers of equal strength share the better place."""
    index: int
    """Which of the task's responses, counted from 0."""
    strength: float
    """0 is the average of the set; in logits, for ``thurstone`` in deviations of a single verdict."""
    standard_error: float
    lead: float | None
    """How much stronger than the next one of the set; None for the last."""
    lead_error: float | None
    """Its standard error, which is not the sum of both."""
    win_rate: float
    """Share of its verdicts it won, a tie being half."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Ranking:
    """What the votes on one task say; set by set, best first."""

    task_id: str
    answers: tuple[RankedAnswer, ...]
    unranked: tuple[int, ...]
    """Answers without any verdict."""
    structure: Structure
    """Cycles, ties, and what is linked."""
    num_agreed: int
    """Pairs of votes in opposite orders that name the same answer."""
    num_disagreed: int
    """Those that do not, and count as ties."""
    num_alone: int
    """Votes without one in the opposite order."""
    num_first: int
    """Votes for the answer shown first."""
    num_second: int
    num_failed: int
    """Requests without an answer, of no effect."""
    num_unparsed: int
    """Answers without a choice, likewise."""
    num_truncated: int
    """Answers cut by the token limit."""

    @property
    def num_requests(self) -> int:
        """Votes asked for."""
        return self.num_first + self.num_second + self.num_failed + self.num_unparsed

    @property
    def num_sets(self) -> int:
        """Sets of answers that verdicts link; answers of two sets cannot be compared."""
        return len({one.linked_set for one in self.answers})

    @property
    def is_bounded(self) -> bool:
        """Whether verdicts bound every distance; else some answers won or lost all against the others of their set, and
        how far they are ahead or behind is the prior's."""
        return self.structure.num_strong_components == self.structure.num_components

    def to_dict(self) -> dict[str, object]:
        """Plain values for JSON; undefined numbers are None."""
        graph = self.structure
        return {
            "answers": [asdict(answer) for answer in self.answers],
            "unranked": self.unranked,
            "num_sets": self.num_sets,
            "is_bounded": self.is_bounded,
            "num_cycles": graph.num_cycles,
            "num_triples": graph.num_triples,
            "cycle_fraction": graph.cycle_fraction,
            "tie_fraction": graph.tie_fraction,
            "num_agreed": self.num_agreed,
            "num_disagreed": self.num_disagreed,
            "num_alone": self.num_alone,
            "num_first": self.num_first,
            "num_second": self.num_second,
            "num_failed": self.num_failed,
            "num_unparsed": self.num_unparsed,
            "num_truncated": self.num_truncated,
        }


def plan_rankings(tasks: Iterable[RankingTask], *, plan: RankingPlan) -> tuple[Prompt, ...]:
    """The questions to ask, the two orders of a pair next to each other."""
    return tuple(
        _prompt(task, first, second, wording=plan.wording)
        for task in tasks
        for first, second in _asked_pairs(task, plan=plan)
    )


def rank(task: RankingTask, *, plan: RankingPlan, answers: Mapping[str, Answer]) -> Ranking:
    """Fit the strengths to the answers given so far; a pair counts for one verdict, however many vote on it."""
    given = [
        (pair, answers.get(vote_key(_prompt_id(task, *pair), vote=vote)))
        for pair in _asked_pairs(task, plan=plan)
        for vote in range(plan.num_votes)
    ]
    texts = [(pair, answer.text) for pair, answer in given if answer is not None and answer.text is not None]
    verdicts = list(_verdicts(texts, weight=1 / plan.num_votes))
    merged = merge_orders(verdicts)
    counts = tally(merged.comparisons, num_items=len(task.responses))
    fitted = fit_strengths(counts, model=plan.model, prior_std=PRIOR_STD / LOGITS_PER_UNIT[plan.model])
    rates_N = win_rates(counts)
    num_first = sum(verdict.outcome == "first" for verdict in verdicts)
    return Ranking(
        task_id=task.task_id,
        answers=tuple(
            answer
            for number, members in enumerate(_linked_sets(fitted), start=1)
            for answer in _ranked(members, number=number, fitted=fitted, win_rates=rates_N.tolist())
        ),
        unranked=tuple(np.flatnonzero(~fitted.structure.is_compared_N).tolist()),
        structure=fitted.structure,
        num_agreed=merged.num_agreed,
        num_disagreed=merged.num_disagreed,
        num_alone=merged.num_alone,
        num_first=num_first,
        num_second=len(verdicts) - num_first,
        num_failed=len(given) - len(texts),
        num_unparsed=len(texts) - len(verdicts),
        num_truncated=sum(answer is not None and answer.is_truncated for _, answer in given),
    )


def _asked_pairs(task: RankingTask, *, plan: RankingPlan) -> tuple[Pair, ...]:
    """All pairs, or so many that each answer meets as many others as planned and all are linked; in both orders."""
    num_answers = len(task.responses)
    num_all = num_answers * (num_answers - 1) // 2
    num_pairs = num_all if plan.num_opponents is None else ceil(num_answers * plan.num_opponents / 2)
    if num_pairs >= num_all:
        return both_orders(round_robin(num_answers))
    return both_orders(sparse(num_answers, num_pairs=num_pairs, seed=stable_hash(plan.seed, task.task_id)))


def _prompt(task: RankingTask, first: int, second: int, *, wording: PairWording) -> Prompt:
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


def _verdicts(texts: Sequence[tuple[Pair, str]], *, weight: float) -> Iterator[Comparison]:
    """One for each text with a choice."""
    for (first, second), text in texts:
        choice = parse_choice(text).choice
        if choice is not None:
            yield Comparison(first=first, second=second, outcome="first" if choice == 1 else "second", weight=weight)


def _linked_sets(fitted: Strengths) -> list[list[int]]:
    """Compared items by the set they are linked in, the largest set first, the strongest item of a set first."""
    graph = fitted.structure
    strengths = [round(float(strength), _DIGITS) for strength in fitted.strengths_N]
    sets: dict[int, list[int]] = {}
    for item in np.flatnonzero(graph.is_compared_N).tolist():
        sets.setdefault(int(graph.component_N[item]), []).append(item)
    ordered = sorted(sets.values(), key=len, reverse=True)
    return [sorted(members, key=lambda item: -strengths[item]) for members in ordered]


def _ranked(
    members: Sequence[int], *, number: int, fitted: Strengths, win_rates: Sequence[float]
) -> Iterator[RankedAnswer]:
    """The answers of one linked set, given best first."""
    # Adding 0 turns a -0 into the 0 it is shown as.
    strengths = [round(float(fitted.strengths_N[item]), _DIGITS) + 0.0 for item in members]
    for position, item in enumerate(members):
        behind = fitted.difference(item, members[position + 1]) if position + 1 < len(members) else None
        yield RankedAnswer(
            linked_set=number,
            place=1 + strengths.index(strengths[position]),
            index=item,
            strength=strengths[position],
            standard_error=float(fitted.standard_errors[item]),
            lead=None if behind is None else round(behind[0], _DIGITS) + 0.0,
            lead_error=None if behind is None else behind[1],
            win_rate=win_rates[item],
        )
