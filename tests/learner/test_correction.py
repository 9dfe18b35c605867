"""Factors for completions whose learner/engine log-ratios are given."""

import math
from typing import Any

import pytest
import torch

from learner.correction import Correction, engine_correction, has_drifted
from tests.learner.builders import UNCORRECTED, make_config

E1 = math.e


def corrected(deltas: list[list[float]], *, lengths: list[int] | None = None, **changes: Any) -> Correction:
    """The correction of completions; none unless told."""
    learner_BT = torch.tensor(deltas, dtype=torch.float64)
    sizes = [learner_BT.shape[1]] * len(deltas) if lengths is None else lengths
    mask_BT = torch.arange(learner_BT.shape[1])[None, :] < torch.tensor(sizes)[:, None]
    config = make_config("grpo", correction={**UNCORRECTED["correction"], **changes}).correction
    return engine_correction(learner_BT, torch.zeros_like(learner_BT), mask_BT, config=config)


def factors(deltas: list[list[float]], **changes: Any) -> list[list[float]]:
    """Factors on the policy loss."""
    found: list[list[float]] = corrected(deltas, **changes).factors_BT.tolist()
    return found


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({}, [1.0, 1.0]),
        ({"weight": "token"}, [2.0, math.exp(-0.5)]),
        ({"weight": "sequence"}, [math.exp(0.5)] * 2),
        ({"weight": "geometric"}, [math.exp(0.25)] * 2),
        ({"weight": "icepop"}, [0.0, math.exp(-0.5)]),
        ({"weight": "icepop", "weight_high": 5.0}, [E1, math.exp(-0.5)]),
        ({"weight": "icepop", "weight_low": 0.7}, [0.0, 0.0]),
        ({"weight": "mask"}, [0.0, 1.0]),
    ],
)
def test_the_weights_of_log_ratios_1_and_minus_a_half(changes: dict[str, Any], expected: list[float]) -> None:
    (found,) = factors([[1.0, -0.5]], **changes)
    assert found == pytest.approx(expected)


@pytest.mark.parametrize("weight", ["none", "token", "sequence", "geometric", "icepop", "mask"])
def test_equal_log_probs_weigh_one(weight: str) -> None:
    assert factors([[0.0, 0.0]], weight=weight) == [[1.0, 1.0]]


@pytest.mark.parametrize(
    ("mask", "low", "high", "kept"),
    [
        ("none", 1.0, 1.0, [True, True, True]),
        ("geometric", 0.9, 1.1, [True, False, True]),  # means .05, .2, 0
        ("product", 0.9, 1.1, [False, False, True]),  # sums .2, .8, 0
        ("k3", 0.0, 0.01, [True, False, False]),  # e^.05 - 1.05 = .0013, e^.2 - 1.2 = .0214, cosh 1 - 1 = .543
    ],
)
def test_which_completions_a_sequence_mask_keeps(mask: str, low: float, high: float, kept: list[bool]) -> None:
    deltas = [[0.05] * 4, [0.2] * 4, [1.0, -1.0, 1.0, -1.0]]
    found = corrected(deltas, sequence_mask=mask, sequence_low=low, sequence_high=high)
    assert found.is_kept_B.tolist() == kept
    assert found.factors_BT.any(1).tolist() == kept


def test_a_geometric_mask_is_fair_to_long_completions_and_a_product_is_not() -> None:
    deltas = [[0.03] * 4, [0.03] * 4]
    bounds: dict[str, Any] = {"lengths": [1, 4], "sequence_low": 0.9, "sequence_high": 1.1}
    assert corrected(deltas, sequence_mask="geometric", **bounds).is_kept_B.tolist() == [True, True]
    assert corrected(deltas, sequence_mask="product", **bounds).is_kept_B.tolist() == [True, False]


def test_one_impossible_token_drops_its_completion() -> None:
    assert factors([[-10.0, 10.0], [0.0, 0.0]], token_veto=1e-4) == [[0.0, 0.0], [1.0, 1.0]]


def test_weight_and_masks_work_together() -> None:
    bounds = {"sequence_mask": "geometric", "sequence_low": 0.99, "sequence_high": 1.01}
    found = factors([[0.1, 0.1], [1.0, -1.0]], weight="token", **bounds)
    assert found == [[0.0, 0.0], pytest.approx([2.0, math.exp(-1.0)])]


@pytest.mark.parametrize("weight", ["none", "token", "sequence", "geometric", "icepop", "mask"])
def test_masked_tokens_weigh_nothing(weight: str) -> None:
    found = corrected([[0.0, math.nan, math.inf]], lengths=[1], weight=weight, weight_low=0.0)
    assert found.weights_BT.tolist() == found.factors_BT.tolist() == [[1.0, 0.0, 0.0]]


def test_cut_tokens_are_known() -> None:
    assert corrected([[1.0, -1.0]], weight="token").is_cut_BT.tolist() == [[True, False]]
    assert corrected([[1.0, -1.0]], weight="mask").is_cut_BT.tolist() == [[True, True]]
    assert corrected([[1.0, -1.0]]).is_cut_BT.tolist() == [[False, False]]


def test_the_correction_carries_no_gradient() -> None:
    learner_BT = torch.zeros(1, 2, requires_grad=True)
    config = make_config("grpo").correction
    found = engine_correction(learner_BT, torch.zeros(1, 2), torch.ones(1, 2, dtype=torch.bool), config=config)
    assert not found.factors_BT.requires_grad


def test_drift_is_that_of_the_whole_completion_and_counts_against_negative_tokens_only() -> None:
    current_BT = torch.tensor([[-1.0, -2.0], [-1.0, -1.2]])
    engine_BT = torch.full((2, 2), -1.0)
    advantages_BT = torch.tensor([[-1.0, 1.0], [-1.0, -1.0]])
    mask_BT = torch.ones(2, 2, dtype=torch.bool)
    found = has_drifted(current_BT, engine_BT, advantages_BT, mask_BT, bound=0.3)
    assert found.tolist() == [[True, False], [False, False]]
