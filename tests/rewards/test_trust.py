"""Figures that betray rewards earned otherwise than by judging, and the alarms on them."""

from collections.abc import Sequence

import pytest

from evaluation.pairs import position_bias
from rewards.metrics import reward_metrics
from rewards.tags import parse_group
from rewards.trust import BOUNDS, alarms, trust_metrics
from rewards.types import Reward, ScoredGroup
from rollout.types import Choice, RolloutGroup
from tests.builders import (
    make_answer,
    make_choice,
    make_completion,
    make_group,
    make_pair_prompt,
    make_prompt,
    make_scored_group,
)


def pairs(
    texts: Sequence[str],
    *,
    better: Choice = 2,
    totals: Sequence[float | None] | None = None,
    consistency: Sequence[float | None] | None = None,
) -> ScoredGroup:
    group = make_group(texts, prompt=make_pair_prompt(better=better))
    totals = totals or [1.0] * len(texts)
    consistency = consistency or [None] * len(texts)
    rewards = tuple(Reward(total=t, parts={"consistency": c}) for t, c in zip(totals, consistency, strict=True))
    return ScoredGroup(group=group, rewards=rewards, answers=parse_group(group))


def lengths(numbers: Sequence[int], totals: Sequence[float | None]) -> ScoredGroup:
    group = RolloutGroup(
        prompt=make_prompt(),
        completions=tuple(make_completion("x", num_tokens=number) for number in numbers),
        prompt_token_ids=make_group(["x"]).prompt_token_ids,
    )
    return make_scored_group(totals, group=group)


def test_an_unreadable_choice_is_a_wrong_one() -> None:
    step = [pairs([make_choice(2), make_choice(1), "?", "1 or 2"])]
    assert trust_metrics(step)["answers/choice/accuracy"] == 0.25


def test_scoring_tasks_have_no_choices() -> None:
    metrics = reward_metrics([make_scored_group([1.0], group=make_group([make_answer(3)]))])
    assert not [name for name in metrics if "choice" in name or "consistency" in name]


def test_position_bias_is_in_points_over_the_labels() -> None:
    # Three of four choices are "1", of which the labels give two: 75 % - 50 %.
    step = [pairs([make_choice(1), make_choice(1)], better=1), pairs([make_choice(1), make_choice(2), "?"], better=2)]
    assert trust_metrics(step)["answers/choice/position_bias"] == pytest.approx(25.0)


def test_always_the_first_on_labels_that_are_always_first_is_no_bias() -> None:
    assert trust_metrics([pairs([make_choice(1)] * 3, better=1)])["answers/choice/position_bias"] == 0.0


def test_swapping_the_answers_and_their_names_turns_the_bias_round() -> None:
    one = trust_metrics([pairs([make_choice(1), make_choice(1)], better=1), pairs([make_choice(1)], better=2)])
    other = trust_metrics([pairs([make_choice(2), make_choice(2)], better=2), pairs([make_choice(2)], better=1)])
    assert one["answers/choice/position_bias"] == pytest.approx(100 / 3)
    assert other["answers/choice/position_bias"] == pytest.approx(-100 / 3)


def test_the_position_bias_of_a_step_is_the_one_an_evaluation_reports() -> None:
    step = [
        pairs([make_choice(1), make_choice(2), "?"], better=1),
        pairs([make_choice(1)] * 3, better=2),
        pairs([make_choice(2), make_choice(1)], better=2),
    ]
    choices = [(answer.choice, one.group.prompt.preference.better, "one") for one in step for answer in one.answers]
    held_out = position_bias(choices)
    assert held_out is not None
    assert trust_metrics(step)["answers/choice/position_bias"] == pytest.approx(held_out.value)


@pytest.mark.parametrize(
    ("numbers", "totals", "expected"),
    [
        ([1, 2, 3], [1.0, 2.0, 3.0], 1.0),
        ([1, 2, 3], [3.0, 2.0, 1.0], -1.0),
        ([1, 2, 3, 9], [1.0, 2.0, 3.0, None], 1.0),
        ([0, 0, 1, 1], [0.0, 1.0, 0.0, 1.0], 0.0),
        ([1, 2], [1.0, 2.0], None),
        ([5, 5, 5], [1.0, 2.0, 3.0], None),
        ([1, 2, 3], [1.0, 1.0, 1.0], None),
    ],
)
def test_the_correlation_of_length_and_reward(
    numbers: list[int], totals: list[float | None], expected: float | None
) -> None:
    assert trust_metrics([lengths(numbers, totals)])["completions/length/correlation"] == pytest.approx(expected)


def test_rewards_without_a_right_answer_are_format_only() -> None:
    step = [pairs([make_choice(2), make_choice(1), "?", "?"], totals=[2.0, 0.5, 0.0, None])]
    assert trust_metrics(step)["rewards/format_only/fraction"] == pytest.approx(1 / 3)


def test_a_score_cannot_be_wrong_only_missing() -> None:
    group = make_group([make_answer(1), make_answer("good")], prompt=make_prompt(opinion=5))
    step = [make_scored_group([1.0, 1.0], group=group)]
    assert trust_metrics(step)["rewards/format_only/fraction"] == 0.5


def test_duplicates_are_counted_within_a_group() -> None:
    step = [pairs(["a", "a", "b", "c"]), pairs(["a", "b"])]
    assert trust_metrics(step)["completions/duplicates/fraction"] == pytest.approx(2 / 6)


def test_a_verdict_is_held_against_the_rules_where_they_have_one() -> None:
    texts = [make_choice(2), make_choice(2, favoured=1), make_choice(1), "<think>hm</think><answer>1</answer>"]
    step = [pairs(texts, consistency=[1.0, 1.0, None, 1.0])]
    assert trust_metrics(step)["rewards/consistency/rule_disagreement"] == 0.5


@pytest.mark.parametrize("no", [-1.0, 0.0])
def test_verdicts_on_right_and_on_wrong_choices_are_told_apart(no: float) -> None:
    texts = [make_choice(2), make_choice(2), make_choice(1), make_choice(1)]
    metrics = trust_metrics([pairs(texts, consistency=[1.0, None, 1.0, no])])
    assert (metrics["rewards/consistency/yes_when_right"], metrics["rewards/consistency/yes_when_wrong"]) == (1.0, 0.5)


def test_completions_with_an_abstention_are_counted() -> None:
    assert trust_metrics([pairs(["a", "b"], consistency=[1.0, None])])["rewards/abstained/fraction"] == 0.5


def test_the_order_of_groups_changes_nothing() -> None:
    step = [
        pairs([make_choice(1), make_choice(2)], totals=[0.5, 2.0], consistency=[1.0, -1.0]),
        pairs([make_choice(1), "?"], better=1, totals=[2.0, 0.0], consistency=[1.0, None]),
    ]
    assert trust_metrics(step[::-1]) == pytest.approx(trust_metrics(step))


def test_figures_at_their_bounds_raise_no_alarm() -> None:
    assert alarms({name: -bound for name, bound in BOUNDS.items()}, bounds=BOUNDS) == []


def test_figures_that_are_missing_raise_no_alarm() -> None:
    assert alarms({}, bounds=BOUNDS) == []


@pytest.mark.parametrize("name", sorted(BOUNDS))
@pytest.mark.parametrize("sign", [1.0, -1.0])
def test_a_figure_beyond_its_bound_raises_one_alarm(name: str, sign: float) -> None:
    metrics = dict.fromkeys(BOUNDS, 0.0) | {name: sign * 1.01 * BOUNDS[name]}
    assert [alarm.name for alarm in alarms(metrics, bounds=BOUNDS)] == [name]


def test_an_alarm_names_the_figure_and_its_bound() -> None:
    (alarm,) = alarms({"answers/choice/position_bias": -31.25}, bounds=BOUNDS)
    assert alarm.line == "answers/choice/position_bias=-31.2 is beyond 20"


def test_every_bound_is_on_a_figure_there_is() -> None:
    assert set(BOUNDS) <= set(trust_metrics([pairs([make_choice(2)])]))
