"""The frozen model a KL penalty holds the policy against; loaded only when the penalty is on."""

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from learner.logprobs import Positions
from learner.rows import Row, score_rows
from rollout.families.base import Family, Layout


class Reference:
    """A whole copy per rank, in evaluation mode, without gradients."""

    def __init__(
        self, family: Family, *, dtype: torch.dtype, attention: str, device: torch.device, layout: Layout
    ) -> None:
        self._family, self._device, self._layout = family, device, layout
        model = family.load_model(dtype=dtype, attention=attention, layout=layout)
        self._model = model.requires_grad_(False).eval().to(device)

    @torch.no_grad()
    def logprobs(self, rows: Sequence[Row]) -> Tensor:
        """``[B, T]`` nats, of the same distribution as the policy's: without the banned tokens."""
        return score_rows(self._logits, rows, family=self._family, layout=self._layout).logprobs_BT

    def _logits(self, arguments: Mapping[str, Any], positions: Positions) -> Tensor:
        moved = {name: tensor.to(self._device) for name, tensor in arguments.items()}
        keep = torch.from_numpy(positions).to(self._device)
        logits: Tensor = self._model(**moved, logits_to_keep=keep, use_cache=False).logits
        return logits
