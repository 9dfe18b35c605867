"""The file of answers: one line per vote, written as it arrives, read back to continue.

The first line holds the settings the answers were given under. A file made under other settings is refused, not
mixed with; failed requests stand in it too and are asked again.
"""

import json
import logging
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import IO, TypeVar

from pydantic import ConfigDict, JsonValue, TypeAdapter, ValidationError

from rollout.types import FinishReason

logger = logging.getLogger(__name__)

Settings = Mapping[str, JsonValue]
T = TypeVar("T")


@dataclass(frozen=True, kw_only=True, slots=True)
class Answer:
    """One vote as it came, or why it did not; exactly one of ``text`` and ``error`` is given."""

    __pydantic_config__ = ConfigDict(extra="forbid", strict=True)

    key: str
    text: str | None
    finish_reason: FinishReason | None
    """None for a failed request."""
    error: str | None
    num_tokens: int | None
    """Length of the answer; None where the judge does not say."""
    seconds: float
    """From asking to answer; for engines, of the batch the answer came in."""

    def __post_init__(self) -> None:
        if (self.text is None) == (self.error is None):
            raise ValueError(f"an answer needs either text or error, {self.key!r} has both or neither")

    @property
    def is_truncated(self) -> bool:
        """Whether the token limit cut it."""
        return self.finish_reason == "length"


class AnswersUnusable(ValueError):
    """A file of answers that this run can neither continue nor read."""


@dataclass(frozen=True, kw_only=True, slots=True)
class _Header:
    settings: dict[str, JsonValue]


_HEADER, _ANSWER = TypeAdapter(_Header), TypeAdapter(Answer)


class AnswerFile:
    """Answers kept so far, and the place where further ones go."""

    def __init__(self, stream: IO[str], *, answers: dict[str, Answer]) -> None:
        self._stream, self._answers = stream, answers

    @property
    def answers(self) -> Mapping[str, Answer]:
        """By key; where a key was asked again, what came last."""
        return self._answers

    def has_text(self, key: str) -> bool:
        """Whether a request was answered, not merely made."""
        return key in self._answers and self._answers[key].text is not None

    def add(self, answer: Answer) -> None:
        """Keep one more; it is on its way to disk when this returns."""
        self._answers[answer.key] = answer
        self._stream.write(_line(asdict(answer)))
        self._stream.flush()


@contextmanager
def open_answers(path: Path, *, settings: Settings) -> Iterator[AnswerFile]:
    """The file at ``path``, begun with ``settings`` or continued under the same.

    Raises:
        AnswersUnusable: It was made under other settings, or is no file of answers.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    lines = _whole_lines(path)
    answers: dict[str, Answer] = {}
    if lines:
        found, answers = _parse(lines, path=path)
        _check_same(found, settings, path=path)
        with path.open("r+b") as torn:
            torn.truncate(sum(len(line) + 1 for line in lines))
    with path.open("a" if lines else "w", encoding="utf-8") as stream:
        if not lines:
            stream.write(_line(asdict(_Header(settings=dict(settings)))))
            stream.flush()
        yield AnswerFile(stream, answers=answers)


def _whole_lines(path: Path) -> list[bytes]:
    """Lines that end; what a killed run left of its last one is asked again."""
    if not path.exists():
        return []
    *lines, rest = path.read_bytes().split(b"\n")
    if rest:
        logger.warning("torn last line left out file=%s bytes=%d", path, len(rest))
    return lines


def _parse(lines: list[bytes], *, path: Path) -> tuple[Settings, dict[str, Answer]]:
    header, *rest = lines
    settings = _checked(_HEADER, header, where=f"{path}:1").settings
    answers = (_checked(_ANSWER, line, where=f"{path}:{number}") for number, line in enumerate(rest, start=2))
    return settings, {answer.key: answer for answer in answers}


def _checked(adapter: TypeAdapter[T], line: bytes, *, where: str) -> T:
    try:
        return adapter.validate_json(line)
    except ValidationError as error:
        raise AnswersUnusable(f"{where}: expected a line that a benchmark run wrote: {error}") from error


def _check_same(found: Settings, wanted: Settings, *, path: Path) -> None:
    names = dict.fromkeys([*wanted, *found])
    different = [
        f"  {name}: the file has {_shown(found, name)}, this run has {_shown(wanted, name)}"
        for name in names
        if _shown(found, name) != _shown(wanted, name)
    ]
    if different:
        lines = [f"{path} holds answers given under other settings; choose another folder, or the same settings"]
        raise AnswersUnusable("\n".join([*lines, *different]))


def _shown(settings: Settings, name: str) -> str:
    return json.dumps(settings[name], sort_keys=True) if name in settings else "nothing"


def _line(value: Mapping[str, object]) -> str:
    return json.dumps(value, ensure_ascii=False, allow_nan=False) + "\n"
