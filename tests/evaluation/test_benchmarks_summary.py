"""From answers to figures: judges of known behaviour, numbers by hand, and the arithmetic of what was published."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace

import pytest

from evaluation.benchmarks.answers import Answer
from evaluation.benchmarks.questions import JudgeRequest, Orders, plan_questions, plan_requests
from evaluation.benchmarks.report import report_markdown, report_text
from evaluation.benchmarks.rows import BenchmarkName, BenchmarkRow
from evaluation.benchmarks.summary import (
    BenchmarkReport,
    Judgement,
    collect,
    judgement_rows,
    summarise,
)
from evaluation.intervals import Estimate
from evaluation.voting import Vote
from rollout.types import Choice
from tests.builders import make_choice
from tests.evaluation.benchmark_judges import (
    Decide,
    always_first,
    always_right,
    coin,
    judged,
    make_benchmark,
    make_failure,
    make_plan,
    make_reply,
    make_row,
    report_on,
)

FIFTY = make_benchmark([make_row(index, category=("general", "reasoning")[index % 2]) for index in range(50)])


def other(choice: Choice) -> Choice:
    return 2 if choice == 1 else 1


def index_of(request: JudgeRequest) -> int:
    return int(request.prompt.preference.pair_id.rpartition("#")[2])


def right_on(indices: Sequence[int] | range) -> Decide:
    """A judge that is right on these rows only."""
    chosen = set(indices)

    def decide(request: JudgeRequest) -> Choice:
        better = request.prompt.preference.better
        return better if index_of(request) in chosen else other(better)

    return decide


def rows_of(sizes: Mapping[str, int]) -> list[BenchmarkRow]:
    """So many rows of each category, one id each."""
    names = [name for name, size in sizes.items() for _ in range(size)]
    return [make_row(index, category=name) for index, name in enumerate(names)]


def first_of_each(sizes: Mapping[str, int], rights: Mapping[str, int]) -> list[int]:
    """Rows of ``rows_of(sizes)``: the first so many of each category."""
    starts = {name: sum(list(sizes.values())[:position]) for position, name in enumerate(sizes)}
    return [starts[name] + offset for name, num_right in rights.items() for offset in range(num_right)]


def as_published(name: BenchmarkName, rows: Sequence[BenchmarkRow], decide: Decide) -> BenchmarkReport:
    """The better answer first, one vote."""
    return report_on(make_benchmark(rows, name=name), decide, plan=make_plan(orders="as_given"))


def voted(votes: Sequence[Vote], *, orders: Orders = "as_given") -> Judgement:
    """One pair, whose better answer is 1, and its votes."""
    plan = make_plan(orders=orders, num_votes=len(votes))
    (judgement,) = judged(make_benchmark([make_row(0)]), lambda request: votes[request.vote] or "neither", plan=plan)
    return judgement


def test_a_judge_that_always_says_one_scores_half_in_both_orders() -> None:
    overall = report_on(FIFTY, always_first, plan=make_plan()).single.overall
    assert overall.accuracy == Estimate(value=0.5, low=0.5, high=0.5)
    assert overall.all_right.value == 0.5
    assert overall.both_orders is not None
    assert overall.both_orders.value == 0.0


def test_a_judge_that_always_says_one_is_found_out() -> None:
    report = report_on(FIFTY, always_first, plan=make_plan())
    assert report.better_first is not None
    assert report.better_second is not None
    assert report.position_bias is not None
    assert report.swap is not None
    assert (report.better_first.value, report.better_second.value) == (1.0, 0.0)
    assert (report.position_bias.value, report.swap.consistency) == (50.0, 0.0)


def test_asked_as_released_the_same_judge_looks_perfect() -> None:
    report = report_on(FIFTY, always_first, plan=make_plan(orders="as_given"))
    assert report.single.overall.accuracy.value == 1.0
    assert (report.better_second, report.swap, report.single.overall.both_orders) == (None, None, None)


def test_in_random_orders_that_judge_scores_about_half() -> None:
    accuracy = report_on(FIFTY, always_first, plan=make_plan(orders="random")).single.overall.accuracy
    assert accuracy.low < 0.5 < accuracy.high


@pytest.mark.parametrize("orders", ["both", "random", "as_given"])
def test_a_perfect_judge_scores_everything(orders: Orders) -> None:
    report = report_on(FIFTY, always_right, plan=make_plan(orders=orders))
    assert report.position_bias is not None
    assert (report.single.overall.accuracy.value, report.single.macro.value) == (1.0, 1.0)
    assert report.position_bias.value == 0.0


def test_a_judge_without_an_idea_scores_half_within_its_interval() -> None:
    report = report_on(FIFTY, coin, plan=make_plan())
    accuracy = report.single.overall.accuracy
    assert 0.35 < accuracy.low < 0.5 < accuracy.high < 0.65
    assert report.swap is not None
    assert report.swap.consistency == pytest.approx(0.5, abs=0.2)


def test_the_legacy_division_gives_the_published_overall_and_macro_of_vl_rewardbench() -> None:
    sizes = {"general": 484, "hallucination": 448, "reasoning": 318}
    rights = {"general": 309, "hallucination": 384, "reasoning": 206}
    single = as_published("vl_rewardbench", rows_of(sizes), right_on(first_of_each(sizes, rights))).single
    shares = {name: round(100 * one.accuracy.value, 2) for name, one in single.by_category.items()}
    assert shares == {"general": 63.84, "hallucination": 85.71, "reasoning": 64.78}
    assert round(100 * single.overall.accuracy.value, 2) == 71.92
    assert round(100 * single.macro.value, 2) == 71.45  # printed as 71.44, the mean of rounded figures cut off


@pytest.mark.parametrize(
    ("num_right_ids", "num_wrong_pairs", "accuracy", "all_right"), [(25, 33, 80.59, 54.35), (31, 23, 86.47, 67.39)]
)
def test_accuracy_and_acc_plus_of_mm_rlhf_are_those_published(
    num_right_ids: int, num_wrong_pairs: int, accuracy: float, all_right: float
) -> None:
    # 170 pairs of 46 ids: 14 with three, 32 with four.
    ids = [number for number in range(46) for _ in range(3 if number < 14 else 4)]
    rows = [make_row(index, row_id=str(number), category="mcq") for index, number in enumerate(ids)]
    # Every id that is not all right has one wrong pair; the first of them have a second.
    pairs_of = {number: [row.index for row in rows if row.row_id == str(number)] for number in range(46)}
    faulty = [pairs_of[number] for number in range(num_right_ids, 46)]
    wrong = [pairs[0] for pairs in faulty] + [pairs[1] for pairs in faulty[: num_wrong_pairs - len(faulty)]]
    overall = as_published("mm_rlhf_rewardbench", rows, right_on(sorted(set(range(170)) - set(wrong)))).single.overall
    assert (overall.num_pairs, overall.num_ids) == (170, 46)
    assert round(100 * overall.accuracy.value, 2) == accuracy
    assert round(100 * overall.all_right.value, 2) == all_right


def test_the_published_overall_of_multimodal_rewardbench_is_that_of_4711_pairs() -> None:
    sizes = {"corr": 623, "pref": 654, "know": 630, "math": 514, "code": 584, "bias": 508, "vqa": 1198}
    rights = {"corr": 483, "pref": 484, "know": 472, "math": 427, "code": 465, "bias": 506, "vqa": 1036}
    single = as_published("multimodal_rewardbench", rows_of(sizes), right_on(first_of_each(sizes, rights))).single
    shares = [round(100 * one.accuracy.value, 1) for one in single.by_category.values()]
    assert shares == [77.5, 74.0, 74.9, 83.1, 79.6, 99.6, 86.5]
    assert round(100 * single.overall.accuracy.value, 2) == 82.21


def test_halves_of_a_category_are_counted_apart_and_enter_the_macro_mean_together() -> None:
    rows = [
        make_row(0, category="safety", subcategory="safety/bias"),
        make_row(1, category="safety", subcategory="safety/toxicity"),
        make_row(2, category="vqa"),
    ]
    single = as_published("multimodal_rewardbench", rows, right_on([0, 2])).single
    assert {name: one.accuracy.value for name, one in single.by_subcategory.items()} == {
        "safety/bias": 1.0,
        "safety/toxicity": 0.0,
    }
    assert single.macro.value == 0.75


def test_failed_and_missing_requests_are_never_right_and_never_left_out() -> None:
    benchmark = make_benchmark([make_row(index) for index in range(4)])
    questions = plan_questions(benchmark, plan=make_plan(orders="as_given"))
    first, second, third, _ = plan_requests([question.prompt for question in questions], num_votes=1)
    answers: dict[str, Answer] = {
        first.key: make_reply(first.key, make_choice(1)),
        second.key: make_failure(second.key),
        third.key: make_reply(third.key, "<think>Response 1.</think>"),
    }
    report = summarise(collect(questions, answers, num_votes=1))
    assert (report.num_failed, report.num_missing, report.num_unparsed) == (1, 1, 1)
    assert (report.single.overall.accuracy.value, report.is_complete) == (0.25, False)


def test_answers_cut_by_the_limit_are_counted() -> None:
    (question,) = plan_questions(make_benchmark([make_row(0)]), plan=make_plan(orders="as_given"))
    (request,) = plan_requests([question.prompt], num_votes=1)
    cut = replace(make_reply(request.key, "<think>so"), finish_reason="length")
    assert summarise(collect([question], {request.key: cut}, num_votes=1)).num_truncated == 1


def test_one_vote_at_a_time_and_the_majority_are_two_figures() -> None:
    report = summarise([voted([1, 2, 1])])
    assert report.voted is not None
    assert report.single.overall.accuracy.value == pytest.approx(2 / 3)
    assert report.voted.overall.accuracy.value == 1.0


def test_the_voting_curve_is_the_mean_over_draws() -> None:
    # Of two votes drawn from 1, 2, 1: both right in 1 of 3 draws, tied in 2 of 3, a tie being worth half.
    curve = summarise([voted([1, 2, 1])]).curve
    assert [point.vote_right for point in curve] == pytest.approx([2 / 3, 1 / 3 + 1 / 3, 1.0])
    assert [point.any_right for point in curve] == pytest.approx([2 / 3, 1.0, 1.0])


def test_the_figure_of_the_majority_is_the_last_point_of_the_curve_also_with_ties() -> None:
    report = summarise([voted([1, 2, None]), voted([1, 1, 2])])
    assert report.voted is not None
    assert report.voted.overall.accuracy.value == report.curve[-1].vote_right == 0.75


def test_the_order_of_votes_changes_no_figure() -> None:
    assert summarise([voted([1, 2])]).voted == summarise([voted([2, 1])]).voted


def test_acc_plus_takes_the_pairs_of_an_id_together_inside_one_order_and_one_vote() -> None:
    # Two pairs of one id. Vote 0 is right on both, vote 1 on the first only, in either order.
    benchmark = make_benchmark([make_row(0, row_id="a"), make_row(1, row_id="a")])

    def decide(request: JudgeRequest) -> Choice:
        better = request.prompt.preference.better
        return other(better) if (request.vote, index_of(request)) == (1, 1) else better

    single = report_on(benchmark, decide, plan=make_plan(num_votes=2)).single.overall
    assert (single.accuracy.value, single.all_right.value) == (0.75, 0.5)


def test_the_order_of_pairs_changes_no_figure() -> None:
    judgements = judged(FIFTY, coin, plan=make_plan(num_votes=3))
    there, back = summarise(judgements), summarise(judgements[::-1])
    assert there.single.overall == back.single.overall
    assert (there.position_bias, there.swap) == (back.position_bias, back.swap)


def test_a_report_without_questions_is_refused() -> None:
    with pytest.raises(ValueError, match="needs questions"):
        summarise([])


@pytest.mark.parametrize(
    ("votes", "rewards", "critic"),
    [
        ([1, 2, 1], [1, 0], make_choice(1)),
        ([2, 1, 2], [0, 1], make_choice(2)),
        ([None, 2, 1], [0, 1], make_choice(2)),  # a tie goes to the vote cast first
        ([None, None], [0, 0], make_choice("neither")),
    ],
)
def test_a_row_keeps_input_votes_and_the_fields_of_the_released_scripts(
    votes: Sequence[Vote], rewards: list[int], critic: str
) -> None:
    (row,) = judgement_rows([voted(votes)])
    assert (row["kept"], row["rewards"], row["critic"]) == ("as it was", rewards, critic)
    details = row["judgement"]
    assert isinstance(details, dict)
    assert (list(details["choices"]), details["finish_reasons"]) == (list(votes), ["stop"] * len(votes))


def test_rewards_belong_to_the_answers_as_the_file_has_them() -> None:
    given, swapped = judgement_rows(judged(make_benchmark([make_row(0)]), always_first, plan=make_plan()))
    assert (given["rewards"], swapped["rewards"]) == ([1, 0], [0, 1])


def test_a_report_survives_json() -> None:
    report = report_on(FIFTY, coin, plan=make_plan(num_votes=3))
    assert json.loads(json.dumps(report.to_dict(), allow_nan=False))["single"]["overall"]["num_pairs"] == 50


def test_the_text_has_every_category_with_its_count_and_interval() -> None:
    lines = report_text(report_on(FIFTY, always_first, plan=make_plan())).splitlines()
    assert lines[0] == "vl_rewardbench: accuracy, % [95 % interval]"
    assert [line.split()[:3] for line in lines[3:7]] == [
        ["overall", "50", "50"],
        ["macro", "50.0", "[50.0,"],
        ["general", "25", "25"],
        ["reasoning", "25", "25"],
    ]


def test_published_categories_stand_beside_ours_only_where_they_mean_the_same() -> None:
    vl = report_markdown(report_on(FIFTY, always_right, plan=make_plan()))
    assert "| R1-Reward 7B | 71.92 |\n" in vl
    rows = [make_row(0, category="mcq"), make_row(1, category="video")]
    mm_rlhf = report_markdown(as_published("mm_rlhf_rewardbench", rows, always_right))
    assert "| R1-Reward 7B | 80.59 | 54.35 | 80.95 | 89.19 | 82.35 | 75 | 72 |\n" in mm_rlhf
    assert "| this judge | 100 | 100 | 100 | - | - | - | 100 |\n" in mm_rlhf
