"""A policy whose probabilities of digits are known."""

import math
import re
from collections.abc import Mapping, Sequence

from rollout.worker_types import ForcedToken


class TableForcer:
    """Looks for a word in what was said before and gives the probabilities of units, tenths and hundredths."""

    def __init__(self, digits_by_word: Mapping[str, Sequence[float]], *, otherwise: Sequence[float]) -> None:
        self._digits_by_word, self._otherwise = dict(digits_by_word), tuple(otherwise)
        self.asked: list[ForcedToken] = []

    async def forced_logprobs(self, tokens: Sequence[ForcedToken]) -> list[float]:
        """Which digit it is shows in what stands before it."""
        self.asked += tokens
        return [math.log(self._digits(one)[_place(one.before)]) for one in tokens]

    def _digits(self, one: ForcedToken) -> Sequence[float]:
        found = (digits for word, digits in self._digits_by_word.items() if word in one.before)
        return next(found, self._otherwise)


def _place(before: str) -> int:
    """0 for units, 1 for tenths, 2 for hundredths."""
    written = re.search(r"(\d\.\d?)?$", before)
    assert written is not None
    return max(0, len(written[0]) - 1)
