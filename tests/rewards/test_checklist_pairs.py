"""Multi-objective pair selection: the published examples, thresholds, counts and files."""

import io
import json
from collections.abc import Iterator, Sequence
from itertools import permutations

import numpy as np
import pytest

from rewards.checklist.answers import NO, YES, Answer
from rewards.checklist.pairs import (
    OUTCOMES,
    Candidate,
    Level,
    PairRule,
    PairSelection,
    SelectedPair,
    describe,
    dominates,
    judge_pair,
    write_pairs,
)
from rewards.checklist.scoring import ItemScore, score_answers
from rewards.checklist.weights import Weights
from tests.rewards.checklists import make_checklist, published, video_answers

A_NO, B_NO = (0, 7, 13, 16, 21, 23), (1, 4, 18, 20, 22, 24)
C_NO = (*A_NO, 22, 28)
PUBLISHED = PairRule(level="dimension", min_gap=0.6, max_pairs_per_prompt=None)


def video(no_at: Sequence[int], *, content: str = "clip.mp4") -> Candidate:
    found = published("video_select")
    assert found.weights is not None
    score = score_answers(video_answers(no_at), checklist=found.checklist, weights=found.weights)
    return Candidate(prompt_id="p", prompt="a cat", content=content, score=score)


SMALL = make_checklist({"a": {"x": 1, "y": 1}, "b": {"z": 2}})
WEIGHTS = Weights(by_id={"a.x.1": 1.0, "a.y.1": 2.0, "b.z.1": 4.0, "b.z.2": 8.0})


def item(letters: str, *, prompt_id: str = "p", content: str | None = None) -> Candidate:
    """Answers to a.x.1, a.y.1, b.z.1 and b.z.2, worth 1, 2, 4 and 8; "?" is none."""
    words = {"Y": YES, "N": NO, "?": Answer(status="unknown")}
    answers = {one: words[letter] for one, letter in zip(SMALL.ids, letters, strict=True)}
    score = score_answers(answers, checklist=SMALL, weights=WEIGHTS)
    return Candidate(prompt_id=prompt_id, prompt=f"text of {prompt_id}", content=content or letters, score=score)


def rule(level: Level = "dimension", *, min_gap: float = 0.0, limit: int | None = None) -> PairRule:
    return PairRule(level=level, min_gap=min_gap, max_pairs_per_prompt=limit)


def select(candidates: Sequence[Candidate], *, by: PairRule) -> tuple[list[SelectedPair], PairSelection]:
    selection = PairSelection(by)
    return list(selection.select(candidates)), selection


def test_neither_of_examples_a_and_b_dominates_although_b_scores_higher() -> None:
    a, b = video(A_NO), video(B_NO)
    assert (b.score.paper or 0.0) - (a.score.paper or 0.0) == pytest.approx(1.607, abs=5e-4)
    assert judge_pair(a, b, rule=PUBLISHED) == ("not_dominating", None)


def test_example_a_dominates_c_and_the_pair_is_kept() -> None:
    outcome, pair = judge_pair(video(C_NO, content="c"), video(A_NO, content="a"), rule=PUBLISHED)
    assert outcome == "kept"
    assert pair is not None
    assert (pair.chosen.content, pair.rejected.content) == ("a", "c")
    assert pair.gap == pytest.approx(0.662758, abs=5e-7)


def test_example_a_and_c_are_too_close_for_the_threshold_of_plain_dpo() -> None:
    by = PairRule(level="total", min_gap=0.8, max_pairs_per_prompt=None)
    assert judge_pair(video(A_NO), video(C_NO), rule=by) == ("small_gap", None)


@pytest.mark.parametrize("level", ["dimension", "sub_dimension", "question", "total"])
def test_equal_items_dominate_each_other_and_are_no_pair(level: Level) -> None:
    same = video(A_NO)
    assert dominates(same.score, same.score, level=level)
    assert judge_pair(same, same, rule=rule(level)) == ("equal", None)


@pytest.mark.parametrize(
    ("better", "worse", "levels"),
    [
        ("YYYY", "NNNN", {"question", "sub_dimension", "dimension", "total"}),
        ("YYNY", "YYYN", {"sub_dimension", "dimension", "total"}),
        ("NYNY", "YNNY", {"dimension", "total"}),
        ("NNYY", "YYYN", {"total"}),
    ],
)
def test_each_level_forbids_more_than_the_next(better: str, worse: str, levels: set[Level]) -> None:
    one, other = item(better).score, item(worse).score
    names: tuple[Level, ...] = ("question", "sub_dimension", "dimension", "total")
    assert {level for level in names if dominates(one, other, level=level)} == levels


@pytest.mark.parametrize(("min_gap", "outcome"), [(1.0, "kept"), (1.0 + 1e-9, "small_gap")])
def test_a_gap_of_the_threshold_is_kept(min_gap: float, outcome: str) -> None:
    assert judge_pair(item("YYYY"), item("NYYY"), rule=rule(min_gap=min_gap))[0] == outcome


def test_an_item_with_an_unusable_answer_is_in_no_pair() -> None:
    assert judge_pair(item("YYYY"), item("NNN?"), rule=rule()) == ("unscored", None)


def test_an_item_scored_without_some_answers_is_in_no_pair_either() -> None:
    answers = {"a.x.1": NO, "a.y.1": YES, "b.z.1": YES, "b.z.2": Answer(status="failed")}
    score = score_answers(answers, checklist=SMALL, weights=WEIGHTS, unusable="leave_out")
    partial = Candidate(prompt_id="p", prompt="text of p", content="partial", score=score)
    assert score.paper == 6.0
    assert judge_pair(item("YYYY"), partial, rule=rule()) == ("unscored", None)


def test_every_pair_of_a_prompt_is_counted_once() -> None:
    # 15, 14, 7, 8 and none: of ten pairs four lack a score; 15 dominates all, 14 dominates 8, 7 and 8 or 14 do not.
    candidates = [item(letters) for letters in ("YYYY", "NYYY", "YYYN", "NNNY", "???Y")]
    pairs, selection = select(candidates, by=rule(min_gap=2.0))
    assert [(pair.chosen.content, pair.rejected.content, pair.gap) for pair in pairs] == [
        ("YYYY", "YYYN", 8.0),
        ("YYYY", "NNNY", 7.0),
        ("NYYY", "NNNY", 6.0),
    ]
    assert dict(selection.num_by_outcome) == {
        "kept": 3, "unscored": 4, "equal": 0, "not_dominating": 2, "small_gap": 1, "over_limit": 0,
    }  # fmt: skip


def test_the_counts_are_told_in_one_line() -> None:
    _, selection = select([item("YYYY"), item("NNNN"), item("NNNN"), item("YYYY", prompt_id="q")], by=rule())
    assert describe(selection) == (
        "pairs=3 kept=2 unscored=0 equal=1 not_dominating=0 small_gap=0 over_limit=0 prompts=1/2"
    )


def test_a_limit_keeps_the_largest_gaps() -> None:
    candidates = [item(letters) for letters in ("NNNN", "NNYY", "YYYY")]
    pairs, selection = select(candidates, by=rule(limit=1))
    assert [pair.gap for pair in pairs] == [15.0]
    assert (selection.num_by_outcome["kept"], selection.num_by_outcome["over_limit"]) == (1, 2)


def test_items_of_different_prompts_are_never_paired() -> None:
    pairs, selection = select([item("YYYY", prompt_id="p"), item("NNNN", prompt_id="q")], by=rule())
    assert (pairs, selection.num_prompts, selection.num_by_outcome.total()) == ([], 2, 0)


def test_pairs_come_one_prompt_at_a_time() -> None:
    taken: list[str] = []

    def stream() -> Iterator[Candidate]:
        for prompt_id in ("p", "q", "r"):
            taken.append(prompt_id)
            yield item("YYYY", prompt_id=prompt_id)
            yield item("NNNN", prompt_id=prompt_id)

    next(PairSelection(rule()).select(stream()))
    # A prompt ends where the next one begins.
    assert taken == ["p", "q"]


def test_a_prompt_that_comes_back_is_refused() -> None:
    candidates = [item("YYYY"), item("YYYY", prompt_id="q"), item("NNNN")]
    with pytest.raises(ValueError, match="prompt 'p' comes again after others"):
        select(candidates, by=rule())


def test_one_id_for_two_prompts_is_refused() -> None:
    other = Candidate(prompt_id="p", prompt="a dog", content="dog", score=item("NNNN").score)
    with pytest.raises(ValueError, match="prompt 'p' has 2 texts"):
        select([item("YYYY"), other], by=rule())


@pytest.mark.parametrize("level", ["dimension", "sub_dimension", "question"])
def test_the_order_of_the_items_changes_no_pair(level: Level) -> None:
    candidates = [item(letters) for letters in ("YYYN", "NNYY", "YNNY", "NYNN")]
    found = [
        {(pair.chosen.content, pair.rejected.content) for pair in select(order, by=rule(level))[0]}
        for order in permutations(candidates)
    ]
    assert all(one == found[0] for one in found)


@pytest.mark.parametrize("level", ["dimension", "sub_dimension", "question"])
def test_what_dominates_in_its_parts_never_scores_lower(level: Level) -> None:
    random = np.random.default_rng(0)
    scores = [video(tuple(np.flatnonzero(random.random(29) < 0.3))).score for _ in range(40)]
    dominated = [(one, other) for one, other in permutations(scores, 2) if dominates(one, other, level=level)]
    assert all((one.paper or 0.0) >= (other.paper or 0.0) for one, other in dominated)


def rows(form: str) -> list[dict[str, object]]:
    stream = io.StringIO()
    pairs, _ = select([item("YYYY", content="größer.png"), item("NYYY", content="b.png")], by=rule())
    assert write_pairs(stream, pairs=pairs, form="trl" if form == "trl" else "plain") == 1
    return [json.loads(line) for line in stream.getvalue().splitlines()]


def test_the_file_for_trl_has_its_three_columns() -> None:
    assert rows("trl") == [{"prompt": "text of p", "chosen": "größer.png", "rejected": "b.png"}]


def test_the_plain_file_tells_scores_and_dimensions() -> None:
    assert rows("plain") == [
        {
            "prompt_id": "p", "prompt": "text of p", "chosen": "größer.png", "rejected": "b.png",
            "chosen_score": 15.0, "rejected_score": 14.0, "gap": 1.0,
            "chosen_dimensions": {"a": 3.0, "b": 12.0}, "rejected_dimensions": {"a": 2.0, "b": 12.0},
        }
    ]  # fmt: skip


@pytest.mark.parametrize(("min_gap", "limit"), [(-0.1, None), (float("nan"), None), (0.0, 0)])
def test_a_rule_without_sense_is_refused(min_gap: float, limit: int | None) -> None:
    with pytest.raises(ValueError, match="at least"):
        rule(min_gap=min_gap, limit=limit)


def test_scores_of_different_checklists_are_not_compared() -> None:
    with pytest.raises(ValueError, match="different checklists"):
        dominates(item("YYYY").score, video(A_NO).score, level="dimension")


def test_a_score_without_a_part_says_nothing_about_dominance() -> None:
    unscored: ItemScore = item("???Y").score
    with pytest.raises(ValueError, match="nothing can be said about dominance"):
        dominates(unscored, item("NNNN").score, level="dimension")


def test_every_outcome_is_named_before_there_is_a_pair() -> None:
    assert tuple(PairSelection(rule()).num_by_outcome) == OUTCOMES
