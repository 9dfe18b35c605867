"""Completions as rows of a forward pass: encoded once per prompt, scored in one call.

``Row`` is what a model needs to score one completion. The policy, the KL reference and the parity gate all go
through ``score_rows``, so they mean the same log-prob.
"""

from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from conf.schema import LearnerConfig
from learner.logprobs import CompletionScores, Distribution, Targets, TokenIds, TokenScores, by_completion, targets_of
from rollout.families.base import EncodedPrompt, Family, Layout, Place, lay_out
from rollout.types import Prompt

ScoresOf = Callable[[Mapping[str, Any], Targets], TokenScores]
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


def layout_of(config: LearnerConfig) -> Layout:
    """How the learner lays out a forward pass: prompts are shared by every attention but the plain one."""
    if config.attention != "eager":
        return "shared"
    return "padded" if config.pack_tokens is None else "packed"


def places_of(rows: Sequence[Row], *, layout: Layout) -> tuple[Place, ...]:
    """Where the rows stand in one forward pass."""
    return lay_out([(row.prompt, row.completion) for row in rows], layout=layout)


def score_rows(
    scores_of: ScoresOf,
    rows: Sequence[Row],
    *,
    family: Family,
    layout: Layout,
    temperature: float,
    with_entropy_gradient: bool = False,
) -> CompletionScores:
    """Log-probs and entropies ``[B, T]`` of the rows' completions as sampled at a temperature; the same in every
    layout."""
    completions = [row.completion for row in rows]
    arguments = family.forward_arguments([(row.prompt, row.completion) for row in rows], layout=layout)
    targets = targets_of(
        places_of(rows, layout=layout),
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
