"""How parts become totals, and what the scorer refuses."""

import asyncio
from collections.abc import Sequence

import pytest

from conf.reward_terms import FormatTermConfig, OpinionTermConfig, RankingTermConfig, RewardsConfig
from rewards.rules import Parts, weighted_sum
from rewards.scorer import Scorer, build_scorer
from rollout.types import RolloutGroup, Scale
from tests.builders import ONE_TO_FIVE, make_answer, make_group, make_prompt


class ConstantTerm:
    """Gives every group the same row."""

    def __init__(self, row: Sequence[float | None]) -> None:
        self._row = row

    async def score(self, groups: Sequence[RolloutGroup]) -> list[list[float | None]]:
        return [list(self._row) for _ in groups]


class MeetingTerm:
    """Answers only once the other term has been asked too."""

    def __init__(self, *, mine: asyncio.Event, other: asyncio.Event) -> None:
        self._mine, self._other = mine, other

    async def score(self, groups: Sequence[RolloutGroup]) -> list[list[float | None]]:
        self._mine.set()
        await asyncio.wait_for(self._other.wait(), timeout=5)
        return [[1.0] * len(group.completions) for group in groups]


def totals(row: Sequence[float | None]) -> list[float | None]:
    scorer = Scorer({"only": ConstantTerm(row)}, weights={"only": 2.0}, scale=ONE_TO_FIVE)
    scored = asyncio.run(scorer.score([make_group(["x", "y"])]))
    return [reward.total for reward in scored[0].rewards]


def test_the_total_is_the_weighted_sum_of_the_parts() -> None:
    parts = [{"a": 1.0, "b": 0.5}, {"a": 0.0, "b": -1.0}]
    assert weighted_sum(parts, weights={"a": 1.0, "b": 4.0}) == [3.0, -4.0]


def test_a_term_that_abstains_on_the_whole_group_drops_out() -> None:
    parts: list[Parts] = [{"a": 1.0, "b": None}, {"a": 0.0, "b": None}]
    assert weighted_sum(parts, weights={"a": 1.0, "b": 4.0}) == [1.0, 0.0]


def test_a_completion_that_misses_one_of_its_siblings_parts_has_no_total() -> None:
    parts: list[Parts] = [{"a": 1.0, "b": 0.5}, {"a": 1.0, "b": None}]
    assert weighted_sum(parts, weights={"a": 1.0, "b": 4.0}) == [3.0, None]


def test_a_group_on_which_every_term_abstains_has_no_totals() -> None:
    parts: list[Parts] = [{"a": None, "b": None}, {"a": None, "b": None}]
    assert weighted_sum(parts, weights={"a": 1.0, "b": 4.0}) == [None, None]


def test_worked_example_a_with_format_gives_the_published_totals() -> None:
    config = RewardsConfig(
        terms={
            "ranking": RankingTermConfig(kind="ranking", weight=1.0, form="released", ties="half", out_of_range="keep"),
            "format": FormatTermConfig(kind="format", weight=1.0, mode="strict"),
        }
    )
    first = [make_answer(s) for s in (3.40, 3.00, 3.80)]
    second = [make_answer(2.60), make_answer(3.20), "<answer>2.90</answer>"]
    groups = [
        make_group(first, prompt=make_prompt("a", opinion=4.5)),
        make_group(second, prompt=make_prompt("b", opinion=2.0)),
    ]
    scored = asyncio.run(build_scorer(config, scale=ONE_TO_FIVE).score(groups))
    published = [1.918249, 1.762092, 1.982871, 1.973215, 1.810582, 0.918249]
    assert [r.total for group in scored for r in group.rewards] == pytest.approx(published, abs=1e-5)


def test_parts_are_kept_unweighted_under_the_configured_names() -> None:
    config = RewardsConfig(terms={"nearness": OpinionTermConfig(kind="opinion", weight=3.0, sigma_fraction=0.1)})
    scored = asyncio.run(build_scorer(config, scale=ONE_TO_FIVE).score([make_group([make_answer(3)])]))
    assert scored[0].rewards[0].parts == {"nearness": 1.0}


def test_groups_keep_their_order_and_carry_their_parsed_answers() -> None:
    groups = [make_group([make_answer(2), "?"]), make_group([make_answer(9), make_answer(1)])]
    scorer = Scorer({"only": ConstantTerm([0.0, 1.0])}, weights={"only": 1.0}, scale=ONE_TO_FIVE)
    scored = asyncio.run(scorer.score(groups))
    assert [[a.status for a in group.answers] for group in scored] == [
        ["ok", "no_tag"],
        ["out_of_range", "ok"],
    ]


def test_terms_run_side_by_side() -> None:
    async def scored() -> int:
        first, second = asyncio.Event(), asyncio.Event()
        terms = {
            "a": MeetingTerm(mine=first, other=second),
            "b": MeetingTerm(mine=second, other=first),
        }
        scorer = Scorer(terms, weights={"a": 1.0, "b": 1.0}, scale=ONE_TO_FIVE)
        return len(await scorer.score([make_group(["x"])]))

    assert asyncio.run(scored()) == 1


def test_an_abstention_on_every_completion_leaves_no_total() -> None:
    assert totals([None, None]) == [None, None]


def test_a_term_of_the_wrong_shape_is_named() -> None:
    with pytest.raises(ValueError, match=r"'only' scored \[3\] completions per group, expected \[2\]"):
        totals([1.0, 1.0, 1.0])


def test_a_term_that_gives_nan_is_named() -> None:
    with pytest.raises(ValueError, match="'only' gave"):
        totals([1.0, float("nan")])


def test_weights_must_name_the_terms() -> None:
    with pytest.raises(ValueError, match="every term needs one weight"):
        Scorer({"a": ConstantTerm([0.0])}, weights={"b": 1.0}, scale=ONE_TO_FIVE)


def test_a_scorer_without_terms_is_refused() -> None:
    with pytest.raises(ValueError, match="at least one reward term"):
        Scorer({}, weights={}, scale=ONE_TO_FIVE)


def test_a_label_on_another_scale_is_refused() -> None:
    scorer = Scorer({"only": ConstantTerm([0.0])}, weights={"only": 1.0}, scale=Scale(minimum=0, maximum=1))
    with pytest.raises(ValueError, match="has a label on"):
        asyncio.run(scorer.score([make_group(["x"])]))
