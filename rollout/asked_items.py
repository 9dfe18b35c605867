"""Questions about one picture or video as an engine's requests, and how many such items go through it at a time.

first question, with the media --> one forward pass --> the others, which find media and text before it computed
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from rollout.engine import EngineOutput, EngineRequest
from rollout.types import Failure
from rollout.worker_types import FirstTokens


class Unusable(ValueError):
    """A prompt that cannot be asked."""

    def __init__(self, failure: Failure) -> None:
        self.failure = failure
        super().__init__(failure.detail)


@dataclass(frozen=True, kw_only=True, slots=True)
class AskedItem:
    """The requests of one item."""

    first: EngineRequest
    others: Sequence[EngineRequest]
    num_shared_tokens: int
    """Of each prompt, up to the end of the media."""

    @property
    def num_tokens(self) -> int:
        """Of the first prompt, which is computed whole."""
        return len(self.first.prompt["prompt_token_ids"])

    def answered(self, outputs: Sequence[EngineOutput], *, spellings: Sequence[str]) -> FirstTokens:
        """What came of them; ``spellings`` in the order in which they were watched."""
        lengths = [len(one.prompt_token_ids) for one in outputs]
        return FirstTokens(
            logprobs=tuple(
                dict(zip(spellings, one.completions[0].watched_logprobs[0].tolist(), strict=True)) for one in outputs
            ),
            num_tokens=sum(lengths),
            num_shared_tokens=self.num_shared_tokens,
            num_computed_tokens=sum(lengths) - sum(one.num_cached_tokens for one in outputs),
        )


def in_passes(lengths: Mapping[int, int], *, num_tokens: int) -> Iterator[list[int]]:
    """Keys in their order, in parts of at most ``num_tokens`` together; what is longer by itself is a part alone."""
    part: list[int] = []
    taken = 0
    for key, length in lengths.items():
        if part and taken + length > num_tokens:
            yield part
            part, taken = [], 0
        part.append(key)
        taken += length
    if part:
        yield part
