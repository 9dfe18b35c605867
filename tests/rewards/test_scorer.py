"""How parts become totals, and what the scorer refuses."""

import asyncio
from collections.abc import Sequence

import pytest

from conf.load import load_run_config
from conf.reward_terms import (
    FormatTermConfig,
    OpinionTermConfig,
    RankingTermConfig,
    RewardsConfig,
    TermUnion,
    WeightedSumConfig,
)
from judge_client.types import Verdict
from rewards.rules import build_rule
from rewards.scorer import Scorer, build_scorer
from rewards.terms.base import RewardTerm
from rewards.types import Noted, Score
from rollout.types import RolloutGroup, Scale
from tests.builders import ONE_TO_FIVE, make_answer, make_choice, make_group, make_pair_prompt, make_prompt
from tests.rewards.judges import RuleJudge, ScriptedJudge

SUM = WeightedSumConfig(kind="weighted_sum", abstention="completion")


class ConstantTerm:
    """Gives every group the same row."""

    def __init__(self, row: Sequence[Score]) -> None:
        self._row = row

    async def score(self, groups: Sequence[RolloutGroup]) -> list[list[Score]]:
        return [list(self._row) for _ in groups]


class MeetingTerm:
    """Answers only once the other term has been asked too."""

    def __init__(self, *, mine: asyncio.Event, other: asyncio.Event) -> None:
        self._mine, self._other = mine, other

    async def score(self, groups: Sequence[RolloutGroup]) -> list[list[float | None]]:
        self._mine.set()
        await asyncio.wait_for(self._other.wait(), timeout=5)
        return [[1.0] * len(group.completions) for group in groups]


def make_scorer(terms: dict[str, RewardTerm], *, scale: Scale | None = ONE_TO_FIVE, weight: float = 1.0) -> Scorer:
    return Scorer(terms, weights=dict.fromkeys(terms, weight), rule=build_rule(SUM), scale=scale)


def rewards_config(terms: dict[str, TermUnion]) -> RewardsConfig:
    return RewardsConfig(rule=SUM, terms=terms)


def totals(row: Sequence[Score]) -> list[float | None]:
    scorer = make_scorer({"only": ConstantTerm(row)}, weight=2.0)
    scored = asyncio.run(scorer.score([make_group(["x", "y"])]))
    return [reward.total for reward in scored[0].rewards]


def test_worked_example_a_with_format_gives_the_published_totals() -> None:
    config = rewards_config(
        {
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
    scored = asyncio.run(build_scorer(config, scale=ONE_TO_FIVE, judge=None).score(groups))
    published = [1.918249, 1.762092, 1.982871, 1.973215, 1.810582, 0.918249]
    assert [r.total for group in scored for r in group.rewards] == pytest.approx(published, abs=1e-5)


def test_parts_are_kept_unweighted_under_the_configured_names() -> None:
    config = rewards_config({"nearness": OpinionTermConfig(kind="opinion", weight=3.0, sigma_fraction=0.1)})
    scored = asyncio.run(build_scorer(config, scale=ONE_TO_FIVE, judge=None).score([make_group([make_answer(3)])]))
    assert scored[0].rewards[0].parts == {"nearness": 1.0}


def test_groups_keep_their_order_and_carry_their_parsed_answers() -> None:
    groups = [make_group([make_answer(2), "?"]), make_group([make_answer(9), make_answer(1)])]
    scorer = make_scorer({"only": ConstantTerm([0.0, 1.0])})
    scored = asyncio.run(scorer.score(groups))
    assert [[a.status for a in group.answers] for group in scored] == [
        ["ok", "no_tag"],
        ["out_of_range", "ok"],
    ]


def test_terms_run_side_by_side() -> None:
    async def scored() -> int:
        first, second = asyncio.Event(), asyncio.Event()
        scorer = make_scorer({"a": MeetingTerm(mine=first, other=second), "b": MeetingTerm(mine=second, other=first)})
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
        Scorer({"a": ConstantTerm([0.0])}, weights={"b": 1.0}, rule=build_rule(SUM), scale=ONE_TO_FIVE)


def test_a_scorer_without_terms_is_refused() -> None:
    with pytest.raises(ValueError, match="at least one reward term"):
        make_scorer({})


def test_a_label_on_another_scale_is_refused() -> None:
    scorer = make_scorer({"only": ConstantTerm([0.0])}, scale=Scale(minimum=0, maximum=1))
    with pytest.raises(ValueError, match="has a label on"):
        asyncio.run(scorer.score([make_group(["x"])]))


def test_a_run_without_opinion_labels_needs_no_scale() -> None:
    scorer = make_scorer({"only": ConstantTerm([0.5])}, scale=None)
    assert len(asyncio.run(scorer.score([make_group(["x"], prompt=make_pair_prompt())]))) == 1


def test_a_run_without_a_scale_refuses_opinion_labels() -> None:
    with pytest.raises(ValueError, match="has a label on"):
        asyncio.run(make_scorer({"only": ConstantTerm([0.5])}, scale=None).score([make_group(["x"])]))


def test_a_note_stays_with_its_reward_and_its_score_counts() -> None:
    scorer = make_scorer({"only": ConstantTerm([Noted(score=0.5, note="odd"), 1.0])})
    scored = asyncio.run(scorer.score([make_group(["x", "y"])]))
    assert [(reward.total, dict(reward.notes)) for reward in scored[0].rewards] == [(0.5, {"only": "odd"}), (1.0, {})]


def test_a_term_that_asks_a_judge_needs_one() -> None:
    config = load_run_config(["data=photo_pairs", "rewards=r1_reward"]).rewards
    with pytest.raises(ValueError, match=r"rewards\.terms\.consistency\.kind=consistency asks a judge"):
        build_scorer(config, scale=None, judge=None)


def test_the_shipped_reward_of_r1_reward_gives_the_published_totals() -> None:
    texts = [make_choice(2), make_choice(2, favoured=1), make_choice(1), f"So: {make_choice(2)}", "no idea"]
    scorer = build_scorer(
        load_run_config(["data=photo_pairs", "rewards=r1_reward"]).rewards, scale=None, judge=RuleJudge()
    )
    scored = asyncio.run(scorer.score([make_group(texts, prompt=make_pair_prompt(better=2))]))
    assert [reward.total for reward in scored[0].rewards] == [2.0, 1.0, 0.5, 1.5, 0.0]


@pytest.mark.parametrize(("name", "expected"), [("r1_reward", [1.5, 1.5]), ("r1_reward_released", [2.0, 1.5])])
def test_the_shipped_choices_differ_in_what_silence_means(name: str, expected: list[float]) -> None:
    def reply(question: object) -> Verdict:
        is_first = "<think>sure" in str(question)
        return Verdict(outcome="consistent") if is_first else Verdict(outcome="abstained", cause="timeout")

    scorer = build_scorer(
        load_run_config(["data=photo_pairs", f"rewards={name}"]).rewards, scale=None, judge=ScriptedJudge(reply)
    )
    texts = ["<think>sure</think><answer>2</answer>", "<think>well</think><answer>2</answer>"]
    scored = asyncio.run(scorer.score([make_group(texts, prompt=make_pair_prompt(better=2))]))
    assert [reward.total for reward in scored[0].rewards] == expected
