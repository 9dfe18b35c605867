"""Log-probs and entropies of given tokens from hidden states and the output layer's weight, in one pass over tiles.

    tile of tokens x vocabulary --> logits --> running maximum, normaliser, mean logit --> log-prob, entropy

``[tokens, vocabulary]`` is never held: the backward pass computes each tile's logits again. Under a frozen output layer
it needs none: the gradient of a log-prob by its hidden state is the token's row of the weight less the mean row, which
the forward pass adds up beside the normaliser.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from learner.logprobs import Distribution, TokenScores

Tile = tuple[int, int]
"""Tokens and entries of the vocabulary whose logits are computed at a time."""
CPU_TILE: Tile = (512, 1024)
"""2 MiB in float32: it stays in a cache between the passes over it."""
GPU_TILE: Tile = (2048, 16384)
"""128 MiB in float32: few launches, and every one fills the device."""

# Its exponential is 0 next to any real logit, and its multiples stay finite: 0 times infinity would be no number.
_BANNED_LOGIT = -1e30


def token_scores(
    hidden_ND: Tensor,
    weight_VD: Tensor,
    token_ids_N: Tensor,
    *,
    distribution: Distribution,
    with_entropy_gradient: bool,
    tile: Tile | None = None,
) -> TokenScores:
    """Score one token at each hidden state: logits in the dtype of these, everything after in float32 or wider.

    The size of ``tile`` changes memory and speed.
    """
    if tile is None:
        tile = CPU_TILE if hidden_ND.device.type == "cpu" else GPU_TILE
    tiling = _Tiling(
        token_ids_N=token_ids_N, distribution=distribution, with_entropy_gradient=with_entropy_gradient, tile=tile
    )
    logprobs_N, entropy_N = _Scores.apply(hidden_ND, weight_VD, tiling)  # type: ignore[no-untyped-call]
    return TokenScores(logprobs_N=logprobs_N, entropy_N=entropy_N)


class _Scores(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,  # noqa: ANN401 - torch's own, which takes any attribute
        hidden_ND: Tensor,
        weight_VD: Tensor,
        tiling: "_Tiling",
    ) -> tuple[Tensor, Tensor]:
        needs_hidden, needs_weight, _ = ctx.needs_input_grad
        ctx.tiling, ctx.hidden_dtype = tiling, hidden_ND.dtype
        ctx.keeps_slopes = needs_hidden and not needs_weight and not tiling.with_entropy_gradient
        sums = _Sums(hidden_ND, with_rows=ctx.keeps_slopes)
        for part in tiling.parts(hidden_ND, weight_VD):
            sums.add(part)
        entropy_N = sums.entropy()
        if ctx.keeps_slopes:
            slopes_ND = weight_VD[tiling.token_ids_N] - sums.mean_rows()
            ctx.save_for_backward(slopes_ND.div_(tiling.distribution.temperature))
        else:
            ctx.save_for_backward(hidden_ND, weight_VD, sums.normaliser(), entropy_N)
        if not tiling.with_entropy_gradient:
            ctx.mark_non_differentiable(entropy_N)
        return sums.logprobs(), entropy_N

    @staticmethod
    @once_differentiable
    def backward(
        ctx: Any,  # noqa: ANN401
        logprob_gradient_N: Tensor,
        entropy_gradient_N: Tensor,
    ) -> tuple[Tensor | None, Tensor | None, None]:
        if ctx.keeps_slopes:
            (slopes_ND,) = ctx.saved_tensors
            return (logprob_gradient_N[:, None] * slopes_ND).to(ctx.hidden_dtype), None, None
        hidden_ND, weight_VD, normaliser_N, entropy_N = ctx.saved_tensors
        temperature = ctx.tiling.distribution.temperature
        loss = _Loss(
            normaliser_N=normaliser_N,
            entropy_N=entropy_N,
            by_logprob_N=logprob_gradient_N / temperature,
            by_entropy_N=entropy_gradient_N / temperature if ctx.tiling.with_entropy_gradient else None,
        )
        gradients = _Gradients(hidden_ND, weight_VD, needed=ctx.needs_input_grad[:2])
        for part in ctx.tiling.parts(hidden_ND, weight_VD):
            gradients.add(part, loss.by_logit(part))
        return gradients.hidden(), gradients.weight_VD, None


@dataclass(frozen=True, kw_only=True, slots=True)
class _Part:
    """A tile: the logits of some tokens for some of the vocabulary, until the next one is asked for."""

    tokens: slice
    entries: slice
    hidden_nD: Tensor
    weight_vD: Tensor
    logits_nv: Tensor
    """As they are normalised, in float32 or wider; whoever is given a part may overwrite them."""
    spare_nv: Tensor
    """Room for as many again."""
    is_here_n: Tensor
    """Whether the token to score is among the entries."""
    place_n: Tensor
    """Which one it is; any where it is not."""


@dataclass(frozen=True, kw_only=True, slots=True)
class _Tiling:
    token_ids_N: Tensor
    distribution: Distribution
    with_entropy_gradient: bool
    tile: Tile

    def parts(self, hidden_ND: Tensor, weight_VD: Tensor) -> Iterator[_Part]:
        """All tiles; those of the same entries follow each other, so that a piece of the weight is read once.

        They share their memory: giving it back and asking for it again takes longer than what is done in it.
        """
        rooms = _Rooms(hidden_ND, size=min(self.tile[0], len(hidden_ND)) * min(self.tile[1], len(weight_VD)))
        for entries in _slices(len(weight_VD), self.tile[1]):
            weight_vD = weight_VD[entries].to(hidden_ND.dtype)
            for tokens in _slices(len(hidden_ND), self.tile[0]):
                place_n = self.token_ids_N[tokens] - entries.start
                is_here_n = (place_n >= 0) & (place_n < len(weight_vD))
                yield _Part(
                    tokens=tokens,
                    entries=entries,
                    hidden_nD=hidden_ND[tokens],
                    weight_vD=weight_vD,
                    logits_nv=self._logits(hidden_ND[tokens], weight_vD, first=entries.start, rooms=rooms),
                    spare_nv=_shaped(rooms.spare, len(place_n), len(weight_vD)),
                    is_here_n=is_here_n,
                    place_n=place_n.where(is_here_n, 0),
                )

    def _logits(self, hidden_nD: Tensor, weight_vD: Tensor, *, first: int, rooms: "_Rooms") -> Tensor:
        shape = (len(hidden_nD), len(weight_vD))
        product_nv = torch.mm(hidden_nD, weight_vD.T, out=_shaped(rooms.product, *shape))
        logits_nv = product_nv if rooms.logits is rooms.product else _shaped(rooms.logits, *shape).copy_(product_nv)
        if self.distribution.temperature != 1.0:
            logits_nv /= self.distribution.temperature
        banned = [one - first for one in self.distribution.banned_token_ids if 0 <= one - first < len(weight_vD)]
        if banned:
            logits_nv[:, banned] = _BANNED_LOGIT
        return logits_nv


class _Rooms:
    """Memory for a tile, flat: its product in the model's dtype, its logits, which are the same where that is wide, and
    as much again."""

    def __init__(self, hidden_ND: Tensor, *, size: int) -> None:
        wide = _wide(hidden_ND.dtype)
        self.product = hidden_ND.new_empty(size)
        self.logits = self.product if wide == hidden_ND.dtype else hidden_ND.new_empty(size, dtype=wide)
        self.spare = torch.empty_like(self.logits)


class _Sums:
    """Over the entries seen so far, of ``e = exp(logit - largest logit)``: of e, of e times that difference, and with
    rows of e times the entry's row of the weight."""

    def __init__(self, hidden_ND: Tensor, *, with_rows: bool) -> None:
        wide = _wide(hidden_ND.dtype)
        self._total_N = torch.zeros(len(hidden_ND), dtype=wide, device=hidden_ND.device)
        self._moment_N, self._chosen_N = torch.zeros_like(self._total_N), torch.zeros_like(self._total_N)
        self._top_N = torch.full_like(self._total_N, _BANNED_LOGIT)
        self._rows_ND = torch.zeros_like(hidden_ND, dtype=wide) if with_rows else None

    def add(self, part: _Part) -> None:
        at = part.tokens
        chosen_n = part.logits_nv.gather(1, part.place_n[:, None]).squeeze(1)
        self._chosen_N[at] += chosen_n * part.is_here_n
        top_n = torch.maximum(self._top_N[at], part.logits_nv.amax(1))
        rise_n = self._top_N[at] - top_n
        shrink_n = rise_n.exp()
        below_nv = part.logits_nv.sub_(top_n[:, None])
        shares_nv = torch.exp(below_nv, out=part.spare_nv)
        if self._rows_ND is not None:
            self._rows_ND[at] *= shrink_n[:, None]
            _add_product(self._rows_ND[at], shares_nv, part.weight_vD)
        self._moment_N[at] = (self._moment_N[at] + self._total_N[at] * rise_n) * shrink_n
        self._total_N[at] = self._total_N[at] * shrink_n + shares_nv.sum(1)
        self._moment_N[at] += shares_nv.mul_(below_nv).sum(1)
        self._top_N[at] = top_n

    def normaliser(self) -> Tensor:
        return self._top_N + self._total_N.log()

    def logprobs(self) -> Tensor:
        return self._chosen_N - self._top_N - self._total_N.log()

    def entropy(self) -> Tensor:
        return self._total_N.log() - self._moment_N / self._total_N

    def mean_rows(self) -> Tensor:
        assert self._rows_ND is not None
        return self._rows_ND / self._total_N[:, None]


@dataclass(frozen=True, kw_only=True, slots=True)
class _Loss:
    """Its derivatives by what was returned, and what those by the logits are made of."""

    normaliser_N: Tensor
    entropy_N: Tensor
    by_logprob_N: Tensor
    by_entropy_N: Tensor | None

    def by_logit(self, part: _Part) -> Tensor:
        """``[n, v]``: a log-prob's derivative is 1 - p for its token and -p for others, an entropy's -p (log p + H)."""
        at = part.tokens
        by_logprob_n = self.by_logprob_N[at]
        logprobs_nv = part.logits_nv.sub_(self.normaliser_N[at, None])
        found_nv = torch.exp(logprobs_nv, out=part.spare_nv)
        if self.by_entropy_N is None:
            found_nv *= -by_logprob_n[:, None]
        else:
            by_entropy_n = self.by_entropy_N[at]
            # p log p first: it is 0 for a banned token, whose logit no gradient may meet.
            terms_nv = logprobs_nv.mul_(found_nv)
            found_nv *= -(by_logprob_n + by_entropy_n * self.entropy_N[at])[:, None]
            found_nv.addcmul_(terms_nv, by_entropy_n[:, None], value=-1.0)
        return found_nv.scatter_add_(1, part.place_n[:, None], (by_logprob_n * part.is_here_n)[:, None])


class _Gradients:
    """Of the hidden states and of the weight, where needed; each is added up in float32 or wider."""

    def __init__(self, hidden_ND: Tensor, weight_VD: Tensor, *, needed: tuple[bool, bool]) -> None:
        self._dtype = hidden_ND.dtype
        self._hidden_ND = torch.zeros_like(hidden_ND, dtype=_wide(hidden_ND.dtype)) if needed[0] else None
        self.weight_VD = torch.zeros_like(weight_VD) if needed[1] else None
        self._weight_vD: Tensor | None = None

    def add(self, part: _Part, by_logit_nv: Tensor) -> None:
        if self._hidden_ND is not None:
            _add_product(self._hidden_ND[part.tokens], by_logit_nv, part.weight_vD)
        if self.weight_VD is None:
            return
        # Over the tokens of the same entries, which follow each other.
        if self._weight_vD is None or part.tokens.start == 0:
            self._weight_vD = torch.zeros_like(part.weight_vD, dtype=by_logit_nv.dtype)
        _add_product(self._weight_vD, by_logit_nv.T, part.hidden_nD)
        self.weight_VD[part.entries] = self._weight_vD

    def hidden(self) -> Tensor | None:
        return None if self._hidden_ND is None else self._hidden_ND.to(self._dtype)


def _add_product(total: Tensor, left: Tensor, right: Tensor) -> None:
    """Add ``left @ right``, multiplied in the dtype of ``right``, the model's."""
    if total.dtype == right.dtype:
        total.addmm_(left, right)
    else:
        total += left.to(right.dtype) @ right


def _shaped(room: Tensor, num_rows: int, num_columns: int) -> Tensor:
    return room[: num_rows * num_columns].view(num_rows, num_columns)


def _slices(length: int, step: int) -> Iterator[slice]:
    for start in range(0, length, step):
        yield slice(start, min(start + step, length))


def _wide(dtype: torch.dtype) -> torch.dtype:
    return torch.promote_types(dtype, torch.float32)
