"""The files of an evaluation, and the plot among them."""

import json
from pathlib import Path

import numpy as np
from PIL import Image

from cluster.evaluation_files import evaluation_settings, write_evaluation
from cluster.scatter import draw_scatter
from conf.load import load_run_config
from evaluation.judge import EvaluationReport, evaluate
from evaluation.mixed import MixedReport
from evaluation.pairs import evaluate_pairs
from tests.builders import ONE_TO_FIVE, make_answer, make_choice, make_group, make_pair_prompt, make_prompt


def report(*, answers: list[float | str]) -> EvaluationReport:
    groups = [
        make_group([make_answer(answer)], prompt=make_prompt(f"p{number}", opinion=1 + number % 5))
        for number, answer in enumerate(answers)
    ]
    return evaluate(groups, scale=ONE_TO_FIVE, min_spread=0.01, out_of_range="keep")


def inked(path: Path) -> float:
    """Share of the picture that is not white."""
    with Image.open(path) as opened:
        return float((np.asarray(opened.convert("L")) < 250).mean())


def test_an_evaluation_of_scores_leaves_figures_rows_page_and_plot(tmp_path: Path) -> None:
    judged = report(answers=[1.2, 2.1, 3.3, 3.9, 4.4, "?"])
    write_evaluation(judged, folder=tmp_path / "out", title="judge", settings={"seed": 3})
    assert {path.name for path in (tmp_path / "out").iterdir()} == {
        "report.json", "report.md", "pictures.jsonl", "scatter.png",
    }  # fmt: skip
    figures = json.loads((tmp_path / "out" / "report.json").read_text())
    assert figures["settings"] == {"seed": 3}
    assert figures["agreement"]["srcc"] == judged.srcc
    assert "pictures" not in figures
    rows = [json.loads(line) for line in (tmp_path / "out" / "pictures.jsonl").read_text().splitlines()]
    assert [row["status"] for row in rows] == ["ok"] * 5 + ["no_number"]
    assert "(scatter.png)" in (tmp_path / "out" / "report.md").read_text()


def test_an_evaluation_of_choices_leaves_its_rows_with_the_figures(tmp_path: Path) -> None:
    judged = evaluate_pairs([make_group([make_choice(2)], prompt=make_pair_prompt())], verdicts=None)
    write_evaluation(judged, folder=tmp_path, title="judge", settings={})
    assert [path.name for path in tmp_path.iterdir()] == ["report.json"]
    assert json.loads((tmp_path / "report.json").read_text())["rows"][0]["choices"] == [2]


def test_a_judge_of_several_tasks_has_the_files_of_its_scores(tmp_path: Path) -> None:
    pairs = evaluate_pairs([make_group([make_choice(2)], prompt=make_pair_prompt())], verdicts=None)
    both = MixedReport(by_task={"score": report(answers=[1.2, 2.1]), "choice": pairs})
    write_evaluation(both, folder=tmp_path, title="judge", settings={})
    figures = json.loads((tmp_path / "report.json").read_text())
    assert set(figures) == {"settings", "score", "choice"}
    assert len((tmp_path / "pictures.jsonl").read_text().splitlines()) == 2
    assert (tmp_path / "scatter.png").exists()


def test_the_settings_name_the_version_of_the_text_that_was_asked() -> None:
    settings = evaluation_settings(load_run_config(["data=photo_distortions", "data.prompt=quality"]))
    assert settings["prompt_versions"] == {"quality": 1}
    assert settings["seed"] == 0


def test_every_judged_picture_is_a_point_of_the_plot(tmp_path: Path) -> None:
    few, many = report(answers=[1.2, 4.4]), report(answers=[1 + (number % 41) / 10 for number in range(60)])
    for name, one in (("few", few), ("many", many)):
        draw_scatter(one, tmp_path / f"{name}.png", title="judge")
    assert inked(tmp_path / "many.png") > inked(tmp_path / "few.png")


def test_a_judge_that_says_nothing_still_has_a_plot(tmp_path: Path) -> None:
    draw_scatter(report(answers=["?", "!"]), tmp_path / "scatter.png", title="judge")
    assert inked(tmp_path / "scatter.png") > 0
