"""Log-probs of completions from logits."""

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from learner.logprobs import CompletionScores, completion_scores, logit_positions
from rollout.families.base import Layout, Place, lay_out
from tests.learner.builders import make_encoded

VOCABULARY = 11
BANNED = (4, 9)
COMPLETIONS = (np.array([1, 2, 3, 0], dtype=np.int32), np.array([7], dtype=np.int32))
EMPTY = np.array([], dtype=np.int32)
Ids = NDArray[np.int32]


def places(lengths: tuple[int, ...], completions: tuple[Ids, ...], *, layout: Layout) -> tuple[Place, ...]:
    """Of completions to prompts of these lengths."""
    return lay_out(list(zip(map(make_encoded, lengths), completions, strict=True)), layout=layout)


PADDED = places((3, 5), COMPLETIONS, layout="padded")
PACKED = places((3, 5), COMPLETIONS, layout="packed")


def full_logits(*, dtype: torch.dtype = torch.float32) -> torch.Tensor:
    """``[2, 7, V]`` for rows of 7 and 6 tokens."""
    generator = torch.Generator().manual_seed(0)
    return torch.randn(2, 7, VOCABULARY, generator=generator, dtype=torch.float64).to(dtype)


def scores(
    logits: torch.Tensor, *, banned: tuple[int, ...] = BANNED, with_entropy_gradient: bool = False
) -> CompletionScores:
    stand = PADDED if len(logits) == 2 else PACKED
    positions = logit_positions(stand)
    return completion_scores(
        logits[:, positions],
        positions=positions,
        places=stand,
        completions=COMPLETIONS,
        banned_token_ids=banned,
        with_entropy_gradient=with_entropy_gradient,
    )


def test_only_positions_that_predict_a_completion_token_are_asked_for() -> None:
    # Rows: tokens 3..6 and 5; predicted from 2..5 and 4.
    assert logit_positions(PADDED).tolist() == [2, 3, 4, 5]


def test_between_packed_completions_no_position_is_asked_for() -> None:
    # One row of 7 + 6 tokens: completions at 3..6 and at 7 + 5.
    assert logit_positions(PACKED).tolist() == [2, 3, 4, 5, 11]


def test_siblings_share_the_position_that_predicts_their_first_token() -> None:
    prompt = make_encoded(3)
    found = lay_out([(prompt, COMPLETIONS[1]), (prompt, COMPLETIONS[0]), (make_encoded(2), EMPTY)], layout="shared")
    # Prompt 0..2, the longer completion 3..6, the shorter 7, the other prompt 8..9.
    assert [place.predicting.tolist() for place in found] == [[2], [2, 3, 4, 5], [9]]
    assert logit_positions(found).tolist() == [2, 3, 4, 5, 9]


@pytest.mark.parametrize(("layout", "expected"), [("padded", [1, 2]), ("packed", [2, 4])])
def test_a_pass_of_empty_completions_keeps_a_logit_of_each(layout: Layout, expected: list[int]) -> None:
    assert logit_positions(places((3, 2), (EMPTY, EMPTY), layout=layout)).tolist() == expected


def test_packed_logits_score_the_same_as_padded_ones() -> None:
    padded = full_logits()
    packed = torch.cat([padded[:1], padded[1:, :6]], dim=1)
    torch.testing.assert_close(scores(packed).logprobs_BT, scores(padded).logprobs_BT, rtol=0, atol=0)
    torch.testing.assert_close(scores(packed).entropy_BT, scores(padded).entropy_BT, rtol=0, atol=0)


def test_log_probs_equal_a_plain_log_softmax_without_the_banned_tokens() -> None:
    allowed = [token for token in range(VOCABULARY) if token not in BANNED]
    logits = full_logits()
    plain = logits[0, 2:6][:, allowed].log_softmax(-1)
    expected = [float(plain[t, allowed.index(int(token))]) for t, token in enumerate(COMPLETIONS[0])]
    assert scores(logits).logprobs_BT[0].tolist() == pytest.approx(expected, abs=1e-6)


def test_padding_scores_zero() -> None:
    found = scores(full_logits())
    assert not found.logprobs_BT[1, 1:].any()
    assert not found.entropy_BT[1, 1:].any()


def test_a_banned_token_gets_no_probability_however_large_its_logit() -> None:
    logits = full_logits()
    raised = logits.clone()
    raised[:, :, list(BANNED)] = 1e4
    torch.testing.assert_close(scores(raised).logprobs_BT, scores(logits).logprobs_BT)


def test_banned_logits_get_no_gradient() -> None:
    logits = full_logits().requires_grad_()
    (gradient,) = torch.autograd.grad(scores(logits).logprobs_BT.sum(), logits)
    assert not gradient[:, :, list(BANNED)].any()


def test_a_completion_with_a_banned_token_is_refused() -> None:
    with pytest.raises(ValueError, match=r"banned tokens \[7\]"):
        scores(full_logits(), banned=(7,))


def test_the_entropy_of_equal_logits_is_that_of_the_allowed_tokens() -> None:
    found = scores(torch.zeros(2, 7, VOCABULARY))
    assert float(found.entropy_BT[0, 0]) == pytest.approx(np.log(VOCABULARY - len(BANNED)), rel=1e-6)


def test_low_precision_logits_are_normalised_in_float32() -> None:
    found = scores(full_logits(dtype=torch.bfloat16))
    expected = scores(full_logits(dtype=torch.bfloat16).double())
    torch.testing.assert_close(found.logprobs_BT.double(), expected.logprobs_BT, rtol=1e-6, atol=1e-6)


def test_what_stands_after_a_completion_does_not_matter() -> None:
    logits = full_logits()
    changed = logits.clone()
    changed[1, 5:] = 3.0
    torch.testing.assert_close(scores(changed).logprobs_BT, scores(logits).logprobs_BT)


def test_an_empty_prompt_is_refused() -> None:
    with pytest.raises(ValueError, match="at least one token"):
        logit_positions(places((0,), COMPLETIONS[:1], layout="padded"))


def test_the_entropy_has_a_gradient_only_when_asked() -> None:
    logits = full_logits().requires_grad_()
    assert not scores(logits).entropy_BT.requires_grad
    assert scores(logits, with_entropy_gradient=True).entropy_BT.requires_grad


def test_the_entropy_is_the_same_with_and_without_gradient() -> None:
    logits = full_logits()
    torch.testing.assert_close(scores(logits, with_entropy_gradient=True).entropy_BT, scores(logits).entropy_BT)


def test_the_gradient_of_the_entropy_is_that_of_its_definition() -> None:
    logits = full_logits(dtype=torch.float64).requires_grad_()
    allowed = [token for token in range(VOCABULARY) if token not in BANNED]
    plain = logits[0, 2:6][:, allowed].log_softmax(-1)
    (expected,) = torch.autograd.grad(-(plain.exp() * plain).sum(), logits)
    (found,) = torch.autograd.grad(scores(logits, with_entropy_gradient=True).entropy_BT[0].sum(), logits)
    torch.testing.assert_close(found, expected)
