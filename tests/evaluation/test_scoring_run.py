"""Scoring window by window: order, memory, statuses, samples, expectations, going on."""

import asyncio
import statistics
from collections.abc import AsyncGenerator, Iterable, Iterator
from pathlib import Path

import pytest

from evaluation.scoring.items import Item
from evaluation.scoring.results import open_sheet
from evaluation.scoring.rows import ScoreRow, unanswered
from evaluation.scoring.run import JudgeGone, Progress, score_items
from rollout.types import Failure, Prompt
from rollout.worker_types import completion_seed
from tests.evaluation.scoring_judges import (
    HOT,
    Digits,
    ScriptedEngines,
    make_item,
    make_row,
    options,
    row_writer,
    score_all,
    scorer,
)

ITEMS = [make_item(number) for number in range(10)]


def number_of(prompt: Prompt) -> int:
    return int(Path(prompt.content_id).stem)


def say(score: float | str) -> str:
    return f"<answer>{score}</answer>"


@pytest.mark.parametrize(("window", "sizes"), [(1, [1] * 10), (3, [3, 3, 3, 1]), (5, [5, 5]), (10, [10]), (99, [10])])
def test_rows_come_in_the_order_of_the_items_whatever_the_window(window: int, sizes: list[int]) -> None:
    engines = ScriptedEngines(lambda prompt, index: say(number_of(prompt) / 10))
    rows = score_all(scorer(engines, options(window=window)), ITEMS)
    assert [(row.id, row.score) for row in rows] == [(item.item_id, n / 10) for n, item in enumerate(ITEMS)]
    assert [len(order.prompts) for order in engines.orders] == sizes


def test_the_next_window_is_handed_over_before_the_first_is_done() -> None:
    engines = ScriptedEngines(lambda prompt, index: say(2))
    score_all(scorer(engines, options(window=2)), ITEMS)
    assert engines.most_running == 4
    assert all(order.runs_alone and order.skips_unusable for order in engines.orders)


@pytest.mark.parametrize(
    ("text", "status", "score"),
    [
        ("<answer>3.5</answer>", "ok", 3.5),
        ("<answer>0.2</answer>", "out_of_range", 0.2),
        ("<answer>good</answer>", "no_number", None),
        ("3.5</answer>", "no_tag", None),
        ("<answer>3.", "truncated", None),
    ],
)
def test_an_answer_is_read_as_in_training(text: str, status: str, score: float | None) -> None:
    (row,) = score_all(scorer(ScriptedEngines(lambda prompt, index: text), options()), ITEMS[:1])
    assert (row.status, row.score) == (status, score)
    assert row.text == (None if score is not None else text)


def test_a_score_off_the_scale_is_left_out_where_that_is_asked_for() -> None:
    engines = ScriptedEngines(lambda prompt, index: say(7))
    (row,) = score_all(scorer(engines, options(), out_of_range="drop"), ITEMS[:1])
    assert (row.status, row.score, row.text) == ("out_of_range", None, say(7))


def test_what_cannot_be_asked_is_a_row_among_the_others() -> None:
    def answer(prompt: Prompt, index: int) -> str | Failure:
        return Failure(kind="unreadable_media", detail="torn") if number_of(prompt) == 1 else say(2)

    rows = score_all(scorer(ScriptedEngines(answer), options(window=3)), ITEMS[:3])
    assert [(row.status, row.score) for row in rows] == [("ok", 2.0), ("unreadable_image", None), ("ok", 2.0)]
    assert rows[1].error == "torn"


def test_a_missing_video_never_reaches_the_engines(tmp_path: Path) -> None:
    engines = ScriptedEngines(lambda prompt, index: say(2))
    path = str(tmp_path / "gone.mp4")
    rows = score_all(scorer(engines, options()), [Item(item_id="v", path=path), ITEMS[0]])
    assert [row.status for row in rows] == ["unreadable_video", "ok"]
    assert [len(order.prompts) for order in engines.orders] == [1]


def test_the_question_of_an_item_is_asked_in_place_of_the_wording() -> None:
    engines = ScriptedEngines(lambda prompt, index: say(2))
    score_all(scorer(engines, options()), [Item(item_id="a", path="a.png", question="Is it sharp?"), ITEMS[0]])
    own, common = (prompt.messages[0].content[1] for prompt in engines.orders[0].prompts)
    assert own == "Is it sharp?"
    assert "between 1 and 5" in str(common)


def test_samples_give_a_mean_a_spread_and_their_seeds() -> None:
    said = ["3", "4.5", "none", "4"]
    engines = ScriptedEngines(lambda prompt, index: say(said[index]))
    (row,) = score_all(scorer(engines, options(num_samples=4), sampling=HOT), ITEMS[:1])
    assert row.score == pytest.approx(statistics.mean([3, 4.5, 4]))
    assert row.std == pytest.approx(statistics.stdev([3, 4.5, 4]), abs=1e-9)
    assert row.status == "ok"
    assert row.samples is not None
    assert [sample.status for sample in row.samples] == ["ok", "ok", "no_number", "ok"]
    first = completion_seed(0, ITEMS[0].item_id)
    assert [sample.seed for sample in row.samples] == [first, first + 1, first + 2, first + 3]


def test_a_number_off_the_scale_is_in_no_mean_with_those_on_it() -> None:
    said = ["3", "9000", "4", "none"]
    engines = ScriptedEngines(lambda prompt, index: say(said[index]))
    (row,) = score_all(scorer(engines, options(num_samples=4), sampling=HOT), ITEMS[:1])
    assert (row.status, row.score) == ("ok", 3.5)
    assert row.std == pytest.approx(statistics.stdev([3, 4]), abs=1e-9)


def test_nothing_is_drawn_at_temperature_zero_so_there_is_no_seed() -> None:
    (row,) = score_all(scorer(ScriptedEngines(lambda prompt, index: say(2)), options()), ITEMS[:1])
    assert (row.seed, row.std, row.samples) == (None, None, None)


def test_an_expectation_is_the_mean_of_the_integers() -> None:
    engines = ScriptedEngines(lambda prompt, index: say(4.02), digits=lambda prompt: {3: 0.379, 4: 0.621})
    (row,) = score_all(scorer(engines, options(answer="expectation")), ITEMS[:1])
    assert row.score == pytest.approx(3.621, abs=1e-6)
    assert len(engines.orders) == 1


def test_tenths_are_read_behind_every_likely_integer() -> None:
    behind: dict[str, Digits] = {"": {3: 0.4, 4: 0.6}, "3.": {7: 0.5, 9: 0.5}, "4.": {0: 0.25, 1: 0.75}}
    engines = ScriptedEngines(
        lambda prompt, index: say(4.02), digits=lambda prompt: behind[prompt.beginning.removeprefix("<answer>")]
    )
    (row,) = score_all(scorer(engines, options(answer="expectation_tenths")), ITEMS[:1])
    by_hand = 0.4 * (0.5 * 3.7 + 0.5 * 3.9) + 0.6 * (0.25 * 4.0 + 0.75 * 4.1)
    assert row.score == pytest.approx(by_hand, abs=1e-6)
    further = engines.orders[1:]
    assert [prompt.beginning for order in further for prompt in order.prompts] == ["<answer>3.", "<answer>4."]
    assert {order.sampling.max_tokens for order in further} == {1}


def test_the_highest_integer_has_no_tenths() -> None:
    engines = ScriptedEngines(
        lambda prompt, index: say(5), digits=lambda prompt: {9: 0.9, 0: 0.1} if prompt.beginning else {5: 1.0}
    )
    (row,) = score_all(scorer(engines, options(answer="expectation_tenths")), ITEMS[:1])
    assert row.score == 5.0


def test_tenths_are_asked_for_no_more_at_a_time_than_answers() -> None:
    engines = ScriptedEngines(lambda prompt, index: say(3), digits=lambda prompt: dict.fromkeys(range(10), 0.1))
    score_all(scorer(engines, options(answer="expectation_tenths", window=4)), ITEMS[:4])
    assert [len(order.prompts) for order in engines.orders] == [4, 4, 4, 4, 4, 4]


def test_a_number_without_an_integer_digit_has_no_expectation() -> None:
    engines = ScriptedEngines(lambda prompt, index: say(".5"), digits=lambda prompt: {3: 1.0})
    (row,) = score_all(scorer(engines, options(answer="expectation")), ITEMS[:1])
    assert (row.status, row.score) == ("no_distribution", None)


def test_a_number_off_the_scale_has_no_expectation_though_its_first_digit_is_on_it() -> None:
    engines = ScriptedEngines(lambda prompt, index: say(12.5), digits=lambda prompt: {1: 0.7, 2: 0.3})
    (row,) = score_all(scorer(engines, options(answer="expectation")), ITEMS[:1])
    assert (row.status, row.score) == ("no_distribution", None)
    assert row.error is not None
    assert "off the scale" in row.error


def collect(items: Iterator[Item], engines: ScriptedEngines, folder: Path, *, window: int = 4) -> list[Progress]:
    """Score into a folder; the progress that was reported."""
    reported: list[Progress] = []
    with open_sheet(folder, settings={}) as sheet:
        last = asyncio.run(
            score_items(items, scorer=scorer(engines, options(window=window)), sheet=sheet, on_progress=reported.append)
        )
    return [*reported, last]


def test_what_has_a_row_is_not_scored_again(tmp_path: Path) -> None:
    with open_sheet(tmp_path, settings={}) as sheet:
        sheet.add([make_row(number) for number in range(0, 10, 2)])
    engines = ScriptedEngines(lambda prompt, index: say(2))
    *_, last = collect(iter(ITEMS), engines, tmp_path)
    assert (last.num_done, last.num_scored) == (10, 5)
    assert [number_of(prompt) for order in engines.orders for prompt in order.prompts] == [1, 3, 5, 7, 9]
    assert collect(iter(ITEMS), engines, tmp_path)[-1].num_scored == 0
    assert len((tmp_path / "scores.jsonl").read_text().splitlines()) == 10


def test_of_many_thousand_items_only_two_windows_are_held(tmp_path: Path) -> None:
    num_items, window = 10_000, 250
    num_listed = 0

    def listed() -> Iterator[Item]:
        nonlocal num_listed
        for number in range(num_items):
            assert num_listed < (len(engines.orders) + 2) * window, "the listing ran ahead of the engines"
            num_listed += 1
            yield make_item(number)

    engines = ScriptedEngines(lambda prompt, index: say(2))
    *_, last = collect(listed(), engines, tmp_path, window=window)
    assert last.num_scored == num_items
    assert engines.most_running == 2 * window


class Gone:
    """A judge that fails every item after the first five."""

    def __init__(self) -> None:
        self.num_asked = 0

    async def score(self, items: Iterable[Item]) -> AsyncGenerator[list[ScoreRow], None]:
        for item in items:
            self.num_asked += 1
            failure = [unanswered("failed", error="refused")]
            yield [row_writer().row(item, failure)] if self.num_asked > 5 else [make_row(self.num_asked - 1)]


def test_scoring_stops_when_nothing_answers_any_more(tmp_path: Path) -> None:
    judge = Gone()
    with (
        open_sheet(tmp_path, settings={}) as sheet,
        pytest.raises(JudgeGone, match="20 failed one after the other, the last with: refused"),
    ):
        asyncio.run(
            score_items(map(make_item, range(1000)), scorer=judge, sheet=sheet, on_progress=lambda progress: None)
        )
    assert judge.num_asked == 25
    with open_sheet(tmp_path, settings={}) as sheet:
        assert dict(sheet.num_by_status) == {"ok": 5}
