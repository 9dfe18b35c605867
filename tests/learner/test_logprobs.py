"""Which tokens are scored, where what predicts them stands, and how scores come back by completion."""

import numpy as np
import pytest
import torch

from learner.logprobs import Distribution, TokenScores, by_completion, targets_of
from rollout.families.base import Span, lay_out
from tests.learner.full_logits import UNCHANGED

COMPLETIONS = (np.array([1, 2, 3, 0], dtype=np.int32), np.array([7], dtype=np.int32))
PADDED = lay_out([3 + 4, 5 + 1], is_packed=False)
PACKED = lay_out([3 + 4, 5 + 1], is_packed=True)
EMPTY = np.array([], dtype=np.int32)


@pytest.mark.parametrize(
    ("spans", "rows", "positions"),
    [
        # Rows: tokens 3..6 and 5; predicted from 2..5 and 4.
        (PADDED, [0, 0, 0, 0, 1], [2, 3, 4, 5, 4]),
        # One row of 7 + 6 tokens: completions at 3..6 and at 7 + 5.
        (PACKED, [0, 0, 0, 0, 0], [2, 3, 4, 5, 11]),
    ],
)
def test_each_token_is_predicted_from_the_one_before_it(
    spans: tuple[Span, ...], rows: list[int], positions: list[int]
) -> None:
    targets = targets_of(spans, COMPLETIONS, distribution=UNCHANGED)
    assert targets.rows_N.tolist() == rows
    assert targets.positions_N.tolist() == positions
    assert targets.token_ids_N.tolist() == [1, 2, 3, 0, 7]


def test_a_completion_without_tokens_has_nothing_to_score() -> None:
    targets = targets_of(lay_out([3, 2], is_packed=False), [EMPTY, EMPTY], distribution=UNCHANGED)
    assert [len(one) for one in (targets.rows_N, targets.positions_N, targets.token_ids_N)] == [0, 0, 0]


def test_a_completion_with_a_banned_token_is_refused() -> None:
    with pytest.raises(ValueError, match=r"banned tokens \[7\]"):
        targets_of(PADDED, COMPLETIONS, distribution=Distribution(banned_token_ids=(7, 9), temperature=1.0))


def test_an_empty_prompt_is_refused() -> None:
    with pytest.raises(ValueError, match="at least one token"):
        targets_of(lay_out([4], is_packed=False), [COMPLETIONS[0]], distribution=UNCHANGED)


def test_scores_come_back_by_completion_with_zeros_behind_them() -> None:
    found = by_completion(
        TokenScores(logprobs_N=-torch.arange(1.0, 6.0), entropy_N=torch.arange(1.0, 6.0)), [EMPTY, *COMPLETIONS]
    )
    assert found.logprobs_BT.tolist() == [[0, 0, 0, 0], [-1, -2, -3, -4], [-5, 0, 0, 0]]
    assert found.entropy_BT.tolist() == [[0, 0, 0, 0], [1, 2, 3, 4], [5, 0, 0, 0]]


def test_empty_completions_score_one_zero_each() -> None:
    nothing = torch.zeros(0, requires_grad=True)
    found = by_completion(TokenScores(logprobs_N=nothing, entropy_N=nothing), [EMPTY, EMPTY])
    assert found.logprobs_BT.tolist() == [[0], [0]]
    assert found.logprobs_BT.requires_grad
