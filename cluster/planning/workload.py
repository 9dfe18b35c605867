"""What one RL step samples and learns from, counted in tokens; and how long its completions are.

Lengths are log-normal around their mean, cut at the longest allowed. The expected lengths of ``n`` completions are the
distribution's quantiles in the middle of ``n`` equal shares: the last of many is long, and decodes alone.
"""

import math
from dataclasses import dataclass
from functools import lru_cache
from statistics import NormalDist

import numpy as np
from numpy.typing import NDArray

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]
_MANY = 4096
"""Completions whose mean is taken for the distribution's."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Lengths:
    """How many tokens completions have."""

    mean: float
    spread: float
    """Standard deviation over mean, before the cut."""
    most: int
    """Longer ones are cut."""

    def expected(self, num: int) -> Ints:
        """Those of ``num`` completions, shortest first; their sum is ``num`` times the mean, up to rounding."""
        if self.spread == 0.0:
            return np.full(num, round(self.mean), dtype=np.int64)
        return self._from_normal(np.array(_middle_quantiles(num)), center=_center(self, num))

    def drawn(self, num: int, *, random: np.random.Generator) -> Ints:
        """``num`` at random."""
        if self.spread == 0.0:
            return self.expected(num)
        return self._from_normal(random.standard_normal(num), center=_center(self, _MANY))

    def _from_normal(self, values: Floats, *, center: float) -> Ints:
        raw = np.exp(center + math.sqrt(math.log1p(self.spread**2)) * values)
        return np.clip(np.round(raw), 1, self.most).astype(np.int64)


@lru_cache(maxsize=256)
def _middle_quantiles(num: int) -> tuple[float, ...]:
    normal = NormalDist()
    return tuple(normal.inv_cdf((index + 0.5) / num) for index in range(num))


@lru_cache(maxsize=256)
def _center(lengths: Lengths, num: int) -> float:
    """Mean of the logarithms for which the mean after the cut is the wanted one, by bisection."""
    sigma = math.sqrt(math.log1p(lengths.spread**2))
    grid = np.array(_middle_quantiles(num))
    low, high = math.log(lengths.mean) - sigma**2, math.log(lengths.most) + 8 * sigma + 1
    for _ in range(60):
        middle = (low + high) / 2
        mean = np.clip(np.exp(middle + sigma * grid), 1, lengths.most).mean()
        low, high = (middle, high) if mean < lengths.mean else (low, middle)
    return low


def spread_of(*, mean: float, longest: float, num: int) -> float:
    """The spread with which the longest of ``num`` log-normal lengths is expected to be ``longest``."""
    if num < 2 or longest <= mean:  # one alone has no spread
        return 0.0
    above = NormalDist().inv_cdf((num - 0.5) / num)
    # mean = exp(mu + s^2 / 2) and longest = exp(mu + s * above), so s^2 / 2 - s * above + ln(longest / mean) = 0.
    sigma = above - math.sqrt(max(above**2 - 2 * math.log(longest / mean), 0.0))
    return math.sqrt(math.expm1(sigma**2))


@dataclass(frozen=True, kw_only=True, slots=True)
class Workload:
    """One step's prompts and completions."""

    num_prompts: int
    num_completions: int
    """For each prompt."""
    media_tokens: float
    """Of a prompt's pictures or video."""
    text_tokens: float
    """Of everything else in a prompt."""
    lengths: Lengths

    @property
    def num_sequences(self) -> int:
        """Completions of a step."""
        return self.num_prompts * self.num_completions

    @property
    def prompt_tokens(self) -> float:
        """Of one prompt."""
        return self.media_tokens + self.text_tokens

    @property
    def sampled_tokens(self) -> float:
        """Of all completions of a step."""
        return self.num_sequences * self.lengths.mean
