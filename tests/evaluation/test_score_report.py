"""A scoring evaluation as text, as Markdown and as rows."""

import json

from evaluation.judge import EvaluationReport, evaluate
from evaluation.score_report import picture_rows, report_markdown, report_text
from rewards.tags import OutOfRange
from rollout.types import Media, RolloutGroup
from tests.builders import ONE_TO_FIVE, make_answer, make_group, make_prompt


def picture(
    *answers: float | str, opinion: float, source: str = "photographs", scene: str | None = None
) -> RolloutGroup:
    media, content_id = Media(kind="image", path=f"{source}/{opinion}.png"), scene or f"scene-{opinion}"
    prompt = make_prompt(f"p{opinion}", opinion=opinion, source=source, content_id=content_id, media=media)
    return make_group([make_answer(answer) for answer in answers], prompt=prompt)


GROUPS = [
    picture(1.5, opinion=1, scene="cat"),
    picture(2.5, opinion=2, scene="cat"),
    picture("four", opinion=3),
    picture(9, opinion=4.5),
    picture(4, opinion=1.5, source="renders"),
    picture(4, opinion=3.5, source="renders"),
]


def report(out_of_range: OutOfRange = "drop") -> EvaluationReport:
    return evaluate(GROUPS, scale=ONE_TO_FIVE, min_spread=0.01, out_of_range=out_of_range)


def cells(line: str) -> list[str]:
    return [cell.strip() for cell in line.strip("|").split("|")]


def table(title: str) -> dict[str, list[str]]:
    """The rows of one table of the page, by their first cell."""
    page = report_markdown(report(), title="judge", scatter=None)
    lines = page.partition(f"## {title}")[2].partition("\n## ")[0].splitlines()
    return {cells(line)[0]: cells(line)[1:] for line in lines if line.startswith("|")}


def test_the_page_has_a_row_for_the_whole_the_means_and_each_data_set() -> None:
    rows = table("Agreement")
    assert list(rows)[2:] == ["pooled", "mean of 3 contents", "mean of 2 data sets", "photographs", "renders"]
    assert [rows[name][0] for name in ("pooled", "photographs", "renders")] == ["4", "2", "2"]
    assert rows["photographs"][1] == "1.000"
    assert rows["renders"][1] == "-"


def test_pictures_of_contents_of_their_own_have_no_mean_over_contents() -> None:
    alone = evaluate(GROUPS[1:], scale=ONE_TO_FIVE, min_spread=0.01, out_of_range="drop")
    assert "contents  " not in report_text(alone).partition("-----")[2]
    assert "evaluation/content_mean/rmse" not in alone.metrics()


def test_what_is_undefined_is_explained() -> None:
    text = report_text(report())
    assert "- renders, SRCC, PLCC, PLCC, logistic fit, KRCC: the scores are all the same" in text
    assert "- mean of 2 data sets, SRCC, PLCC, KRCC: undefined in 1 of 2 groups" in text


def test_every_failure_is_counted_and_its_treatment_named() -> None:
    rows = table("Answers")
    assert rows["completions: ok"] == ["4", "count"]
    assert rows["completions: no_number"] == ["1", "are left out of their picture's mean"]
    assert rows["completions: out_of_range"] == ["1", "are left out of their picture's mean"]
    assert rows["pictures without a score"] == ["2 of 6", "are in no figure"]
    assert "completions: no_tag" not in rows


def test_kept_scores_outside_the_scale_count() -> None:
    line = next(line for line in report_text(report("keep")).splitlines() if "out_of_range" in line)
    assert line.split()[-2:] == ["1", "count"]


def test_the_page_shows_the_plot_beside_it() -> None:
    page = report_markdown(report(), title="my judge", scatter="scatter.png")
    assert page.startswith("# my judge\n\n![judge's score against opinion](scatter.png)\n\n## Agreement")


def test_a_row_says_what_was_shown_what_was_said_and_what_is_true() -> None:
    rows = list(picture_rows(report()))
    assert [row["path"] for row in rows][:2] == ["photographs/1.png", "photographs/2.png"]
    assert rows[2] == {
        "path": "photographs/3.png",
        "id": "p3",
        "source": "photographs",
        "content": "scene-3",
        "label": 3,
        "score": None,
        "status": "no_number",
        "reasoning": "sharp enough",
    }


def test_rows_list_every_completion_where_there_are_several() -> None:
    several = evaluate([picture(2, "?", opinion=2)], scale=ONE_TO_FIVE, min_spread=0.01, out_of_range="keep")
    (row,) = picture_rows(several)
    assert (row["score"], row["status"]) == (2.0, "ok")
    assert row["completions"] == [
        {"score": 2.0, "status": "ok", "reasoning": "sharp enough"},
        {"score": None, "status": "no_number", "reasoning": "sharp enough"},
    ]


def test_rows_are_plain_json() -> None:
    for row in picture_rows(report()):
        assert json.loads(json.dumps(row, allow_nan=False)) == row
