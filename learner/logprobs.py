"""Which tokens of a forward pass are scored, and their scores by completion.

The layout of the rows is known here alone; what scores gets plain arrays of places and tokens, one for each completion
token.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from rollout.families.base import Place

TokenIds = NDArray[np.int32]
Indices = NDArray[np.int64]


@dataclass(frozen=True, kw_only=True, slots=True)
class Distribution:
    """What the engine makes of logits before it draws a token."""

    banned_token_ids: tuple[int, ...]
    """They leave the distribution before it is normalised."""
    temperature: float
    """Logits are divided by it."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Targets:
    """The tokens to score, all completions end to end."""

    rows_N: Indices
    """Of the hidden states ``[B, S, D]`` that predict them."""
    positions_N: Indices
    token_ids_N: Indices
    distribution: Distribution
    with_entropy_gradient: bool


@dataclass(frozen=True, kw_only=True, slots=True)
class TokenScores:
    """In nats, of the engine's distribution, in float32 or wider."""

    logprobs_N: Tensor
    entropy_N: Tensor
    """Of the whole distribution at each token; with gradient when asked."""


@dataclass(frozen=True, kw_only=True, slots=True)
class CompletionScores:
    """The same ``[B, T]`` by completion, 0 after its end."""

    logprobs_BT: Tensor
    entropy_BT: Tensor


def targets_of(
    places: Sequence[Place],
    completions: Sequence[TokenIds],
    *,
    distribution: Distribution,
    with_entropy_gradient: bool = False,
) -> Targets:
    """Every completion's tokens, and where they are predicted; siblings have the place of their first in common.

    Raises:
        ValueError: A prompt is empty, so nothing predicts the first completion token; or a completion holds a banned
            token, which the engine must never emit.
    """
    if not all(place.prompt.num_tokens for place in places):
        raise ValueError("every prompt needs at least one token to predict the completion from")
    pairs = list(zip(places, completions, strict=True))
    token_ids_N = np.concatenate([completion.astype(np.int64) for completion in completions])
    if found := sorted(set(token_ids_N.tolist()) & set(distribution.banned_token_ids)):
        raise ValueError(f"a completion holds the banned tokens {found}; the engine must mask them before it samples")
    return Targets(
        rows_N=np.concatenate([np.full(len(one), place.prompt.row) for place, one in pairs]),
        positions_N=np.concatenate([place.predicting[: len(one)] for place, one in pairs]),
        token_ids_N=token_ids_N,
        distribution=distribution,
        with_entropy_gradient=with_entropy_gradient,
    )


def by_completion(scores: TokenScores, completions: Sequence[TokenIds]) -> CompletionScores:
    """The scores of ``targets_of`` these completions, each in a row of its own."""
    lengths = [len(completion) for completion in completions]
    return CompletionScores(
        logprobs_BT=_in_rows(scores.logprobs_N, lengths), entropy_BT=_in_rows(scores.entropy_N, lengths)
    )


def _in_rows(values_N: Tensor, lengths: Sequence[int]) -> Tensor:
    longest = max(1, *lengths)
    rows = values_N.split(list(lengths))
    return torch.stack([torch.nn.functional.pad(row, (0, longest - len(row))) for row in rows])
