"""How much likelier thinking makes the true score, against the worked numbers of the specification."""

import asyncio
import re
from collections.abc import Sequence

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.special import logsumexp

from conf.load import load_run_config
from conf.reward_terms import ProbabilityDifferenceTermConfig
from rewards.scorer import build_scorer
from rewards.terms.probability_difference import ProbabilityDifferenceTerm, probability_difference
from rewards.types import Noted, Score
from rollout.types import Media, Prompt, RolloutGroup, Scale
from tests.builders import ONE_TO_FIVE, make_group, make_prompt
from tests.rewards.forcing import TableForcer

THINKING = [-1, -1, 0, 2.1, 3.2, 1, -1, -1, -1, -1]
NOT_THINKING = [0, 0, 0.5, 2.5, 1.6, 1.4, 0, 0, -1, -1]
PLAIN_TENTHS = 0.2


def make_config(**changes: object) -> ProbabilityDifferenceTermConfig:
    """The released code's choice of digits."""
    values = {
        "kind": "probability_difference",
        "weight": 1.0,
        "digits": "tenths",
        "no_thinking_prompt": "refine_iqa_no_thinking",
    }
    return ProbabilityDifferenceTermConfig.model_validate({**values, **changes})


def asked_about(*, opinion: float, scale: Scale = ONE_TO_FIVE) -> Prompt:
    """A question about a picture."""
    return make_prompt("a", opinion=opinion, scale=scale, media=Media(kind="image", data=b"picture"))


def line(thought: str, score: str = "4.32") -> str:
    """A completion."""
    return f"<think>{thought}</think><answer>Score: {score}</answer>"


def scores_of(groups: Sequence[RolloutGroup], forcer: TableForcer, **changes: object) -> list[list[Score]]:
    """What the term gives."""
    return asyncio.run(ProbabilityDifferenceTerm(make_config(**changes), forcer=forcer).score(groups))


def digit_probability(logits: Sequence[float], rest: float, digit: int) -> float:
    """Softmax over ten digits and everything else."""
    return float(np.exp(logits[digit] - logsumexp([*logits, rest])))


def test_the_worked_example_is_met() -> None:
    # refine_iqa_visionreward.md, worked example C: the true tenths digit is 4.
    thinking = digit_probability(THINKING, -0.5, 4)
    not_thinking = digit_probability(NOT_THINKING, 0.5, 4)
    assert thinking == pytest.approx(0.6253386860, abs=1e-9)
    assert not_thinking == pytest.approx(0.1694855141, abs=1e-9)
    found = probability_difference(np.array([0.9, thinking, 0.1]), np.array([0.8, not_thinking, 0.3]), digits="tenths")
    assert found == pytest.approx(0.4558531719, abs=1e-9)


def test_weighted_digits_count_twice_as_much_as_the_next() -> None:
    difference = probability_difference(np.array([0.9, 0.5, 0.2]), np.array([0.6, 0.6, 0.1]), digits="weighted")
    assert difference == pytest.approx((4 * 0.3 - 2 * 0.1 + 0.1) / 7)


def test_all_three_digits_are_asked_for_when_all_count() -> None:
    forcer = TableForcer({"sharp": (0.9, 0.5, 0.2)}, otherwise=(0.6, 0.6, 0.1))
    group = make_group([line("sharp")], prompt=asked_about(opinion=4.4))
    ((score,),) = scores_of([group], forcer, digits="weighted")
    assert score == pytest.approx((4 * 0.3 - 2 * 0.1 + 0.1) / 7)
    assert [(one.before[-3:], one.token) for one in forcer.asked[3:]] == [("e: ", "4"), (" 4.", "4"), ("4.4", "0")]


def test_thinking_that_makes_the_score_less_likely_earns_nothing() -> None:
    worse: NDArray[np.float64] = np.array([0.1, 0.1, 0.1])
    assert probability_difference(worse, 2 * worse, digits="tenths") == 0.0


def test_each_completion_is_held_against_the_answer_without_thinking() -> None:
    forcer = TableForcer({"sharp": (1.0, 0.42, 1.0), "dull": (1.0, 0.1, 1.0)}, otherwise=(1.0, PLAIN_TENTHS, 1.0))
    group = make_group([line("sharp"), line("dull"), line("neither")], prompt=asked_about(opinion=4.4008))
    ((sharp, dull, neither),) = scores_of([group], forcer)
    assert sharp == pytest.approx(0.42 - PLAIN_TENTHS, abs=1e-6)
    assert (dull, neither) == (0.0, 0.0)


def test_the_true_score_takes_the_place_of_the_given_one_and_nothing_else_is_touched() -> None:
    forcer = TableForcer({}, otherwise=(0.5, 0.5, 0.5))
    text = "<think>In 1.23 ways 4.56 fine</think><answer> Score: 2.10</answer> or <answer>Score: 4.10</answer> 7.77"
    scores_of([make_group([text], prompt=asked_about(opinion=3.4))], forcer)
    plain, thinking = forcer.asked
    assert (plain.before, plain.token) == ("<answer>Score:3.", "4")
    assert (thinking.before, thinking.token) == (text[: text.index("4.10")] + "3.", "4")


def test_a_score_below_one_is_rounded_up_and_never_cut() -> None:
    forcer = TableForcer({}, otherwise=(0.5, 0.5, 0.5))
    prompt = asked_about(opinion=0.999, scale=Scale(minimum=0.0, maximum=5.0))
    scores_of([make_group([line("x")], prompt=prompt)], forcer, digits="weighted")
    assert (forcer.asked[-1].before + forcer.asked[-1].token).endswith("Score: 1.00")


@pytest.mark.parametrize(
    ("opinion", "written"), [(5.0, "5.00"), (3.4, "3.40"), (4.400806947958697, "4.40"), (1.999, "2.00")]
)
def test_true_scores_are_rounded_to_two_decimals(opinion: float, written: str) -> None:
    forcer = TableForcer({}, otherwise=(0.5, 0.5, 0.5))
    scores_of([make_group([line("x")], prompt=asked_about(opinion=opinion))], forcer, digits="weighted")
    hundredths = forcer.asked[-1]
    assert (hundredths.before + hundredths.token).endswith(f"Score: {written}")


def test_the_question_without_thinking_shows_the_same_picture() -> None:
    forcer = TableForcer({}, otherwise=(0.5, 0.5, 0.5))
    group = make_group([line("x")], prompt=asked_about(opinion=3.0))
    scores_of([group], forcer)
    plain, thinking = (one.prompt for one in forcer.asked)
    assert list(plain.media()) == list(thinking.media())
    assert (plain.wants_thinking, thinking.wants_thinking) == (False, True)
    assert plain.messages != thinking.messages


@pytest.mark.parametrize("text", ["", "4.32", "<answer>4.32</answer>", "<answer>Score: 4.3</answer>"])
def test_a_completion_without_a_score_line_earns_nothing_and_says_so(text: str) -> None:
    forcer = TableForcer({}, otherwise=(0.5, 0.5, 0.5))
    ((score,),) = scores_of([make_group([text], prompt=asked_about(opinion=3.0))], forcer)
    assert score == Noted(score=0.0, note="no_score_line")
    assert len(forcer.asked) == 1


def test_a_scale_whose_scores_have_more_digits_is_refused() -> None:
    prompt = asked_about(opinion=71.0, scale=Scale(minimum=0.0, maximum=100.0))
    with pytest.raises(ValueError, match=re.escape("the true score 71.00 is not of the form d.dd")):
        scores_of([make_group([line("x")], prompt=prompt)], TableForcer({}, otherwise=(0.5, 0.5, 0.5)))


@pytest.mark.parametrize("wording", ["refine_iqa", "visualquality_r1_no_thinking"])
def test_a_question_that_asks_for_another_form_is_refused(wording: str) -> None:
    with pytest.raises(ValueError, match="must ask for an answer"):
        ProbabilityDifferenceTerm(
            make_config(no_thinking_prompt=wording), forcer=TableForcer({}, otherwise=(0.5, 0.5, 0.5))
        )


def test_the_shipped_reward_pays_the_difference_to_right_answers_only() -> None:
    rewards = load_run_config(["rewards=refine_iqa_thinking", "data.prompt=refine_iqa", "algorithm=grpo"]).rewards
    tenths = (digit_probability(THINKING, -0.5, 4), digit_probability(NOT_THINKING, 0.5, 4))
    forcer = TableForcer({"looks": (1.0, tenths[0], 1.0)}, otherwise=(1.0, tenths[1], 1.0))
    scorer = build_scorer(rewards, scale=Scale(minimum=1.0, maximum=5.0), judge=None, forcer=forcer)
    texts = [line("looks"), line("looks", "1.10"), "<answer>4.32</answer>"]
    (scored,) = asyncio.run(scorer.score([make_group(texts, prompt=asked_about(opinion=4.4))]))
    assert [reward.total for reward in scored.rewards] == [pytest.approx(2.4558531719, abs=1e-6), 1.0, 0.0]


def test_outside_a_training_run_the_term_is_refused() -> None:
    rewards = load_run_config(["rewards=refine_iqa_thinking", "data.prompt=refine_iqa", "algorithm=grpo"]).rewards
    with pytest.raises(ValueError, match="asks the policy for probabilities, which only a training run can"):
        build_scorer(rewards, scale=Scale(minimum=1.0, maximum=5.0), judge=None)
