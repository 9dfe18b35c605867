"""Faults a rule server can be told to have: the same seed gives the same request the same fate, whatever the order.

A request's fate depends on the seed, on what it says and on how often that was said before, so that asking again
may help, and requests that cross one another change nothing.
"""

import hashlib
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, get_args

Fate = Literal["answer", "wrong", "error", "hang", "garbage", "rate_limit"]
FATES: tuple[Fate, ...] = get_args(Fate)


@dataclass(frozen=True, kw_only=True, slots=True)
class Faults:
    """How often what goes wrong; fractions are of requests."""

    seed: int
    wrong_fraction: float
    """Another verdict than the rules give."""
    error_fraction: float
    """HTTP 500."""
    hang_fraction: float
    """No reply for as long as the client waits."""
    garbage_fraction: float
    """A reply that is no verdict."""
    rate_limit_fraction: float
    """HTTP 429."""
    num_first: int
    """The fate of so many requests is settled before any fraction counts."""
    first_fate: Fate
    """What happens to those."""

    def __post_init__(self) -> None:
        shares = self.shares
        if any(not 0 <= share <= 1 for share in shares.values()) or sum(shares.values()) > 1 + 1e-9:
            raise ValueError(f"fractions of faults must lie in 0..1 and add up to at most 1, got {dict(shares)}")

    @property
    def shares(self) -> Mapping[Fate, float]:
        """Share of requests by what happens to them; the rest is answered."""
        return {
            "wrong": self.wrong_fraction,
            "error": self.error_fraction,
            "hang": self.hang_fraction,
            "garbage": self.garbage_fraction,
            "rate_limit": self.rate_limit_fraction,
        }


class Fates:
    """Decides what becomes of each request."""

    def __init__(self, faults: Faults) -> None:
        self._faults = faults
        self._num_said: Counter[str] = Counter()
        self._num_requests = 0

    def decide(self, content: str) -> Fate:
        """The fate of the next request, which says ``content``."""
        faults = self._faults
        self._num_requests += 1
        if self._num_requests <= faults.num_first:
            return faults.first_fate
        self._num_said[content] += 1
        share = _share(f"{faults.seed}/{self._num_said[content]}/{content}")
        for fate, fraction in faults.shares.items():
            if share < fraction:
                return fate
            share -= fraction
        return "answer"


def _share(text: str) -> float:
    """A number in [0, 1) that is evenly spread over texts."""
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:6], "big") / 2**48
