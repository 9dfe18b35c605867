"""What the journal is told about a scored step."""

import numpy as np
import pytest

from rewards.metrics import reward_metrics
from rewards.spread import score_spread
from rewards.types import Reward, ScoredGroup
from rollout.types import RolloutGroup
from tests.builders import (
    make_answer,
    make_completion,
    make_group,
    make_pair_prompt,
    make_prompt,
    make_scored_group,
)

STEP = [
    make_scored_group([1.0, 3.0], group=make_group([make_answer(2), make_answer(4)])),
    make_scored_group([2.0, 2.0], group=make_group([make_answer(9), "no tags here"])),
    make_scored_group([0.0, None], group=make_group(["<answer>x</answer>", make_answer(5)])),
]


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("rewards/term/mean", 8 / 5),
        ("rewards/abstained/term", 1.0),
        ("rewards/abstained/total", 1.0),
        ("rewards/total/mean", 8 / 5),
        ("rewards/total/std", float(np.std([1, 3, 2, 2, 0]))),
        ("rewards/zero_spread/group_fraction", 2 / 3),
        ("answers/ok/count", 3.0),
        ("answers/ok/fraction", 0.5),
        ("answers/no_tag/fraction", 1 / 6),
        ("answers/no_number/count", 1.0),
        ("answers/out_of_range/count", 1.0),
        ("answers/format/fraction", 4 / 6),
        ("answers/score/mean", (2 + 4 + 5) / 3),
        ("answers/spread/within", float(np.sqrt(2))),
        ("answers/spread/across", float(np.std([3, 5], ddof=1))),
        ("completions/truncated/fraction", 0.0),
    ],
)
def test_a_step_is_described(key: str, value: float) -> None:
    assert reward_metrics(STEP)[key] == pytest.approx(value)


def test_one_absurd_score_moves_no_mean_and_no_spread() -> None:
    sane = [make_answer(2), make_answer(4)]
    with_absurd = reward_metrics([make_scored_group([0.0] * 3, group=make_group([*sane, make_answer(90000)]))])
    without = reward_metrics([make_scored_group([0.0] * 2, group=make_group(sane))])
    for name in ("answers/score/mean", "answers/spread/within"):
        assert with_absurd[name] == without[name]


def test_scores_can_be_no_missing_choice_and_choices_no_missing_number() -> None:
    scoring = reward_metrics([make_scored_group([0.0], group=make_group([make_answer(3)]))])
    pairwise = reward_metrics([make_scored_group([0.0], group=make_group(["?"], prompt=make_pair_prompt()))])
    assert "answers/no_choice/count" not in scoring
    assert not {"answers/no_number/count", "answers/out_of_range/count"} & set(pairwise)
    assert pairwise["answers/no_choice/fraction"] == 0.0


def test_notes_are_counted_by_term() -> None:
    group = make_group([make_answer(3)] * 3)
    rewards = (
        Reward(total=None, parts={"remote": None}, notes={"remote": "timeout"}),
        Reward(total=None, parts={"remote": None}, notes={"remote": "timeout"}),
        Reward(total=1.0, parts={"remote": 1.0}),
    )
    scored = ScoredGroup(group=group, rewards=rewards, answers=make_scored_group([0.0] * 3, group=group).answers)
    assert reward_metrics([scored])["rewards/remote/num_timeout"] == 2.0


def group_of_lengths() -> RolloutGroup:
    completions = (
        make_completion("x", num_tokens=10),
        make_completion("x", num_tokens=40, finish_reason="length"),
    )
    return RolloutGroup(prompt=make_prompt(), completions=completions, prompt_token_ids=np.arange(3, dtype=np.int32))


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("completions/length/mean", 25.0),
        ("completions/length/max", 40.0),
        ("completions/truncated/fraction", 0.5),
    ],
)
def test_lengths_are_counted_in_tokens(key: str, value: float) -> None:
    assert reward_metrics([make_scored_group([0.0, 1.0], group=group_of_lengths())])[key] == value


def test_an_undefined_statistic_has_no_key() -> None:
    metrics = reward_metrics([make_scored_group([None, None], group=make_group(["?", "?"]))])
    undefined = {"rewards/term/mean", "rewards/total/mean", "rewards/total/std", "answers/score/mean"}
    assert not undefined & set(metrics)


def test_every_metric_is_a_finite_number() -> None:
    assert all(np.isfinite(value) for value in reward_metrics(STEP).values())


def test_every_metric_is_named_room_thing_statistic() -> None:
    assert all(key.count("/") == 2 for key in reward_metrics(STEP))


def test_a_step_without_completions_is_refused() -> None:
    with pytest.raises(ValueError, match="at least one scored completion"):
        reward_metrics([])


def test_the_order_of_groups_changes_no_metric() -> None:
    assert reward_metrics(STEP[::-1]) == pytest.approx(reward_metrics(STEP))


def test_a_constant_judge_has_spread_zero() -> None:
    spread = score_spread([[3.0, 3.0], [3.0, 3.0]])
    assert (spread.within, spread.across) == (0.0, 0.0)


def test_spread_of_single_scores_is_undefined_within() -> None:
    assert score_spread([[1.0], [5.0]]).within is None


def test_spread_of_one_picture_is_undefined_across() -> None:
    assert score_spread([[1.0, 2.0], []]).across is None


def test_groups_may_differ_in_their_parts_only_by_value() -> None:
    group = make_group([make_answer(3)])
    scored = ScoredGroup(
        group=group,
        rewards=(Reward(total=1.5, parts={"a": 1.0, "b": None}),),
        answers=make_scored_group([1.5], group=group).answers,
    )
    assert reward_metrics([scored])["rewards/abstained/b"] == 1.0
