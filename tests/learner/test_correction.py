"""Factors for completions whose learner/engine log-ratios are given."""

import math
from typing import Any

import pytest
import torch

from learner.correction import Correction, engine_correction, has_drifted, total_variation, weight_sum
from tests.learner.builders import UNCORRECTED, make_config

E1 = math.e


def corrected(
    deltas: list[list[float]],
    *,
    lengths: list[int] | None = None,
    advantages: list[list[float]] | None = None,
    **changes: Any,
) -> Correction:
    """The correction of completions; none unless told."""
    learner_BT = torch.tensor(deltas, dtype=torch.float64)
    sizes = [learner_BT.shape[1]] * len(deltas) if lengths is None else lengths
    mask_BT = torch.arange(learner_BT.shape[1])[None, :] < torch.tensor(sizes)[:, None]
    advantages_BT = torch.ones_like(learner_BT) if advantages is None else torch.tensor(advantages)
    config = make_config("grpo", correction={**UNCORRECTED["correction"], **changes}).correction
    return engine_correction(learner_BT, torch.zeros_like(learner_BT), advantages_BT, mask_BT, config=config)


def logs(ratios: list[list[float]]) -> list[list[float]]:
    """Log-ratios of tokens whose w is given."""
    return [[math.log(ratio) for ratio in row] for row in ratios]


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


@pytest.mark.parametrize(
    ("veto", "kept"),
    [
        (None, [True, True, True, True]),
        ((1e-4, 100.0), [False, False, True, True]),  # e^-10 = 4.5e-5, e^5 = 148, e^4 = 55
        ((1e-4, 1e9), [False, True, True, True]),
        ((0.0, 100.0), [True, False, True, True]),
        ((1e-4, 50.0), [False, False, False, True]),
    ],
)
def test_one_impossible_token_on_either_side_drops_its_completion(
    veto: tuple[float, float] | None, kept: list[bool]
) -> None:
    found = corrected([[-10.0, 0.0], [0.0, 5.0], [4.0, -4.0], [0.0, 0.0]], token_veto=veto)
    assert found.is_kept_B.tolist() == kept
    assert found.factors_BT.all(1).tolist() == kept


def test_a_token_behind_the_end_vetoes_nothing() -> None:
    assert corrected([[0.0, 15.0], [0.0, -15.0]], lengths=[1, 1], token_veto=(1e-4, 100.0)).is_kept_B.all()


@pytest.mark.parametrize(("bound", "second"), [(1.0, [0.0, 0.0, 0.0]), (2.0, [4.0, 4.0, 4.0])])
def test_tokens_of_completions_too_far_away_are_masked_by_total_variation(bound: float, second: list[float]) -> None:
    # Means of |w - 1| / 2: (0.75 + 0 + 3) / 6 = 0.625 and 1.5. The case is that of open-instruct's own test.
    ratios = [[0.25, 1.0, 4.0], [4.0, 4.0, 4.0]]
    changes = {"weight": "token", "weight_high": 10.0, "sequence_mask": "total_variation", "sequence_high": bound}
    assert factors(logs(ratios), **changes) == [pytest.approx(ratios[0]), pytest.approx(second)]


def test_tokens_that_reduce_the_total_variation_are_never_masked() -> None:
    # Far too likely and pushed down, or far too unlikely and pushed up: both go back towards the engine.
    advantages = [[1.0, -1.0, 0.0], [1.0, -1.0, 0.0], [1.0, -1.0, 0.0]]
    changes: dict[str, Any] = {"sequence_mask": "total_variation", "sequence_high": 0.2, "advantages": advantages}
    found = corrected(logs([[3.0] * 3, [0.1] * 3, [1.0] * 3]), **changes)
    assert found.factors_BT.tolist() == [[0.0, 1.0, 1.0], [1.0, 0.0, 1.0], [1.0, 1.0, 1.0]]
    assert found.is_kept_B.all()


def test_turning_all_advantages_round_masks_the_other_tokens_of_a_completion_too_far_away() -> None:
    deltas = [[0.5, -0.8, 0.3, -0.2]]
    changes: dict[str, Any] = {"sequence_mask": "total_variation", "sequence_high": 0.01}
    masked = [corrected(deltas, advantages=[[sign] * 4], **changes).factors_BT == 0.0 for sign in (1.0, -1.0)]
    assert masked[0].logical_xor(masked[1]).all()


def test_the_mean_of_the_tokens_variation_is_the_distance_of_the_distributions() -> None:
    # Over a vocabulary of three, weighted by how often the engine samples each: half the sum of |p - q|.
    learner, engine = torch.tensor([0.5, 0.3, 0.2]), torch.tensor([0.25, 0.25, 0.5])
    expected = float((learner - engine).abs().sum() / 2.0)
    assert float((engine * total_variation(learner / engine)).sum()) == pytest.approx(expected)


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"weight": "token"}, 2.0 + 0.6 + 1.0),  # 4 is cut at 2
        ({"weight": "sequence"}, 2.0 + 2.0 + 1.0),
        ({"weight": "geometric"}, 2.0 * math.sqrt(2.4) + 1.0),
        ({"weight": "icepop"}, 0.0 + 0.6 + 1.0),
        ({"weight": "mask"}, 0.0 + 1.0 + 1.0),
        ({"weight": "token", "token_veto": (0.7, 3.0)}, 2.0 + 0.6 + 1.0),
    ],
)
def test_weights_add_up_whatever_the_masks_say(changes: dict[str, Any], expected: float) -> None:
    learner_BT = torch.tensor(logs([[4.0, 0.6], [1.0, 9.0]]), dtype=torch.float64)
    mask_BT = torch.tensor([[True, True], [True, False]])
    config = make_config("grpo", correction={**UNCORRECTED["correction"], **changes}).correction
    found = weight_sum(learner_BT, torch.zeros_like(learner_BT), mask_BT, config=config)
    assert found.item() == pytest.approx(expected)


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
    config, ones_BT = make_config("grpo").correction, torch.ones(1, 2)
    found = engine_correction(learner_BT, torch.zeros(1, 2), ones_BT, ones_BT.bool(), config=config)
    assert not found.factors_BT.requires_grad


def test_drift_is_that_of_the_whole_completion_and_counts_against_negative_tokens_only() -> None:
    current_BT = torch.tensor([[-1.0, -2.0], [-1.0, -1.2]])
    engine_BT = torch.full((2, 2), -1.0)
    advantages_BT = torch.tensor([[-1.0, 1.0], [-1.0, -1.0]])
    mask_BT = torch.ones(2, 2, dtype=torch.bool)
    found = has_drifted(current_BT, engine_BT, advantages_BT, mask_BT, bound=0.3)
    assert found.tolist() == [[True, False], [False, False]]
