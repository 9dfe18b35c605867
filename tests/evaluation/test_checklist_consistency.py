"""Graded answers that contradict each other are counted, and nothing else is."""

import pytest

from evaluation.checklist.consistency import Consistency, ConsistencyCount, format_consistency
from rewards.checklist.answers import NO, YES, Answer
from rollout.checklist.questions import Checklist
from tests.rewards.checklists import make_checklist, published, video_answers

CHECKLIST = make_checklist(
    {"quality": {"sharpness": 3}, "fidelity": {"face": 2, "body": 1}}, gates={"seen": ("fidelity.face.1",)}
)
WORDS = {"Y": YES, "N": NO, "?": Answer(status="unknown"), "=": Answer(status="ok", p_yes=0.5)}


def counted(*items: str, checklist: Checklist = CHECKLIST) -> ConsistencyCount:
    """Items as letters: sharpness from strict to mild, face from strict to mild, body."""
    count = ConsistencyCount(checklist)
    for letters in items:
        count.add({"seen": YES} | {one: WORDS[letter] for one, letter in zip(checklist.ids, letters, strict=True)})
    return count


@pytest.mark.parametrize(
    ("letters", "num_contradictions"),
    [("YYY", 0), ("NYY", 0), ("NNY", 0), ("NNN", 0), ("YNN", 2), ("YNY", 1), ("NYN", 1)],
)
def test_a_yes_to_a_stricter_question_and_a_no_to_a_milder_one_contradict(
    letters: str, num_contradictions: int
) -> None:
    found = counted(f"{letters}NNN").by_sub_dimension["quality.sharpness"]
    assert found == Consistency(
        num_checked=1, num_consistent=int(not num_contradictions), num_pairs=3, num_contradictions=num_contradictions
    )


def test_shares_are_taken_by_item_and_sub_dimension_and_by_pair() -> None:
    # Two items, two sub-dimensions each: three of four consistent; 2 of 8 pairs contradict.
    total = counted("YNNYYN", "YYYNYN").total
    assert (total.num_checked, total.share, total.num_pairs, total.pair_share) == (4, 0.75, 8, 0.75)


@pytest.mark.parametrize("letter", ["?", "="])
def test_what_is_neither_yes_nor_no_contradicts_nothing(letter: str) -> None:
    found = counted(f"Y{letter}NNNN").by_sub_dimension["quality.sharpness"]
    assert (found.num_pairs, found.num_contradictions) == (1, 1)
    assert counted(f"{letter}{letter}YNNN").by_sub_dimension["quality.sharpness"].num_checked == 0


def test_closed_questions_are_not_checked() -> None:
    count = ConsistencyCount(CHECKLIST)
    count.add({"seen": NO} | dict.fromkeys(CHECKLIST.ids, YES) | {"fidelity.face.2": NO})
    assert count.by_sub_dimension["fidelity.face"].num_checked == 0


def test_sub_dimensions_of_one_question_are_not_checked() -> None:
    assert set(counted("YYYYYN").by_sub_dimension) == {"quality.sharpness", "fidelity.face"}


def test_dimensions_are_the_sums_of_their_parts() -> None:
    count = counted("YNNYYN", "YYYNYN")
    assert count.by_dimension == {
        "quality": count.by_sub_dimension["quality.sharpness"],
        "fidelity": count.by_sub_dimension["fidelity.face"],
    }


def test_items_may_be_counted_in_any_order() -> None:
    assert counted("YNNYYN", "YYYNYN").total == counted("YYYNYN", "YNNYYN").total


def test_nothing_checked_has_no_share() -> None:
    assert (counted().total.share, counted().total.pair_share) == (None, None)


def test_a_published_example_contradicts_itself_where_read_by_hand() -> None:
    # Example A says no to lines 0, 7, 13, 16, 21 and 23: each the strictest of its sub-dimension, so nothing
    # contradicts. Example B says no to lines 1, 4, 18, 20, 22 and 24: "most requirements" and "no obvious flaws" after
    # a yes to "all" and to "pleasing", and "not rough" after "very refined".
    count = ConsistencyCount(published("video_select").checklist)
    count.add(video_answers((0, 7, 13, 16, 21, 23)))
    assert count.total.num_contradictions == 0
    count.add(video_answers((1, 4, 18, 20, 22, 24)))
    contradicted = {name for name, one in count.by_sub_dimension.items() if one.num_contradictions}
    assert contradicted == {"alignment.alignment", "composition.composition", "fidelity.detail"}


def test_the_table_has_a_row_per_dimension_and_one_for_all() -> None:
    assert format_consistency(counted("YNNYYN", "YYYNYN")).splitlines() == [
        "dimension  consistent %  checked  by pair %  pairs",
        "--------------------------------------------------",
        "quality            50.0        2       66.7      6",
        "fidelity          100.0        2      100.0      2",
        "all                75.0        4       75.0      8",
    ]
