"""Judging the judge: what the report says and how the table prints it."""

import json
import re
from collections.abc import Sequence

import numpy as np
import pytest

from evaluation.judge import EvaluationReport, evaluate, format_table, one_line
from rewards.tags import OutOfRange
from rollout.types import Media, RolloutGroup, Scale
from tests.builders import ONE_TO_FIVE, make_answer, make_completion, make_group, make_prompt


def picture(
    answers: Sequence[float | str], *, opinion: float, source: str = "photographs", content_id: str = "scene"
) -> RolloutGroup:
    prompt = make_prompt(f"p{opinion}", opinion=opinion, source=source, content_id=content_id)
    return make_group([make_answer(answer) for answer in answers], prompt=prompt)


def judged(
    groups: Sequence[RolloutGroup], *, min_spread: float = 0.05, out_of_range: OutOfRange = "keep"
) -> EvaluationReport:
    return evaluate(groups, scale=ONE_TO_FIVE, min_spread=min_spread, out_of_range=out_of_range)


GOOD = [
    picture([1.5], opinion=1),
    picture([2.5], opinion=2),
    picture([3.5], opinion=3),
    picture([4.9], opinion=4),
]
MANY = [
    picture(
        [round(3 + np.sin(index), 2)], opinion=3 + np.sin(index) / 2 + np.cos(5 * index), content_id=f"scene-{index}"
    )
    for index in range(24)
]
"""A judge that is right more often than not, one picture of each scene."""
CONSTANT = [picture([3], opinion=1), picture([3], opinion=2), picture([3], opinion=4)]
SILENT = [picture(["?"], opinion=1), picture(["!"], opinion=2)]


def test_a_judge_in_the_right_order_has_srcc_one() -> None:
    assert judged(GOOD).srcc == pytest.approx(1.0)


def test_a_pictures_score_is_the_mean_of_its_parsed_scores() -> None:
    report = judged([picture([2, 3, "dunno"], opinion=3), picture([5, 5, 5], opinion=4)])
    assert [row.score for row in report.pictures] == [2.5, 5.0]


def test_equal_means_tie_whatever_their_summands() -> None:
    report = judged(
        [
            picture([0.1, 0.2, 0.3], opinion=3),
            picture([0.3, 0.2, 0.1], opinion=4),
            picture([0.2] * 3, opinion=1),
        ]
    )
    assert len({row.score for row in report.pictures}) == 1


def test_an_unparsed_picture_is_left_out_of_the_correlation_and_counted() -> None:
    report = judged([*GOOD, picture(["4/5"], opinion=5)])
    assert report.srcc == pytest.approx(1.0)
    assert (report.num_without_score, report.num_prompts) == (1, 5)


def test_completions_are_counted_by_status() -> None:
    report = judged([picture([3, "x"], opinion=3), make_group(["3", make_answer(9)])])
    assert {status: num for status, num in report.num_by_status.items() if num} == dict.fromkeys(
        ("ok", "no_tag", "no_number", "out_of_range"), 1
    )


def test_an_out_of_range_score_counts_as_a_score() -> None:
    assert judged([picture([9], opinion=3)]).num_unparsed == 0


def test_format_and_truncation_are_rates_of_completions() -> None:
    cut = make_completion("<think>so", finish_reason="length")
    group = RolloutGroup(
        prompt=make_prompt(),
        completions=(cut, make_completion(make_answer(3))),
        prompt_token_ids=np.arange(2, dtype=np.int32),
    )
    report = judged([group])
    assert (report.format_rate, report.truncated_rate) == (0.5, 0.5)


def test_a_constant_judge_has_no_correlation() -> None:
    assert (judged(CONSTANT).srcc, judged(CONSTANT).plcc) == (None, None)


def test_a_constant_judge_raises_the_alarm() -> None:
    assert judged(CONSTANT).collapsed


def test_the_alarm_is_a_share_of_the_scale() -> None:
    # Scores 1.5 2.5 3.5 4.9 deviate by 1.45, which is 0.36 of the scale 1..5.
    assert [judged(GOOD, min_spread=share).collapsed for share in (0.36, 0.37)] == [False, True]


def test_a_silent_judge_is_unparsed_not_collapsed() -> None:
    report = judged(SILENT)
    assert (report.collapsed, report.num_unparsed, report.srcc) == (False, 2, None)


def test_spread_within_needs_several_completions() -> None:
    assert judged(GOOD).spread_within is None


def test_spread_within_is_the_mean_deviation_of_a_pictures_scores() -> None:
    report = judged([picture([2, 4], opinion=2), picture([3, 3], opinion=4)])
    assert report.spread_within == pytest.approx(np.sqrt(2) / 2)


def test_sources_are_reported_apart() -> None:
    other = [picture([4], opinion=1, source="renders"), picture([2], opinion=3, source="renders")]
    report = judged([*GOOD, *other])
    assert report.by_source["photographs"].srcc == pytest.approx(1.0)
    assert report.by_source["renders"].srcc == pytest.approx(-1.0)


def test_equal_content_names_of_two_sources_are_not_one_content() -> None:
    groups = [picture([2], opinion=1, source="a"), picture([4], opinion=3, source="b")]
    assert judged(groups).content_mean.srcc is None


def test_the_order_of_pictures_changes_no_number() -> None:
    assert judged(GOOD[::-1]).metrics() == pytest.approx(judged(GOOD).metrics())


def test_a_report_survives_json() -> None:
    report = judged([*GOOD, *SILENT])
    assert json.loads(json.dumps(report.to_dict(), allow_nan=False))["agreement"]["num_pictures"] == 4


def test_journal_values_leave_undefined_ones_out() -> None:
    assert "evaluation/agreement/srcc" not in judged(CONSTANT).metrics()


def test_an_evaluation_without_completions_is_refused() -> None:
    with pytest.raises(ValueError, match="needs completions"):
        judged([])


def test_a_label_on_another_scale_is_refused() -> None:
    with pytest.raises(ValueError, match="has a label on"):
        evaluate(GOOD, scale=Scale(minimum=0, maximum=100), min_spread=0.05, out_of_range="keep")


def test_the_table_lines_up_and_shows_undefined_as_a_dash() -> None:
    judgements = {"untrained": SILENT, "after cold start": CONSTANT, "after RL": GOOD}
    metrics = {name: judged(groups).metrics() for name, groups in judgements.items()}
    assert format_table(metrics).splitlines() == [
        "                   SRCC  95 %   PLCC   KRCC  RMSE  format %  unparsed %  spread",
        "-------------------------------------------------------------------------------",
        "untrained             -     -      -      -     -     100.0       100.0       -",
        "after cold start      -     -      -      -  1.41     100.0         0.0   !0.00",
        "after RL          1.000     -  0.996  1.000  0.62     100.0         0.0    1.45",
        "! the scores hardly differ between pictures: the judge has collapsed",
    ]


def test_the_table_shows_the_interval_of_srcc() -> None:
    row = format_table({"judge": judged(MANY).metrics()}).splitlines()[-1]
    assert re.fullmatch(r"judge +\d\.\d{3}  \d\.\d\d \.\. \d\.\d\d  \d\.\d{3}  .*", row)


def test_one_line_names_every_measure_and_the_failures() -> None:
    line = one_line(judged([*MANY, picture(["4/5"], opinion=4.5, content_id="mute")]))
    for part in ("SRCC 0.", " [0.", "] PLCC 0.", " after a logistic fit) KRCC 0.", "RMSE 0.", "without score 1/25"):
        assert part in line


def test_the_journal_has_the_ends_of_the_intervals() -> None:
    report = judged(MANY)
    metrics = report.metrics()
    for measure in ("srcc", "plcc", "krcc", "rmse"):
        low, value, high = (metrics[f"evaluation/agreement/{measure}{end}"] for end in ("_low", "", "_high"))
        assert low < value < high


def test_intervals_are_resampled_by_content() -> None:
    one_scene = [picture([score], opinion=score, content_id="scene") for score in (1, 2, 3, 4)]
    assert judged(one_scene).intervals == {}
    assert judged(MANY).num_contents == len(MANY)


def test_contents_on_scales_of_their_own_are_judged_one_by_one() -> None:
    # In each content the order is right; between them the opinions have nothing to do with the scores.
    groups = [
        picture([score], opinion=opinion, content_id=content)
        for content, opinions in (("a", (4.0, 4.5, 5.0)), ("b", (1.0, 1.5, 2.0)))
        for score, opinion in zip((2, 3, 4), opinions, strict=True)
    ]
    report = judged(groups)
    assert report.content_mean.srcc == pytest.approx(1.0)
    assert report.srcc is not None
    assert report.srcc < 0.5
    assert report.metrics()["evaluation/content_mean/srcc"] == pytest.approx(1.0)


def test_the_average_over_test_sets_gives_each_the_same_weight() -> None:
    small = [picture([score], opinion=opinion, source="small") for score, opinion in ((1, 3), (2, 2), (3, 1))]
    report = judged([*GOOD, *small])
    assert report.by_source["small"].srcc == pytest.approx(-1.0)
    assert report.source_mean.srcc == pytest.approx(0.0)
    assert report.metrics()["evaluation/source_mean/srcc"] == pytest.approx(0.0)


def test_one_test_set_has_no_average_over_test_sets() -> None:
    assert "evaluation/source_mean/srcc" not in judged(GOOD).metrics()


def test_a_row_knows_its_file_its_reasoning_and_its_status() -> None:
    prompt = make_prompt(opinion=3.0, media=Media(kind="image", path="pictures/a.png"))
    report = judged([make_group([make_answer("?"), make_answer(9), make_answer(3)], prompt=prompt)])
    (row,) = report.pictures
    assert (row.path, row.status) == ("pictures/a.png", "ok")
    assert row.reasonings == ("sharp enough",) * 3


@pytest.mark.parametrize(("answers", "status"), [([9, "?"], "out_of_range"), (["?", "x"], "no_number"), ([3, 9], "ok")])
def test_the_status_of_a_picture_is_the_best_of_its_completions(answers: list[float | str], status: str) -> None:
    (row,) = judged([picture(answers, opinion=3)]).pictures
    assert row.status == status


def test_a_video_of_frames_is_named_by_their_folder() -> None:
    video = Media(kind="video", frames=("clips/7/1.png", "clips/7/2.png"), fps=2.0)
    (row,) = judged([make_group([make_answer(3)], prompt=make_prompt(media=video))]).pictures
    assert row.path == "clips/7"


def test_an_absurd_score_can_be_kept_out_of_a_pictures_mean_and_is_counted_either_way() -> None:
    groups = [picture([2, 3000], opinion=2), picture([3, 4], opinion=3)]
    kept, dropped = judged(groups, out_of_range="keep"), judged(groups, out_of_range="drop")
    assert [row.score for row in kept.pictures] == [1501.0, 3.5]
    assert [row.score for row in dropped.pictures] == [2.0, 3.5]
    assert kept.num_by_status["out_of_range"] == dropped.num_by_status["out_of_range"] == 1
