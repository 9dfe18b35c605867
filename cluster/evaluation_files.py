"""What ``arbiter evaluate`` leaves behind.

report.json      settings and every figure; of choices and findings every row too

and of scores

report.md        the tables, with the plot
pictures.jsonl   one line per picture: path, score, label, reasoning, status
scatter.png      judge's score against opinion, with the fitted curve
"""

import json
from collections.abc import Mapping
from pathlib import Path

from cluster.records import write_json
from cluster.scatter import draw_scatter
from conf.data import ScoredConfig
from conf.schema import RunConfig
from conf.tasks import parts_of
from evaluation import score_report
from evaluation.judge import EvaluationReport
from evaluation.mixed import MixedReport
from evaluation.reports import Report, one_line
from rollout.wordings import look_up

SCATTER = "scatter.png"


def write_evaluation(report: Report, *, folder: Path, title: str, settings: Mapping[str, object]) -> None:
    """Write the files, replacing those of an earlier evaluation; ``settings`` say what was asked and how."""
    folder.mkdir(parents=True, exist_ok=True)
    tasks = report.by_task if isinstance(report, MixedReport) else {"": report}
    figures: dict[str, object] = {}
    for task, one in tasks.items():
        own = one.to_dict()
        if isinstance(one, EvaluationReport):
            del own["pictures"]  # they have a file of their own
            _write_scores(one, folder=folder, title=title)
        figures |= {task: own} if task else own
    write_json(folder / "report.json", {"settings": dict(settings), **figures})


def report_text(report: Report) -> str:
    """What a terminal shows beside the table: of scores every figure, and a line that says the most."""
    scores = report.by_task.get("score") if isinstance(report, MixedReport) else report
    if not isinstance(scores, EvaluationReport):
        return one_line(report)
    return f"\n{score_report.report_text(scores)}\n\n{one_line(report)}"


def evaluation_settings(config: RunConfig) -> dict[str, object]:
    """The settings that decide an evaluation's figures, and the versions of the texts that were asked."""
    wordings = {part.prompt for part in parts_of(config.data).values() if isinstance(part, ScoredConfig)}
    return {
        "model": config.model.model_dump(mode="json"),
        "data": config.data.model_dump(mode="json"),
        "evaluation": config.evaluation.model_dump(mode="json"),
        "seed": config.run.seed,
        "prompt_versions": {wording: look_up(wording).version for wording in sorted(wordings)},
    }


def _write_scores(report: EvaluationReport, *, folder: Path, title: str) -> None:
    rows = (json.dumps(row, ensure_ascii=False, allow_nan=False) for row in score_report.picture_rows(report))
    (folder / "pictures.jsonl").write_text("".join(f"{row}\n" for row in rows), encoding="utf-8")
    draw_scatter(report, folder / SCATTER, title=title)
    page = score_report.report_markdown(report, title=title, scatter=SCATTER)
    (folder / "report.md").write_text(page, encoding="utf-8")
