"""Fused scores equal those of all logits, values and gradients, whatever the tiles, and never hold all logits."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from learner.fused import Tile, token_scores
from learner.logprobs import Distribution, TokenScores
from tests.learner.full_logits import UNCHANGED, full_scores

NUM_TOKENS, VOCABULARY, WIDTH = 13, 101, 7
BANNED = (0, 1, 2, 40, 100)
"""Among them the whole of the first tile of three entries, and the last entry of all."""
WARM = Distribution(banned_token_ids=BANNED, temperature=0.7)
TILES: tuple[Tile, ...] = ((13, 101), (4, 101), (13, 8), (5, 3), (1, 1), (64, 4096))


@dataclass(frozen=True, kw_only=True, slots=True)
class Case:
    """Hidden states, a weight, and tokens that are not banned."""

    hidden_ND: Tensor
    weight_VD: Tensor
    token_ids_N: Tensor
    by_logprob_N: Tensor
    """Derivatives of a loss by what is returned."""
    by_entropy_N: Tensor

    def fused(self, *, tile: Tile, distribution: Distribution = WARM, with_entropy: bool = True) -> TokenScores:
        """In tiles."""
        return token_scores(
            self.hidden_ND,
            self.weight_VD,
            self.token_ids_N,
            distribution=distribution,
            with_entropy_gradient=with_entropy,
            tile=tile,
        )

    def full(self, distribution: Distribution = WARM) -> TokenScores:
        """From all logits."""
        return full_scores(self.hidden_ND @ self.weight_VD.T, self.token_ids_N, distribution=distribution)

    def gradients(self, scores: TokenScores, *, with_entropy: bool = True) -> list[Tensor]:
        """Of the loss by hidden states and weight, as far as they want one."""
        loss = (scores.logprobs_N * self.by_logprob_N).sum()
        if with_entropy:
            loss = loss + (scores.entropy_N * self.by_entropy_N).sum()
        wanted = [one for one in (self.hidden_ND, self.weight_VD) if one.requires_grad]
        return list(torch.autograd.grad(loss, wanted))


def make_case(*, dtype: torch.dtype = torch.float64, num_tokens: int = NUM_TOKENS, is_frozen: bool = False) -> Case:
    generator = torch.Generator().manual_seed(num_tokens)
    allowed = torch.tensor([one for one in range(VOCABULARY) if one not in BANNED])
    return Case(
        hidden_ND=torch.randn(num_tokens, WIDTH, generator=generator, dtype=dtype).requires_grad_(),
        weight_VD=torch.randn(VOCABULARY, WIDTH, generator=generator, dtype=dtype).requires_grad_(not is_frozen),
        token_ids_N=allowed[torch.randint(len(allowed), (num_tokens,), generator=generator)],
        by_logprob_N=torch.randn(num_tokens, generator=generator, dtype=dtype),
        by_entropy_N=torch.randn(num_tokens, generator=generator, dtype=dtype),
    )


def assert_close(found: Sequence[Tensor], expected: Sequence[Tensor], *, bound: float) -> None:
    assert len(found) == len(expected)
    for one, other in zip(found, expected, strict=True):
        torch.testing.assert_close(one, other, rtol=bound, atol=bound)


@pytest.mark.parametrize("tile", TILES)
@pytest.mark.parametrize("distribution", [UNCHANGED, WARM])
@pytest.mark.parametrize(("dtype", "bound"), [(torch.float64, 1e-10), (torch.float32, 1e-5)])
def test_scores_and_gradients_equal_those_of_all_logits(
    tile: Tile, distribution: Distribution, dtype: torch.dtype, bound: float
) -> None:
    case = make_case(dtype=dtype)
    found, expected = case.fused(tile=tile, distribution=distribution), case.full(distribution)
    assert_close([found.logprobs_N, found.entropy_N], [expected.logprobs_N, expected.entropy_N], bound=bound)
    assert_close(case.gradients(found), case.gradients(expected), bound=bound)


@pytest.mark.parametrize("with_entropy", [False, True])
@pytest.mark.parametrize("tile", TILES)
def test_under_a_frozen_layer_the_hidden_states_get_the_same_gradient(tile: Tile, *, with_entropy: bool) -> None:
    case = make_case(is_frozen=True)
    found = case.fused(tile=tile, with_entropy=with_entropy)
    expected = case.gradients(case.full(), with_entropy=with_entropy)
    assert_close(case.gradients(found, with_entropy=with_entropy), expected, bound=1e-10)


@pytest.mark.parametrize("is_frozen", [False, True])
@pytest.mark.parametrize("num_tokens", [0, 1])
def test_one_token_and_none_have_scores_and_gradients(num_tokens: int, *, is_frozen: bool) -> None:
    case = make_case(num_tokens=num_tokens, is_frozen=is_frozen)
    found, expected = case.fused(tile=(4, 8), with_entropy=False), case.full()
    assert_close([found.logprobs_N, found.entropy_N], [expected.logprobs_N, expected.entropy_N], bound=1e-10)
    gradients = case.gradients(found, with_entropy=False)
    assert_close(gradients, case.gradients(expected, with_entropy=False), bound=1e-10)


def test_numerical_derivatives_agree() -> None:
    case = make_case()

    def scores(hidden_ND: Tensor, weight_VD: Tensor) -> tuple[Tensor, Tensor]:
        found = token_scores(
            hidden_ND,
            weight_VD,
            case.token_ids_N,
            distribution=WARM,
            with_entropy_gradient=True,
            tile=(5, 8),
        )
        return found.logprobs_N, found.entropy_N

    assert torch.autograd.gradcheck(scores, (case.hidden_ND, case.weight_VD))


def test_the_entropy_has_a_gradient_only_when_asked() -> None:
    case = make_case()
    assert not case.fused(tile=(4, 8), with_entropy=False).entropy_N.requires_grad
    assert case.fused(tile=(4, 8)).entropy_N.requires_grad


def test_the_entropy_of_equal_logits_is_that_of_the_allowed_tokens() -> None:
    case = make_case()
    found = token_scores(
        torch.zeros_like(case.hidden_ND),
        case.weight_VD,
        case.token_ids_N,
        distribution=WARM,
        with_entropy_gradient=False,
        tile=(4, 8),
    )
    expected = torch.full((NUM_TOKENS,), VOCABULARY - len(BANNED), dtype=torch.float64).log()
    torch.testing.assert_close(found.entropy_N, expected)


def test_no_gradient_reaches_a_banned_entry_however_large_its_logit() -> None:
    case = make_case()
    with torch.no_grad():
        case.weight_VD[list(BANNED)] *= 1e4
    _, by_weight_VD = case.gradients(case.fused(tile=(5, 3)))
    assert not by_weight_VD[list(BANNED)].any()
    assert by_weight_VD.isfinite().all()


@pytest.mark.parametrize("weight", [1.0, 10.0, 1e6])
def test_an_entropy_bonus_of_any_weight_has_a_finite_gradient(weight: float) -> None:
    # The logit of a banned token times a weight above 1 once overflowed, and 0 times that was no number.
    case = make_case(dtype=torch.float32)
    found = torch.autograd.grad(weight * case.fused(tile=(4, 8)).entropy_N.sum(), case.hidden_ND)
    (expected,) = torch.autograd.grad(case.full().entropy_N.sum(), case.hidden_ND)
    torch.testing.assert_close(found[0] / weight, expected, rtol=1e-4, atol=1e-5)


def test_logits_of_hundreds_overflow_nothing() -> None:
    case = make_case()
    with torch.no_grad():
        case.hidden_ND.mul_(300.0)
    found, expected = case.fused(tile=(5, 8)), case.full()
    assert_close([found.logprobs_N, found.entropy_N], [expected.logprobs_N, expected.entropy_N], bound=1e-8)
    assert_close(case.gradients(found), case.gradients(expected), bound=1e-8)


@pytest.mark.parametrize("is_frozen", [False, True])
def test_low_precision_logits_are_normalised_in_float32(*, is_frozen: bool) -> None:
    case = make_case(dtype=torch.bfloat16, is_frozen=is_frozen)
    found, expected = case.fused(tile=(5, 8), with_entropy=False), case.full()
    assert found.logprobs_N.dtype == torch.float32
    # The same rounded logits on both sides.
    assert_close([found.logprobs_N, found.entropy_N], [expected.logprobs_N, expected.entropy_N], bound=1e-5)
    gradients = case.gradients(found, with_entropy=False)
    assert_close(gradients, case.gradients(expected, with_entropy=False), bound=0.05)
    assert all(one.dtype == torch.bfloat16 for one in gradients)


class Largest(TorchDispatchMode):
    """Remembers the largest tensor that any operation returned, forward or backward."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.num_values = 0

    def __torch_dispatch__(
        self, func: Callable[..., Any], types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        found = func(*args, **(kwargs or {}))
        sizes = [one.numel() for one in tree_leaves(found) if isinstance(one, Tensor)]
        self.num_values = max([self.num_values, *sizes])
        return found


@pytest.mark.parametrize(("is_frozen", "with_entropy"), [(False, True), (True, True), (True, False)])
def test_no_tensor_is_larger_than_a_tile_or_the_weight(*, is_frozen: bool, with_entropy: bool) -> None:
    case = make_case(num_tokens=200, is_frozen=is_frozen)
    allowed = max(16 * 32, VOCABULARY * WIDTH, 200 * WIDTH)
    with Largest() as seen:
        case.gradients(case.fused(tile=(16, 32), with_entropy=with_entropy), with_entropy=with_entropy)
    assert 16 * 32 <= seen.num_values <= allowed
    with Largest() as seen:
        case.gradients(case.full())
    assert seen.num_values == 200 * VOCABULARY
