"""Which tokens are scored, where what predicts them stands, and how scores come back by completion."""

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from learner.logprobs import Distribution, TokenScores, by_completion, targets_of
from rollout.families.base import Layout, Place, lay_out
from tests.learner.builders import make_encoded
from tests.learner.full_logits import UNCHANGED

COMPLETIONS = (np.array([1, 2, 3, 0], dtype=np.int32), np.array([7], dtype=np.int32))
EMPTY = np.array([], dtype=np.int32)


Ids = NDArray[np.int32]


def places(lengths: tuple[int, ...], completions: tuple[Ids, ...], *, layout: Layout) -> tuple[Place, ...]:
    """Of completions to prompts of these lengths."""
    return lay_out(list(zip(map(make_encoded, lengths), completions, strict=True)), layout=layout)


PADDED = places((3, 5), COMPLETIONS, layout="padded")
PACKED = places((3, 5), COMPLETIONS, layout="packed")


@pytest.mark.parametrize(
    ("stand", "rows", "positions"),
    [
        # Rows: tokens 3..6 and 5; predicted from 2..5 and 4.
        (PADDED, [0, 0, 0, 0, 1], [2, 3, 4, 5, 4]),
        # One row of 7 + 6 tokens: completions at 3..6 and at 7 + 5.
        (PACKED, [0, 0, 0, 0, 0], [2, 3, 4, 5, 11]),
    ],
)
def test_each_token_is_predicted_from_the_one_before_it(
    stand: tuple[Place, ...], rows: list[int], positions: list[int]
) -> None:
    targets = targets_of(stand, COMPLETIONS, distribution=UNCHANGED)
    assert targets.rows_N.tolist() == rows
    assert targets.positions_N.tolist() == positions
    assert targets.token_ids_N.tolist() == [1, 2, 3, 0, 7]


def test_siblings_share_the_position_that_predicts_their_first_token() -> None:
    prompt = make_encoded(3)
    completions = (COMPLETIONS[1], COMPLETIONS[0], EMPTY)
    found = lay_out(list(zip((prompt, prompt, make_encoded(2)), completions, strict=True)), layout="shared")
    # Prompt 0..2, the longer completion 3..6, the shorter 7, the other prompt 8..9.
    assert [place.predicting.tolist() for place in found] == [[2], [2, 3, 4, 5], [9]]
    targets = targets_of(found, completions, distribution=UNCHANGED)
    assert targets.positions_N.tolist() == [2, 2, 3, 4, 5]
    assert targets.token_ids_N.tolist() == [7, 1, 2, 3, 0]


def test_a_completion_without_tokens_has_nothing_to_score() -> None:
    targets = targets_of(places((3, 2), (EMPTY, EMPTY), layout="padded"), [EMPTY, EMPTY], distribution=UNCHANGED)
    assert [len(one) for one in (targets.rows_N, targets.positions_N, targets.token_ids_N)] == [0, 0, 0]


def test_a_completion_with_a_banned_token_is_refused() -> None:
    with pytest.raises(ValueError, match=r"banned tokens \[7\]"):
        targets_of(PADDED, COMPLETIONS, distribution=Distribution(banned_token_ids=(7, 9), temperature=1.0))


def test_an_empty_prompt_is_refused() -> None:
    with pytest.raises(ValueError, match="at least one token"):
        targets_of(places((0,), COMPLETIONS[:1], layout="padded"), COMPLETIONS[:1], distribution=UNCHANGED)


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
