"""Reasoning about opinion scores, written by a teacher who sees picture and score: demonstrations for the cold start.

    prompts by level --collect_critiques(teacher, checks)--> FILE (kept, rows of cold_start.file), FILE.rejected.jsonl

The teacher writes a critique that must lead to the score without naming it; the score is put behind it afterwards
(AesCoT, arXiv of Aes-R1, section 3.1). A critique is kept when it has a plain form, gives nothing away, and when a
checker, shown the critique alone, reads the same level out of it and, where facts are checked, finds what it states in
the picture. Levels are balanced. Both files are appended to as soon as a row is decided, and decided rows are not asked
again; what was spent on a row that stayed undecided is written down too.
"""

import asyncio
import hashlib
import json
import logging
import re
from collections import Counter, deque
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, TextIO, get_args

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from conf.errors import ConfigError
from rollout.datasets.base import Dataset
from rollout.datasets.critique_prompts import critique_prompt, facts_prompt, level_prompt, picture_of
from rollout.datasets.leaks import gives_score_away
from rollout.datasets.pair_files import RawRow, read_jsonl
from rollout.datasets.problems import DatasetProblems, Problem, RowError, row_error
from rollout.datasets.questions import answer
from rollout.datasets.traces import MAX_FAILURES_IN_A_ROW, Teacher, TeacherFailed, TeacherReply
from rollout.types import Media, Opinion, Prompt

logger = logging.getLogger(__name__)

Level = Literal["bad", "fair", "good"]
LEVELS: tuple[Level, ...] = get_args(Level)
FAIR_FROM, GOOD_FROM = 0.4, 0.7
"""Where on the scale, as shares of its range, a level begins (Aes-R1)."""
LOG_EVERY = 100
"""Decided rows between two lines of progress."""

Rejection = Literal["form", "leak", "mismatch", "fact"]
"""Why a critique was not kept: empty, cut or with tags; it gives the score away or says it was told; it reads as
another level than its score; it states what the checker does not find in the picture."""

_TAG = re.compile(r"</?(?:think|answer)>")
_RIGHT = re.compile(r"\W*right\W*", re.IGNORECASE)


@dataclass(frozen=True, kw_only=True, slots=True)
class Limits:
    """When enough is enough."""

    num_per_level: int | None
    """Critiques to keep of each level; None: one for every picture."""
    max_total_tokens: int | None
    """Tokens asked and answered after which no row is begun, earlier sessions included; None: no bound."""
    max_attempts: int
    """Critiques asked for about one picture."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Checks:
    """Who looks over a critique, and at what beside its level."""

    checker: Teacher
    asks_facts: bool


@dataclass(frozen=True, kw_only=True, slots=True)
class CritiqueSummary:
    """Both files in numbers."""

    kept: Mapping[Level, int]
    num_rejected_rows: int
    """Pictures of which no critique was good enough."""
    rejected: Mapping[Rejection, int]
    """Critiques that were not kept, by reason, those of rows that succeeded later, or are undecided, included."""
    num_unanswered: int
    """Rows that stayed undecided just now, because a request failed; they are asked the next time."""
    num_tokens: int
    num_unmetered: int
    """Replies of which the server did not say how many tokens they took; they are not in ``num_tokens``."""
    is_out_of_budget: bool


@dataclass(frozen=True, kw_only=True, slots=True)
class _Outcome:
    """What became of one row in one session, and what it took."""

    row_id: str
    level: Level
    critique: str | None
    is_decided: bool
    rejected: tuple[Rejection, ...]
    num_tokens: int
    num_unmetered: int


class _OutcomeRow(BaseModel):
    model_config = ConfigDict(extra="ignore", strict=True)

    id: str = Field(min_length=1)
    level: Level
    rejected: list[Rejection]
    tokens: int = Field(ge=0)
    unmetered: int = Field(default=0, ge=0)
    unanswered: bool = False


def level_of(opinion: Opinion) -> Level:
    """Which third of the scale, as Aes-R1 divides it, a score lies in."""
    share = (opinion.score - opinion.scale.minimum) / (opinion.scale.maximum - opinion.scale.minimum)
    if share < FAIR_FROM:
        return "bad"
    return "fair" if share < GOOD_FROM else "good"


def find_fault(critique: str, *, opinion: Opinion, is_cut: bool) -> Rejection | None:
    """What speaks against a critique at first sight."""
    if not critique.strip() or is_cut or _TAG.search(critique):
        return "form"
    return "leak" if gives_score_away(critique, opinion=opinion) else None


def read_level(text: str) -> Level | None:
    """The one level a reply names; None when it names none or several."""
    words = set(re.findall(r"[a-z]+", text.lower()))
    named = [level for level in LEVELS if level in words]
    return named.pop() if len(named) == 1 else None


async def collect_critiques(
    dataset: Dataset,
    *,
    teacher: Teacher,
    checks: Checks,
    path: Path,
    wording: str,
    limits: Limits,
    max_concurrent: int,
) -> CritiqueSummary:
    """Ask until every level has enough, the budget is spent or the pictures are used up, and append to both files.

    Raises:
        DatasetProblems: The files hold lines that are none of ours.
        ConfigError: There is a budget, and a server does not say how many tokens a reply took.
        TeacherFailed: ``MAX_FAILURES_IN_A_ROW`` rows came back without a reply; what was written stays.
    """
    refused = path.with_suffix(".rejected.jsonl")
    before = [*_written(path, kept=True), *_written(refused, kept=False)]
    with path.open("a", encoding="utf-8") as kept_lines, refused.open("a", encoding="utf-8") as refused_lines:
        collecting = _Collecting(teacher, checks=checks, before=before, wording=wording, limits=limits)
        collecting.write_to(kept=kept_lines, refused=refused_lines)
        await collecting.run(dataset, max_concurrent=max_concurrent)
    return collecting.summary()


class _Row:
    """A row under way."""

    def __init__(self, prompt: Prompt, *, level: Level) -> None:
        self.prompt, self.level = prompt, level
        self.critique: str | None = None
        self.is_decided = False
        self.rejected: list[Rejection] = []
        self.num_tokens = self.num_unmetered = 0

    def outcome(self) -> _Outcome:
        """As it stands."""
        return _Outcome(
            row_id=self.prompt.prompt_id,
            level=self.level,
            critique=self.critique,
            is_decided=self.is_decided,
            rejected=tuple(self.rejected),
            num_tokens=self.num_tokens,
            num_unmetered=self.num_unmetered,
        )


class _Collecting:
    """One session: workers that share the pictures of each level, two files, and the counts."""

    def __init__(
        self, teacher: Teacher, *, checks: Checks, before: Sequence[_Outcome], wording: str, limits: Limits
    ) -> None:
        self._teacher, self._checks, self._wording, self._limits = teacher, checks, wording, limits
        self._outcomes = list(before)
        self._kept = Counter(one.level for one in before if one.critique is not None)
        self._in_flight: Counter[Level] = Counter()
        self._num_tokens = sum(one.num_tokens for one in before)
        self._num_unmetered = sum(one.num_unmetered for one in before)
        self._num_failures_in_a_row = 0
        self._num_unanswered = 0
        self._is_out_of_budget = False

    def write_to(self, *, kept: TextIO, refused: TextIO) -> None:
        """Where rows go as they are decided."""
        self._files = {True: kept, False: refused}

    async def run(self, dataset: Dataset, *, max_concurrent: int) -> None:
        waiting = _by_level(dataset, done={one.row_id for one in self._outcomes if one.is_decided})
        workers = [asyncio.ensure_future(self._work(waiting)) for _ in range(max_concurrent)]
        try:
            await asyncio.gather(*workers)
        finally:
            for worker in workers:
                worker.cancel()
            await asyncio.gather(*workers, return_exceptions=True)  # they write down what they spent

    def summary(self) -> CritiqueSummary:
        """Counts over both files."""
        return CritiqueSummary(
            kept={level: self._kept[level] for level in LEVELS},
            num_rejected_rows=sum(one.is_decided and one.critique is None for one in self._outcomes),
            rejected=Counter(reason for one in self._outcomes for reason in one.rejected),
            num_unanswered=self._num_unanswered,
            num_tokens=self._num_tokens,
            num_unmetered=self._num_unmetered,
            is_out_of_budget=self._is_out_of_budget,
        )

    async def _work(self, waiting: Mapping[Level, deque[Prompt]]) -> None:
        while (level := self._next_level(waiting)) is not None:
            row = _Row(waiting[level].popleft(), level=level)
            self._in_flight[level] += 1
            try:
                await self._ask(row)
            except TeacherFailed as error:
                self._spend(row, num_tokens=error.num_tokens)
                self._count_failure(row, error)
            finally:
                self._in_flight[level] -= 1
                self._keep(row)

    def _next_level(self, waiting: Mapping[Level, deque[Prompt]]) -> Level | None:
        """The level furthest behind that wants another picture and has one."""
        most = self._limits.max_total_tokens
        if most is not None and self._num_tokens >= most:
            self._is_out_of_budget = True
            return None
        coming = {level: self._kept[level] + self._in_flight[level] for level in LEVELS if waiting[level]}
        enough = self._limits.num_per_level
        wanting = [level for level, number in coming.items() if enough is None or number < enough]
        return min(wanting, key=lambda one: coming[one], default=None)

    async def _ask(self, row: _Row) -> None:
        while row.critique is None and len(row.rejected) < self._limits.max_attempts:
            attempt = len(row.rejected) + 1
            reply = await self._attempt(self._teacher, row, critique_prompt(row.prompt), attempt=attempt)
            fault = find_fault(reply.text, opinion=row.prompt.opinion, is_cut=reply.is_cut)
            fault = fault or await self._check(row, reply.text)
            if fault is None:
                row.critique = reply.text.strip()
            else:
                row.rejected.append(fault)
        row.is_decided = True

    async def _check(self, row: _Row, critique: str) -> Rejection | None:
        """What the checker finds wrong with a critique."""
        checker = self._checks.checker
        verdict = await self._attempt(checker, row, level_prompt(row.prompt, critique), attempt=1)
        if read_level(verdict.text) != row.level:
            return "mismatch"
        if not self._checks.asks_facts:
            return None
        verdict = await self._attempt(checker, row, facts_prompt(row.prompt, critique), attempt=1)
        return None if _RIGHT.fullmatch(verdict.text) else "fact"

    async def _attempt(self, model: Teacher, row: _Row, prompt: Prompt, *, attempt: int) -> TeacherReply:
        reply = await model.attempt(prompt, attempt=attempt)
        self._spend(row, num_tokens=reply.num_prompt_tokens + reply.num_completion_tokens)
        if not reply.is_metered:
            row.num_unmetered += 1
            self._num_unmetered += 1
            self._refuse_a_budget()
        return reply

    def _spend(self, row: _Row, *, num_tokens: int) -> None:
        row.num_tokens += num_tokens
        self._num_tokens += num_tokens

    def _refuse_a_budget(self) -> None:
        if self._limits.max_total_tokens is not None:
            problem = (
                f"critiques.max_total_tokens={self._limits.max_total_tokens} cannot be kept to: a reply came without "
                "the server's count of its tokens (usage); have the server count them, or set "
                "critiques.max_total_tokens=null"
            )
            raise ConfigError([problem])

    def _keep(self, row: _Row) -> None:
        """Write a row down that is decided, or on which something was spent."""
        outcome = row.outcome()
        if not (outcome.is_decided or outcome.num_tokens or outcome.num_unmetered):
            return
        if outcome.is_decided:
            self._num_failures_in_a_row = 0
        self._outcomes.append(outcome)
        self._kept[outcome.level] += outcome.critique is not None
        file = self._files[outcome.critique is not None]
        file.write(json.dumps(_line(row.prompt, outcome, wording=self._wording), ensure_ascii=False) + "\n")
        file.flush()
        if len(self._outcomes) % LOG_EVERY == 0:
            logger.info("critiques %s", self.summary())

    def _count_failure(self, row: _Row, error: TeacherFailed) -> None:
        self._num_unanswered += 1
        self._num_failures_in_a_row += 1
        logger.warning("no reply id=%s error=%s", row.prompt.prompt_id, error)
        if self._num_failures_in_a_row >= MAX_FAILURES_IN_A_ROW:
            raise TeacherFailed(f"{MAX_FAILURES_IN_A_ROW} rows in a row without a reply, the last: {error}") from error


def _by_level(dataset: Dataset, *, done: set[str]) -> dict[Level, deque[Prompt]]:
    """The undecided prompts of each level, in an order that depends on their ids alone."""
    prompts = [one for one in map(dataset.prompt, range(len(dataset))) if one.prompt_id not in done]
    prompts.sort(key=lambda one: hashlib.blake2b(one.prompt_id.encode(), digest_size=16).digest())
    return {level: deque(one for one in prompts if level_of(one.opinion) == level) for level in LEVELS}


def _line(prompt: Prompt, outcome: _Outcome, *, wording: str) -> dict[str, object]:
    row: dict[str, object] = {
        "id": outcome.row_id,
        "level": outcome.level,
        "rejected": list(outcome.rejected),
        "tokens": outcome.num_tokens,
        **({"unmetered": outcome.num_unmetered} if outcome.num_unmetered else {}),
        **({} if outcome.is_decided else {"unanswered": True}),
    }
    if outcome.critique is None:
        return row
    shown = picture_of(prompt)
    response = answer(wording, thought=outcome.critique, score=prompt.opinion.score)
    question = "".join(
        f"<{part.kind}>" if isinstance(part, Media) else part for message in prompt.messages for part in message.content
    )
    return {**row, shown.kind: _file(shown), "question": question, "response": response}


def _file(shown: Media) -> str:
    """Where a picture or video is: a file, or the folder of a video's frames."""
    path = Path(shown.path) if shown.path is not None else Path(shown.frames[0]).parent
    return str(path.resolve())


def _written(path: Path, *, kept: bool) -> Iterator[_Outcome]:
    """What earlier sessions wrote; a last line that one of them could not finish is dropped."""
    if not path.exists():
        return
    content = path.read_bytes()
    if content and not content.endswith(b"\n"):
        logger.warning("critiques file=%s: its last line is torn and dropped", path)
        path.write_bytes(content[: content.rfind(b"\n") + 1])
    parsed = [_parse(raw, kept=kept) for raw in read_jsonl(path)]
    problems = [one for one in parsed if isinstance(one, Problem)]
    if problems:
        raise DatasetProblems(problems)
    yield from (one for one in parsed if isinstance(one, _Outcome))


def _parse(raw: RawRow, *, kept: bool) -> _Outcome | Problem:
    if isinstance(raw.content, Problem):
        return raw.content
    try:
        row = _OutcomeRow.model_validate(raw.content)
    except ValidationError as error:
        problem: RowError = row_error(error)
        return Problem(kind=problem.kind, where=raw.where, what=problem.what)
    return _Outcome(
        row_id=row.id,
        level=row.level,
        critique="" if kept else None,
        is_decided=not row.unanswered,
        rejected=tuple(row.rejected),
        num_tokens=row.tokens,
        num_unmetered=row.unmetered,
    )
