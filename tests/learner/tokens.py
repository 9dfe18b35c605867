"""Six completions of up to ten tokens, with everything a policy loss reads."""

import torch
from torch import Tensor

from learner.loss import PolicyTokens

LENGTHS = (10, 7, 1, 4, 9, 2)
NUM_TOKENS = sum(LENGTHS)


def make_tokens(*, dtype: torch.dtype = torch.float64) -> PolicyTokens:
    """Drawn from a fixed generator; policy, engine and reference differ a little."""
    generator = torch.Generator().manual_seed(3)
    old_BT = -torch.rand(6, 10, generator=generator, dtype=torch.float64) * 3.0

    def near(spread: float) -> Tensor:
        return (old_BT + spread * torch.randn(6, 10, generator=generator, dtype=torch.float64)).to(dtype)

    advantages_B = torch.tensor([1.0, -1.0, 0.5, -2.0, 0.0, 0.7], dtype=dtype)
    return PolicyTokens(
        current_BT=near(0.3).requires_grad_(),
        old_BT=old_BT.to(dtype),
        engine_BT=near(0.05),
        reference_BT=near(0.2),
        entropy_BT=torch.rand(6, 10, generator=generator, dtype=torch.float64).to(dtype),
        advantages_BT=advantages_B[:, None].expand(6, 10),
        mask_BT=torch.arange(10)[None, :] < torch.tensor(LENGTHS)[:, None],
    )


def rows(tokens: PolicyTokens, index: Tensor) -> PolicyTokens:
    """Some of the completions, sharing the gradient of the whole."""
    assert tokens.reference_BT is not None
    return PolicyTokens(
        current_BT=tokens.current_BT[index],
        old_BT=tokens.old_BT[index],
        engine_BT=tokens.engine_BT[index],
        reference_BT=tokens.reference_BT[index],
        entropy_BT=tokens.entropy_BT[index],
        advantages_BT=tokens.advantages_BT[index],
        mask_BT=tokens.mask_BT[index],
    )
