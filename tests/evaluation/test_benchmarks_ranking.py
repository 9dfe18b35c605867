"""Several answers ranked by a judge of pairs: judges of known behaviour, silences, files and tables."""

import asyncio
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import get_args

import pytest
from PIL import Image

from conf.reward_terms import StrengthModel
from conf.schema import SamplingConfig
from evaluation.benchmarks.answers import Answer, AnswersUnusable
from evaluation.benchmarks.questions import JudgeRequest, plan_requests
from evaluation.benchmarks.ranking import Ranking, RankingPlan, plan_rankings, rank
from evaluation.benchmarks.ranking_report import MOST_SHOWN, ranking_text, summarise_rankings
from evaluation.benchmarks.ranking_tasks import RankingTask, TaskFile, load_tasks
from evaluation.benchmarks.results import rank_tasks
from evaluation.benchmarks.rows import BenchmarkProblems
from rollout.types import Choice
from tests.builders import make_choice
from tests.evaluation.benchmark_judges import FEW_FRAMES, ScriptedAnswerer, make_failure, make_reply

Prefer = Callable[[int, int], Choice | str]
"""What is answered when these two of the responses are shown in this order; "FAIL" is a failure."""

TASK = RankingTask(
    task_id="t",
    question="Which animal?",
    media=(),
    responses=("worst", "good", "best", "fair"),
    fields={"id": "t", "kept": "as it was"},
)
QUALITY = (0, 2, 3, 1)
GREEDY = SamplingConfig(temperature=0.0, top_p=1.0, max_tokens=16)
PLAN = RankingPlan(num_opponents=None, num_votes=1, seed=0, wording="pairwise_brief", model="bradley_terry")
every_model = pytest.mark.parametrize("model", get_args(StrengthModel))


def by_quality(first: int, second: int) -> Choice:
    return 1 if QUALITY[first] > QUALITY[second] else 2


def always_first(_first: int, _second: int) -> Choice:
    return 1


def only_about(*pairs: set[int]) -> Prefer:
    """Knows these pairs and fails on the others."""
    return lambda first, second: by_quality(first, second) if {first, second} in pairs else "FAIL"


def shown(request: JudgeRequest) -> tuple[int, int]:
    responses = request.prompt.preference.responses
    assert responses is not None
    return TASK.responses.index(responses[0]), TASK.responses.index(responses[1])


def ranked(prefer: Prefer, *, plan: RankingPlan = PLAN, task: RankingTask = TASK) -> Ranking:
    answers: dict[str, Answer] = {}
    for request in plan_requests(plan_rankings([task], plan=plan), num_votes=plan.num_votes):
        answer = prefer(*shown(request))
        text = make_choice(answer)
        answers[request.key] = make_failure(request.key) if answer == "FAIL" else make_reply(request.key, text)
    return rank(task, plan=plan, answers=answers)


def pairs_of(plan: RankingPlan) -> list[tuple[int, int]]:
    return [shown(request) for request in plan_requests(plan_rankings([TASK], plan=plan), num_votes=1)]


# What is asked


def test_every_pair_is_asked_in_both_orders() -> None:
    pairs = pairs_of(PLAN)
    assert sorted(pairs) == [(first, second) for first in range(4) for second in range(4) if first != second]
    assert [(second, first) for first, second in pairs[::2]] == pairs[1::2]


def test_a_sparse_plan_meets_as_many_opponents_as_asked_for() -> None:
    pairs = pairs_of(replace(PLAN, num_opponents=2))
    assert sorted(first for first, _ in pairs) == [0, 0, 1, 1, 2, 2, 3, 3]


def test_more_opponents_than_there_are_are_all() -> None:
    assert pairs_of(replace(PLAN, num_opponents=9)) == pairs_of(PLAN)


# What comes of it


@every_model
def test_every_pair_asked_gives_the_whole_order(model: StrengthModel) -> None:
    ranking = ranked(by_quality, plan=replace(PLAN, model=model))
    assert [(one.place, one.index, one.win_rate) for one in ranking.answers] == [
        (1, 2, 1.0),
        (2, 1, pytest.approx(2 / 3)),
        (3, 3, pytest.approx(1 / 3)),
        (4, 0, 0.0),
    ]
    assert sum(one.strength for one in ranking.answers) == pytest.approx(0.0, abs=1e-8)


@every_model
def test_the_order_of_the_responses_changes_no_strength(model: StrengthModel) -> None:
    turned = replace(TASK, responses=TASK.responses[::-1])
    plan = replace(PLAN, model=model)
    strengths, mirrored = (
        {task.responses[one.index]: one.strength for one in ranked(by_quality, plan=plan, task=task).answers}
        for task in (TASK, turned)
    )
    assert strengths == pytest.approx(mirrored)


def test_few_opponents_find_the_best_and_the_worst() -> None:
    answers = ranked(by_quality, plan=replace(PLAN, num_opponents=2)).answers
    places = {one.index: one.place for one in answers}
    assert (places[2], places[0]) == (1, max(places.values()))


def test_the_lead_is_the_distance_to_the_next_with_an_error_of_its_own() -> None:
    best, second, *_, last = ranked(by_quality).answers
    assert best.lead == pytest.approx(best.strength - second.strength)
    assert best.lead_error is not None
    assert best.lead_error != pytest.approx((best.standard_error**2 + second.standard_error**2) ** 0.5, rel=1e-3)
    assert (last.lead, last.lead_error) == (None, None)


def test_more_votes_on_a_pair_do_not_make_it_count_more() -> None:
    once, thrice = (ranked(by_quality, plan=replace(PLAN, num_votes=votes)) for votes in (1, 3))
    assert [one.strength for one in thrice.answers] == pytest.approx([one.strength for one in once.answers])


@every_model
def test_a_judge_that_favours_a_position_ranks_nothing(model: StrengthModel) -> None:
    ranking = ranked(always_first, plan=replace(PLAN, model=model))
    assert [(one.place, one.strength) for one in ranking.answers] == [(1, 0.0)] * 4
    assert (ranking.num_agreed, ranking.num_disagreed, ranking.structure.tie_fraction) == (0, 6, 1.0)
    assert (ranking.num_first, ranking.num_second) == (12, 0)


def test_cycles_are_counted() -> None:
    # 0 beats 1, 1 beats 2, 2 beats 0, and all of them beat 3: one cycle among four decided triples.
    beats = {(0, 1), (1, 2), (2, 0), (0, 3), (1, 3), (2, 3)}
    ranking = ranked(lambda first, second: 1 if (first, second) in beats else 2)
    assert (ranking.structure.num_cycles, ranking.structure.num_triples) == (1, 4)
    assert [one.place for one in ranking.answers] == [1, 1, 1, 4]


def test_strengths_are_bounded_by_verdicts_where_everybody_lost_once() -> None:
    assert not ranked(by_quality).is_bounded
    circle = {(0, 1), (1, 2), (2, 3), (3, 0), (0, 2), (1, 3)}
    assert ranked(lambda first, second: 1 if (first, second) in circle else 2).is_bounded


def test_an_answer_without_a_verdict_has_no_place() -> None:
    ranking = ranked(only_about({0, 1}))
    assert [one.index for one in ranking.answers] == [1, 0]
    assert (ranking.unranked, ranking.num_failed) == ((2, 3), 10)


def test_unlinked_sets_are_ranked_apart() -> None:
    ranking = ranked(only_about({0, 1}, {2, 3}))
    assert [(one.linked_set, one.place, one.index) for one in ranking.answers] == [
        (1, 1, 1),
        (1, 2, 0),
        (2, 1, 2),
        (2, 2, 3),
    ]
    assert ranking.answers[1].lead is None


def test_answers_without_a_choice_are_counted_and_of_no_effect() -> None:
    ranking = ranked(lambda _first, _second: "both")
    assert (ranking.num_unparsed, ranking.num_failed, ranking.answers) == (12, 0, ())


def test_a_vote_in_one_order_alone_counts() -> None:
    ranking = ranked(lambda first, second: by_quality(first, second) if first < second else "FAIL")
    assert [one.index for one in ranking.answers] == [2, 1, 3, 0]
    assert (ranking.num_alone, ranking.num_agreed) == (6, 0)


# Tables


def text_of(prefer: Prefer) -> list[str]:
    return ranking_text(summarise_rankings([TASK], [ranked(prefer)])).splitlines()


def test_the_text_has_every_answer_best_first() -> None:
    title, _, _, *lines = text_of(by_quality)
    assert title == "t: Which animal?"
    assert [line.partition("  ")[0] for line in lines[:4]] == [
        "1. answer 3: best", "2. answer 2: good", "3. answer 4: fair", "4. answer 1: worst",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("prefer", "warning"),
    [
        (only_about({0, 1}, {2, 3}), "- the verdicts link the answers in 2 separate sets, which cannot be compared"),
        (only_about({0, 1}), "- no verdict on answers 3, 4, which have no place"),
        (only_about({0, 1}), "- 10 requests failed, 0 answers hold no choice"),
    ],
)
def test_what_limits_a_ranking_is_said(prefer: Prefer, warning: str) -> None:
    assert warning in text_of(prefer)


def test_a_terminal_sees_the_first_of_many_tasks() -> None:
    num_tasks = MOST_SHOWN + 2
    text = ranking_text(summarise_rankings([TASK] * num_tasks, [ranked(by_quality)] * num_tasks))
    assert text.count("t: Which animal?") == MOST_SHOWN
    assert "... and 2 more tasks, which report.md shows" in text


def test_the_figures_of_all_tasks() -> None:
    report = summarise_rankings([TASK, replace(TASK, task_id="u")], [ranked(by_quality), ranked(always_first)])
    assert report.same_winner is not None
    assert report.first_share is not None
    assert (report.same_winner.value, report.first_share.value) == (0.5, 0.75)
    assert report.to_dict()["num_cycles"] == 0


# Files


def write_tasks(path: Path, rows: Sequence[Mapping[str, object]]) -> Path:
    path.write_text("".join(f"{json.dumps(row)}\n" for row in rows), encoding="utf-8")
    return path


def load(path: Path) -> TaskFile:
    return load_tasks(path, media_folder=path.parent, video=FEW_FRAMES)


ROW = {"id": 7, "question": "Which animal?", "responses": ["a cat", "a dog", ""], "better": 1}


def test_a_task_keeps_its_fields_and_shows_its_pictures_in_order(tmp_path: Path) -> None:
    for name in ("a.png", "b.png"):
        Image.new("RGB", (32, 32)).save(tmp_path / name)
    (task,) = load(write_tasks(tmp_path / "tasks.jsonl", [{**ROW, "images": ["b.png", "a.png"]}])).tasks
    assert (task.task_id, task.responses, task.fields["better"]) == ("7", ("a cat", "a dog", ""), 1)
    assert [Path(media.name).name for media in task.media] == ["b.png", "a.png"]


def test_a_task_may_show_videos_as_frames_or_folders(tmp_path: Path) -> None:
    frames = [f"clip/{number}.png" for number in range(4)]
    (tmp_path / "clip").mkdir()
    for frame in frames:
        Image.new("RGB", (32, 32)).save(tmp_path / frame)
    rows = [{**ROW, "video": "clip"}, {**ROW, "id": 8, "videos": [frames, "clip"]}, {**ROW, "id": 9}]
    assert [[media.kind for media in task.media] for task in load(write_tasks(tmp_path / "a.jsonl", rows)).tasks] == [
        ["video"], ["video", "video"], [],
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("changed", "problem"),
    [
        ({"id": ""}, "2: id: String should have at least 1 character"),
        ({"question": None}, "2: question: Input should be a valid string"),
        ({"responses": ["one"]}, "2: responses: List should have at least 2 items"),
        ({"responses": ["a", "b", "a"]}, "2: responses.2: the same text as responses.0; nobody can tell them apart"),
        ({"responses": ["a", 2]}, "2: responses.1: Input should be a valid string"),
        (
            {"image": "a.png", "video": "b"},
            "2: video: expected one of image, images, video, videos, or none; got image",
        ),
        ({"images": []}, "2: images: List should have at least 1 item"),
        ({"image": "gone.png"}, "2: image: no picture"),
        ({"videos": ["gone"]}, "2: videos: no video or folder of frames"),
        ({"image": "torn.png"}, "2: image: "),
        ({"id": 7}, "2: id: 7 was used before, at "),
    ],
)
def test_a_bad_row_is_refused_with_line_and_field(changed: Mapping[str, object], problem: str, tmp_path: Path) -> None:
    (tmp_path / "torn.png").write_bytes(b"no picture")
    path = write_tasks(tmp_path / "tasks.jsonl", [ROW, {**ROW, "id": 8, **changed}])
    with pytest.raises(BenchmarkProblems) as refused:
        load(path)
    assert [one for one in refused.value.problems if one.startswith(f"{path}:{problem}")]


def test_a_file_of_something_else_is_refused(tmp_path: Path) -> None:
    (tmp_path / "tasks.jsonl").write_text("[]\nnothing\n")
    with pytest.raises(BenchmarkProblems, match=r"tasks\.jsonl:1: expected an object(.|\n)*tasks\.jsonl:2: not JSON"):
        load(tmp_path / "tasks.jsonl")


# Whole runs


def run(
    folder: Path, answerer: ScriptedAnswerer, *, plan: RankingPlan = PLAN, sampling: SamplingConfig = GREEDY
) -> list[dict[str, object]]:
    """The rows a run leaves."""
    file = TaskFile(path=Path("tasks.jsonl"), sha256="0" * 64, tasks=(TASK, replace(TASK, task_id="u")))
    ranking = rank_tasks(
        file,
        plan=plan,
        answerer=answerer,
        sampling=sampling,
        judge={"model": "scripted"},
        folder=folder,
        on_progress=lambda _progress: None,
    )
    asyncio.run(ranking)
    return [json.loads(line) for line in (folder / "rankings.jsonl").read_text().splitlines()]


def answering(prefer: Prefer) -> ScriptedAnswerer:
    return ScriptedAnswerer(lambda request: prefer(*shown(request)))


def test_a_run_leaves_four_files(tmp_path: Path) -> None:
    rows = run(tmp_path / "out", answering(by_quality))
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == [
        "answers.jsonl", "rankings.jsonl", "report.json", "report.md",
    ]  # fmt: skip
    assert [row["kept"] for row in rows] == ["as it was"] * 2
    report = json.loads((tmp_path / "out/report.json").read_text())
    assert (report["num_requests"], report["model"], report["same_winner"]["value"]) == (24, "bradley_terry", 1.0)
    assert "| 1. answer 3: best |" in (tmp_path / "out/report.md").read_text()


def test_other_pairs_and_models_are_read_from_the_answers_there_are(tmp_path: Path) -> None:
    first, more, again = (answering(by_quality) for _ in range(3))
    run(tmp_path, first, plan=replace(PLAN, num_opponents=2))
    run(tmp_path, more)
    run(tmp_path, again, plan=replace(PLAN, model="thurstone"))
    assert (len(first.asked), len(more.asked), again.asked) == (16, 8, [])


def test_another_wording_is_refused(tmp_path: Path) -> None:
    run(tmp_path, answering(by_quality))
    with pytest.raises(AnswersUnusable, match='wording: the file has "pairwise_brief", this run has "pairwise"'):
        run(tmp_path, answering(by_quality), plan=replace(PLAN, wording="pairwise"))


def test_votes_that_would_be_copies_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="3 votes at temperature 0"):
        run(tmp_path, answering(by_quality), plan=replace(PLAN, num_votes=3))
