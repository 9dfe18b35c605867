"""Log-probs of completion tokens from a model's logits, of the distribution the engine samples from.

Logits are wanted only where they predict a completion token: at a vocabulary of 150,000 they are the largest
tensor of a step. ``logit_positions`` says where, ``completion_scores`` reads them.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from rollout.families.base import Place

TokenIds = NDArray[np.int32]
Positions = NDArray[np.int64]
"""``[K]`` places along the rows of a forward pass, ascending, the same ones in each row."""


@dataclass(frozen=True, kw_only=True, slots=True)
class CompletionScores:
    """``[B, T]`` in nats by completion, 0 after its end."""

    logprobs_BT: Tensor
    entropy_BT: Tensor
    """From the same logits; with gradient when asked."""


def logit_positions(places: Sequence[Place]) -> Positions:
    """Positions whose logits predict a token of a completion; siblings may have that of their first in common.

    Raises:
        ValueError: A prompt is empty, so nothing predicts the first completion token.
    """
    if not all(place.prompt.num_tokens for place in places):
        raise ValueError("every prompt needs at least one token to predict the completion from")
    # One for an empty completion too: a forward pass without any logit has no gradient.
    return np.unique(np.concatenate([place.predicting for place in places]))


def completion_scores(
    logits: Tensor,
    *,
    positions: Positions,
    places: Sequence[Place],
    completions: Sequence[TokenIds],
    banned_token_ids: Sequence[int],
    with_entropy_gradient: bool = False,
) -> CompletionScores:
    """Score each completion from logits ``[B, len(positions), V]``, in float32 or wider.

    Banned tokens leave the distribution before it is normalised, because the engine samples without them too.
    The entropy's gradient keeps two more tensors of the logits' size alive until the backward pass.

    Raises:
        ValueError: A completion holds a banned token, which the engine must never emit.
    """
    longest = max(1, *(len(completion) for completion in completions))
    banned = torch.tensor(list(banned_token_ids), dtype=torch.long, device=logits.device)
    rows = [
        _score_row(
            logits[place.prompt.row, torch.from_numpy(np.searchsorted(positions, place.predicting))[: len(completion)]],
            completion,
            banned=banned,
            with_entropy_gradient=with_entropy_gradient,
        )
        for place, completion in zip(places, completions, strict=True)
    ]
    return CompletionScores(
        logprobs_BT=torch.stack([_padded(logprobs, longest) for logprobs, _ in rows]),
        entropy_BT=torch.stack([_padded(entropy, longest) for _, entropy in rows]),
    )


def _score_row(
    logits_TV: Tensor, completion: TokenIds, *, banned: Tensor, with_entropy_gradient: bool
) -> tuple[Tensor, Tensor]:
    tokens_T = torch.from_numpy(completion.astype(np.int64)).to(logits_TV.device)
    if torch.isin(tokens_T, banned).any():
        found = sorted(set(completion.tolist()) & set(banned.tolist()))
        raise ValueError(f"a completion holds the banned tokens {found}; the engine must mask them before it samples")
    wide_TV = logits_TV.to(torch.promote_types(logits_TV.dtype, torch.float32))
    # The smallest finite number, not -inf: exp makes it 0 all the same, and 0 * -inf would spoil the entropy.
    allowed_TV = wide_TV.index_fill(-1, banned, torch.finfo(wide_TV.dtype).min)
    normaliser_T = allowed_TV.logsumexp(-1)
    logprobs_T = allowed_TV.gather(-1, tokens_T[:, None]).squeeze(-1) - normaliser_T
    if with_entropy_gradient:
        probabilities_TV = (allowed_TV - normaliser_T[:, None]).exp()
        return logprobs_T, normaliser_T - (probabilities_TV * allowed_TV).sum(-1)
    with torch.no_grad():
        probabilities_TV = (allowed_TV - normaliser_T[:, None]).exp_()
        entropy_T = normaliser_T - probabilities_TV.mul_(allowed_TV).sum(-1)
    return logprobs_T, entropy_T


def _padded(values_T: Tensor, longest: int) -> Tensor:
    return torch.nn.functional.pad(values_T, (0, longest - values_T.shape[0]))
