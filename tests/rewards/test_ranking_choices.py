"""How the ranking reward computes probabilities, and whom it compares with whom."""

import asyncio
import math
from collections.abc import Sequence

import numpy as np
import pytest
from numpy.typing import NDArray

from conf.errors import ConfigError
from conf.load import load_run_config
from conf.reward_terms import RankingTermConfig
from rewards.terms.ranking import Comparison, RankingTerm, better_than_probabilities, rank_rewards
from rollout.types import RolloutGroup
from tests.builders import make_answer, make_group, make_prompt
from tests.rewards.ranking import make_ranking_config

Array = NDArray[np.float64]
COMPARISONS: tuple[Comparison, ...] = ("mean", "probability_average", "fixed_variance")
EXAMPLE_A = np.array([[3.40, 3.00, 3.80], [2.60, 3.20, 2.90]])
OPINIONS_A = (4.5, 2.0)

every_comparison = pytest.mark.parametrize("comparison", COMPARISONS)


def standard_normal(z: float) -> float:
    """Its distribution function, without scipy."""
    return 0.5 * math.erfc(-z / math.sqrt(2.0))


def sample_variance(values: Sequence[float]) -> float:
    mean = sum(values) / len(values)
    return sum((value - mean) ** 2 for value in values) / (len(values) - 1)


def probability(score: float, own: Sequence[float], other: Sequence[float], *, comparison: Comparison) -> float:
    """Equations 1 and 7 and case V, read off the page."""
    variances = 2.0 if comparison == "fixed_variance" else sample_variance(own) + sample_variance(other)
    spread = math.sqrt(variances + 1e-6)
    if comparison == "mean":
        return standard_normal((score - sum(other) / len(other)) / spread)
    return sum(standard_normal((score - against) / spread) for against in other) / len(other)


def rank(scores: Array, opinions: Sequence[float], *, comparison: Comparison) -> Array:
    return rank_rewards(
        scores,
        opinions_B=np.array(opinions),
        sources_B=["one"] * len(opinions),
        comparison=comparison,
        form="released",
        ties="half",
    )


def score(groups: Sequence[RolloutGroup], config: RankingTermConfig) -> list[list[float | None]]:
    return asyncio.run(RankingTerm(config).score(groups))


def make_step(num_pictures: int, *, seed: int = 3, sources: Sequence[str] = ("one",)) -> list[RolloutGroup]:
    """Pictures with four scores each, of the sources in turn."""
    random = np.random.default_rng(seed)
    return [
        make_group(
            [make_answer(f"{value:.2f}") for value in random.uniform(1, 5, 4)],
            prompt=make_prompt(f"{i}", opinion=float(random.uniform(1, 5)), source=sources[i % len(sources)]),
        )
        for i in range(num_pictures)
    ]


@every_comparison
def test_probabilities_equal_the_equations_one_by_one(comparison: Comparison) -> None:
    scores = np.random.default_rng(1).uniform(1, 5, (5, 4))
    probability_BKB, complement_BKB = better_than_probabilities(scores, comparison=comparison)
    for i, own in enumerate(scores):
        for k, value in enumerate(own):
            for j, other in enumerate(scores):
                expected = probability(value, own.tolist(), other.tolist(), comparison=comparison)
                assert probability_BKB[i, k, j] == pytest.approx(expected, abs=1e-12)
                assert complement_BKB[i, k, j] == pytest.approx(1.0 - expected, abs=1e-12)


def test_the_three_comparisons_on_worked_example_a() -> None:
    # Score 3.40 of the first picture against 2.60, 3.20, 2.90, by hand: over sqrt(.16 + .09) the z are 1.6, .4 and 1;
    # over sqrt(2) they are .565685, .141421 and .353553.
    found = [better_than_probabilities(EXAMPLE_A, comparison=c)[0][0, 0, 1] for c in COMPARISONS]
    averaged = (0.945201 + 0.655422 + 0.841345) / 3
    case_v = (0.714196 + 0.556231 + 0.638163) / 3
    assert found == pytest.approx([0.841344, averaged, case_v], abs=2e-6)


@every_comparison
def test_rewards_are_the_fidelity_of_the_probabilities(comparison: Comparison) -> None:
    rewards = rank(EXAMPLE_A, OPINIONS_A, comparison=comparison)
    for i, (is_better, own, other) in enumerate([(1.0, *EXAMPLE_A.tolist()), (0.0, *EXAMPLE_A.tolist()[::-1])]):
        for k, value in enumerate(own):
            p = probability(value, own, other, comparison=comparison)
            expected = math.sqrt(p * is_better + 1e-6) + math.sqrt((1 - p) * (1 - is_better) + 1e-6)
            assert rewards[i, k] == pytest.approx(expected, abs=1e-12)


def test_without_any_spread_average_and_mean_are_the_same() -> None:
    constant = np.repeat(np.array([[4.0], [2.0], [3.0]]), 3, axis=1)
    mean, average = (rank(constant, (1, 2, 3), comparison=c) for c in ("mean", "probability_average"))
    np.testing.assert_allclose(average, mean, atol=1e-12)


def test_an_average_of_probabilities_is_less_sure_than_the_probability_of_the_average() -> None:
    mean, average = (better_than_probabilities(EXAMPLE_A, comparison=c)[0] for c in ("mean", "probability_average"))
    is_sure_BKB = mean > 0.5
    assert (average[is_sure_BKB] <= mean[is_sure_BKB] + 1e-12).all()
    assert average[0, 2, 1] < mean[0, 2, 1]


def test_a_fixed_variance_does_not_look_at_the_spread() -> None:
    narrow = np.array([[3.0, 3.0], [2.0, 2.0]])
    probability_BKB, _ = better_than_probabilities(narrow, comparison="fixed_variance")
    assert probability_BKB[0, 0, 1] == pytest.approx(standard_normal(1.0 / math.sqrt(2.0 + 1e-6)))


@every_comparison
def test_an_unparsed_answer_enters_no_probability(comparison: Comparison) -> None:
    texts: tuple[list[float | str], ...] = ([3.4, 3.0, "dunno", 3.8], [2.6, "?", 3.2, 2.9])
    groups = [
        make_group([make_answer(a) for a in answers], prompt=make_prompt(f"{i}", opinion=OPINIONS_A[i]))
        for i, answers in enumerate(texts)
    ]
    found = score(groups, make_ranking_config(comparison=comparison))
    expected = rank(EXAMPLE_A, OPINIONS_A, comparison=comparison)
    assert [found[0][k] for k in (0, 1, 3)] == pytest.approx(expected[0])
    assert [found[1][k] for k in (0, 2, 3)] == pytest.approx(expected[1])
    assert (found[0][2], found[1][1]) == (0.0, 0.0)


@every_comparison
def test_permuting_pictures_and_completions_permutes_rewards(comparison: Comparison) -> None:
    scores, opinions = np.random.default_rng(2).uniform(1, 5, (4, 3)), np.array([1.0, 4.0, 2.0, 2.0])
    pictures, completions = [2, 0, 3, 1], [2, 0, 1]
    turned = rank(scores[pictures][:, completions], opinions[pictures].tolist(), comparison=comparison)
    straight = rank(scores, opinions.tolist(), comparison=comparison)
    np.testing.assert_allclose(turned, straight[pictures][:, completions], atol=1e-12)


def test_a_single_score_is_enough_where_no_variance_is_estimated() -> None:
    groups = [make_group([make_answer(4)], prompt=make_prompt("a", opinion=4.5))]
    groups += [make_group([make_answer(2)], prompt=make_prompt("b", opinion=2.0))]
    rows = score(groups, make_ranking_config(comparison="fixed_variance"))
    sure = standard_normal(2.0 / math.sqrt(2.0 + 1e-6))
    assert rows == [[pytest.approx(math.sqrt(sure + 1e-6) + 1e-3)]] * 2


def test_chunks_are_scored_as_if_each_were_a_step_of_its_own() -> None:
    groups = make_step(12)
    alone = [row for start in (0, 4, 8) for row in score(groups[start : start + 4], make_ranking_config())]
    assert score(groups, make_ranking_config(chunk_size=4)) == alone


def test_chunks_and_the_whole_step_pay_differently() -> None:
    groups = make_step(12)
    assert score(groups, make_ranking_config(chunk_size=4)) != score(groups, make_ranking_config())


def test_a_chunk_of_the_whole_step_is_the_whole_step() -> None:
    groups = make_step(6)
    assert score(groups, make_ranking_config(chunk_size=6)) == score(groups, make_ranking_config())


@pytest.mark.parametrize("num_ranks", [1, 2, 3, 4, 6])
def test_over_the_whole_step_it_does_not_matter_how_many_ranks_share_the_pictures(num_ranks: int) -> None:
    groups = make_step(12, sources=("one", "two"))
    dealt = [index for rank in range(num_ranks) for index in range(rank, 12, num_ranks)]
    found = dict(zip(dealt, score([groups[i] for i in dealt], make_ranking_config()), strict=True))
    for index, row in enumerate(score(groups, make_ranking_config())):
        assert found[index] == pytest.approx(row)


def test_what_is_left_over_after_the_last_full_chunk_is_a_smaller_one() -> None:
    groups = make_step(5)
    found = score(groups, make_ranking_config(chunk_size=4))
    assert found[:4] == score(groups[:4], make_ranking_config())
    assert found[4] == [None] * 4


def test_other_sources_are_partners_only_where_that_is_asked_for() -> None:
    groups = make_step(6, sources=("one", "two", "three"))
    mixed = make_step(6)
    assert score(groups, make_ranking_config(partners="any_source")) == score(mixed, make_ranking_config())
    assert score(groups, make_ranking_config()) != score(mixed, make_ranking_config())


def test_a_row_never_meets_another_source() -> None:
    groups = make_step(8, sources=("one", "two"))
    both = score(groups, make_ranking_config())
    assert both[::2] == [pytest.approx(row) for row in score(groups[::2], make_ranking_config())]
    assert both[1::2] == [pytest.approx(row) for row in score(groups[1::2], make_ranking_config())]


def test_a_step_that_chunks_do_not_divide_is_refused_with_both_numbers() -> None:
    overrides = ["rewards.terms.ranking.chunk_size=7", "rollout.prompts_per_step=24"]
    with pytest.raises(ConfigError, match=r"chunk_size=7 must divide rollout\.prompts_per_step=24"):
        load_run_config(overrides)
    load_run_config(["rewards.terms.ranking.chunk_size=8", "rollout.prompts_per_step=24"])
