"""What a judge is asked and what comes back. Standard library only."""

from dataclasses import dataclass
from typing import Literal, Protocol, get_args

Outcome = Literal["consistent", "inconsistent", "first", "second", "tie", "abstained"]
OUTCOMES: tuple[Outcome, ...] = get_args(Outcome)

Cause = Literal[
    "empty", "timeout", "connection", "http_error", "rate_limited", "refused", "unreadable", "circuit_open", "split"
]
"""Why there is no verdict.

empty: there was nothing to judge, and nobody was asked. timeout, connection, http_error (5xx), rate_limited (429):
the failure of the last attempt. refused: another 4xx status, or the model declined. unreadable: the reply is no
verdict. circuit_open: every server is being left alone after failures in a row. split: the votes tie.
"""
CAUSES: tuple[Cause, ...] = get_args(Cause)

Task = Literal["choice", "score"]


@dataclass(frozen=True, kw_only=True, slots=True)
class ConsistencyQuestion:
    """Does the answer say what the reasoning says? Asked about one completion of the policy."""

    question: str
    """What the policy was asked."""
    reasoning: str
    answer: str | None
    """Inner text of the answer tag; None without one."""
    completion: str
    """The whole text."""
    task: Task
    """Whether the answer names one of two responses or is a score."""

    @property
    def is_empty(self) -> bool:
        """Whether there is nothing to judge."""
        return not self.completion.strip()


@dataclass(frozen=True, kw_only=True, slots=True)
class ComparisonQuestion:
    """Which of two answers to one question is the better one?"""

    question: str
    first: str
    second: str

    @property
    def is_empty(self) -> bool:
        """Whether there is nothing to judge."""
        return not (self.first.strip() or self.second.strip())


Question = ConsistencyQuestion | ComparisonQuestion


@dataclass(frozen=True, kw_only=True, slots=True)
class Verdict:
    """What a judge said, or why it did not. Never a number: what an outcome is worth is up to the reward."""

    outcome: Outcome
    cause: Cause | None = None
    """Set if and only if the outcome is "abstained"."""
    detail: str = ""
    """The failure behind an abstention, in words; empty otherwise."""
    text: str = ""
    """The reply as it came; with several votes, the first that agrees with the outcome."""
    votes: tuple[Outcome, ...] = ()
    """Outcome of every vote, in order; empty when nobody was asked."""
    prompt_tokens: int = 0
    """Over all votes, as the server counts; of the original requests where the verdict comes from the cache."""
    completion_tokens: int = 0
    latency_s: float = 0.0
    """From the question to the verdict: waiting for a turn and further attempts included; 0 from the cache."""
    from_cache: bool = False
    endpoint: str | None = None
    """Base URL of the server that gave ``text``."""

    def __post_init__(self) -> None:
        assert (self.outcome == "abstained") == (self.cause is not None)


class Judge(Protocol):
    """What a reward needs of a judge; ``judge_client.client.JudgeClient`` is one."""

    async def ask(self, question: Question) -> Verdict:
        """Return the verdict; a judge that gives none abstains."""
        ...

    def metrics(self) -> dict[str, float]:
        """Journal values of the questions answered since the last call."""
        ...
