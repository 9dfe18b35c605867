"""Rewards of yes/no answers: right or wrong, and Brier's score as a reward of samples."""

import asyncio
import math
from collections.abc import Sequence

import numpy as np
import pytest

from conf.reward_terms import CalibrationTermConfig, CheckTermConfig
from rewards.metrics import reward_metrics
from rewards.tags import parse_check, parse_group
from rewards.terms.calibration import CalibrationTerm, calibration_reward
from rewards.terms.check import CheckTerm
from rewards.trust import trust_metrics
from rewards.types import Noted, Reward, Score, ScoredGroup
from rollout.types import RolloutGroup
from rollout.worker_types import ForcedToken
from tests.builders import make_check_prompt, make_group, make_prompt


class WordForcer:
    """A policy whose probabilities of the two words are known, by prompt."""

    def __init__(self, **words_by_question: tuple[float, float]) -> None:
        self._words_by_question = words_by_question
        self.asked: list[ForcedToken] = []

    async def forced_logprobs(self, tokens: Sequence[ForcedToken]) -> list[float]:
        self.asked += tokens
        return [
            math.log(self._words_by_question[one.prompt.check.question_id][("yes", "no").index(one.token)])
            for one in tokens
        ]


def score_groups(*groups: RolloutGroup) -> list[list[Score]]:
    return asyncio.run(CheckTerm(CheckTermConfig(kind="check", weight=1.0)).score(groups))


def score_check(*texts: str, is_yes: bool) -> list[Score]:
    return score_groups(make_group(texts, prompt=make_check_prompt(is_yes=is_yes)))[0]


def calibration(forcer: WordForcer) -> CalibrationTerm:
    return CalibrationTerm(CalibrationTermConfig(kind="calibration", weight=1.0), forcer=forcer)


@pytest.mark.parametrize(
    ("text", "is_yes"),
    [("yes", True), (" Yes.", True), ("NO!", False), ("no\n", False), ("", None), ("yes no", None), ("<answer>", None)],
)
def test_one_word_is_an_answer_and_nothing_else_is(*, text: str, is_yes: bool | None) -> None:
    answer = parse_check(text)
    assert (answer.is_yes, answer.has_format) == (is_yes, is_yes is not None)
    assert answer.status == ("no_yes_or_no" if is_yes is None else "ok")


@pytest.mark.parametrize(("is_yes", "expected"), [(True, [1.0, 0.0]), (False, [0.0, 1.0])])
def test_the_right_word_earns_one(*, is_yes: bool, expected: list[float]) -> None:
    assert score_check("Yes", "no", is_yes=is_yes) == expected


def test_neither_word_earns_nothing_and_says_why_whatever_is_right() -> None:
    for is_yes in (True, False):
        assert score_check("perhaps", is_yes=is_yes) == [Noted(score=0.0, note="no_yes_or_no")]


def test_a_question_of_another_task_is_refused() -> None:
    with pytest.raises(ValueError, match="asks for a score, not for a check"):
        asyncio.run(
            CheckTerm(CheckTermConfig(kind="check", weight=1.0)).score([make_group(["yes"], prompt=make_prompt())])
        )


@pytest.mark.parametrize(
    ("q_truth", "right", "wrong"), [(0.5, 1.25, 0.25), (0.75, 1.0625, 0.5625), (1.0, 1.0, 1.0), (0.0, 2.0, 0.0)]
)
def test_the_calibration_reward_by_hand(q_truth: float, right: float, wrong: float) -> None:
    assert calibration_reward(q_truth=q_truth, is_right=True) == right
    assert calibration_reward(q_truth=q_truth, is_right=False) == wrong


@pytest.mark.parametrize("q", np.linspace(0.0, 1.0, 11))
def test_the_mean_of_the_calibration_reward_is_briers_score(q: float) -> None:
    mean = q * calibration_reward(q_truth=q, is_right=True) + (1 - q) * calibration_reward(q_truth=q, is_right=False)
    assert mean == pytest.approx(1 - (1 - q) ** 2)


@pytest.mark.parametrize("q", [0.1, 0.5, 0.9])
def test_the_policy_gradient_of_the_calibration_reward_is_the_slope_of_briers_score(q: float) -> None:
    # With q the policy's, d/dq of q r(right) + (1 - q) r(wrong) at rewards held fixed is their difference.
    gain = calibration_reward(q_truth=q, is_right=True) - calibration_reward(q_truth=q, is_right=False)
    step = 1e-6
    slope = ((1 - (1 - q - step) ** 2) - (1 - (1 - q + step) ** 2)) / (2 * step)
    assert gain == pytest.approx(slope)


@pytest.mark.parametrize("share", [0.2, 0.5, 0.7])
def test_among_pictures_that_look_alike_the_gains_balance_at_the_share_of_yes(share: float) -> None:
    def gain_of_yes(p: float) -> float:
        right = calibration_reward(q_truth=p, is_right=True) - calibration_reward(q_truth=p, is_right=False)
        wrong = calibration_reward(q_truth=1 - p, is_right=False) - calibration_reward(q_truth=1 - p, is_right=True)
        return share * right + (1 - share) * wrong

    assert gain_of_yes(share) == pytest.approx(0.0)
    assert gain_of_yes(share - 0.1) > 0.0 > gain_of_yes(share + 0.1)


def test_the_probability_is_that_of_yes_among_both_words() -> None:
    # P(yes) = 0.3 of 0.4: p = 0.75, and the truth of the second question, no, has 0.25.
    forcer = WordForcer(blur_none=(0.3, 0.1))
    groups = [make_group(["yes", "no", "maybe"], prompt=make_check_prompt(is_yes=is_yes)) for is_yes in (True, False)]
    first, second = asyncio.run(calibration(forcer).score(groups))
    assert first[:2] == pytest.approx([1.0625, 0.5625])
    assert second[:2] == pytest.approx([0.0625, 1.5625])
    assert first[2] == second[2] == Noted(score=0.0, note="no_yes_or_no")


def test_the_policy_is_asked_for_both_words_of_every_prompt_once() -> None:
    forcer = WordForcer(blur_none=(0.5, 0.5), haze_none=(0.9, 0.1))
    groups = [make_group(["yes"] * 4, prompt=make_check_prompt(f"a/{name}")) for name in ("blur_none", "haze_none")]
    (first,), (second,) = ([s[0]] for s in asyncio.run(calibration(forcer).score(groups)))
    assert [(one.prompt.prompt_id, one.before, one.token) for one in forcer.asked] == [
        ("a/blur_none", "", "yes"), ("a/blur_none", "", "no"), ("a/haze_none", "", "yes"), ("a/haze_none", "", "no"),
    ]  # fmt: skip
    assert (first, second) == pytest.approx((1.25, 1.01))


def scored(*texts: str, is_yes: bool) -> ScoredGroup:
    group = make_group(texts, prompt=make_check_prompt(is_yes=is_yes))
    answers = parse_group(group)
    rewards = tuple(Reward(total=float(one.is_yes == is_yes) + 0.5, parts={}) for one in answers)
    return ScoredGroup(group=group, rewards=rewards, answers=answers)


def test_right_answers_and_statuses_are_counted() -> None:
    metrics = reward_metrics([scored("yes", "no", is_yes=True), scored("no", "dunno", is_yes=False)])
    assert metrics["answers/check/right"] == 0.5
    assert (metrics["answers/ok/count"], metrics["answers/no_yes_or_no/count"]) == (3.0, 1.0)
    assert "answers/no_tag/count" not in metrics


def test_a_reward_for_a_wrong_word_is_for_its_format() -> None:
    assert trust_metrics([scored("yes", "no", "no", "dunno", is_yes=True)])["rewards/format_only/fraction"] == 0.75
