"""How much scores differ: between answers to one picture, and between pictures.

A judge that gives every picture the same score earns 0.71 from the ranking reward; only the spread
across pictures shows it.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True, kw_only=True, slots=True)
class Spread:
    """Unbiased standard deviations, in units of the scale; None where nothing has two values."""

    within: float | None
    """Mean over pictures of the deviation among a picture's own scores (pictures with two or more)."""
    across: float | None
    """Deviation among the pictures' mean scores (pictures with at least one)."""


def score_spread(scores: Sequence[Sequence[float]]) -> Spread:
    """Spread of the parsed scores of each picture."""
    deviations = [float(np.std(row, ddof=1)) for row in scores if len(row) >= 2]
    means = [float(np.mean(row)) for row in scores if row]
    return Spread(
        within=float(np.mean(deviations)) if deviations else None,
        across=float(np.std(means, ddof=1)) if len(means) >= 2 else None,
    )
