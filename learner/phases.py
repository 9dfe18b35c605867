"""Where in training an optimizer step stands, so that errors can say so. Standard library only."""

from dataclasses import dataclass
from typing import Literal

PhaseName = Literal["warm_up", "cold_start", "rl"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Window:
    """One optimizer step: every micro-batch of every rank whose gradients add up before the weights move."""

    phase: str
    step: int
    learning_rate: float


class NonFiniteStepError(ArithmeticError):
    """A loss or gradient is not a finite number; the weights are not to be trusted any more."""
