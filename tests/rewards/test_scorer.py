"""How parts become totals, and what the scorer refuses."""

import asyncio
from collections.abc import Sequence

import numpy as np
import pytest

from conf.load import load_run_config
from conf.reward_terms import (
    FormatTermConfig,
    OpinionTermConfig,
    RewardsConfig,
    TermUnion,
    WeightedSumConfig,
)
from judge_client.types import Verdict
from learner.advantage import scale_by_std
from rewards.metrics import reward_metrics
from rewards.rules import build_rule
from rewards.scorer import Scorer, build_scorer
from rewards.terms.base import RewardTerm
from rewards.types import Noted, Score, ScoredGroup
from rollout.types import RolloutGroup, Scale
from tests.builders import ONE_TO_FIVE, make_answer, make_choice, make_group, make_pair_prompt, make_prompt
from tests.rewards.judges import RuleJudge, ScriptedJudge
from tests.rewards.ranking import make_ranking_config

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


def score_with(name: str, labelled: Sequence[tuple[Sequence[str], float]]) -> list[ScoredGroup]:
    """Texts and labels on the scale 0..1, scored by a shipped choice of rewards."""
    scale = Scale(minimum=0, maximum=1)
    config = load_run_config([f"rewards={name}"]).rewards
    groups = [
        make_group(texts, prompt=make_prompt(f"{i}", opinion=label, scale=scale))
        for i, (texts, label) in enumerate(labelled)
    ]
    return asyncio.run(build_scorer(config, scale=scale, judge=None).score(groups))


def rewards_of(scored: Sequence[ScoredGroup]) -> list[list[float]]:
    """Totals, none of which is missing."""
    return [[reward.total for reward in group.rewards if reward.total is not None] for group in scored]


def totals(row: Sequence[Score]) -> list[float | None]:
    scorer = make_scorer({"only": ConstantTerm(row)}, weight=2.0)
    scored = asyncio.run(scorer.score([make_group(["x", "y"])]))
    return [reward.total for reward in scored[0].rewards]


def test_worked_example_a_with_format_gives_the_published_totals() -> None:
    config = rewards_config(
        {
            "ranking": make_ranking_config(),
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


def test_rapo_as_released_gives_the_published_totals_and_advantages_of_example_a() -> None:
    # The third answer to the second picture has no think block, which turns the best answer into the worst.
    first = [make_answer(s) for s in (0.62, 0.55, 0.70, 0.60)]
    second = [make_answer(0.40), make_answer(0.48), "<answer>0.30</answer>", make_answer(0.42)]
    scored = score_with("rapo_released", [(first, 0.613), (second, 0.250)])
    assert rewards_of(scored) == [
        pytest.approx([2.9926, 2.7896, 2.6854, 2.9825], abs=1e-9),
        pytest.approx([2.3193, 2.0316, 1.8832, 2.2261], abs=1e-9),
    ]
    advantages = [
        [0.863369, -0.484037, -1.175661, 0.796330],
        [1.043733, -0.426436, -1.184771, 0.567474],
    ]
    for totals_K, expected in zip(rewards_of(scored), advantages, strict=True):
        assert scale_by_std(np.array(totals_K)).tolist() == pytest.approx(expected, abs=1e-5)
    without_format = [sum((r.parts["ranking"] or 0.0, r.parts["opinion"] or 0.0)) for r in scored[1].rewards]
    expected = [-0.125090, -0.911724, 1.416733, -0.379919]
    assert scale_by_std(np.array(without_format)).tolist() == pytest.approx(expected, abs=1e-5)


def test_rapo_as_released_gives_the_published_totals_and_advantages_of_example_b() -> None:
    answers = ([0.50, 0.52, 0.47, 0.55], [0.58, 0.45, 0.51, 0.50], [0.81, 0.70, 0.90, 0.75])
    scored = score_with(
        "rapo_released",
        [([make_answer(f"{a:.2f}") for a in row], label) for row, label in zip(answers, (0.5, 0.5, 0.8), strict=True)],
    )
    assert rewards_of(scored) == [
        pytest.approx([2.8314, 2.8559, 2.7136, 2.8114], abs=1e-9),
        pytest.approx([2.6876, 2.5904, 2.8488, 2.8311], abs=1e-9),
        pytest.approx([2.9955, 2.5949, 2.6075, 2.8801], abs=1e-9),
    ]
    advantages = [
        [0.453460, 0.845685, -1.432421, 0.133276],
        [-0.421989, -1.212684, 0.889329, 0.745344],
        [1.129259, -0.872427, -0.809469, 0.552637],
    ]
    for totals_K, expected in zip(rewards_of(scored), advantages, strict=True):
        assert scale_by_std(np.array(totals_K)).tolist() == pytest.approx(expected, abs=1e-5)


def test_rapo_pays_an_exact_hit_most_where_the_released_code_does_not() -> None:
    answers = ([0.50, 0.52, 0.47, 0.55], [0.58, 0.45, 0.51, 0.50], [0.81, 0.70, 0.90, 0.75])
    labelled = [([make_answer(a) for a in row], label) for row, label in zip(answers, (0.5, 0.5, 0.8), strict=True)]
    hits = [rewards_of(score_with(name, labelled))[0] for name in ("rapo", "rapo_released")]
    assert [int(np.argmax(row)) for row in hits] == [0, 1]


@pytest.mark.parametrize("name", ["rl2r", "rl2r_absolute", "rl2r_released", "rapo", "rapo_released", "error", "binary"])
def test_every_shipped_reward_of_a_score_prefers_right_answers_to_none(name: str) -> None:
    labelled = [([make_answer(0.8), make_answer(0.78), "?"], 0.8), ([make_answer(0.2), make_answer(0.22), "?"], 0.2)]
    for right, near, unreadable in rewards_of(score_with(name, labelled)):
        assert min(right, near) > unreadable


@pytest.mark.parametrize("name", ["rapo", "rl2r_absolute"])
def test_an_absolute_term_tells_constant_answers_from_right_ones(name: str) -> None:
    right = [([make_answer(0.8), make_answer(0.8)], 0.8), ([make_answer(0.2), make_answer(0.2)], 0.2)]
    constant = [([make_answer(0.5), make_answer(0.5)], label) for _, label in right]
    assert np.mean(rewards_of(score_with(name, right))) > np.mean(rewards_of(score_with(name, constant))) + 0.5


def test_a_picture_without_a_partner_is_counted_and_its_other_terms_decide() -> None:
    scored = score_with("rapo", [([make_answer(0.8), make_answer(0.2)], 0.8)])
    metrics = reward_metrics(scored)
    assert (metrics["rewards/abstained/ranking"], metrics["rewards/abstained/total"]) == (2.0, 0.0)
    assert rewards_of(scored)[0][0] == 2.0


def test_parts_are_kept_unweighted_under_the_configured_names() -> None:
    nearness = OpinionTermConfig(kind="opinion", weight=3.0, form="paper", sigma_fraction=0.1)
    config = rewards_config({"nearness": nearness})
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
