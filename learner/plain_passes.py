"""Forward and backward passes of a model without engine and optimizer, in float32 on the CPU: what benches time."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from learner.logprobs import Positions
from learner.rows import Row, score_rows
from rollout.families.base import Family, Layout


class PlainPasses:
    """One model of random or given weights, in one layout."""

    def __init__(self, family: Family, *, layout: Layout) -> None:
        self._family, self._layout = family, layout
        self._model = family.load_model(dtype=torch.float32, attention="sdpa", layout=layout).train()

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
            scores = score_rows(self._logits, some, family=self._family, layout=self._layout)
            torch.autograd.backward(scores.logprobs_BT.sum())
        return torch.cat([one.grad.flatten() for one in self._model.parameters() if one.grad is not None]).numpy()

    def _logits(self, arguments: Mapping[str, Any], positions: Positions) -> Tensor:
        logits: Tensor = self._model(**arguments, logits_to_keep=torch.from_numpy(positions), use_cache=False).logits
        return logits
