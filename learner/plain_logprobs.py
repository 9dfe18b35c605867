"""Log-probs and entropies through all logits at once: what ``learner/fused.py`` is timed against."""

import time
from typing import Literal

import torch
from torch import Tensor

from learner.fused import token_scores
from learner.logprobs import Distribution, TokenScores

Side = Literal["fused", "full"]


class Comparison:
    """Random hidden states, output layer, tokens and derivatives of a loss, for passes of either kind."""

    def __init__(
        self, *, num_tokens: int, vocabulary: int, width: int, banned_token_ids: tuple[int, ...], is_frozen: bool
    ) -> None:
        generator = torch.Generator().manual_seed(0)
        self._hidden_ND = torch.randn(num_tokens, width, generator=generator).requires_grad_()
        # Logits of deviation 1.
        self._weight_VD = torch.randn(vocabulary, width, generator=generator).div_(width**0.5)
        self._weight_VD.requires_grad_(not is_frozen)
        self._token_ids_N = torch.randint(min(banned_token_ids), (num_tokens,), generator=generator)
        self._by_logprob_N = torch.randn(num_tokens, generator=generator)
        self._distribution = Distribution(banned_token_ids=banned_token_ids, temperature=1.0)
        wanted = [self._hidden_ND] if is_frozen else [self._hidden_ND, self._weight_VD]
        self.num_gradient_bytes = sum(one.nbytes for one in wanted)
        """What every pass has to hand over."""

    def seconds(self, side: Side) -> float:
        """One pass forward and backward, whose gradients are dropped."""
        started = time.perf_counter()
        torch.autograd.backward((self._scores(side).logprobs_N * self._by_logprob_N).sum())
        seconds = time.perf_counter() - started
        self._hidden_ND.grad = self._weight_VD.grad = None
        return seconds

    @torch.no_grad()
    def largest_difference(self) -> float:
        """Of a log-prob or an entropy, in nats."""
        fused, full = self._scores("fused"), self._scores("full")
        pairs = ((fused.logprobs_N, full.logprobs_N), (fused.entropy_N, full.entropy_N))
        return max(float((one - other).abs().max()) for one, other in pairs)

    def _scores(self, side: Side) -> TokenScores:
        if side == "full":
            return _full_scores(self._hidden_ND @ self._weight_VD.T, self._token_ids_N, self._distribution)
        return token_scores(
            self._hidden_ND,
            self._weight_VD,
            self._token_ids_N,
            distribution=self._distribution,
            with_entropy_gradient=False,
        )


def _full_scores(logits_NV: Tensor, token_ids_N: Tensor, distribution: Distribution) -> TokenScores:
    banned = torch.tensor(distribution.banned_token_ids, device=logits_NV.device)
    allowed_NV = logits_NV.index_fill(-1, banned, torch.finfo(logits_NV.dtype).min)
    normaliser_N = allowed_NV.logsumexp(-1)
    with torch.no_grad():
        shares_NV = (allowed_NV - normaliser_N[:, None]).exp_()
        entropy_N = normaliser_N - shares_NV.mul_(allowed_NV).sum(-1)
    chosen_N = allowed_NV.gather(-1, token_ids_N[:, None]).squeeze(-1)
    return TokenScores(logprobs_N=chosen_N - normaliser_N, entropy_N=entropy_N)
