"""What the policy is asked: versioned texts in ``rollout/prompt_texts``, by name, or a text file of the user's.

    data.prompt --look_up--> PromptText --message--> one user turn: the text, and the medium where it belongs

Training, evaluation and scoring ask through the same object. A text that published checkpoints were trained with is
kept to the byte; the declared scale fills in its numbers. A changed text gets a new version, which a test holds it to.
"""

from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Annotated, Literal, Self

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from conf.data import is_own_text
from conf.errors import did_you_mean
from rollout.types import Media, Message, Scale

FOLDER = Path(__file__).parent / "prompt_texts"
MEDIUM = "<image>"
"""Stands in a text for the picture or video."""
SCORE = "{score}"

Kind = Literal["image", "video"]


class PromptText(BaseModel):
    """One way to ask, and the form of the answer it asks for."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    name: str
    version: Annotated[int, Field(ge=1)]
    """Raised with every change of the texts."""
    asks_for: Literal["score", "description"]
    wants_thinking: bool
    """Whether a think block comes before the answer."""
    media_position: Literal["first", "last", "marker"]
    """Where the medium is shown: before the text, after it, or in the place of ``<image>``; in the other two cases
    nothing is shown in that place."""
    answer: str = ""
    """The answer block of a demonstration, with ``{score}``; empty where no score is asked for."""
    questions: dict[Kind, str] = {}
    """What stands for ``{question}`` in the texts: the part that label files hold."""
    texts: Annotated[dict[Kind, str], Field(min_length=1)]
    """The text by what is shown, with ``{question}``, ``{minimum}`` and ``{maximum}`` to be filled in."""

    @model_validator(mode="after")
    def _has_what_it_needs(self) -> Self:
        if (self.asks_for == "score") != (SCORE in self.answer):
            raise ValueError(f"answer={self.answer!r} must hold {SCORE} where a score is asked for, and only there")
        for kind, text in self.texts.items():
            if ("{question}" in text) != (kind in self.questions):
                raise ValueError(f"texts.{kind} must hold {{question}} where questions.{kind} is given, and only there")
            if self.media_position == "marker" and text.count(MEDIUM) != 1:
                raise ValueError(f"texts.{kind} must hold {MEDIUM} once, it does {text.count(MEDIUM)} times")
        return self

    def question(self, kind: Kind, *, scale: Scale) -> str | None:
        """The question without instructions on the answer's form; None where the text is not made of both."""
        return _fill(self.questions[kind], scale=scale) if kind in self.questions else None

    def text(self, kind: Kind, *, scale: Scale | None) -> str:
        """The whole text, ``<image>`` still in it.

        Raises:
            ValueError: It does not ask about media of that kind.
        """
        if kind not in self.texts:
            raise ValueError(
                f"data.prompt={self.name} asks about an {next(iter(self.texts))}, not about a {kind}; "
                f"{', '.join(name for name, one in shipped().items() if kind in one.texts and one.answer)} do"
            )
        return _fill(self.texts[kind].replace("{question}", self.questions.get(kind, "")), scale=scale)

    def message(self, media: Media, *, scale: Scale | None) -> Message:
        """One user turn.

        Raises:
            ValueError: It does not ask about media of that kind.
        """
        text = self.text(media.kind, scale=scale)
        if self.media_position == "marker":
            before, _, after = text.partition(MEDIUM)
            return Message(role="user", content=tuple(part for part in (before, media, after) if part))
        bare = text.replace(MEDIUM, "")
        return Message(role="user", content=(media, bare) if self.media_position == "first" else (bare, media))

    def target(self, *, thought: str, score: float) -> str:
        """The assistant text asked for; ``thought`` is left out where no thinking is wanted."""
        final = self.answer.replace(SCORE, f"{score:.2f}")
        return f"<think>{thought}</think>{final}" if self.wants_thinking else final

    def in_rows(self, *, scale: Scale) -> Iterator[str]:
        """What a row of a label file may hold when it asks this: the question or all of the text, without ``<image>``
        and outer white space."""
        for kind in self.texts:
            for text in (self.question(kind, scale=scale), self.text(kind, scale=scale)):
                if text is not None:
                    yield text.replace(MEDIUM, "").strip()


def look_up(wording: str) -> PromptText:
    """The text of that name, or the one in the file of that name.

    Raises:
        ValueError: There is no such text, or the file cannot be used.
    """
    if is_own_text(wording):
        return _own_text(wording)
    known = shipped()
    if wording not in known:
        raise ValueError(
            f"data.prompt={wording!r} is unknown{did_you_mean(wording, known)}; known: {', '.join(known)}, "
            "and text files, whose names end in .txt"
        )
    return known[wording]


@cache
def shipped() -> Mapping[str, PromptText]:
    """The texts that come with Arbiter, by name."""
    return {path.stem: _read(path) for path in sorted(FOLDER.glob("*.yaml"))}


def _read(path: Path) -> PromptText:
    try:
        return PromptText.model_validate({"name": path.stem, **yaml.safe_load(path.read_text(encoding="utf-8"))})
    except ValidationError as error:
        raise ValueError(f"{path}: {error}") from error


def _own_text(path: str) -> PromptText:
    """A file of one text: ``<think>`` in it says that it wants thinking; it may be asked about pictures and videos."""
    try:
        text = Path(path).read_bytes().decode("utf-8").removesuffix("\n").removesuffix("\r")
    except OSError as error:
        raise ValueError(f"data.prompt={path}: cannot be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise ValueError(f"data.prompt={path}: not UTF-8: {error.reason} at byte {error.start}") from error
    if "<answer>" not in text:
        raise ValueError(f"data.prompt={path}: never mentions <answer> </answer>, the tags in which the score is read")
    if text.count(MEDIUM) > 1:
        raise ValueError(f"data.prompt={path}: holds {MEDIUM} {text.count(MEDIUM)} times, one medium is shown")
    return PromptText(
        name=path,
        version=1,
        asks_for="score",
        wants_thinking="<think>" in text,
        media_position="marker" if MEDIUM in text else "first",
        answer=f"<answer>{SCORE}</answer>",
        texts={"image": text, "video": text},
    )


def _fill(text: str, *, scale: Scale | None) -> str:
    if scale is None:
        return text
    return text.replace("{minimum}", _number(scale.minimum)).replace("{maximum}", _number(scale.maximum))


def _number(bound: float) -> str:
    return str(int(bound)) if float(bound).is_integer() else repr(bound)
