"""The frozen model a KL penalty holds the policy against; loaded only when the penalty is on."""

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from learner.head import HeadDtype, score, set_scoring_head
from learner.logprobs import Targets, TokenScores
from learner.rows import Row, score_rows
from rollout.families.base import Family, Layout


class Reference:
    """A whole copy per rank, in evaluation mode, without gradients."""

    def __init__(
        self,
        family: Family,
        *,
        dtype: torch.dtype,
        attention: str,
        device: torch.device,
        layout: Layout,
        head_dtype: HeadDtype,
        temperature: float,
    ) -> None:
        self._family, self._device, self._layout, self._temperature = family, device, layout, temperature
        model = family.load_model(dtype=dtype, attention=attention, layout=layout)
        self._model = model.requires_grad_(False).eval().to(device)
        self._head = set_scoring_head(self._model, head_dtype=head_dtype)

    @torch.no_grad()
    def logprobs(self, rows: Sequence[Row]) -> Tensor:
        """``[B, T]`` nats, of the same distribution as the policy's: at its temperature, without the banned tokens."""
        return score_rows(
            self._scores, rows, family=self._family, layout=self._layout, temperature=self._temperature
        ).logprobs_BT

    def _scores(self, arguments: Mapping[str, Any], targets: Targets) -> TokenScores:
        return score(self._model, self._head, arguments=arguments, targets=targets, device=self._device)
