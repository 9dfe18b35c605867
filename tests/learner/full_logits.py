"""The scores of tokens by the book, from all logits at once: what fused scores are held against."""

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from learner.logprobs import Distribution, Targets, TokenScores
from learner.rows import ScoresOf

UNCHANGED = Distribution(banned_token_ids=(), temperature=1.0)


def full_scores(logits_NV: Tensor, token_ids: Sequence[int] | Tensor, *, distribution: Distribution) -> TokenScores:
    """A log-softmax over the tokens that are left, and the entropy by its definition."""
    wide_NV = logits_NV.to(torch.promote_types(logits_NV.dtype, torch.float32)) / distribution.temperature
    banned_V = torch.zeros(wide_NV.shape[1], dtype=torch.bool)
    banned_V[list(distribution.banned_token_ids)] = True
    allowed = (~banned_V).nonzero().squeeze(1).to(wide_NV.device)
    logprobs_NA = wide_NV[:, allowed].log_softmax(-1)
    place_V = banned_V.logical_not().cumsum(0).sub(1).to(wide_NV.device)
    place_N = place_V[torch.as_tensor(token_ids).to(wide_NV.device)]
    return TokenScores(
        logprobs_N=logprobs_NA.gather(1, place_N[:, None]).squeeze(1),
        entropy_N=-(logprobs_NA.exp() * logprobs_NA).sum(1),
    )


def scores_by_the_book(model: Any, *, device: str = "cpu") -> ScoresOf:
    """For ``score_rows``: the model as it was loaded, with an output layer of its own."""

    def scores_of(arguments: Mapping[str, Tensor], targets: Targets) -> TokenScores:
        moved = {name: tensor.to(device) for name, tensor in arguments.items()}
        logits_BSV: Tensor = model(**moved, use_cache=False).logits
        return full_scores(
            logits_BSV[torch.from_numpy(targets.rows_N), torch.from_numpy(targets.positions_N)],
            torch.from_numpy(targets.token_ids_N),
            distribution=targets.distribution,
        )

    return scores_of
