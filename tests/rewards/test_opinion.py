"""The rewards for being right: by distance, and by threshold."""

import asyncio
from typing import Literal

import numpy as np
import pytest
from pydantic import ValidationError

from conf.reward_terms import OpinionTermConfig, ThresholdTermConfig
from rewards.terms.opinion import OpinionTerm, opinion_rewards
from rewards.terms.threshold import ThresholdTerm, threshold_rewards
from rollout.types import RolloutGroup, Scale
from tests.builders import ONE_TO_FIVE, make_answer, make_group, make_prompt

ZERO_TO_ONE = Scale(minimum=0, maximum=1)
DISTANCES = [
    (0.0, 1.0), (0.01, 0.995), (0.05, 0.8825), (0.07, 0.7827), (0.1, 0.6065), (0.15, 0.3247), (0.2, 0.1353),
    (0.3, 0.0111),
]  # fmt: skip


def group_of(answer: float | str, *, opinion: float, scale: Scale) -> RolloutGroup:
    return make_group([make_answer(answer)], prompt=make_prompt(opinion=opinion, scale=scale))


def score(
    answer: float | str,
    *,
    opinion: float,
    scale: Scale = ONE_TO_FIVE,
    sigma_fraction: float = 0.1,
    form: Literal["released", "paper"] = "paper",
) -> float | None:
    config = OpinionTermConfig(kind="opinion", weight=1.0, form=form, sigma_fraction=sigma_fraction)
    return asyncio.run(OpinionTerm(config).score([group_of(answer, opinion=opinion, scale=scale)]))[0][0]


def judge(
    answer: float | str,
    *,
    opinion: float,
    full: float,
    half: float | None = None,
    scale: Scale = ONE_TO_FIVE,
    mode: Literal["inclusive", "released"] = "inclusive",
) -> float | None:
    config = ThresholdTermConfig(kind="threshold", weight=1.0, mode=mode, full_fraction=full, half_fraction=half)
    return asyncio.run(ThresholdTerm(config).score([group_of(answer, opinion=opinion, scale=scale)]))[0][0]


@pytest.mark.parametrize(("distance", "reward"), DISTANCES)
def test_the_published_table_of_distances(distance: float, reward: float) -> None:
    result = opinion_rewards(np.array([0.5 + distance]), opinion=0.5, sigma=0.1, form="paper")
    assert result[0] == pytest.approx(reward, abs=5.1e-5)


@pytest.mark.parametrize(("distance", "reward"), [*DISTANCES, (0.5, 0.0), (3.0, 0.0)])
def test_the_released_form_gives_the_table_to_its_four_decimals(distance: float, reward: float) -> None:
    assert opinion_rewards(np.array([0.0 + distance]), opinion=0.0, sigma=0.1, form="released")[0] == reward


def test_the_released_offset_decides_a_fourth_decimal() -> None:
    # 0.500045 rounds to 0.5000, and with 1e-5 more to 0.5001.
    distance = float(np.sqrt(-2.0 * np.log(0.500045)))
    with_offset, without = (
        float(opinion_rewards(np.array([distance]), opinion=0.0, sigma=1.0, form=form)[0])
        for form in ("released", "paper")
    )
    assert (with_offset, round(without, 4)) == (0.5001, 0.5)


def test_the_second_papers_worked_example_a() -> None:
    first = opinion_rewards(np.array([0.62, 0.55, 0.70, 0.60]), opinion=0.613, sigma=0.1, form="released")
    second = opinion_rewards(np.array([0.40, 0.48, 0.30, 0.42]), opinion=0.250, sigma=0.1, form="released")
    assert first.tolist() == [0.9976, 0.8200, 0.6849, 0.9916]
    assert second.tolist() == [0.3247, 0.0710, 0.8825, 0.2358]


def test_one_sigma_is_a_share_of_the_scale() -> None:
    assert score(3.4, opinion=3.0) == pytest.approx(np.exp(-0.5))


def test_sigma_is_configurable() -> None:
    assert score(3.4, opinion=3.0, sigma_fraction=0.05) == pytest.approx(np.exp(-2.0))


def test_rescaling_answer_label_and_scale_together_changes_nothing() -> None:
    on_five = score(2.0, opinion=3.0)
    on_hundred = score(25, opinion=50.0, scale=Scale(minimum=0, maximum=100))
    assert on_five == pytest.approx(on_hundred)


def test_an_unparsed_answer_earns_zero() -> None:
    assert score("dunno", opinion=3.0) == 0.0


def test_no_number_earns_zero_in_either_form() -> None:
    for form in ("released", "paper"):
        assert opinion_rewards(np.array([np.nan]), opinion=3.0, sigma=0.4, form=form).tolist() == [0.0]


def test_an_out_of_range_score_is_judged_by_its_distance() -> None:
    assert score(5.4, opinion=5.0) == pytest.approx(np.exp(-0.5))


def test_the_released_form_reads_an_answer_as_the_released_code_does() -> None:
    assert score("4/5", opinion=4.0, form="released") == 1.0
    assert score("4/5", opinion=4.0) == 0.0


@pytest.mark.parametrize(
    ("distance", "reward"),
    [(0.0, 1.0), (0.069, 1.0), (0.07, 1.0), (0.071, 0.5), (0.099, 0.5), (0.1, 0.5), (0.101, 0.0), (0.9, 0.0)],
)
def test_the_published_thresholds(distance: float, reward: float) -> None:
    for label in (0.0, 0.05, 0.1):
        found = threshold_rewards(
            np.array([label + distance]), opinion=label, full_within=0.07, half_within=0.1, mode="inclusive"
        )
        assert found.tolist() == [reward]


def test_without_a_second_threshold_there_is_nothing_between_right_and_wrong() -> None:
    scores_K = np.array([3.0, 3.3, 3.4, 2.6, 1.0, np.nan])
    found = threshold_rewards(scores_K, opinion=3.0, full_within=0.35, half_within=None, mode="inclusive")
    assert found.tolist() == [1.0, 1.0, 0.0, 0.0, 0.0, 0.0]


@pytest.mark.parametrize(("fraction", "last_right", "first_wrong"), [(0.125, 3.5, 3.51), (0.0875, 3.35, 3.36)])
def test_thresholds_are_shares_of_the_scale(fraction: float, last_right: float, first_wrong: float) -> None:
    # On 1..5 these are 0.5 and 0.35, as Refine-IQA has them.
    assert judge(last_right, opinion=3.0, full=fraction) == 1.0
    assert judge(first_wrong, opinion=3.0, full=fraction) == 0.0


@pytest.mark.parametrize(("answer", "label"), [(3.90, 4.40), (3.50, 4.00), (4.40, 3.90), (1.10, 1.60)])
def test_an_error_of_exactly_the_threshold_is_right_whatever_floating_point_makes_of_it(
    answer: float, label: float
) -> None:
    assert judge(answer, opinion=label, full=0.125) == 1.0


@pytest.mark.parametrize(
    ("distance", "reward"),
    [(0.0, 1.0), (0.069, 1.0), (0.07, 0.5), (0.071, 0.5), (0.099, 0.5), (0.1, 0.0), (0.101, 0.0), (0.9, 0.0)],
)
def test_the_released_thresholds_exclude_themselves(distance: float, reward: float) -> None:
    scores_K = np.array([distance, np.nan])
    found = threshold_rewards(scores_K, opinion=0.0, full_within=0.07, half_within=0.1, mode="released")
    assert found.tolist() == [reward, 0.0]


def test_the_edge_of_a_released_threshold_is_as_floating_point_has_it() -> None:
    # 0.57 - 0.5 is 0.06999999999999995, and 0.5 - 0.43 is 0.07.
    assert judge(0.57, opinion=0.5, full=0.07, scale=ZERO_TO_ONE, mode="released") == 1.0
    assert judge(0.43, opinion=0.5, full=0.07, scale=ZERO_TO_ONE, mode="released") == 0.0


def test_the_released_thresholds_read_an_answer_as_the_released_code_does() -> None:
    assert judge("4/5", opinion=4.0, full=0.07, mode="released") == 1.0
    assert judge("4/5", opinion=4.0, full=0.07) == 0.0


def test_a_threshold_means_the_same_on_every_scale() -> None:
    assert judge(0.43, opinion=0.5, full=0.07, half=0.1, scale=ZERO_TO_ONE) == 1.0
    assert judge(41, opinion=50.0, full=0.07, half=0.1, scale=Scale(minimum=0, maximum=100)) == 0.5


def test_an_answer_without_a_score_is_wrong() -> None:
    assert judge("dunno", opinion=3.0, full=1.0) == 0.0


def test_the_half_threshold_must_lie_beyond_the_full_one() -> None:
    with pytest.raises(ValidationError, match=r"half_fraction=0\.05 must be above full_fraction=0\.07"):
        ThresholdTermConfig(kind="threshold", weight=1.0, mode="inclusive", full_fraction=0.07, half_fraction=0.05)
