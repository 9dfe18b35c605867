"""The RL2R reward of two papers: worked examples, edge values, invariances, and what abstains.

How probabilities may be computed and who is compared with whom: ``test_ranking_choices.py``.
"""

import asyncio
import math

import numpy as np
import pytest
from numpy.typing import NDArray

from learner.advantage import scale_by_std
from rewards.terms.ranking import Form, RankingTerm, Ties, better_than_probabilities, rank_rewards
from rollout.types import RolloutGroup
from tests.builders import make_answer, make_group, make_prompt
from tests.rewards.ranking import make_ranking_config

Array = NDArray[np.float64]

EXAMPLE_A = np.array([[3.40, 3.00, 3.80], [2.60, 3.20, 2.90]])
OPINIONS_A = (4.5, 2.0)
REWARDS_A = [[0.918249, 0.762092, 0.982871], [0.973215, 0.810582, 0.918249]]
EXAMPLE_B = np.array([[3.5, 3.8, 3.2, 3.5], [3.1, 3.6, 2.9, 3.4], [0.2, 1.5, 1.2, 1.1]])
OPINIONS_B = (3.27, 3.27, 1.80)
RAPO_EXAMPLE_A = np.array([[0.62, 0.55, 0.70, 0.60], [0.40, 0.48, 0.30, 0.42]])
RAPO_EXAMPLE_B = np.array([[0.50, 0.52, 0.47, 0.55], [0.58, 0.45, 0.51, 0.50], [0.81, 0.70, 0.90, 0.75]])


def rank(scores: Array, opinions: tuple[float, ...], *, form: Form = "released", ties: Ties = "half") -> Array:
    return rank_rewards(
        scores,
        opinions_B=np.array(opinions),
        sources_B=["one"] * len(opinions),
        comparison="mean",
        form=form,
        ties=ties,
    )


def rank_by_loops(scores: Array, opinions: Array, *, offset: float, tie_label: float) -> Array:
    """The formula read off the page, one completion and one partner at a time."""
    rewards = np.zeros_like(scores)
    for i, row in enumerate(scores):
        for k, score in enumerate(row):
            for j, other in enumerate(scores):
                if j == i:
                    continue
                variances = sum(sum((x - sum(xs) / len(xs)) ** 2 for x in xs) / (len(xs) - 1) for xs in (row, other))
                z = (score - sum(other) / len(other)) / math.sqrt(variances + 1e-6)
                p = 0.5 * (1 + math.erf(z / math.sqrt(2)))
                g = 1.0 if opinions[i] > opinions[j] else 0.0 if opinions[i] < opinions[j] else tie_label
                rewards[i, k] += math.sqrt(p * g + offset) + math.sqrt((1 - p) * (1 - g) + offset)
    return rewards / (len(scores) - 1)


def score(groups: list[RolloutGroup], *, form: Form = "released") -> list[list[float | None]]:
    return asyncio.run(RankingTerm(make_ranking_config(form=form)).score(groups))


def group_of(scores: list[float | str], *, opinion: float, source: str = "one") -> RolloutGroup:
    return make_group(
        [make_answer(s) for s in scores],
        prompt=make_prompt(f"{source}-{opinion}", opinion=opinion, source=source),
    )


def test_worked_example_a_in_the_released_form() -> None:
    np.testing.assert_allclose(rank(EXAMPLE_A, OPINIONS_A), REWARDS_A, atol=1e-5)


def test_worked_example_a_in_the_paper_form() -> None:
    np.testing.assert_allclose(
        rank(EXAMPLE_A, OPINIONS_A, form="paper"),
        [[0.917248, 0.761091, 0.981870], [0.972214, 0.809581, 0.917248]],
        atol=1e-5,
    )


def test_the_probabilities_of_worked_example_a() -> None:
    probability_BKB, complement_BKB = better_than_probabilities(EXAMPLE_A, comparison="mean")
    np.testing.assert_allclose(probability_BKB[0, :, 1], [0.841344, 0.579260, 0.964069], atol=1e-6)
    np.testing.assert_allclose(probability_BKB[1, :, 0], [0.054800, 0.344579, 0.158656], atol=1e-6)
    np.testing.assert_allclose(probability_BKB + complement_BKB, 1.0, atol=1e-15)


def test_the_probabilities_of_worked_example_b() -> None:
    probability_BKB, _ = better_than_probabilities(EXAMPLE_B, comparison="mean")
    expected = {
        (0, 1): [0.736180, 0.917667, 0.449738, 0.736180],
        (0, 2): [0.999979, 0.999998, 0.999841, 0.999979],
        (1, 0): [0.156109, 0.599729, 0.064776, 0.400271],
        (1, 2): [0.999480, 0.999976, 0.998498, 0.999911],
        (2, 0): [0.000000, 0.000532, 0.000084, 0.000043],
        (2, 1): [0.000001, 0.003138, 0.000683, 0.000393],
    }
    for (i, j), probabilities_K in expected.items():
        np.testing.assert_allclose(probability_BKB[i, :, j], probabilities_K, atol=6e-7)


def test_the_probabilities_of_the_second_papers_example_a() -> None:
    probability_BKB, _ = better_than_probabilities(RAPO_EXAMPLE_A, comparison="mean")
    np.testing.assert_allclose(probability_BKB[0, :, 1], [0.988028, 0.938166, 0.998962, 0.979952], atol=6e-7)
    np.testing.assert_allclose(probability_BKB[1, :, 0], [0.012795, 0.079083, 0.000560, 0.021327], atol=6e-7)


def test_worked_example_a_with_opinions_swapped() -> None:
    np.testing.assert_allclose(
        rank(EXAMPLE_A, (2.0, 4.5)),
        [[0.399317, 0.649646, 0.190556], [0.235095, 0.588009, 0.399317]],
        atol=1e-5,
    )


def test_the_variance_is_not_the_population_variance() -> None:
    wrong = [[0.944220, 0.773498, 0.994105], [0.988410, 0.830396, 0.944220]]
    assert np.abs(rank(EXAMPLE_A, OPINIONS_A) - wrong).min() > 0.01


def test_worked_example_b_keeps_an_out_of_range_score() -> None:
    np.testing.assert_allclose(
        rank(EXAMPLE_B, OPINIONS_B),
        [
            [0.985445, 0.940635, 0.999828, 0.985445],
            [0.964849, 0.997977, 0.932021, 0.997961],
            [1.001000, 1.000083, 1.000809, 1.000892],
        ],
        atol=1e-5,
    )


def test_worked_example_b_with_ties_worth_one() -> None:
    np.testing.assert_allclose(
        rank(EXAMPLE_B, OPINIONS_B, ties="one"),
        [
            [0.930000, 0.979975, 0.836274, 0.930000],
            [0.698424, 0.888205, 0.627881, 0.817313],
            [1.001000, 1.000083, 1.000809, 1.000892],
        ],
        atol=1e-5,
    )


def test_the_second_papers_example_a_to_its_four_decimals() -> None:
    assert rank(RAPO_EXAMPLE_A, (0.613, 0.250), form="rounded", ties="one").tolist() == [
        [0.9950, 0.9696, 1.0005, 0.9909],
        [0.9946, 0.9606, 1.0007, 0.9903],
    ]


def test_the_second_papers_example_b_to_its_four_decimals() -> None:
    assert rank(RAPO_EXAMPLE_B, (0.50, 0.50, 0.80), form="rounded", ties="one").tolist() == [
        [0.8314, 0.8757, 0.7576, 0.9289],
        [0.9614, 0.7079, 0.8538, 0.8311],
        [1.0005, 0.9884, 1.0010, 0.9976],
    ]


def test_rounding_is_all_that_the_second_papers_form_changes() -> None:
    released = rank(EXAMPLE_B, OPINIONS_B)
    np.testing.assert_array_equal(rank(EXAMPLE_B, OPINIONS_B, form="rounded"), released.round(4))


def test_a_tie_under_the_second_papers_rule_pays_for_being_above_an_equal() -> None:
    exact, above, *_ = rank(RAPO_EXAMPLE_B, (0.50, 0.50, 0.80), ties="one")[0]
    assert above > exact
    exact, above, *_ = rank(RAPO_EXAMPLE_B, (0.50, 0.50, 0.80), ties="half")[0]
    assert exact > above


def test_advantages_of_worked_example_a_on_ranking_alone() -> None:
    first, second = (scale_by_std(row) for row in rank(EXAMPLE_A, OPINIONS_A))
    np.testing.assert_allclose(first, [0.268569, -1.105955, 0.837386], atol=1e-5)
    np.testing.assert_allclose(second, [0.875712, -1.087804, 0.212092], atol=1e-5)


def test_advantages_of_worked_example_b() -> None:
    expected = [
        [0.294698, -1.441304, 0.851909, 0.294698],
        [-0.263629, 0.781964, -1.299789, 0.781455],
        [0.589777, -1.187791, 0.218799, 0.379216],
    ]
    for row, advantages_K in zip(rank(EXAMPLE_B, OPINIONS_B), expected, strict=True):
        np.testing.assert_allclose(scale_by_std(row), advantages_K, atol=1e-5)


def test_rank_alone_does_not_hold_the_scale() -> None:
    # The out-of-range 0.20 is the best-paid answer of its picture.
    assert rank(EXAMPLE_B, OPINIONS_B)[2].argmax() == 0


def test_scores_without_information_earn_the_published_baseline() -> None:
    # Against a picture without spread at their own mean, normal scores have probabilities uniform in 0..1, whose roots
    # average 2/3; the 1e-6 in the other root adds 0.001.
    scores = np.stack([np.random.default_rng(0).normal(3.0, 0.5, 20000), np.full(20000, 3.0)])
    assert rank(scores, (4.0, 2.0))[0].mean() == pytest.approx(0.6677, abs=0.005)


@pytest.mark.parametrize(
    ("scores", "opinions", "expected"),
    [
        ((4.0, 2.0), (4.0, 2.0), 1.001),
        ((2.0, 4.0), (4.0, 2.0), 0.002),
        ((3.0, 3.0), (4.0, 2.0), 0.708107),
        ((3.0, 3.0), (3.0, 3.0), 1.000002),
    ],
)
def test_edge_values_without_any_spread(
    scores: tuple[float, float], opinions: tuple[float, float], expected: float
) -> None:
    constant = np.repeat(np.array(scores)[:, None], 2, axis=1)
    np.testing.assert_allclose(rank(constant, opinions), np.full((2, 2), expected), atol=1e-6)


def test_the_largest_reward_of_the_released_form() -> None:
    assert rank(np.array([[4.0, 4.0], [2.0, 2.0]]), (4.0, 2.0)).max() == pytest.approx(1.0010005, abs=1e-7)


@pytest.mark.parametrize(("ties", "tie_label"), [("half", 0.5), ("one", 1.0)])
@pytest.mark.parametrize(("form", "offset"), [("released", 1e-6), ("paper", 0.0)])
def test_the_vectorised_reward_equals_the_slow_loops(form: Form, offset: float, ties: Ties, tie_label: float) -> None:
    random = np.random.default_rng(5)
    scores, opinions = random.uniform(1, 5, (7, 4)), np.round(random.uniform(1, 5, 7))
    assert len(set(opinions)) < 7, "the draw must hold ties"
    np.testing.assert_allclose(
        rank(scores, tuple(opinions), form=form, ties=ties),
        rank_by_loops(scores, opinions, offset=offset, tie_label=tie_label),
        atol=1e-7,
    )


def test_permuting_pictures_and_completions_permutes_rewards() -> None:
    pictures, completions = [2, 0, 1], [3, 1, 0, 2]
    permuted = rank(EXAMPLE_B[pictures][:, completions], tuple(np.array(OPINIONS_B)[pictures]))
    np.testing.assert_allclose(permuted, rank(EXAMPLE_B, OPINIONS_B)[pictures][:, completions], atol=1e-12)


def test_rewards_do_not_depend_on_the_scale_of_opinions() -> None:
    np.testing.assert_allclose(rank(EXAMPLE_A, OPINIONS_A), rank(EXAMPLE_A, (87.5, 25.0)))


def test_a_mirrored_question_has_the_same_reward() -> None:
    np.testing.assert_allclose(rank(-EXAMPLE_B, (-3.27, -3.27, -1.80)), rank(EXAMPLE_B, OPINIONS_B))


def test_pictures_of_another_source_change_nothing() -> None:
    scores = np.vstack([EXAMPLE_A, EXAMPLE_A + 0.7])
    rewards = rank_rewards(
        scores,
        opinions_B=np.array([*OPINIONS_A, 90.0, 10.0]),
        sources_B=["one", "one", "two", "two"],
        comparison="mean",
        form="released",
        ties="half",
    )
    np.testing.assert_allclose(rewards[:2], REWARDS_A, atol=1e-5)


def test_an_infinite_score_is_refused() -> None:
    with pytest.raises(ValueError, match="finite"):
        rank(np.array([[np.inf, 1.0], [2.0, 3.0]]), (1.0, 2.0))


def test_an_unparsed_answer_earns_nothing_and_leaves_its_siblings_alone() -> None:
    first = group_of([3.40, 3.00, "dunno", 3.80], opinion=4.5)
    rewards = score([first, group_of([2.60, 3.20, 2.90], opinion=2.0)])
    expected = [0.918249, 0.762092, 0.0, 0.982871]
    assert rewards[0] == pytest.approx(expected, abs=1e-5)


def test_an_unparsed_answer_leaves_the_other_picture_alone() -> None:
    first = group_of([3.40, 3.00, "dunno", 3.80], opinion=4.5)
    rewards = score([first, group_of([2.60, 3.20, 2.90], opinion=2.0)])
    assert rewards[1] == pytest.approx(REWARDS_A[1], abs=1e-5)


def test_a_picture_without_partner_in_its_source_abstains() -> None:
    pair = [group_of([3, 4], opinion=4.5), group_of([2, 1], opinion=2.0)]
    assert score([*pair, group_of([3, 4], opinion=4.0, source="two")])[2] == [None, None]


def test_a_step_of_one_picture_abstains() -> None:
    assert score([group_of([3, "dunno"], opinion=4.5)]) == [[None, None]]


def test_a_picture_with_one_score_has_no_variance_and_abstains() -> None:
    groups = [
        group_of([3, 4], opinion=4.5),
        group_of([2, 1], opinion=2.0),
        group_of([5, "dunno"], opinion=5.0),
    ]
    assert score(groups)[2] == [None, None]


def test_a_picture_with_one_score_is_nobodys_partner() -> None:
    pair = [group_of([3, 4], opinion=4.5), group_of([2, 1], opinion=2.0)]
    assert score([*pair, group_of([5, "dunno"], opinion=5.0)])[:2] == score(pair)


def test_a_single_completion_is_refused_with_the_knob_to_change() -> None:
    with pytest.raises(ValueError, match=r"rollout\.num_completions"):
        score([group_of([3], opinion=4.5), group_of([2], opinion=2.0)])


def test_no_groups_give_no_scores() -> None:
    assert score([]) == []


def test_an_absurd_score_can_be_treated_as_unparsed() -> None:
    groups = [group_of([2, 2.5, 9000], opinion=2), group_of([3, 4, 3.5], opinion=3)]
    with_absurd = asyncio.run(RankingTerm(make_ranking_config(scores="in_range")).score(groups))
    without = score([group_of([2, 2.5, "?"], opinion=2), group_of([3, 4, 3.5], opinion=3)])
    assert with_absurd == without
    assert with_absurd[0][2] == 0.0
