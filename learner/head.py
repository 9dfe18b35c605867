"""The output layer of a causal language model, made to score given tokens instead of returning logits.

    set_scoring_head(model) --> model.lm_head is a ScoringHead with the same weight under the same name
    score(model, head, ...) --> the model's own forward pass, its last layer fused with the log-probs

Scores are computed inside the layer that owns the weight, so that DeepSpeed gathers and releases it as that of any
other layer, tied to the embedding or not.
"""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Literal

import torch
from torch import Tensor
from torch.nn import Linear, Module
from transformers import PreTrainedModel

from learner.fused import token_scores
from learner.logprobs import Targets, TokenScores

HeadDtype = Literal["model", "float32"]
"""In which logits are computed (``LearnerConfig.head_dtype``)."""


class ScoringHead(Module):
    """An output layer without bias."""

    def __init__(self, layer: Linear, *, is_float32: bool) -> None:
        super().__init__()
        self.weight = layer.weight
        self._is_float32 = is_float32
        self._targets: Targets | None = None

    @contextmanager
    def scoring(self, targets: Targets) -> Iterator[None]:
        """Say what the next forward pass scores: models hand their output layer hidden states and nothing else."""
        self._targets = targets
        try:
            yield
        finally:
            self._targets = None

    def forward(self, hidden_BSD: Tensor) -> Tensor:
        """``[2, N]`` log-probs and entropies of the targets."""
        targets = self._targets
        if targets is None:
            raise RuntimeError("say what to score: with head.scoring(targets)")
        rows_N, positions_N, token_ids_N = (
            torch.from_numpy(one).to(hidden_BSD.device)
            for one in (targets.rows_N, targets.positions_N, targets.token_ids_N)
        )
        hidden_ND = hidden_BSD[rows_N, positions_N]
        found = token_scores(
            hidden_ND.float() if self._is_float32 else hidden_ND,
            self.weight,
            token_ids_N,
            distribution=targets.distribution,
            with_entropy_gradient=targets.with_entropy_gradient,
        )
        return torch.stack([found.logprobs_N, found.entropy_N])


def set_scoring_head(model: Module, *, head_dtype: HeadDtype) -> ScoringHead:
    """Replace the output layer of ``model``; no parameter changes, nor any name.

    Raises:
        TypeError: It is no transformers model with a plain linear output layer.
    """
    if not isinstance(model, PreTrainedModel):
        raise TypeError(f"expected a transformers model, got {type(model).__name__}")
    layer = model.get_output_embeddings()
    if not isinstance(layer, Linear) or len(list(layer.parameters())) != 1:
        raise TypeError(f"{type(model).__name__}: expected a linear output layer without bias, got {layer}")
    head = ScoringHead(layer, is_float32=head_dtype == "float32")
    model.set_output_embeddings(head)
    return head


def score(
    model: Callable[..., Any],
    head: ScoringHead,
    *,
    arguments: Mapping[str, Tensor],
    targets: Targets,
    device: torch.device,
) -> TokenScores:
    """Forward pass of the model that ``head`` sits in, or of an engine around it."""
    moved = {name: tensor.to(device, non_blocking=True) for name, tensor in arguments.items()}
    with head.scoring(targets):
        logprobs_N, entropy_N = model(**moved, use_cache=False).logits
    return TokenScores(
        logprobs_N=logprobs_N, entropy_N=entropy_N if targets.with_entropy_gradient else entropy_N.detach()
    )
