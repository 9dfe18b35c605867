"""Judging a pairwise judge: what the report says and how the table prints it."""

import json

import numpy as np
import pytest

from evaluation.intervals import wilson
from evaluation.pairs import Verdicts, evaluate_pairs, format_pair_table, majority_value, one_line
from evaluation.voting import Vote
from rollout.types import Choice, RolloutGroup
from tests.builders import make_choice, make_completion, make_group, make_pair_prompt


def pair(pair_id: str, *answers: Choice | str, better: Choice, source: str = "pairs") -> RolloutGroup:
    """One pair in one order, with one completion per answer."""
    prompt = make_pair_prompt(f"{pair_id}/{better}", better=better, source=source)
    return make_group([make_choice(answer) for answer in answers], prompt=prompt)


def both_orders(pair_id: str, given: Choice | str, swapped: Choice | str) -> list[RolloutGroup]:
    return [pair(pair_id, given, better=1), pair(pair_id, swapped, better=2)]


# Right three times of four; says 1 three times of four; pair a: 1 twice, pair b: the same winner twice.
MIXED = [*both_orders("a", 1, 1), *both_orders("b", 1, 2)]
PERFECT = [*both_orders("a", 1, 2), *both_orders("b", 1, 2)]
ALWAYS_FIRST = [*both_orders("a", 1, 1), *both_orders("b", 1, 1)]
SILENT = [*both_orders("a", "?", "?"), *both_orders("b", "Response 1", "1 or 2")]


def test_accuracy_is_the_share_of_right_choices() -> None:
    assert evaluate_pairs(MIXED, verdicts=None).accuracy.value == 0.75


def test_a_judge_that_always_says_one_is_right_half_the_time() -> None:
    assert evaluate_pairs(ALWAYS_FIRST, verdicts=None).accuracy.value == 0.5


def test_a_judge_that_always_says_one_has_a_bias_of_fifty_points() -> None:
    bias = evaluate_pairs(ALWAYS_FIRST, verdicts=None).position_bias
    assert bias is not None
    assert (bias.value, bias.high) == (50.0, 50.0)


def test_position_bias_is_the_share_of_ones_above_one_half() -> None:
    bias = evaluate_pairs(MIXED, verdicts=None).position_bias
    assert bias is not None
    assert bias.value == 75.0 - 50.0


def test_both_orders_of_a_pair_are_one_cluster() -> None:
    # By prompt, always-1 would scatter around one half; by pair it is one half exactly, whatever the pairs.
    accuracy = evaluate_pairs(ALWAYS_FIRST, verdicts=None).accuracy
    assert (accuracy.low, accuracy.high) == (0.5, 0.5)


@pytest.mark.parametrize("num_pairs", [1, 24])
def test_all_right_is_as_sure_as_there_are_pairs(num_pairs: int) -> None:
    groups = [group for index in range(num_pairs) for group in both_orders(f"{index}", 1, 2)]
    assert evaluate_pairs(groups, verdicts=None).accuracy == wilson(1.0, num_trials=num_pairs)


def test_a_perfect_judge_of_few_pairs_may_still_have_a_bias() -> None:
    bias = evaluate_pairs(PERFECT, verdicts=None).position_bias
    assert bias is not None
    assert (bias.low, bias.high) == pytest.approx((-65.8, 65.8), abs=0.05)


def test_a_perfect_judge_has_no_bias_even_if_one_order_cannot_be_read() -> None:
    bias = evaluate_pairs([*PERFECT, *both_orders("c", 1, "?")], verdicts=None).position_bias
    assert bias is not None
    assert bias.value == 0.0


def test_swap_consistency_matches_the_orders_of_a_pair() -> None:
    swap = evaluate_pairs(MIXED, verdicts=None).swap
    assert (swap.consistency, swap.num_both_first) == (0.5, 1)


def test_completions_of_both_orders_are_matched_one_by_one() -> None:
    groups = [pair("a", 1, 2, better=1), pair("a", 2, 2, better=2)]
    swap = evaluate_pairs(groups, verdicts=None).swap
    assert (swap.num_pairs, swap.num_consistent, swap.num_both_second) == (2, 1, 1)


def test_a_pair_asked_in_one_order_says_nothing_about_swaps() -> None:
    assert evaluate_pairs([pair("a", 1, better=1), pair("b", 1, better=2)], verdicts=None).swap.num_pairs == 0


def test_equal_pair_names_of_two_sources_are_two_pairs() -> None:
    groups = [pair("a", 1, better=1, source="x"), pair("a", 1, better=2, source="y")]
    assert evaluate_pairs(groups, verdicts=None).num_pairs == 2


def test_a_completion_without_a_choice_is_wrong_and_counted() -> None:
    report = evaluate_pairs(SILENT, verdicts=None)
    assert (report.accuracy.value, report.num_unparsed, report.num_by_status["no_choice"]) == (0.0, 4, 4)


def test_a_silent_judge_has_no_bias_to_speak_of() -> None:
    assert evaluate_pairs(SILENT, verdicts=None).position_bias is None


def test_several_completions_are_a_mean_and_a_vote() -> None:
    groups = [pair("a", 1, 1, 2, better=1), pair("a", 1, 1, 2, better=2)]
    report = evaluate_pairs(groups, verdicts=None)
    assert report.vote is not None
    assert (report.accuracy.value, report.vote.value) == pytest.approx((0.5, 0.5))


def test_one_completion_each_is_no_vote() -> None:
    assert evaluate_pairs(MIXED, verdicts=None).vote is None


@pytest.mark.parametrize(
    ("votes", "value"), [((1, 2, 1), 1.0), ((2, 2, 1), 0.0), ((None, 1), 1.0), ((2, 1), 0.5), ((None, None), 0.0)]
)
def test_the_majority_of_the_choices_made_counts_and_a_tie_is_half(votes: tuple[Vote, ...], value: float) -> None:
    assert majority_value(votes, better=1) == value


def test_consistency_is_a_share_of_verdicts_and_abstentions_are_counted() -> None:
    report = evaluate_pairs(MIXED, verdicts=[[True], [None], [False], [True]])
    assert report.consistency is not None
    assert report.consistency.value == pytest.approx(2 / 3)
    assert (report.num_verdicts, report.num_abstained) == (3, 1)


def test_nobody_asked_about_consistency_is_no_consistency() -> None:
    report = evaluate_pairs(MIXED, verdicts=None)
    assert (report.consistency, report.num_abstained) == (None, 0)


def test_only_abstentions_are_no_consistency() -> None:
    report = evaluate_pairs(MIXED, verdicts=[[None]] * 4)
    assert (report.consistency, report.num_abstained) == (None, 4)


@pytest.mark.parametrize("verdicts", [[[True]] * 3, [[True, True]] * 4])
def test_verdicts_that_do_not_match_the_completions_are_refused(verdicts: Verdicts) -> None:
    with pytest.raises(ValueError, match="verdicts"):
        evaluate_pairs(MIXED, verdicts=verdicts)


def test_a_pair_asked_twice_in_one_order_is_refused() -> None:
    with pytest.raises(ValueError, match="asked twice with 1 as the better one"):
        evaluate_pairs([pair("a", 1, better=1), pair("a", 2, better=1)], verdicts=None)


def test_format_and_truncation_are_rates_of_completions() -> None:
    cut = make_completion("<think>so", finish_reason="length")
    group = RolloutGroup(
        prompt=make_pair_prompt(),
        completions=(cut, make_completion(make_choice(1))),
        prompt_token_ids=np.arange(2, dtype=np.int32),
    )
    report = evaluate_pairs([group], verdicts=None)
    assert (report.format_rate, report.truncated_rate) == (0.5, 0.5)


def test_the_order_of_prompts_changes_no_value() -> None:
    there, back = evaluate_pairs(MIXED, verdicts=None), evaluate_pairs(MIXED[::-1], verdicts=None)
    assert there.metrics() == back.metrics()


def test_journal_values_leave_undefined_ones_out() -> None:
    metrics = evaluate_pairs(MIXED, verdicts=None).metrics()
    assert "evaluation/accuracy/low" in metrics
    assert not [name for name in metrics if name.startswith(("evaluation/consistency/", "evaluation/vote/"))]


def test_abstentions_are_journalled_also_when_there_was_no_verdict() -> None:
    metrics = evaluate_pairs(MIXED, verdicts=[[None]] * 4).metrics()
    assert metrics["evaluation/consistency/abstained"] == 1.0


def test_a_report_survives_json() -> None:
    report = evaluate_pairs(MIXED, verdicts=[[True], [None], [False], [True]])
    rows = json.loads(json.dumps(report.to_dict(), allow_nan=False))["rows"]
    assert rows[1]["verdicts"] == [None]


def test_the_table_lines_up_and_shows_undefined_as_a_dash() -> None:
    judged = {
        "silent": evaluate_pairs(SILENT, verdicts=None),
        "perfect": evaluate_pairs(PERFECT, verdicts=[[True]] * 4),
    }
    assert format_pair_table({name: report.metrics() for name, report in judged.items()}).splitlines() == [
        "                  accuracy %  vote %         consistent %                 bias  swap %  format %  unparsed %",
        "-" * 108,
        "silent       0.0 [0.0, 65.8]       -                    -                    -       -     100.0       100.0",
        "perfect  100.0 [34.2, 100.0]       -  100.0 [34.2, 100.0]  +0.0 [-65.8, +65.8]   100.0     100.0         0.0",
    ]


def test_one_line_says_how_sure_it_is() -> None:
    assert one_line(evaluate_pairs(ALWAYS_FIRST, verdicts=None)).startswith("accuracy 50.0 [50.0, 50.0] % vote - %")
