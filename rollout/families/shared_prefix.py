"""Attention over a row in which the completions of a prompt stand behind it, each seeing the prompt and itself.

Nothing that is masked is computed: a row is cut into blocks of like sequences, and each block attends to its own tokens
and, where it holds completions of a prompt before it, to that prompt.

    prompt A | A's completions, longest first | whole sequences with nothing to share | prompt B | ...
    a block  | one or more blocks             | one or more blocks                    | a block  |
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import accumulate, pairwise

import torch
from torch import Tensor
from torch.nn.functional import pad, scaled_dot_product_attention
from transformers import AttentionInterface
from transformers.modeling_flash_attention_utils import lazy_import_flash_attention

from rollout.families.base import Place

FLASH = "flash_attention_2"
IMPLEMENTATIONS = {"sdpa": "shared_prefix_sdpa", FLASH: "shared_prefix_varlen"}
"""The name in transformers' registry of what each ``learner.attention`` becomes. It has no entry among the masks, so
none is built; "flash" in a name would make transformers look for a kernel of that name."""
LEAST_FILL = 0.5
"""Shortest sequence of a block, as a share of its longest: they are padded to that one."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Block:
    """Sequences end to end that one call of a kernel attends with."""

    lengths: tuple[int, ...]
    prompt: int | None
    """Which block holds the prompt they all see; None for sequences that see themselves only."""


@dataclass(frozen=True, kw_only=True, slots=True)
class PrefixLayout:
    """A row of tokens as attention sees it."""

    blocks: tuple[Block, ...]
    starts_q: Tensor
    """``[sequences + 1]`` int32: where each sequence's queries begin, as flash-attention wants it."""
    starts_k: Tensor
    """The same of the keys it sees, those of its prompt included."""

    @property
    def longest_q(self) -> int:
        """Queries of the longest sequence."""
        return max(length for block in self.blocks for length in block.lengths)

    @property
    def longest_k(self) -> int:
        """Most keys a sequence sees."""
        return max(length for block in self.blocks for length in _key_lengths(block, self.blocks))

    def to(self, device: torch.device, *, non_blocking: bool = False) -> "PrefixLayout":
        """The same on a device, as a tensor among the arguments of a forward pass would be."""
        starts_q, starts_k = (one.to(device, non_blocking=non_blocking) for one in (self.starts_q, self.starts_k))
        return replace(self, starts_q=starts_q, starts_k=starts_k)


def prefix_layout(places: Sequence[Place]) -> PrefixLayout:
    """How the sequences of one packed row attend; nothing there may be left out or stand twice.

    Raises:
        ValueError: The places are not those of a single row.
    """
    if any(place.prompt.row for place in places):
        raise ValueError(f"expected one packed row, got {1 + max(place.prompt.row for place in places)} rows")
    blocks: list[Block] = []
    for prompt, siblings in _families(places):
        lengths = [place.completion.num_tokens for place in siblings if place.completion.num_tokens]
        if len(lengths) > 1:
            blocks.append(Block(lengths=(prompt,), prompt=None))
            _append(blocks, lengths, prompt=len(blocks) - 1)
        else:
            _append(blocks, [prompt + sum(lengths)], prompt=None)
    keys = [length for block in blocks for length in _key_lengths(block, blocks)]
    return PrefixLayout(
        blocks=tuple(blocks),
        starts_q=_starts([length for block in blocks for length in block.lengths]),
        starts_k=_starts(keys),
    )


def register_attention(attention: str) -> str:
    """Make the implementation known to transformers; the name a model is loaded with.

    Raises:
        ValueError: There is no such implementation.
    """
    if attention not in IMPLEMENTATIONS:
        raise ValueError(f"prompts are shared with attention {' or '.join(IMPLEMENTATIONS)}, not with {attention}")
    name = IMPLEMENTATIONS[attention]
    AttentionInterface.register(name, varlen_attention if attention == FLASH else sdpa_attention)
    return name


def sdpa_attention(
    module: torch.nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    *,
    prefix_layout: PrefixLayout,
    scaling: float,
    **options: object,
) -> tuple[Tensor, None]:
    """Queries ``[1, heads, S, d]`` to outputs ``[1, S, heads, d]``, block by block.

    A prompt's keys and values are copied for each of its completions: as many as rows of their own would hold.
    """
    _check_plain(module, attention_mask, options)
    blocks = prefix_layout.blocks
    sizes = [sum(block.lengths) for block in blocks]
    queries, keys, values = (tensor.split(sizes, dim=2) for tensor in (query, key, value))
    outputs = []
    for place, block in enumerate(blocks):
        seen = [_stacked(tensors[place], block.lengths) for tensors in (keys, values)]
        mask = None
        if block.prompt is not None:
            prompts = [tensors[block.prompt].expand(len(block.lengths), -1, -1, -1) for tensors in (keys, values)]
            seen = [torch.cat(pair, dim=2) for pair in zip(prompts, seen, strict=True)]
            longest, num_keys = max(block.lengths), seen[0].shape[2]
            mask = torch.ones(longest, num_keys, dtype=torch.bool, device=query.device).tril(num_keys - longest)
        attended = _attended(_stacked(queries[place], block.lengths), *seen, mask=mask, scaling=scaling)
        outputs.append(_end_to_end(attended, block.lengths))
    return torch.cat(outputs, dim=2).transpose(1, 2), None


def varlen_attention(
    module: torch.nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    *,
    prefix_layout: PrefixLayout,
    scaling: float,
    **options: object,
) -> tuple[Tensor, None]:
    """The same in one call of flash-attention."""
    _check_plain(module, attention_mask, options)
    (_flash, kernel, *_others), _options = lazy_import_flash_attention(FLASH)
    query, key, value = (tensor[0].transpose(0, 1) for tensor in (query, key, value))
    return attend_by_lengths(kernel, query, key, value, layout=prefix_layout, scaling=scaling)[None], None


def attend_by_lengths(
    kernel: Callable[..., Tensor], query: Tensor, key: Tensor, value: Tensor, *, layout: PrefixLayout, scaling: float
) -> Tensor:
    """``[S, heads, d]`` through ``flash_attn_varlen_func``, or what is called like it: sequences of as many queries as
    keys or fewer, whose causal order is aligned at their ends."""
    return kernel(
        query,
        _gathered(key, layout.blocks),
        _gathered(value, layout.blocks),
        cu_seqlens_q=layout.starts_q,
        cu_seqlens_k=layout.starts_k,
        max_seqlen_q=layout.longest_q,
        max_seqlen_k=layout.longest_k,
        softmax_scale=scaling,
        causal=True,
    )


def _check_plain(module: torch.nn.Module, attention_mask: Tensor | None, options: Mapping[str, object]) -> None:
    if attention_mask is not None or options.get("sliding_window") is not None or options.get("dropout"):
        raise ValueError(
            f"{type(module).__name__}: prompts are shared without padding, sliding windows and dropout; use "
            "learner.attention=eager"
        )


def _families(places: Sequence[Place]) -> list[tuple[int, list[Place]]]:
    """Prompt lengths and siblings in the order of the row."""
    found: dict[int, list[Place]] = {}
    for place in places:
        found.setdefault(place.prompt.start, []).append(place)
    return [
        (siblings[0].prompt.num_tokens, sorted(siblings, key=lambda place: place.completion.start))
        for _, siblings in sorted(found.items())
    ]


def _append(blocks: list[Block], lengths: Sequence[int], *, prompt: int | None) -> None:
    """Add sequences to the last block while they are like those in it, else begin another."""
    for length in lengths:
        last = blocks[-1] if blocks else None
        if last is not None and last.prompt == prompt and _fits(length, last):
            blocks[-1] = replace(last, lengths=(*last.lengths, length))
        else:
            blocks.append(Block(lengths=(length,), prompt=prompt))


def _fits(length: int, block: Block) -> bool:
    lengths = (*block.lengths, length)
    return min(lengths) >= LEAST_FILL * max(lengths)


def _key_lengths(block: Block, blocks: Sequence[Block]) -> list[int]:
    seen = 0 if block.prompt is None else sum(blocks[block.prompt].lengths)
    return [seen + length for length in block.lengths]


def _starts(lengths: Sequence[int]) -> Tensor:
    return torch.tensor([0, *accumulate(lengths)], dtype=torch.int32)


def _stacked(tensor: Tensor, lengths: Sequence[int]) -> Tensor:
    """``[1, heads, sum, d]`` to ``[len(lengths), heads, longest, d]``; what is padded comes last, where no token of the
    same sequence looks."""
    longest = max(lengths)
    parts = tensor.split(list(lengths), dim=2)
    return parts[0] if len(parts) == 1 else torch.cat([pad(one, (0, 0, 0, longest - one.shape[2])) for one in parts])


def _end_to_end(tensor: Tensor, lengths: Sequence[int]) -> Tensor:
    """The way back, without the padding."""
    return torch.cat([one[None, :, :length] for one, length in zip(tensor, lengths, strict=True)], dim=2)


def _attended(query: Tensor, key: Tensor, value: Tensor, *, mask: Tensor | None, scaling: float) -> Tensor:
    groups = query.shape[1] // key.shape[1]
    # With a mask, CUDA has no kernel for grouped heads but the one that holds all weights.
    is_grouped = groups > 1 and (mask is None or query.device.type == "cpu")
    if groups > 1 and not is_grouped:
        key, value = (tensor.repeat_interleave(groups, dim=1) for tensor in (key, value))
    return scaled_dot_product_attention(
        query, key, value, attn_mask=mask, is_causal=mask is None, scale=scaling, enable_gqa=is_grouped
    )


def _gathered(tensor_S: Tensor, blocks: Sequence[Block]) -> Tensor:
    """Keys or values ``[S, heads, d]`` as each sequence sees them, its prompt's before its own."""
    runs = [length for block in blocks for length in block.lengths]
    parts = tensor_S.split(runs)
    firsts = [0, *accumulate(len(block.lengths) for block in blocks)]
    seen: list[Tensor] = []
    for block, (first, stop) in zip(blocks, pairwise(firsts), strict=True):
        for part in parts[first:stop]:
            seen += [part] if block.prompt is None else [parts[firsts[block.prompt]], part]
    return torch.cat(seen)
