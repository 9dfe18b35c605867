"""Pairs -> questions in one or both orders -> one request per vote, each with a key of its own.

The keys hold the place in the file, because ids do not name a pair: VL-RewardBench has 25 of them twice, and
MM-RLHF-RewardBench has two to six pairs of each. A run resumed by id would lose those pairs.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from conf.data import PairWording
from evaluation.benchmarks.load import Benchmark
from evaluation.benchmarks.rows import BenchmarkRow
from rollout.datasets.pair_questions import ask_pair
from rollout.types import Choice, Preference, Prompt

Order = Literal["given", "swapped"]
"""Whether the answers stand as in the file or the other way round."""

Orders = Literal["both", "random", "as_given"]
"""both: every pair twice. random: once, in an order that seed and pair decide. as_given: once, as the file has it,
which in two of the three benchmarks is the better answer first: a judge that always says 1 is then always right."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Plan:
    """How a benchmark is asked."""

    orders: Orders
    num_votes: int
    """Answers to each question."""
    seed: int
    """Of the random orders and of all sampling."""
    wording: PairWording


@dataclass(frozen=True, kw_only=True, slots=True)
class Question:
    """One pair in one order."""

    row: BenchmarkRow
    order: Order
    prompt: Prompt

    @property
    def better(self) -> Choice:
        """The better answer, counted as shown."""
        return self.prompt.preference.better

    def as_in_file(self, choice: Choice) -> Choice:
        """The chosen answer, counted as the file has it."""
        return choice if self.order == "given" else _other(choice)


@dataclass(frozen=True, kw_only=True, slots=True)
class JudgeRequest:
    """One vote on one question."""

    key: str
    prompt: Prompt
    vote: int
    """Counted from 0."""


def plan_questions(benchmark: Benchmark, *, plan: Plan) -> tuple[Question, ...]:
    """Every pair in the orders asked for, the two orders of a pair next to each other."""
    return tuple(
        _question(row, order, benchmark=benchmark, wording=plan.wording)
        for row in benchmark.rows
        for order in _orders_of(row, benchmark=benchmark, plan=plan)
    )


def plan_requests(prompts: Sequence[Prompt], *, num_votes: int) -> tuple[JudgeRequest, ...]:
    """Each prompt ``num_votes`` times; the votes on one prompt stand next to each other.

    Raises:
        ValueError: Two prompts have one id, so that their answers could not be told apart.
    """
    if len({prompt.prompt_id for prompt in prompts}) < len(prompts):
        raise ValueError(f"expected {len(prompts)} different prompt ids, found one more than once")
    return tuple(
        JudgeRequest(key=vote_key(prompt.prompt_id, vote=vote), prompt=prompt, vote=vote)
        for prompt in prompts
        for vote in range(num_votes)
    )


def vote_key(prompt_id: str, *, vote: int) -> str:
    """What result files call one vote on a prompt."""
    return f"{prompt_id}/{vote}"


def stable_hash(*parts: object) -> int:
    """A number of 31 bits that depends on the parts alone, in every process."""
    digest = hashlib.sha256(repr(parts).encode()).digest()
    return int.from_bytes(digest[:4], "big") >> 1


def _orders_of(row: BenchmarkRow, *, benchmark: Benchmark, plan: Plan) -> tuple[Order, ...]:
    match plan.orders:
        case "both":
            return "given", "swapped"
        case "as_given":
            return ("given",)
        case "random":
            is_swapped = stable_hash(plan.seed, benchmark.name, row.row_id, row.index) % 2 == 1
            return ("swapped",) if is_swapped else ("given",)


def _question(row: BenchmarkRow, order: Order, *, benchmark: Benchmark, wording: PairWording) -> Question:
    is_swapped = order == "swapped"
    responses = (row.responses[1], row.responses[0]) if is_swapped else row.responses
    pair_id = f"{benchmark.name}/{row.row_id}#{row.index}"
    prompt = Prompt(
        prompt_id=f"{pair_id}/{order}",
        messages=ask_pair(wording, media=[benchmark.media[row.media_path]], question=row.question, responses=responses),
        reference=Preference(
            better=_other(row.better) if is_swapped else row.better,
            pair_id=pair_id,
            question=row.question,
            responses=responses,
        ),
        source=benchmark.name,
        content_id=row.row_id,
    )
    return Question(row=row, order=order, prompt=prompt)


def _other(choice: Choice) -> Choice:
    return 2 if choice == 1 else 1
