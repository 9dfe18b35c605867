"""Answers in, figures out: accuracy by category, votes, positions, and what went wrong.

What has no text (failed, or not asked yet) or no readable choice is never right and never left out.
"""

from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from math import prod

from evaluation.benchmarks.answers import Answer
from evaluation.benchmarks.questions import Question, vote_key
from evaluation.intervals import Estimate, mean_of_independent, mean_share
from evaluation.pairs import majority_value, position_bias
from evaluation.voting import Ballot, PositionReport, Vote, VotingPoint, position_report, voting_curve
from rewards.tags import ParsedAnswer, parse_choice
from rollout.types import Choice


@dataclass(frozen=True, kw_only=True, slots=True)
class Judgement:
    """One question and its votes, in order."""

    question: Question
    answers: tuple[Answer | None, ...]
    """None where nobody was asked yet."""
    parsed: tuple[ParsedAnswer | None, ...]
    """None without a text."""

    @property
    def votes(self) -> tuple[Vote, ...]:
        """Choices as shown; None where there is none."""
        return tuple(None if parsed is None else parsed.choice for parsed in self.parsed)

    @property
    def decision(self) -> Vote:
        """What the majority chose, as shown; of two choices made equally often that made first."""
        counts = Counter(vote for vote in self.votes if vote is not None)
        # Counter keeps what came first in front among equals.
        return counts.most_common(1)[0][0] if counts else None

    @property
    def cluster(self) -> str:
        """The pair's id: pairs that share it share question and picture."""
        return self.question.row.row_id


@dataclass(frozen=True, kw_only=True, slots=True)
class Accuracy:
    """Of some of the pairs; intervals hold 95 %, clustered by id."""

    num_pairs: int
    num_ids: int
    accuracy: Estimate
    """Share of right choices, over orders and votes."""
    all_right: Estimate
    """Acc+: share of ids whose every pair is right; for several orders or votes the mean over them."""
    both_orders: Estimate | None
    """Share of pairs right whichever answer stands first; None when asked in one order only."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Scores:
    """Accuracy overall and divided."""

    overall: Accuracy
    macro: Estimate
    """Unweighted mean of the categories."""
    by_category: Mapping[str, Accuracy]
    by_subcategory: Mapping[str, Accuracy]
    """Halves of a category, where the benchmark has them."""


@dataclass(frozen=True, kw_only=True, slots=True)
class BenchmarkReport:
    """A judge on a benchmark."""

    benchmark: str
    num_votes: int
    num_requests: int
    num_missing: int
    """Requests not made yet."""
    num_failed: int
    """Requests without an answer."""
    num_unparsed: int
    """Answers without a choice."""
    num_truncated: int
    """Answers cut by the token limit."""
    format_rate: float | None
    """Share of answers with one think block and then one answer block; None without answers."""
    mean_tokens: float | None
    """Length of an answer; None where the judge does not say."""
    single: Scores
    """One vote at a time."""
    voted: Scores | None
    """Majority of all votes, a tie being half; None with one vote."""
    curve: tuple[VotingPoint, ...]
    """vote@k and any@k for k = 1, 2, ...: the mean over every draw of k votes."""
    better_first: Estimate | None
    """Accuracy of one vote where the better answer is shown first, as R1-Reward's scripts always show it."""
    better_second: Estimate | None
    position_bias: Estimate | None
    """How much oftener the first answer is chosen than right, in percentage points."""
    swap: PositionReport | None
    """The votes in both orders, matched; None when asked in one order only."""

    @property
    def is_complete(self) -> bool:
        """Whether every request has an answer."""
        return self.num_missing + self.num_failed == 0

    def to_dict(self) -> dict[str, object]:
        """Plain values for JSON; undefined numbers are None."""
        return asdict(self)


def collect(questions: Sequence[Question], answers: Mapping[str, Answer], *, num_votes: int) -> tuple[Judgement, ...]:
    """The answers to each question, read."""
    return tuple(_judgement(question, answers, num_votes=num_votes) for question in questions)


def summarise(judgements: Sequence[Judgement]) -> BenchmarkReport:
    """All figures of one judge on one benchmark.

    Raises:
        ValueError: There are no questions.
    """
    if not judgements:
        raise ValueError("a report needs questions, got none")
    num_votes = len(judgements[0].answers)
    answers = [answer for judgement in judgements for answer in judgement.answers]
    parsed = [one for judgement in judgements for one in judgement.parsed if one is not None]
    lengths = [answer.num_tokens for answer in answers if answer is not None and answer.num_tokens is not None]
    ballots = [Ballot(votes=judgement.votes, better=judgement.question.better) for judgement in judgements]
    return BenchmarkReport(
        benchmark=judgements[0].question.prompt.source,
        num_votes=num_votes,
        num_requests=len(answers),
        num_missing=answers.count(None),
        num_failed=sum(answer is not None and answer.text is None for answer in answers),
        num_unparsed=sum(one.choice is None for one in parsed),
        num_truncated=sum(answer is not None and answer.is_truncated for answer in answers),
        format_rate=sum(one.has_format for one in parsed) / len(parsed) if parsed else None,
        mean_tokens=sum(lengths) / len(lengths) if lengths else None,
        single=_scores(judgements, right=_single_votes),
        voted=_scores(judgements, right=_majority_vote) if num_votes > 1 else None,
        curve=voting_curve(ballots),
        better_first=_accuracy_where(judgements, better=1),
        better_second=_accuracy_where(judgements, better=2),
        position_bias=position_bias((vote, j.question.better, j.cluster) for j in judgements for vote in j.votes),
        swap=_swap(judgements),
    )


def judgement_rows(judgements: Sequence[Judgement]) -> Iterator[dict[str, object]]:
    """One row per question: the input as it was, ``rewards`` and ``critic`` as R1-Reward's scripts write them, and
    under ``judgement`` every vote.

    ``rewards`` belong to the two answers in the order of the file: 1 for the one the majority chose, 0 for the
    other, 0 for both without a choice.
    """
    for judgement in judgements:
        question, decision = judgement.question, judgement.decision
        chosen = None if decision is None else question.as_in_file(decision)
        texts = [None if answer is None else answer.text for answer in judgement.answers]
        yield {
            **question.row.fields,
            "rewards": [int(chosen == 1), int(chosen == 2)],
            "critic": _deciding_text(judgement, texts),
            "judgement": {
                "key": question.prompt.prompt_id,
                "row_id": question.row.row_id,
                "index": question.row.index,
                "category": question.row.subcategory or question.row.category,
                "order": question.order,
                "better": question.better,
                "decision": decision,
                "choices": judgement.votes,
                "statuses": [None if parsed is None else parsed.status for parsed in judgement.parsed],
                "texts": texts,
                "finish_reasons": [None if answer is None else answer.finish_reason for answer in judgement.answers],
                "errors": [None if answer is None else answer.error for answer in judgement.answers],
                "num_tokens": [None if answer is None else answer.num_tokens for answer in judgement.answers],
                "seconds": [None if answer is None else answer.seconds for answer in judgement.answers],
            },
        }


Rights = tuple[float, ...]
"""How right a question was answered: one entry per vote, or one for all votes together."""


def _single_votes(judgement: Judgement) -> Rights:
    return tuple(float(vote == judgement.question.better) for vote in judgement.votes)


def _majority_vote(judgement: Judgement) -> Rights:
    return (majority_value(judgement.votes, better=judgement.question.better),)


def _judgement(question: Question, answers: Mapping[str, Answer], *, num_votes: int) -> Judgement:
    found = tuple(answers.get(vote_key(question.prompt.prompt_id, vote=vote)) for vote in range(num_votes))
    return Judgement(question=question, answers=found, parsed=tuple(_parsed(answer) for answer in found))


def _parsed(answer: Answer | None) -> ParsedAnswer | None:
    return None if answer is None or answer.text is None else parse_choice(answer.text)


def _scores(judgements: Sequence[Judgement], *, right: Callable[[Judgement], Rights]) -> Scores:
    by_category: defaultdict[str, list[Judgement]] = defaultdict(list)
    by_subcategory: defaultdict[str, list[Judgement]] = defaultdict(list)
    for judgement in judgements:
        row = judgement.question.row
        by_category[row.category].append(judgement)
        if row.subcategory is not None:
            by_subcategory[row.subcategory].append(judgement)
    categories = {name: _accuracy(members, right=right) for name, members in by_category.items()}
    return Scores(
        overall=_accuracy(judgements, right=right),
        macro=mean_of_independent(category.accuracy for category in categories.values()),
        by_category=categories,
        by_subcategory={name: _accuracy(members, right=right) for name, members in by_subcategory.items()},
    )


def _accuracy(judgements: Sequence[Judgement], *, right: Callable[[Judgement], Rights]) -> Accuracy:
    pairs = _by_pair(judgements)
    is_both = all(len(orders) == 2 for orders in pairs)
    return Accuracy(
        num_pairs=len(pairs),
        num_ids=len({judgement.cluster for judgement in judgements}),
        accuracy=mean_share((one, j.cluster) for j in judgements for one in right(j)),
        all_right=_all_right(judgements, right=right, is_both=is_both),
        both_orders=(
            mean_share(
                (one * other, given.cluster)
                for given, swapped in pairs
                for one, other in zip(right(given), right(swapped), strict=True)
            )
            if is_both
            else None
        ),
    )


def _all_right(judgements: Sequence[Judgement], *, right: Callable[[Judgement], Rights], is_both: bool) -> Estimate:
    """Pairs of an id are taken together inside one order, as published; a random order is one too."""
    together: defaultdict[tuple[str, str], list[Rights]] = defaultdict(list)
    for judgement in judgements:
        together[judgement.cluster, judgement.question.order if is_both else ""].append(right(judgement))
    return mean_share(
        (prod(votes), cluster) for (cluster, _), pairs in together.items() for votes in zip(*pairs, strict=True)
    )


def _accuracy_where(judgements: Sequence[Judgement], *, better: Choice) -> Estimate | None:
    chosen = [judgement for judgement in judgements if judgement.question.better == better]
    if not chosen:
        return None
    return mean_share((one, j.cluster) for j in chosen for one in _single_votes(j))


def _swap(judgements: Sequence[Judgement]) -> PositionReport | None:
    votes = [
        both
        for orders in _by_pair(judgements)
        if len(orders) == 2
        for both in zip(orders[0].votes, orders[1].votes, strict=True)
    ]
    return position_report(votes) if votes else None


def _by_pair(judgements: Sequence[Judgement]) -> list[list[Judgement]]:
    """The orders of each pair."""
    by_index: defaultdict[int, list[Judgement]] = defaultdict(list)
    for judgement in judgements:
        by_index[judgement.question.row.index].append(judgement)
    return list(by_index.values())


def _deciding_text(judgement: Judgement, texts: Sequence[str | None]) -> str:
    """The first answer that says what the majority chose."""
    pairs = zip(texts, judgement.votes, strict=True)
    return next((text for text, vote in pairs if text is not None and vote == judgement.decision), "")
