"""DAPO's soft penalty on long completions (arXiv 2503.14476, equation 13)."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from conf.reward_terms import OverlongTermConfig
from rollout.types import Completion, RolloutGroup


def overlong_penalties(lengths: NDArray[np.int64], *, max_tokens: int, cache_tokens: int) -> NDArray[np.float64]:
    """0 up to ``max_tokens - cache_tokens``, then falling linearly to -1 at ``max_tokens``, and -1 from there on."""
    return np.clip((max_tokens - cache_tokens - lengths) / cache_tokens, -1.0, 0.0)


class OverlongTerm:
    """Makes the last tokens before the limit dear, instead of letting the limit cut without a warning."""

    def __init__(self, config: OverlongTermConfig) -> None:
        self._max_tokens, self._cache_tokens = config.max_tokens, config.cache_tokens

    async def score(self, groups: Sequence[RolloutGroup]) -> list[list[float | None]]:
        """Return a penalty in -1..0 per completion; never abstains.

        Raises:
            ValueError: A completion came as text alone.
        """
        return [self._score_group([_num_tokens(c) for c in group.completions]) for group in groups]

    def _score_group(self, lengths: Sequence[int]) -> list[float | None]:
        penalties = overlong_penalties(
            np.array(lengths, dtype=np.int64), max_tokens=self._max_tokens, cache_tokens=self._cache_tokens
        )
        return list(penalties.tolist())


def _num_tokens(completion: Completion) -> int:
    if completion.text and not completion.token_ids.size:
        raise ValueError(
            "the overlong term counts tokens, and this completion came as text alone; a reward server cannot offer it"
        )
    return int(completion.token_ids.size)
