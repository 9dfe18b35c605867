"""What a checklist is: yes/no questions about a picture or a video, by dimension and sub-dimension, and gates.

    gate "is a face seen?" --no--> its questions are closed: they say neither yes nor no
    dimension > sub-dimension > question: every yes speaks for the picture

The questions of a graded sub-dimension stand from the strictest to the mildest: a yes to one means a yes to those
behind it. ``[[prompt]]`` in a question stands for the text the picture was made from.
"""

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, model_validator

from conf.errors import did_you_mean

PROMPT = "[[prompt]]"

Kind = Literal["image", "video"]
Name = Annotated[str, StringConstraints(pattern=r"^[a-z0-9_]+$")]
QuestionId = Annotated[str, StringConstraints(pattern=r"^[a-z0-9_]+(\.[a-z0-9_]+)*$")]


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)


class _Asked(_Part):
    id: QuestionId
    """Names the question in weights and results; unlike its place it never changes."""
    text: Annotated[str, StringConstraints(strip_whitespace=True, pattern=r"\?$")]

    @property
    def needs_prompt(self) -> bool:
        """Whether it can only be asked about something made from a prompt."""
        return PROMPT in self.text

    def asked_of(self, prompt: str | None) -> str:
        """The question as it is put.

        Raises:
            ValueError: It quotes the prompt, and there is none.
        """
        if prompt is None and self.needs_prompt:
            raise ValueError(
                f"question {self.id} quotes the prompt and none is known; give one, or use Checklist.without_prompt()"
            )
        return self.text.replace(PROMPT, prompt or "")


class Question(_Asked):
    """A weighted question."""

    counts_as: Literal["sign", "share"] = "sign"
    """On the signed scale p counts as 2p - 1 or, "share", as itself: VisionReward's alignment score is never below
    0."""


class Gate(_Asked):
    """A question without a weight; a no closes others."""

    closes: Annotated[tuple[QuestionId, ...], Field(strict=False, min_length=1)]


class SubDimension(_Part):
    """Questions about one thing."""

    name: Name
    is_graded: bool
    questions: Annotated[tuple[Question, ...], Field(strict=False, min_length=1)]


class Dimension(_Part):
    """One side of quality."""

    name: Name
    sub_dimensions: Annotated[tuple[SubDimension, ...], Field(strict=False, min_length=1)]


@dataclass(frozen=True, kw_only=True, slots=True)
class Placed:
    """A question and where it stands."""

    question: Question
    dimension: str
    sub_dimension: str
    """With its dimension in front: ``quality.sharpness``."""


class Checklist(_Part):
    """A whole set of questions."""

    name: str
    version: Annotated[int, Field(ge=1)]
    """Raised with every change of a question: weights belong to one version."""
    kind: Kind
    gates: Annotated[tuple[Gate, ...], Field(strict=False)] = ()
    dimensions: Annotated[tuple[Dimension, ...], Field(strict=False, min_length=1)]

    @model_validator(mode="after")
    def _names_are_unique_and_known(self) -> Self:
        for what, names in self._names():
            if repeated := [name for name, count in Counter(names).items() if count > 1]:
                raise ValueError(f"{what} must differ, {', '.join(repeated)} occurs more than once")
        for gate in self.gates:
            for closed in gate.closes:
                if closed not in self.ids:
                    raise ValueError(
                        f"gates.{gate.id}.closes: {closed} is no weighted question{did_you_mean(closed, self.ids)}"
                    )
        return self

    def _names(self) -> Iterator[tuple[str, list[str]]]:
        yield "question ids", [*(gate.id for gate in self.gates), *self.ids]
        yield "dimension names", [dimension.name for dimension in self.dimensions]
        for dimension in self.dimensions:
            yield f"sub-dimension names of {dimension.name}", [sub.name for sub in dimension.sub_dimensions]

    @cached_property
    def placed(self) -> tuple[Placed, ...]:
        """The weighted questions in the order of the file."""
        return tuple(
            Placed(question=question, dimension=dimension.name, sub_dimension=f"{dimension.name}.{sub.name}")
            for dimension in self.dimensions
            for sub in dimension.sub_dimensions
            for question in sub.questions
        )

    @cached_property
    def ids(self) -> tuple[str, ...]:
        """Of the weighted questions, in order."""
        return tuple(one.question.id for one in self.placed)

    @cached_property
    def asked(self) -> tuple[Gate | Question, ...]:
        """All that is asked: the gates, then the weighted questions."""
        return (*self.gates, *(one.question for one in self.placed))

    @cached_property
    def gates_of(self) -> Mapping[str, tuple[str, ...]]:
        """By weighted question, the gates that may close it."""
        return {one: tuple(gate.id for gate in self.gates if one in gate.closes) for one in self.ids}

    @property
    def needs_prompt(self) -> bool:
        """Whether a question quotes the prompt."""
        return any(one.needs_prompt for one in self.asked)

    def without_prompt(self) -> "Checklist":
        """The questions that can be asked of a photograph, which nobody described beforehand.

        Raises:
            ValueError: There is no such question.
        """
        return self.keeping({one.id for one in self.asked if not one.needs_prompt})

    def keeping(self, ids: set[str]) -> "Checklist":
        """The same checklist with some of its questions; parts without one are left out.

        Raises:
            ValueError: No weighted question stays.
        """
        dimensions = tuple(kept for one in self.dimensions if (kept := _kept_dimension(one, ids)) is not None)
        if not dimensions:
            raise ValueError(f"checklist {self.name}: no weighted question is left")
        left = {q.id for d in dimensions for s in d.sub_dimensions for q in s.questions}
        closing = [
            gate.model_copy(update={"closes": tuple(one for one in gate.closes if one in left)})
            for gate in self.gates
            if gate.id in ids
        ]
        gates = tuple(gate for gate in closing if gate.closes)
        return Checklist(name=self.name, version=self.version, kind=self.kind, gates=gates, dimensions=dimensions)


def _kept_dimension(dimension: Dimension, ids: set[str]) -> Dimension | None:
    subs = [
        sub.model_copy(update={"questions": questions})
        for sub in dimension.sub_dimensions
        if (questions := tuple(one for one in sub.questions if one.id in ids))
    ]
    return dimension.model_copy(update={"sub_dimensions": tuple(subs)}) if subs else None
