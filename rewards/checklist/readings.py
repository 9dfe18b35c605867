"""Answers as a checklist reads them: by question, the probability of yes, or why the question says nothing.

A gate is open when yes is likelier than no. A closed question needs no answer; one whose gate has no usable answer says
nothing, whatever its own answer is.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from conf.errors import did_you_mean
from rewards.checklist.answers import Answer
from rollout.checklist.questions import Checklist, Placed

ReadingStatus = Literal["counted", "closed", "missing", "unknown", "failed", "gate_unusable"]
Units = Literal["zero_one", "signed"]
"""A yes is 1 and a no 0, as in the paper, or -1, as in the released code; a closed question is 0 in both, which is a no
in one and midway in the other."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Reading:
    """One weighted question."""

    placed: Placed
    status: ReadingStatus
    p_yes: float | None
    """None unless counted."""

    @property
    def is_usable(self) -> bool:
        """Whether it is known what the question adds to a score; a closed one adds nothing."""
        return self.status in ("counted", "closed")

    def value(self, units: Units) -> float:
        """What the weight is multiplied by.

        Raises:
            ValueError: The answer is not usable.
        """
        if not self.is_usable:
            raise ValueError(f"question {self.placed.question.id} has no value, its answer is {self.status}")
        if self.p_yes is None:
            return 0.0
        is_signed = units == "signed" and self.placed.question.counts_as == "sign"
        return 2.0 * self.p_yes - 1.0 if is_signed else self.p_yes


def read_answers(answers: Mapping[str, Answer], *, checklist: Checklist, applies_gates: bool) -> tuple[Reading, ...]:
    """A reading per weighted question, in the checklist's order.

    Raises:
        ValueError: There is an answer to a question that the checklist does not have.
    """
    known = {one.id for one in checklist.asked}
    if unknown := [one for one in answers if one not in known]:
        raise ValueError(
            f"{len(unknown)} answers are to no question of checklist {checklist.name}, the first to {unknown[0]!r}"
            f"{did_you_mean(unknown[0], known)}"
        )
    gates = checklist.gates if applies_gates else ()
    is_open = {gate.id: _is_open(answers.get(gate.id)) for gate in gates}
    return tuple(
        _reading(placed, answers.get(one), gates=[is_open[gate] for gate in checklist.gates_of[one] if gate in is_open])
        for one, placed in zip(checklist.ids, checklist.placed, strict=True)
    )


def feature_vector(readings: Sequence[Reading], *, units: Units) -> NDArray[np.float64] | None:
    """The value of every question, ``[Q]``; None where one is unusable."""
    if not all(one.is_usable for one in readings):
        return None
    return np.array([one.value(units) for one in readings], dtype=np.float64)


def _is_open(answer: Answer | None) -> bool | None:
    return None if answer is None or answer.p_yes is None else answer.p_yes > 0.5


def _reading(placed: Placed, answer: Answer | None, *, gates: Sequence[bool | None]) -> Reading:
    if False in gates:
        return Reading(placed=placed, status="closed", p_yes=None)
    if None in gates:
        return Reading(placed=placed, status="gate_unusable", p_yes=None)
    if answer is None:
        return Reading(placed=placed, status="missing", p_yes=None)
    status: ReadingStatus = "counted" if answer.status == "ok" else answer.status
    return Reading(placed=placed, status=status, p_yes=answer.p_yes)
