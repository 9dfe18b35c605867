"""How parts become totals, and what an abstention does to a group."""

from collections.abc import Sequence
from typing import Literal

import pytest
from pydantic import ValidationError

from conf.reward_terms import (
    ChoiceTermConfig,
    ConsistencyTermConfig,
    FormatTermConfig,
    R1RewardRuleConfig,
    RefineIqaRuleConfig,
    RewardsConfig,
    TermUnion,
    WeightedSumConfig,
)
from rewards.rules import Parts, build_rule, r1_reward, refine_iqa, weighted_sum

PUBLISHED = {"format": 0.5, "choice": 1.0, "consistency": 0.5}
Abstention = Literal["completion", "group", "neutral"]
ABSTENTIONS: tuple[Abstention, ...] = ("completion", "group", "neutral")


def part(form: float, choice: float | None, consistency: float | None) -> Parts:
    return {"format": form, "choice": choice, "consistency": consistency}


def total(*parts: Parts, abstention: Abstention = "group") -> list[float | None]:
    return r1_reward(parts, weights=PUBLISHED, abstention=abstention)


def summed(parts: Sequence[Parts], *, abstention: Literal["completion", "group"] = "completion") -> list[float | None]:
    return weighted_sum(parts, weights={"a": 1.0, "b": 4.0}, abstention=abstention)


def test_the_total_is_the_weighted_sum_of_the_parts() -> None:
    assert summed([{"a": 1.0, "b": 0.5}, {"a": 0.0, "b": -1.0}]) == [3.0, -4.0]


@pytest.mark.parametrize("abstention", ["completion", "group"])
def test_a_term_that_abstains_on_the_whole_group_drops_out(abstention: Literal["completion", "group"]) -> None:
    assert summed([{"a": 1.0, "b": None}, {"a": 0.0, "b": None}], abstention=abstention) == [1.0, 0.0]


def test_a_completion_that_misses_one_of_its_siblings_parts_has_no_total() -> None:
    assert summed([{"a": 1.0, "b": 0.5}, {"a": 1.0, "b": None}]) == [3.0, None]


def test_a_term_may_drop_out_of_the_group_as_soon_as_one_part_is_missing() -> None:
    assert summed([{"a": 1.0, "b": 0.5}, {"a": 0.0, "b": None}], abstention="group") == [1.0, 0.0]


@pytest.mark.parametrize("abstention", ["completion", "group"])
def test_a_group_on_which_every_term_abstains_has_no_totals(abstention: Literal["completion", "group"]) -> None:
    assert summed([{"a": None, "b": None}, {"a": None, "b": None}], abstention=abstention) == [None, None]


@pytest.mark.parametrize(
    ("form", "choice", "signed"),
    [
        (1.0, 1.0, {1.0: 2.0, 0.0: 1.5, -1.0: 1.0}),
        (0.0, 1.0, {1.0: 1.5, 0.0: 1.0, -1.0: 0.5}),
        (1.0, 0.0, {1.0: 0.5, 0.0: 0.5, -1.0: 0.5}),
        (0.0, 0.0, {1.0: 0.0, 0.0: 0.0, -1.0: 0.0}),
    ],
)
@pytest.mark.parametrize("consistency", [1.0, 0.0, -1.0])
@pytest.mark.parametrize("abstention", ABSTENTIONS)
def test_the_published_table(
    form: float, choice: float, signed: dict[float, float], consistency: float, abstention: Abstention
) -> None:
    assert total(part(form, choice, consistency), abstention=abstention) == [signed[consistency]]


def test_a_missing_verdict_is_neutral_where_that_is_asked_for() -> None:
    assert total(part(1, 1, 1.0), part(1, 1, None), part(1, 0, -1.0), abstention="neutral") == [2.0, 1.5, 0.5]


def test_a_missing_verdict_takes_the_factor_from_the_whole_group() -> None:
    assert total(part(1, 1, 1.0), part(1, 1, None), part(1, 0, -1.0)) == [1.5, 1.5, 0.5]


def test_a_missing_verdict_can_leave_a_completion_without_a_total() -> None:
    assert total(part(1, 1, 1.0), part(1, 1, None), part(1, 0, -1.0), abstention="completion") == [2.0, None, 0.5]


@pytest.mark.parametrize("abstention", ABSTENTIONS)
def test_a_missing_verdict_on_a_wrong_answer_changes_nothing(abstention: Abstention) -> None:
    assert total(part(1, 1, 1.0), part(1, 1, -1.0), part(1, 0, None), abstention=abstention) == [2.0, 1.0, 0.5]


@pytest.mark.parametrize("abstention", ABSTENTIONS)
def test_right_answers_keep_their_reward_when_the_judge_is_away(abstention: Abstention) -> None:
    assert total(part(1, 1, None), part(0, 1, None), part(1, 0, None), abstention=abstention) == [1.5, 1.0, 0.5]


@pytest.mark.parametrize("abstention", ABSTENTIONS)
def test_siblings_keep_their_order_whoever_is_not_judged(abstention: Abstention) -> None:
    totals = total(part(1, 1, None), part(1, 1, 1.0), part(1, 0, 1.0), abstention=abstention)
    assert all(t is None or t > 0.5 for t in totals[:2])
    assert totals[2] == 0.5


def test_an_unknown_choice_leaves_no_total() -> None:
    assert total(part(1, 1, 1.0), part(1, None, 1.0), abstention="completion") == [2.0, None]


def test_further_terms_are_added_by_weight() -> None:
    parts = [{**part(1, 1, 1.0), "overlong": -1.0}]
    assert r1_reward(parts, weights={**PUBLISHED, "overlong": 0.25}, abstention="group") == [1.75]


@pytest.mark.parametrize("abstention", ABSTENTIONS)
def test_permuting_completions_permutes_totals(abstention: Abstention) -> None:
    parts = [part(1, 1, None), part(0, 1, -1.0), part(1, 0, 1.0), part(1, 1, 1.0)]
    assert total(*parts[::-1], abstention=abstention) == total(*parts, abstention=abstention)[::-1]


def test_no_completions_have_no_totals() -> None:
    assert total() == summed([]) == []


def test_the_rule_of_a_section_is_built_with_its_abstention() -> None:
    rule = build_rule(R1RewardRuleConfig(kind="r1_reward", abstention="neutral"))
    assert rule([part(1, 1, None), part(1, 1, 1.0)], weights=PUBLISHED) == [1.5, 2.0]


REFINE = {"format": 1.0, "answer": 1.0, "probability_difference": 1.0}


def thought(form: float, answer: float, difference: float | None) -> Parts:
    return {"format": form, "answer": answer, "probability_difference": difference}


def refined(*parts: Parts, abstention: Literal["completion", "group"] = "group") -> list[float | None]:
    return refine_iqa(parts, weights=REFINE, abstention=abstention)


BOTH = pytest.mark.parametrize("abstention", ["completion", "group"])


@BOTH
def test_a_probability_difference_counts_for_right_answers_in_the_right_format_only(
    abstention: Literal["completion", "group"],
) -> None:
    # Worked example C: base 0, 1 and 2 with the same difference.
    difference = 0.4558531719
    parts = [thought(0, 0, difference), thought(1, 0, difference), thought(1, 1, difference)]
    assert refined(*parts, abstention=abstention) == [0.0, 1.0, pytest.approx(2.4558531719, abs=1e-10)]


def test_the_totals_of_refine_iqas_worked_example() -> None:
    parts = [
        thought(1, 1, 0.17), thought(1, 1, 0.0), thought(1, 0, 0.35), thought(0, 0, 0.0), thought(1, 0, 0.20),
        thought(1, 1, 0.08), thought(0, 0, 0.0), thought(0, 0, 0.10),
    ]  # fmt: skip
    assert refined(*parts) == [2.17, 2.0, 1.0, 0.0, 1.0, 2.08, 0.0, 0.0]


@pytest.mark.parametrize("form", [0.0, 1.0])
@pytest.mark.parametrize("answer", [0.0, 1.0])
@pytest.mark.parametrize("difference", [0.0, 0.25, 1.0])
def test_at_weights_of_one_the_total_is_the_published_formula(form: float, answer: float, difference: float) -> None:
    base = form + answer
    assert refined(thought(form, answer, difference)) == [base + difference * (base // 2)]


@BOTH
def test_a_difference_nobody_measured_does_not_matter_where_it_does_not_count(
    abstention: Literal["completion", "group"],
) -> None:
    parts = [thought(1, 1, 0.5), thought(1, 0, None), thought(0, 0, None)]
    assert refined(*parts, abstention=abstention) == [2.5, 1.0, 0.0]


def test_a_difference_missing_on_a_right_answer_drops_out_of_the_group_or_leaves_no_total() -> None:
    parts = [thought(1, 1, 0.5), thought(1, 1, None), thought(1, 0, 0.5)]
    assert refined(*parts, abstention="group") == [2.0, 2.0, 1.0]
    assert refined(*parts, abstention="completion") == [2.5, None, 1.0]


@BOTH
def test_without_any_difference_the_base_reward_is_left(abstention: Literal["completion", "group"]) -> None:
    parts = [thought(1, 1, None), thought(1, 1, None), thought(1, 0, None)]
    assert refined(*parts, abstention=abstention) == [2.0, 2.0, 1.0]


def test_half_an_answer_is_no_right_one() -> None:
    assert refined(thought(1, 0.5, 0.5)) == [1.5]


def test_refine_iqas_rule_weighs_its_terms_and_adds_others() -> None:
    part = {**thought(1, 1, 0.5), "overlong": -1.0}
    weights = {"format": 0.5, "answer": 1.0, "probability_difference": 2.0, "overlong": 0.25}
    assert refine_iqa([part], weights=weights, abstention="group") == [0.5 + 1.0 + 2.0 * 0.5 - 0.25]


def test_permuting_completions_permutes_refine_iqas_totals() -> None:
    parts = [thought(1, 1, 0.1), thought(1, 0, 0.9), thought(1, 1, 0.3), thought(0, 0, None)]
    assert refined(*parts[::-1]) == refined(*parts)[::-1]


def test_refine_iqas_rule_is_built_with_its_abstention() -> None:
    rule = build_rule(RefineIqaRuleConfig(kind="refine_iqa", abstention="completion"))
    assert rule([thought(1, 1, None), thought(1, 1, 0.5)], weights=REFINE) == [None, 2.5]


def test_no_completions_have_no_refined_totals() -> None:
    assert refined() == []


def rewards_config(*, terms: dict[str, TermUnion], abstention: Abstention) -> RewardsConfig:
    return RewardsConfig(rule=R1RewardRuleConfig(kind="r1_reward", abstention=abstention), terms=terms)


CHOICE = ChoiceTermConfig(kind="choice", weight=1.0, mode="strict")


def test_the_product_needs_both_its_factors() -> None:
    with pytest.raises(ValidationError, match="terms holds choice; add the missing one"):
        rewards_config(terms={"choice": CHOICE}, abstention="group")


def test_refine_iqas_rule_names_the_terms_it_needs() -> None:
    terms: dict[str, TermUnion] = {"format": FormatTermConfig(kind="format", weight=1.0, mode="score_line")}
    with pytest.raises(ValidationError, match="the terms named answer, format and probability_difference, but terms"):
        RewardsConfig(rule=RefineIqaRuleConfig(kind="refine_iqa", abstention="group"), terms=terms)


def test_a_neutral_stand_in_needs_a_signed_verdict() -> None:
    binary = ConsistencyTermConfig(kind="consistency", weight=0.5, mode="binary")
    with pytest.raises(ValidationError, match=r"means as\s+inconsistent; use mode=signed"):
        rewards_config(terms={"choice": CHOICE, "consistency": binary}, abstention="neutral")


def test_a_sum_needs_no_particular_terms() -> None:
    rule = WeightedSumConfig(kind="weighted_sum", abstention="completion")
    assert RewardsConfig(rule=rule, terms={"choice": CHOICE}).rule.kind == "weighted_sum"
