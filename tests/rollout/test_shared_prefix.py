"""Attention over shared prompts against a dense mask, and what flash-attention is asked."""

from itertools import pairwise
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn.functional import scaled_dot_product_attention

from rollout.families.base import Place, Span, lay_out
from rollout.families.shared_prefix import LEAST_FILL, PrefixLayout, attend_by_lengths, prefix_layout, sdpa_attention

Group = tuple[int, tuple[int, ...]]
"""Length of a prompt and of its completions, as they stand in the row."""
GROUPS: list[list[Group]] = [
    [(7, (5, 4, 3))],
    [(7, (5,)), (3, (2,)), (2, (9,))],
    [(4, (8, 3, 1)), (6, (2,)), (5, ()), (3, (4, 4))],
    [(1, (1, 1))],
    [(9, (6, 0, 0))],
]
MODULE = torch.nn.Identity()


def places_of(groups: list[Group]) -> list[Place]:
    """One row of groups end to end; a prompt without completions has an empty one."""
    places, stop = [], 0
    for num_prompt, lengths in groups:
        prompt = Span(row=0, start=stop, num_tokens=num_prompt)
        stop = prompt.stop
        for length in lengths or (0,):
            places.append(Place(prompt=prompt, completion=Span(row=0, start=stop, num_tokens=length)))
            stop += length
    return places


def dense_mask(places: list[Place]) -> Tensor:
    """Who sees whom, token by token, from the definition."""
    size = max(place.completion.stop for place in places)
    mask = torch.zeros(size, size, dtype=torch.bool)
    for place in places:
        prompt, own = (range(span.start, span.stop) for span in (place.prompt, place.completion))
        for query in prompt:
            mask[query, place.prompt.start : query + 1] = True
        for query in own:
            mask[query, place.prompt.start : place.prompt.stop] = True
            mask[query, place.completion.start : query + 1] = True
    return mask


def random_heads(num_heads: int, size: int, *, seed: int) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(1, num_heads, size, 8, generator=generator, dtype=torch.float64).requires_grad_()


@pytest.mark.parametrize("groups", GROUPS)
@pytest.mark.parametrize("num_key_heads", [4, 2, 1])
def test_outputs_and_gradients_are_those_of_a_dense_mask(groups: list[Group], num_key_heads: int) -> None:
    places = places_of(groups)
    mask = dense_mask(places)
    query, key, value = (
        random_heads(heads, len(mask), seed=seed) for seed, heads in enumerate((4, num_key_heads, num_key_heads))
    )
    found, _ = sdpa_attention(MODULE, query, key, value, None, prefix_layout=prefix_layout(places), scaling=0.3)
    expected = scaled_dot_product_attention(query, key, value, attn_mask=mask, scale=0.3, enable_gqa=True)
    torch.testing.assert_close(found.transpose(1, 2), expected)
    weights = random_heads(4, len(mask), seed=7).detach()
    got, want = (
        torch.autograd.grad((output * weights).sum(), (query, key, value))
        for output in (found.transpose(1, 2), expected)
    )
    for one, other in zip(got, want, strict=True):
        torch.testing.assert_close(one, other)


def attend_one_by_one(query: Tensor, key: Tensor, value: Tensor, **asked: Any) -> Tensor:
    """What flash-attention computes, by its documentation."""
    starts_q, starts_k = asked["cu_seqlens_q"], asked["cu_seqlens_k"]
    assert asked["causal"]
    assert (asked["max_seqlen_q"], asked["max_seqlen_k"]) == (starts_q.diff().max(), starts_k.diff().max())
    outputs = []
    for (first_q, stop_q), (first_k, stop_k) in zip(
        pairwise(starts_q.tolist()), pairwise(starts_k.tolist()), strict=True
    ):
        num_q, num_k = stop_q - first_q, stop_k - first_k
        output = scaled_dot_product_attention(
            query[first_q:stop_q].transpose(0, 1),
            key[first_k:stop_k].transpose(0, 1),
            value[first_k:stop_k].transpose(0, 1),
            attn_mask=torch.ones(num_q, num_k, dtype=torch.bool).tril(num_k - num_q),
            scale=asked["softmax_scale"],
            enable_gqa=True,
        )
        outputs.append(output.transpose(0, 1))
    return torch.cat(outputs)


@pytest.mark.parametrize("groups", GROUPS)
def test_flash_attention_is_asked_for_the_same(groups: list[Group]) -> None:
    places = places_of(groups)
    layout = prefix_layout(places)
    size = max(place.completion.stop for place in places)
    query, key, value = (random_heads(heads, size, seed=seed) for seed, heads in enumerate((4, 2, 2)))
    expected, _ = sdpa_attention(MODULE, query, key, value, None, prefix_layout=layout, scaling=0.3)
    rows = [tensor[0].transpose(0, 1) for tensor in (query, key, value)]
    found = attend_by_lengths(attend_one_by_one, rows[0], rows[1], rows[2], layout=layout, scaling=0.3)
    torch.testing.assert_close(found, expected[0])
    got, want = (torch.autograd.grad((one**2).sum(), (query, key, value)) for one in (found, expected[0]))
    for one, other in zip(got, want, strict=True):
        torch.testing.assert_close(one, other)


@pytest.mark.parametrize("groups", GROUPS)
def test_every_token_stands_in_one_block_of_like_sequences(groups: list[Group]) -> None:
    layout = prefix_layout(places_of(groups))
    assert sum(sum(block.lengths) for block in layout.blocks) == sum(prompt + sum(some) for prompt, some in groups)
    assert all(min(block.lengths) >= LEAST_FILL * max(block.lengths) for block in layout.blocks)


def test_flash_attention_is_told_the_lengths_of_queries_and_of_the_keys_they_see() -> None:
    layout = prefix_layout(places_of([(7, (5, 4, 1)), (3, (2,))]))
    assert layout.starts_q.diff().tolist() == [7, 5, 4, 1, 5]
    assert layout.starts_k.diff().tolist() == [7, 12, 11, 8, 5]
    assert (layout.longest_q, layout.longest_k) == (7, 12)
    assert layout.starts_q.dtype == layout.starts_k.dtype == torch.int32


def test_rows_side_by_side_share_nothing() -> None:
    prompt = SimpleNamespace(token_ids=range(3))
    places = lay_out([(prompt, range(2)), (prompt, range(2))], layout="padded")  # type: ignore[list-item]
    with pytest.raises(ValueError, match="expected one packed row, got 2 rows"):
        prefix_layout(places)


@pytest.mark.parametrize(
    ("mask", "options"), [(torch.ones(1, 3), {}), (None, {"sliding_window": 2}), (None, {"dropout": 0.1})]
)
def test_padding_sliding_windows_and_dropout_are_refused(mask: Tensor | None, options: dict[str, Any]) -> None:
    layout: PrefixLayout = prefix_layout(places_of([(2, (1,))]))
    heads = random_heads(1, 3, seed=0)
    with pytest.raises(ValueError, match=r"learner\.attention=eager"):
        sdpa_attention(MODULE, heads, heads, heads, mask, prefix_layout=layout, scaling=1.0, **options)
