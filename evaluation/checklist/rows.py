"""Answers as lines of a file: what ``arbiter checklist ask`` writes, and what any other program may.

    {"id": "a", "path": "a.png", "prompt": "a cat", "answers": {"sharp_finest": 0.93, "noise_none": "no", ...}, ...}

Of a line, ``answers`` and ``id`` or ``path`` must be there. An answer is a probability of yes, a word, true or false,
-1 for no, or null where none was got (``rewards.checklist.answers``). Further fields are let through.
"""

import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from pydantic import BaseModel, ConfigDict, JsonValue

from evaluation.lines import read_lines
from evaluation.scoring.rows import RowStatus
from rewards.checklist.answers import Answer, read_value
from rollout.checklist.questions import Checklist


@dataclass(frozen=True, kw_only=True, slots=True)
class AnswerRow:
    """The answers about one picture or video."""

    id: str
    path: str
    prompt: str | None
    status: RowStatus
    """failed: at least one question was not answered; the item is asked again by the next run."""
    error: str | None
    answers: Mapping[str, JsonValue]
    """By question, the probability of yes; the text where it is neither word, null where the request failed."""
    mass: Mapping[str, float]
    """By question, the probability of yes and no together, where it is known."""
    num_tokens: int | None
    """Of all prompts; None where a server was asked."""
    num_computed_tokens: int | None
    """Of them, those that had to be computed."""
    cut: bool
    """A video that goes on where its shown frames end."""
    checklist: str
    version: int
    model: str


@dataclass(frozen=True, kw_only=True, slots=True)
class AnsweredItem:
    """A line of an answer file, read."""

    item_id: str
    path: str
    prompt: str | None
    answers: Mapping[str, Answer]
    place: str
    """File and line."""


LITTLE_MASS = 0.5
"""Mean probability of both words below which a judge is said not to mean them."""


class _Line(BaseModel):
    model_config = ConfigDict(strict=True, extra="ignore")

    id: str | int | None = None
    path: str | None = None
    prompt: str | None = None
    answers: dict[str, JsonValue]
    checklist: str | None = None
    version: int | None = None


def value_of(answer: Answer) -> JsonValue:
    """An answer as a line holds it, so that ``read_value`` gives its status back."""
    if answer.status == "ok":
        return answer.p_yes
    return None if answer.status == "failed" else answer.text


def item_of(row: AnswerRow) -> AnsweredItem:
    """A row as it would be read back."""
    answers = {question: read_value(value) for question, value in row.answers.items()}
    return AnsweredItem(item_id=row.id, path=row.path, prompt=row.prompt, answers=answers, place=row.id)


def holds_answers(path: Path) -> bool:
    """Whether a file is one of answers, by its first line."""
    if path.suffix != ".jsonl" or not path.is_file():
        return False
    with path.open("rb") as lines:
        first = next((line for line in lines if line.strip()), b"")
    try:
        row = json.loads(first)
    except ValueError:
        return False
    return isinstance(row, dict) and "answers" in row


def read_answer_files(paths: Sequence[Path], *, checklist: Checklist) -> Iterator[AnsweredItem]:
    """Every line of the files, one at a time.

    Raises:
        ValueError: A line cannot be read, an id comes twice, or the answers are those of another checklist.
    """
    seen: set[str] = set()
    for path in paths:
        for place, row in read_lines(path, row=_Line, expected='{"id": ..., "answers": {QUESTION: ANSWER, ...}}'):
            item = _read(row, place=place, checklist=checklist)
            if item.item_id in seen:
                raise ValueError(f"{item.place}: id {item.item_id!r} comes a second time")
            seen.add(item.item_id)
            yield item


def asked_part(paths: Sequence[Path], *, checklist: Checklist) -> Checklist:
    """The questions that files of answers are about: without those that quote the prompt where nobody was asked one."""
    if not checklist.needs_prompt:
        return checklist
    about_prompt = {one.id for one in checklist.asked if one.needs_prompt}
    is_asked = any(about_prompt & item.answers.keys() for item in read_answer_files(paths, checklist=checklist))
    return checklist if is_asked else checklist.without_prompt()


def _read(row: _Line, *, place: str, checklist: Checklist) -> AnsweredItem:
    name = row.path if row.id is None else str(row.id)
    if name is None:
        raise ValueError(f"{place}: expected an id or a path, which names the item")
    if row.checklist is not None and (row.checklist, row.version) != (checklist.name, checklist.version):
        raise ValueError(
            f"{place}: answers to checklist {row.checklist} version {row.version}, the questions are those of "
            f"{checklist.name} version {checklist.version}; name the right ones with checklist.questions"
        )
    try:
        answers = {question: read_value(value) for question, value in row.answers.items()}
    except ValueError as error:
        raise ValueError(f"{place}: {error}") from error
    return AnsweredItem(
        item_id=name, path=name if row.path is None else row.path, prompt=row.prompt, answers=answers, place=place
    )


class _Told(BaseModel):
    """What is counted of a line that ``arbiter checklist ask`` wrote."""

    model_config = ConfigDict(strict=True, extra="ignore")

    answers: dict[str, JsonValue]
    mass: dict[str, float] = {}
    num_tokens: int | None = None
    num_computed_tokens: int | None = None
    cut: bool = False


def describe_answers(path: Path) -> Iterator[str]:
    """What the answers of a file were and what they took, counted, for a terminal."""
    counts: Counter[str] = Counter()
    num_items = num_tokens = num_computed = num_masses = num_cut = 0
    total_mass, least_mass = 0.0, 1.0
    with path.open("rb") as lines:
        for line in lines:
            row = _Told.model_validate_json(line)
            num_items += 1
            counts.update(read_value(value).status for value in row.answers.values())
            num_masses += len(row.mass)
            total_mass += sum(row.mass.values())
            least_mass = min((least_mass, *row.mass.values()))
            num_tokens += row.num_tokens or 0
            num_computed += row.num_computed_tokens or 0
            num_cut += row.cut
    shown = ", ".join(f"{count} {status}" for status, count in sorted(counts.items()))
    yield f"answers {counts.total()} about {num_items} items: {shown or 'none'}"
    if num_masses:
        mean = total_mass / num_masses
        warning = "; this judge hardly means to answer with them" if mean < LITTLE_MASS else ""
        yield f"yes and no had {100 * mean:.1f} % of the probability, {100 * least_mass:.1f} % at least{warning}"
    if num_tokens:
        share = 100 * num_computed / num_tokens
        yield f"prompt tokens {num_tokens:,}, computed {num_computed:,} ({share:.1f} %)"
    if num_cut:
        yield f"videos that go on where their shown frames end: {num_cut} (benchmark.video.max_frames)"
