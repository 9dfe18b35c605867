"""Reasoning of a teacher: collected row by row, shown in the cold start, and a measure of how hard a row is.

    prompts --collect_traces(teacher)--> traces.jsonl --read_traces--> demonstrations (right ones), hard rows

Each row is asked up to three times, first at temperature 0, until the teacher's answer is the right one (arXiv
2505.02835, section 3.3). A line is written as soon as a row is decided, and rows that have one are not asked again.
"""

import asyncio
import json
import logging
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Protocol, TextIO

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from rollout.datasets.base import Dataset
from rollout.datasets.pair_files import RawRow, read_jsonl
from rollout.datasets.problems import DatasetProblems, Problem, RowError, row_error
from rollout.types import Choice, Prompt

logger = logging.getLogger(__name__)

RETRY_TEMPERATURE = 0.7
"""Asked again at temperature 0, a teacher would say the same again."""
MAX_FAILURES_IN_A_ROW = 20
"""Rows without a reply after which collecting stops: the teacher is not there."""
LOG_EVERY = 100
"""Rows between two lines of progress."""

Rejection = Literal["wrong", "malformed"]
"""Why a reply was not kept: the other answer, or not one think block and then one answer of 1 or 2."""

_TAG = r"</?(?:think|answer)>"
_SHAPE = re.compile(rf"\s*<think>(?:(?!{_TAG}).)*</think>\s*<answer>\s*([12])\s*</answer>\s*", re.DOTALL)


@dataclass(frozen=True, kw_only=True, slots=True)
class TeacherReply:
    """One completion of the teacher, and what it cost."""

    text: str
    num_prompt_tokens: int
    num_completion_tokens: int
    is_cut: bool = False
    """Whether the limit on tokens ended it."""
    is_metered: bool = True
    """Whether the server said how many tokens; where it did not, both counts are 0."""


class TeacherFailed(Exception):
    """No reply came; the row is left for another time."""

    def __init__(self, what: str | None, *, num_tokens: int = 0) -> None:
        """``num_tokens`` were asked and answered all the same, as by a model that declines."""
        super().__init__(what)
        self.num_tokens = num_tokens


class Teacher(Protocol):
    """A stronger model that is asked what the policy is asked."""

    async def attempt(self, prompt: Prompt, *, attempt: int) -> TeacherReply:
        """Answer ``prompt`` for the ``attempt``-th time, counted from 1, at ``attempt_temperature(attempt)``.

        Raises:
            TeacherFailed: No reply came, after whatever patience the teacher has.
        """
        ...


@dataclass(frozen=True, kw_only=True, slots=True)
class Trace:
    """What became of one row."""

    pair_id: str
    text: str
    """The right reply, or the last of the wrong ones."""
    better: Choice
    """The better answer as the teacher was shown them."""
    num_attempts: int
    is_right: bool
    rejected: tuple[Rejection, ...] = ()
    """Why each earlier reply was not kept."""
    num_prompt_tokens: int = 0
    num_completion_tokens: int = 0
    """Over all attempts."""
    num_unmetered: int = 0
    """Replies of which the server did not say how many tokens they took."""

    @property
    def is_hard(self) -> bool:
        """Whether the first reply was not right; reinforcement learning is for these rows."""
        return not self.is_right or self.num_attempts > 1


@dataclass(frozen=True, kw_only=True, slots=True)
class TraceSummary:
    """A file of traces in numbers."""

    num_right_at_once: int
    num_right_later: int
    num_never_right: int
    num_unanswered: int
    """Rows the teacher failed to answer just now; they have no line and are asked the next time."""
    rejected: Mapping[Rejection, int]
    """Replies that were not kept, by reason."""
    num_prompt_tokens: int
    num_completion_tokens: int
    num_unmetered: int = 0
    """Replies of which the server did not say how many tokens they took; they are in neither count."""


class _TraceRow(BaseModel):
    model_config = ConfigDict(strict=True, extra="forbid")

    id: str
    trace: str
    attempts: int = Field(ge=1)
    correct: bool
    better: Literal[1, 2]
    rejected: list[Rejection] = []
    prompt_tokens: int = Field(default=0, ge=0)
    completion_tokens: int = Field(default=0, ge=0)
    unmetered: int = Field(default=0, ge=0)


def attempt_temperature(attempt: int) -> float:
    """At which temperature a teacher is asked for the ``attempt``-th time, counted from 1."""
    return 0.0 if attempt == 1 else RETRY_TEMPERATURE


def shown_choice(text: str) -> Choice | None:
    """What a reply chooses; None unless it has exactly the form a demonstration must show."""
    found = _SHAPE.fullmatch(text)
    if found is None:
        return None
    return 1 if found[1] == "1" else 2


def read_traces(path: Path) -> tuple[dict[str, Trace], list[Problem]]:
    """The traces of a file by pair, and everything wrong with its lines."""
    traces: dict[str, Trace] = {}
    problems: list[Problem] = []
    try:
        for raw in read_jsonl(path):
            trace = _parse(raw)
            if isinstance(trace, Problem):
                problems.append(trace)
            elif trace.pair_id in traces:
                problems.append(Problem(kind="duplicate", where=raw.where, what=f"id {trace.pair_id!r} came before"))
            else:
                traces[trace.pair_id] = trace
    except OSError as error:
        what = f"data.traces cannot be read: {error.strerror}"
        problems.append(Problem(kind="missing_file", where=str(path), what=what))
    return traces, problems


async def collect_traces(
    dataset: Dataset, *, teacher: Teacher, path: Path, max_attempts: int, max_concurrent: int
) -> TraceSummary:
    """Ask about every pair that has no line in ``path`` yet, ``max_concurrent`` at a time, and append to it.

    Raises:
        DatasetProblems: The file holds lines that are no traces.
        TeacherFailed: ``MAX_FAILURES_IN_A_ROW`` rows came back without a reply; what was written stays.
    """
    traces = _written(path)
    todo = _todo(dataset, done=traces)
    logger.info("traces file=%s written=%d to_ask=%d", path, len(traces), len(todo))
    with path.open("a", encoding="utf-8") as lines:
        collecting = _Collecting(teacher, traces=traces, lines=lines, max_attempts=max_attempts)
        await collecting.run(todo, max_concurrent=max_concurrent)
    summary = summarise(traces.values(), num_unanswered=collecting.num_unanswered)
    logger.info("traces file=%s %s", path, summary)
    return summary


def summarise(traces: Iterable[Trace], *, num_unanswered: int) -> TraceSummary:
    """Counts over all traces."""
    kept = list(traces)
    return TraceSummary(
        num_right_at_once=sum(not trace.is_hard for trace in kept),
        num_right_later=sum(trace.is_right and trace.is_hard for trace in kept),
        num_never_right=sum(not trace.is_right for trace in kept),
        num_unanswered=num_unanswered,
        rejected=Counter(reason for trace in kept for reason in trace.rejected),
        num_prompt_tokens=sum(trace.num_prompt_tokens for trace in kept),
        num_completion_tokens=sum(trace.num_completion_tokens for trace in kept),
        num_unmetered=sum(trace.num_unmetered for trace in kept),
    )


class _Collecting:
    """One session: workers that share a list of prompts, a file, and a count of failures."""

    def __init__(self, teacher: Teacher, *, traces: dict[str, Trace], lines: TextIO, max_attempts: int) -> None:
        self._teacher, self._traces, self._lines = teacher, traces, lines
        self._max_attempts = max_attempts
        self._num_failures_in_a_row = 0
        self.num_unanswered = 0

    async def run(self, prompts: Iterable[Prompt], *, max_concurrent: int) -> None:
        waiting = iter(prompts)
        workers = [asyncio.ensure_future(self._work(waiting)) for _ in range(max_concurrent)]
        try:
            await asyncio.gather(*workers)
        finally:
            for worker in workers:
                worker.cancel()

    async def _work(self, waiting: Iterator[Prompt]) -> None:
        for prompt in waiting:
            try:
                self._keep(await self._ask(prompt))
            except TeacherFailed as error:
                self._count_failure(prompt, error)

    async def _ask(self, prompt: Prompt) -> Trace:
        replies: list[TeacherReply] = []
        rejected: list[Rejection] = []
        is_right = False
        while not is_right and len(replies) < self._max_attempts:
            replies.append(await self._teacher.attempt(prompt, attempt=len(replies) + 1))
            choice = shown_choice(replies[-1].text)
            is_right = choice == prompt.preference.better
            if not is_right:
                rejected.append("malformed" if choice is None else "wrong")
        return Trace(
            pair_id=prompt.preference.pair_id,
            text=replies[-1].text.strip(),
            better=prompt.preference.better,
            num_attempts=len(replies),
            is_right=is_right,
            rejected=tuple(rejected),
            num_prompt_tokens=sum(reply.num_prompt_tokens for reply in replies),
            num_completion_tokens=sum(reply.num_completion_tokens for reply in replies),
            num_unmetered=sum(not reply.is_metered for reply in replies),
        )

    def _keep(self, trace: Trace) -> None:
        self._num_failures_in_a_row = 0
        self._lines.write(json.dumps(_line(trace), ensure_ascii=False) + "\n")
        self._lines.flush()
        self._traces[trace.pair_id] = trace
        if len(self._traces) % LOG_EVERY == 0:
            logger.info("traces %s", summarise(self._traces.values(), num_unanswered=self.num_unanswered))

    def _count_failure(self, prompt: Prompt, error: TeacherFailed) -> None:
        self.num_unanswered += 1
        self._num_failures_in_a_row += 1
        logger.warning("no reply id=%s error=%s", prompt.preference.pair_id, error)
        if self._num_failures_in_a_row >= MAX_FAILURES_IN_A_ROW:
            raise TeacherFailed(f"{MAX_FAILURES_IN_A_ROW} rows in a row without a reply, the last: {error}") from error


def _written(path: Path) -> dict[str, Trace]:
    """What earlier sessions collected; a last line that one of them could not finish is dropped."""
    if not path.exists():
        return {}
    content = path.read_bytes()
    if not content.endswith(b"\n") and content:
        logger.warning("traces file=%s: its last line is torn and dropped", path)
        path.write_bytes(content[: content.rfind(b"\n") + 1])
    traces, problems = read_traces(path)
    if problems:
        raise DatasetProblems(problems)
    return traces


def _todo(dataset: Dataset, *, done: Mapping[str, Trace]) -> list[Prompt]:
    """One prompt for each pair without a trace."""
    prompts = {prompt.preference.pair_id: prompt for prompt in map(dataset.prompt, range(len(dataset)))}
    return [prompt for pair_id, prompt in prompts.items() if pair_id not in done]


def _parse(raw: RawRow) -> Trace | Problem:
    if isinstance(raw.content, Problem):
        return raw.content
    try:
        return _read(raw.content)
    except RowError as problem:
        return Problem(kind=problem.kind, where=raw.where, what=problem.what)


def _read(content: object) -> Trace:
    try:
        row = _TraceRow.model_validate(content)
    except ValidationError as error:
        raise row_error(error) from error
    if row.correct and shown_choice(row.trace) != row.better:
        what = f"trace of {row.id!r}: called correct, but is not a think block and then <answer>{row.better}</answer>"
        raise RowError("trace", what)
    return Trace(
        pair_id=row.id,
        text=row.trace,
        better=row.better,
        num_attempts=row.attempts,
        is_right=row.correct,
        rejected=tuple(row.rejected),
        num_prompt_tokens=row.prompt_tokens,
        num_completion_tokens=row.completion_tokens,
        num_unmetered=row.unmetered,
    )


def _line(trace: Trace) -> dict[str, object]:
    return {
        "id": trace.pair_id,
        "trace": trace.text,
        "attempts": trace.num_attempts,
        "correct": trace.is_right,
        "better": trace.better,
        "rejected": list(trace.rejected),
        "prompt_tokens": trace.num_prompt_tokens,
        "completion_tokens": trace.num_completion_tokens,
        **({"unmetered": trace.num_unmetered} if trace.num_unmetered else {}),
    }
