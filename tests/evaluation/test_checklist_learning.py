"""Learned weights: strength, held-out accuracy, intervals and the report."""

from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.special import expit

from evaluation.checklist.learning import LearnedWeights, LearningPlan, learn_weights
from evaluation.checklist.report import format_weights
from rewards.checklist.features import PreferenceTable
from rewards.checklist.regression import fit_nonnegative
from tests.rewards.checklists import make_checklist
from tests.rewards.preferences import toy_differences

Array = NDArray[np.float64]
CHECKLIST = make_checklist({"quality": {"sharpness": 3}, "fidelity": {"face": 3}})
PLAN = LearningPlan(strengths=(0.001, 0.01, 0.1), num_folds=5, num_resamples=40, seed=0)


def table(differences_NQ: Array, *, clusters: tuple[str, ...] | None = None) -> PreferenceTable:
    own = tuple(str(index) for index in range(len(differences_NQ)))
    return PreferenceTable(
        question_ids=CHECKLIST.ids,
        differences_NQ=differences_NQ,
        clusters_N=clusters or own,
        num_ties=7,
        num_unusable=2,
    )


TOY = table(toy_differences())


@pytest.fixture(scope="module")
def learned() -> LearnedWeights:
    return learn_weights(TOY, plan=PLAN)


def test_the_weights_are_the_exact_fit_of_all_pairs(learned: LearnedWeights) -> None:
    expected = fit_nonnegative(toy_differences(), l2=learned.l2)
    assert list(learned.weights.by_id.values()) == expected.tolist()
    assert tuple(learned.weights.by_id) == CHECKLIST.ids


def test_the_strength_is_the_one_with_the_smallest_loss_on_unseen_pairs(learned: LearnedWeights) -> None:
    losses = {one.l2: one.log_loss for one in learned.strengths}
    assert set(losses) == set(PLAN.strengths)
    assert losses[learned.l2] == min(loss for loss in losses.values() if loss is not None)


def test_many_questions_together_beat_the_best_alone_on_unseen_pairs(learned: LearnedWeights) -> None:
    assert learned.accuracy.value > learned.best_single.value
    assert learned.gain.low > 0.0
    assert learned.gain.value == pytest.approx(learned.accuracy.value - learned.best_single.value, abs=1e-12)


def test_the_single_question_is_judged_by_hand(learned: LearnedWeights) -> None:
    # The first question is by far the best on every fold: right where it says yes, half where it says nothing.
    first = toy_differences()[:, 0]
    assert learned.best_single.value == pytest.approx(((np.sign(first) + 1) / 2).mean(), abs=1e-12)


def test_intervals_hold_the_weights_and_are_as_wide_as_theory_says(learned: LearnedWeights) -> None:
    for one in learned.questions:
        assert one.interval is not None
        assert one.interval[0] <= one.weight <= one.interval[1]
    # Asymptotic standard error of the kept questions, from the information matrix of their unconstrained fit.
    kept = toy_differences()[:, :4]
    weights = np.array([one.weight for one in learned.questions[:4]])
    chances = expit(kept @ weights)
    errors = np.sqrt(np.diag(np.linalg.inv((kept * (chances * (1 - chances))[:, None]).T @ kept)))
    widths = np.array([one.interval[1] - one.interval[0] for one in learned.questions[:4] if one.interval is not None])
    assert widths == pytest.approx(2 * 1.96 * errors, rel=0.4)


def test_questions_that_matter_are_kept_in_every_draw_and_the_reversed_one_in_none(learned: LearnedWeights) -> None:
    kept = [one.kept_share for one in learned.questions]
    assert kept[:4] == [1.0] * 4
    assert kept[5] == 0.0


def test_agreement_is_a_share_of_the_pairs_a_question_tells_apart(learned: LearnedWeights) -> None:
    first = toy_differences()[:, 0]
    assert learned.questions[0].num_differing == int((first != 0).sum())
    assert learned.questions[0].agreement == pytest.approx((first > 0).sum() / (first != 0).sum())


def test_learning_repeats_to_the_bit(learned: LearnedWeights) -> None:
    assert learn_weights(TOY, plan=PLAN) == learned


def test_pairs_of_one_prompt_are_held_out_together() -> None:
    # Each prompt has one question that decides all its pairs: known from the prompt's other pairs, and from none else.
    rows = np.repeat(np.eye(6), 10, axis=0)
    prompts = tuple(str(index // 10) for index in range(60))
    plan = replace(PLAN, num_folds=6, num_resamples=1)
    assert learn_weights(table(rows, clusters=prompts), plan=plan).accuracy.value == 0.5
    assert learn_weights(table(rows), plan=plan).accuracy.value == 1.0


def test_separable_pairs_are_learned_with_a_penalty_and_named() -> None:
    rows = np.concatenate([np.abs(toy_differences()[:300, :1]), toy_differences()[:300, 1:]], axis=1)
    found = learn_weights(table(rows), plan=PLAN)
    assert CHECKLIST.ids[0] in found.separating
    assert "only l2 bounds their weights: quality.sharpness.1" in format_weights(found, checklist=CHECKLIST)


def test_separable_pairs_without_a_penalty_are_refused_by_name() -> None:
    rows = np.concatenate([np.abs(toy_differences()[:300, :1]), toy_differences()[:300, 1:]], axis=1)
    with pytest.raises(ValueError, match=r"without a penalty the weights of quality\.sharpness\.1.* have no finite"):
        learn_weights(table(rows), plan=replace(PLAN, strengths=(0.0,)))


def test_no_penalty_is_passed_over_where_a_fold_needs_one() -> None:
    rows = np.concatenate([np.abs(toy_differences()[:300, :1]), toy_differences()[:300, 1:]], axis=1)
    found = learn_weights(table(rows), plan=replace(PLAN, strengths=(0.0, 0.01)))
    assert found.l2 == 0.01
    assert [one.log_loss is None for one in found.strengths] == [False, True]


def test_draws_without_finite_weights_leave_no_interval() -> None:
    # One pair in sixty contradicts the only question: a draw in three misses it.
    rows = np.zeros((60, 6))
    rows[:, 0] = 1.0
    rows[[0, 30], 0] = -1.0
    found = learn_weights(table(rows), plan=replace(PLAN, strengths=(0.0,), num_folds=2, seed=1))
    assert found.questions[0].interval is None
    assert found.questions[0].weight == pytest.approx(np.log(58 / 2), abs=1e-5)


def test_fewer_prompts_than_folds_are_refused() -> None:
    with pytest.raises(ValueError, match="2 prompts cannot make 5 folds"):
        learn_weights(table(toy_differences()[:4], clusters=("a", "a", "b", "b")), plan=PLAN)


@pytest.mark.parametrize(
    "wrong", [{"strengths": ()}, {"strengths": (-1.0,)}, {"num_folds": 1}, {"num_resamples": 0}], ids=str
)
def test_a_plan_without_sense_is_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(ValueError, match="expected"):
        replace(PLAN, **wrong)  # type: ignore[arg-type]


def test_the_report_says_what_matters(learned: LearnedWeights) -> None:
    lines = format_weights(learned, checklist=CHECKLIST).splitlines()
    assert lines[0] == "3000 pairs of 3000 prompts; left out: 7 ties, 2 with an unusable answer"
    assert lines[1].startswith("accuracy on pairs held out ")
    ranked = [line.split()[0] for line in lines if line.endswith("?")]
    weights = learned.weights.by_id
    assert ranked == sorted((one for one in weights if weights[one]), key=lambda one: -weights[one])
    assert lines[-1].startswith("weight 0, they add nothing to the others: ")


def test_the_report_tells_silent_questions_from_useless_ones() -> None:
    rows = toy_differences()[:300]
    rows[:, 1] = 0.0
    text = format_weights(learn_weights(table(rows), plan=PLAN), checklist=CHECKLIST)
    assert text.splitlines()[-1] == "weight 0, answered alike in every pair: quality.sharpness.2"
