"""Forward and backward passes of a model without engine and optimizer, in float32 on the CPU: what benches time."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from learner.head import score, set_scoring_head
from learner.logprobs import Targets, TokenScores
from learner.rows import Row, score_rows
from rollout.families.base import Family, Layout


class PlainPasses:
    """One model of random or given weights, in one layout."""

    def __init__(self, family: Family, *, layout: Layout) -> None:
        self._family, self._layout = family, layout
        self._model = family.load_model(dtype=torch.float32, attention="sdpa", layout=layout).train()
        self._head = set_scoring_head(self._model, head_dtype="model")

    @property
    def num_parameters(self) -> int:
        """Numbers the model holds, tied ones once."""
        return sum(parameter.numel() for parameter in self._model.parameters())

    @property
    def num_threads(self) -> int:
        """Threads it computes with."""
        return torch.get_num_threads()

    def gradient(self, rows: Sequence[Row], *, per_pass: int) -> NDArray[np.float32]:
        """Of the summed log-probs of all completions by all parameters, ``per_pass`` rows at a time."""
        self._model.zero_grad()
        for start in range(0, len(rows), per_pass):
            some = rows[start : start + per_pass]
            scores = score_rows(self._scores, some, family=self._family, layout=self._layout, temperature=1.0)
            torch.autograd.backward(scores.logprobs_BT.sum())
        return torch.cat([one.grad.flatten() for one in self._model.parameters() if one.grad is not None]).numpy()

    def _scores(self, arguments: Mapping[str, Any], targets: Targets) -> TokenScores:
        return score(self._model, self._head, arguments=arguments, targets=targets, device=torch.device("cpu"))
