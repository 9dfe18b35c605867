"""Two judges of the same questions."""

import json
from collections.abc import Sequence
from pathlib import Path

import pytest

from evaluation.benchmarks.agreement import Decision, compare_judges, comparison_text, read_decisions
from evaluation.benchmarks.summary import judgement_rows
from evaluation.voting import Vote
from tests.evaluation.benchmark_judges import always_first, judged, make_benchmark, make_plan, make_row


def decisions(votes: Sequence[Vote]) -> list[Decision]:
    """One question per vote, of which 1 is right; every second one in another category."""
    return [
        Decision(key=f"q{index}", row_id=f"r{index}", category="ab"[index % 2], better=1, decision=vote)
        for index, vote in enumerate(votes)
    ]


def test_kappa_is_agreement_beyond_chance() -> None:
    # 7 of 10 alike. The first says 1 six times, the second five times: by chance 0.6 * 0.5 + 0.4 * 0.5 = 0.5.
    first = decisions([1, 1, 1, 1, 1, 1, 2, 2, 2, 2])
    second = decisions([1, 1, 1, 1, 2, 2, 2, 2, 2, 1])
    overall = compare_judges(first, second=second).overall
    assert overall.rate is not None
    assert overall.rate.value == 0.7
    assert overall.kappa == pytest.approx((0.7 - 0.5) / (1 - 0.5))


def test_two_judges_that_always_say_the_same_agree_by_chance_alone() -> None:
    overall = compare_judges(decisions([1, 1]), second=decisions([1, 1])).overall
    assert overall.kappa is None


def test_questions_one_judge_left_open_are_counted_and_no_agreement() -> None:
    overall = compare_judges(decisions([1, None, 2]), second=decisions([1, None, None])).overall
    assert overall.rate is not None
    assert (overall.num_questions, overall.num_decided, overall.rate.value) == (3, 1, 1.0)


def test_categories_are_compared_apart() -> None:
    by_category = compare_judges(decisions([1, 1, 2, 1]), second=decisions([1, 2, 2, 2])).by_category
    rates = {name: one.rate.value for name, one in by_category.items() if one.rate is not None}
    assert rates == {"a": 1.0, "b": 0.0}


def test_the_advantage_is_paired_by_question() -> None:
    comparison = compare_judges(decisions([1, 1, 1, 2]), second=decisions([1, 1, 2, 2]))
    assert (comparison.first_right.value, comparison.second_right.value) == (0.75, 0.5)
    assert comparison.advantage.value == 0.25


def test_disagreements_are_listed() -> None:
    comparison = compare_judges(decisions([1, 2, None]), second=decisions([1, 1, 1]))
    assert [(one.key, one.decision, other.decision) for one, other in comparison.disagreements] == [("q1", 2, 1)]


def test_judges_of_different_questions_are_not_compared() -> None:
    with pytest.raises(ValueError, match="1 were asked of one judge only, such as 'q1'"):
        compare_judges(decisions([1, 1]), second=decisions([1]))


def test_the_text_has_every_category() -> None:
    text = comparison_text(compare_judges(decisions([1, 1, 2, 1]), second=decisions([1, 2, 2, 2])))
    assert [line.split()[0] for line in text.splitlines()[2:5]] == ["overall", "a", "b"]


def test_decisions_are_read_from_the_rows_of_a_run(tmp_path: Path) -> None:
    judgements = judged(make_benchmark([make_row(0)]), always_first, plan=make_plan())
    path = tmp_path / "judgements.jsonl"
    rows = [{**row, "critic": "a line\u2028and another"} for row in judgement_rows(judgements)]
    path.write_text("".join(f"{json.dumps(row, ensure_ascii=False)}\n" for row in rows), encoding="utf-8")
    read = read_decisions(path)
    assert [(one.decision, one.better, one.row_id) for one in read] == [(1, 1, "row-0"), (1, 2, "row-0")]


@pytest.mark.parametrize("line", ["{}", "text", "[]", '{"judgement": {"key": 1}}'])
def test_a_file_of_another_kind_is_refused_with_the_line(line: str, tmp_path: Path) -> None:
    path = tmp_path / "judgements.jsonl"
    path.write_text(f"{line}\n", encoding="utf-8")
    with pytest.raises(ValueError, match=r"judgements.jsonl:1: expected a line"):
        read_decisions(path)
