"""Completions as rows of a forward pass: encoded once per prompt, scored in one call.

``Row`` is what a model needs to score one completion. The policy, the KL reference and the parity gate all go
through ``score_rows``, so they mean the same log-prob.
"""

from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from learner.logprobs import CompletionScores, Distribution, Targets, TokenIds, TokenScores, by_completion, targets_of
from rollout.families.base import EncodedPrompt, Family, Span, lay_out
from rollout.types import Prompt

ScoresOf = Callable[[Mapping[str, Tensor], Targets], TokenScores]
"""A model's forward pass: arguments and the tokens to score."""

CACHE_BYTES = 256 * 2**20
"""Pixels kept between steps; supervised phases see the same pictures many times."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Row:
    """A prompt as the model sees it, and the completion to score."""

    prompt: EncodedPrompt
    completion: TokenIds


class PromptEncoder:
    """Encodes each distinct prompt once while it is remembered; the least recently used are forgotten."""

    def __init__(self, family: Family, *, max_bytes: int = CACHE_BYTES) -> None:
        self._family, self._max_bytes = family, max_bytes
        self._encoded: OrderedDict[Prompt, EncodedPrompt] = OrderedDict()
        self._num_bytes = 0

    def encode(self, prompt: Prompt) -> EncodedPrompt:
        """Tokens and pixels of ``prompt``."""
        known = self._encoded.get(prompt)
        if known is not None:
            self._encoded.move_to_end(prompt)
            return known
        encoded = self._family.encode(prompt)
        self._encoded[prompt] = encoded
        self._num_bytes += _num_bytes(encoded)
        while self._num_bytes > self._max_bytes and len(self._encoded) > 1:
            _, oldest = self._encoded.popitem(last=False)
            self._num_bytes -= _num_bytes(oldest)
        return encoded

    def num_tokens(self, prompt: Prompt) -> int:
        """Length of the prompt, which is only encoded where it is scored."""
        known = self._encoded.get(prompt)
        return self._family.count_tokens(prompt) if known is None else len(known.token_ids)

    def encode_as_sampled(self, prompt: Prompt, prompt_token_ids: NDArray[np.int32]) -> EncodedPrompt:
        """The same, checked against the tokens the engine sampled from.

        Raises:
            ValueError: Engine and trainer encode the prompt differently; its log-probs would mean nothing.
        """
        encoded = self.encode(prompt)
        if not np.array_equal(encoded.token_ids, prompt_token_ids):
            raise ValueError(
                f"prompt {prompt.prompt_id}: the engine saw {len(prompt_token_ids)} prompt tokens, the "
                f"trainer encodes {len(encoded.token_ids)}, first difference at "
                f"{_first_difference(encoded.token_ids, prompt_token_ids)}; both must use the same processor"
            )
        return encoded


def spans_of(rows: Sequence[Row], *, is_packed: bool) -> tuple[Span, ...]:
    """Where the rows stand in one forward pass."""
    return lay_out([len(row.prompt.token_ids) + len(row.completion) for row in rows], is_packed=is_packed)


def score_rows(
    scores_of: ScoresOf,
    rows: Sequence[Row],
    *,
    family: Family,
    is_packed: bool,
    temperature: float,
    with_entropy_gradient: bool = False,
) -> CompletionScores:
    """Log-probs and entropies ``[B, T]`` of the rows' completions as sampled at a temperature; the same packed or
    padded."""
    completions = [row.completion for row in rows]
    spans = spans_of(rows, is_packed=is_packed)
    arguments = family.forward_arguments([(row.prompt, row.completion) for row in rows], is_packed=is_packed)
    targets = targets_of(
        spans,
        completions,
        distribution=Distribution(banned_token_ids=family.banned_token_ids, temperature=temperature),
        with_entropy_gradient=with_entropy_gradient,
    )
    return by_completion(scores_of(arguments, targets), completions)


def _num_bytes(encoded: EncodedPrompt) -> int:
    pixels = sum(tensor.numel() * tensor.element_size() for tensor in encoded.features.values())
    return int(encoded.token_ids.nbytes) + pixels


def _first_difference(one: NDArray[np.int64], other: NDArray[np.int32]) -> int:
    shared = min(len(one), len(other))
    differs = np.flatnonzero(one[:shared] != other[:shared])
    return int(differs[0]) if differs.size else shared
