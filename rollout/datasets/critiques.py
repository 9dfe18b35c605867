"""Reasoning about opinion scores, written by a teacher who sees picture and score: demonstrations for the cold start.

    prompts by level --collect_critiques(teacher)--> FILE (kept, rows of cold_start.file) and FILE.rejected.jsonl

The teacher writes a critique that must lead to the score without naming it; the score is put behind it afterwards
(AesCoT, arXiv of Aes-R1, section 3.1). A critique is kept when it has a plain form, gives nothing away, and when the
teacher, shown the critique alone, reads the same level out of it. Levels are balanced. Both files are appended to as
soon as a row is decided, and decided rows are not asked again.
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

from rollout.datasets.base import Dataset
from rollout.datasets.pair_files import RawRow, read_jsonl
from rollout.datasets.problems import DatasetProblems, Problem, RowError, row_error
from rollout.datasets.questions import answer
from rollout.datasets.traces import MAX_FAILURES_IN_A_ROW, Teacher, TeacherFailed
from rollout.types import Media, Message, Opinion, Prompt, Unlabelled

logger = logging.getLogger(__name__)

Level = Literal["bad", "fair", "good"]
LEVELS: tuple[Level, ...] = get_args(Level)
FAIR_FROM, GOOD_FROM = 0.4, 0.7
"""Where on the scale, as shares of its range, a level begins (Aes-R1)."""
LOG_EVERY = 100
"""Decided rows between two lines of progress."""

Rejection = Literal["form", "leak", "mismatch"]
"""Why a critique was not kept: empty, cut or with tags; it gives the score away or says it was told; it reads as
another level than its score."""

_TELLTALE = re.compile(
    r"hidden|secret|private(?:ly)? (?:score|rating|information)|"
    r"\b(?:given|provided|assigned|stated|known|told|target)\b[^.]{0,20}\b(?:score|rating)|"
    r"\b(?:score|rating)s?\b[^.]{0,20}\b(?:given|provided|assigned|told)\b|as instructed|instructions",
    re.IGNORECASE,
)
_NUMBER = re.compile(r"\d+(?:[.,]\d+)?")
_TAG = re.compile(r"</?(?:think|answer)>")


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
class CritiqueSummary:
    """Both files in numbers."""

    kept: Mapping[Level, int]
    num_rejected_rows: int
    """Pictures of which no critique was good enough."""
    rejected: Mapping[Rejection, int]
    """Critiques that were not kept, by reason, those of rows that succeeded later included."""
    num_unanswered: int
    """Rows the teacher failed to answer just now; they are asked the next time."""
    num_tokens: int
    is_out_of_budget: bool


@dataclass(frozen=True, kw_only=True, slots=True)
class _Decided:
    """What became of one row."""

    row_id: str
    level: Level
    critique: str | None
    rejected: tuple[Rejection, ...]
    num_tokens: int


class _DecidedRow(BaseModel):
    model_config = ConfigDict(extra="ignore", strict=True)

    id: str = Field(min_length=1)
    level: Level
    rejected: list[Rejection]
    tokens: int = Field(ge=0)


def level_of(opinion: Opinion) -> Level:
    """Which third of the scale, as Aes-R1 divides it, a score lies in."""
    share = (opinion.score - opinion.scale.minimum) / (opinion.scale.maximum - opinion.scale.minimum)
    if share < FAIR_FROM:
        return "bad"
    return "fair" if share < GOOD_FROM else "good"


def find_fault(critique: str, *, opinion: Opinion, is_cut: bool) -> Rejection | None:
    """What speaks against a critique, its level aside.

    A number gives the score away when it is the score, rounded to none, one or two decimals or as a share in per cent.
    """
    if not critique.strip() or is_cut or _TAG.search(critique):
        return "form"
    share = (opinion.score - opinion.scale.minimum) / (opinion.scale.maximum - opinion.scale.minimum)
    telling = {round(opinion.score, digits) for digits in (0, 1, 2)} | {round(100 * share)}
    named = {float(number.replace(",", ".")) for number in _NUMBER.findall(critique)}
    return "leak" if named & telling or _TELLTALE.search(critique) else None


def read_level(text: str) -> Level | None:
    """The one level a reply names; None when it names none or several."""
    words = set(re.findall(r"[a-z]+", text.lower()))
    named = [level for level in LEVELS if level in words]
    return named.pop() if len(named) == 1 else None


async def collect_critiques(
    dataset: Dataset, *, teacher: Teacher, path: Path, wording: str, limits: Limits, max_concurrent: int
) -> CritiqueSummary:
    """Ask until every level has enough, the budget is spent or the pictures are used up, and append to both files.

    Raises:
        DatasetProblems: The files hold lines that are none of ours.
        TeacherFailed: ``MAX_FAILURES_IN_A_ROW`` rows came back without a reply; what was written stays.
    """
    refused = path.with_suffix(".rejected.jsonl")
    decided = [*_written(path, kept=True), *_written(refused, kept=False)]
    with path.open("a", encoding="utf-8") as kept_lines, refused.open("a", encoding="utf-8") as refused_lines:
        collecting = _Collecting(teacher, decided=decided, wording=wording, limits=limits)
        collecting.write_to(kept=kept_lines, refused=refused_lines)
        await collecting.run(dataset, max_concurrent=max_concurrent)
    return collecting.summary()


class _Collecting:
    """One session: workers that share the pictures of each level, two files, and the counts."""

    def __init__(self, teacher: Teacher, *, decided: Sequence[_Decided], wording: str, limits: Limits) -> None:
        self._teacher, self._wording, self._limits = teacher, wording, limits
        self._decided = list(decided)
        self._kept = Counter(one.level for one in decided if one.critique is not None)
        self._in_flight: Counter[Level] = Counter()
        self._num_tokens = sum(one.num_tokens for one in decided)
        self._num_failures_in_a_row = 0
        self._num_unanswered = 0
        self._is_out_of_budget = False

    def write_to(self, *, kept: TextIO, refused: TextIO) -> None:
        """Where rows go as they are decided."""
        self._files = {True: kept, False: refused}

    async def run(self, dataset: Dataset, *, max_concurrent: int) -> None:
        waiting = _by_level(dataset, done={one.row_id for one in self._decided})
        workers = [asyncio.ensure_future(self._work(waiting)) for _ in range(max_concurrent)]
        try:
            await asyncio.gather(*workers)
        finally:
            for worker in workers:
                worker.cancel()

    def summary(self) -> CritiqueSummary:
        """Counts over both files."""
        return CritiqueSummary(
            kept={level: self._kept[level] for level in LEVELS},
            num_rejected_rows=sum(one.critique is None for one in self._decided),
            rejected=Counter(reason for one in self._decided for reason in one.rejected),
            num_unanswered=self._num_unanswered,
            num_tokens=self._num_tokens,
            is_out_of_budget=self._is_out_of_budget,
        )

    async def _work(self, waiting: Mapping[Level, deque[Prompt]]) -> None:
        while (level := self._next_level(waiting)) is not None:
            prompt = waiting[level].popleft()
            self._in_flight[level] += 1
            try:
                self._keep(prompt, await self._ask(prompt, level=level))
            except TeacherFailed as error:
                self._count_failure(prompt, error)
            finally:
                self._in_flight[level] -= 1

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

    async def _ask(self, prompt: Prompt, *, level: Level) -> _Decided:
        rejected: list[Rejection] = []
        num_tokens = 0
        critique: str | None = None
        while critique is None and len(rejected) < self._limits.max_attempts:
            reply = await self._teacher.attempt(_teacher_prompt(prompt), attempt=len(rejected) + 1)
            num_tokens += reply.num_prompt_tokens + reply.num_completion_tokens
            fault = find_fault(reply.text, opinion=prompt.opinion, is_cut=reply.is_cut)
            if fault is None:
                checked = await self._teacher.attempt(_check_prompt(prompt, reply.text), attempt=1)
                num_tokens += checked.num_prompt_tokens + checked.num_completion_tokens
                fault = None if read_level(checked.text) == level else "mismatch"
            if fault is None:
                critique = reply.text.strip()
            else:
                rejected.append(fault)
        return _Decided(
            row_id=prompt.prompt_id,
            level=level,
            critique=critique,
            rejected=tuple(rejected),
            num_tokens=num_tokens,
        )

    def _keep(self, prompt: Prompt, decided: _Decided) -> None:
        self._num_failures_in_a_row = 0
        self._decided.append(decided)
        self._num_tokens += decided.num_tokens
        self._kept[decided.level] += decided.critique is not None
        file = self._files[decided.critique is not None]
        file.write(json.dumps(_line(prompt, decided, wording=self._wording), ensure_ascii=False) + "\n")
        file.flush()
        if len(self._decided) % LOG_EVERY == 0:
            logger.info("critiques %s", self.summary())

    def _count_failure(self, prompt: Prompt, error: TeacherFailed) -> None:
        self._num_unanswered += 1
        self._num_failures_in_a_row += 1
        logger.warning("no reply id=%s error=%s", prompt.prompt_id, error)
        if self._num_failures_in_a_row >= MAX_FAILURES_IN_A_ROW:
            raise TeacherFailed(f"{MAX_FAILURES_IN_A_ROW} rows in a row without a reply, the last: {error}") from error


def _by_level(dataset: Dataset, *, done: set[str]) -> dict[Level, deque[Prompt]]:
    """The undecided prompts of each level, in an order that depends on their ids alone."""
    prompts = [one for one in map(dataset.prompt, range(len(dataset))) if one.prompt_id not in done]
    prompts.sort(key=lambda one: hashlib.blake2b(one.prompt_id.encode(), digest_size=16).digest())
    return {level: deque(one for one in prompts if level_of(one.opinion) == level) for level in LEVELS}


def _picture(prompt: Prompt) -> Media:
    (picture,) = prompt.media()
    return picture


def _teacher_prompt(prompt: Prompt) -> Prompt:
    scale, score = prompt.opinion.scale, prompt.opinion.score
    text = (
        f"People rated this on a scale from {scale.minimum:g} (worst) to {scale.maximum:g} (best); their mean is "
        f"{score:.2f}. The question they answered: {_question(prompt)}\nWrite the reasoning of a careful judge who "
        "arrives at this rating by looking alone: what is there, what is good and bad about it, how much each matters. "
        "End with a verdict in words that fits the rating. Name no number, and do not say or hint that you knew the "
        "rating. Plain sentences, no lists and no tags."
    )
    return _unlabelled(prompt, content=(_picture(prompt), text))


def _check_prompt(prompt: Prompt, critique: str) -> Prompt:
    text = (
        "Below is a critique of something you cannot see. Which verdict does it lead to: bad, fair or good? Reply with "
        f"that one word.\n\n{critique}"
    )
    return _unlabelled(prompt, content=(text,))


def _unlabelled(prompt: Prompt, *, content: tuple[str | Media, ...]) -> Prompt:
    return Prompt(
        prompt_id=prompt.prompt_id,
        messages=(Message(role="user", content=content),),
        reference=Unlabelled(),
        source=prompt.source,
        content_id=prompt.content_id,
        wants_thinking=False,
    )


def _question(prompt: Prompt) -> str:
    """The text of the question the policy is asked, media left out."""
    return "".join(part for message in prompt.messages for part in message.content if isinstance(part, str)).strip()


def _line(prompt: Prompt, decided: _Decided, *, wording: str) -> dict[str, object]:
    row: dict[str, object] = {
        "id": decided.row_id,
        "level": decided.level,
        "rejected": list(decided.rejected),
        "tokens": decided.num_tokens,
    }
    if decided.critique is None:
        return row
    shown = _picture(prompt)
    response = answer(wording, thought=decided.critique, score=prompt.opinion.score)
    question = "".join(
        f"<{part.kind}>" if isinstance(part, Media) else part for message in prompt.messages for part in message.content
    )
    return {**row, shown.kind: _file(shown), "question": question, "response": response}


def _file(shown: Media) -> str:
    """Where a picture or video is: a file, or the folder of a video's frames."""
    path = Path(shown.path) if shown.path is not None else Path(shown.frames[0]).parent
    return str(path.resolve())


def _written(path: Path, *, kept: bool) -> Iterator[_Decided]:
    """What earlier sessions decided; a last line that one of them could not finish is dropped."""
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
    yield from (one for one in parsed if isinstance(one, _Decided))


def _parse(raw: RawRow, *, kept: bool) -> _Decided | Problem:
    if isinstance(raw.content, Problem):
        return raw.content
    try:
        row = _DecidedRow.model_validate(raw.content)
    except ValidationError as error:
        problem: RowError = row_error(error)
        return Problem(kind=problem.kind, where=raw.where, what=problem.what)
    return _Decided(
        row_id=row.id,
        level=row.level,
        critique="" if kept else None,
        rejected=tuple(row.rejected),
        num_tokens=row.tokens,
    )
