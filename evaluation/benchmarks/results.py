"""A whole benchmark or ranking in one call, and the files it leaves.

answers.jsonl      one line per vote, as it came                     report.json   every figure
judgements.jsonl   one line per question: the input and all votes    report.md     the tables
rankings.jsonl     (of a ranking) one line per task instead: the input and its answers in order
"""

import json
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

from pydantic import JsonValue

from conf.schema import SamplingConfig
from evaluation.benchmarks.answerers import Answerer
from evaluation.benchmarks.load import Benchmark
from evaluation.benchmarks.questions import Plan, plan_questions, plan_requests
from evaluation.benchmarks.ranking import RankingPlan, plan_rankings, rank
from evaluation.benchmarks.ranking_report import RankingReport, ranking_markdown, ranking_rows, summarise_rankings
from evaluation.benchmarks.ranking_tasks import TaskFile
from evaluation.benchmarks.report import report_markdown
from evaluation.benchmarks.run import Progress, ask_unanswered, ranking_settings_of, settings_of
from evaluation.benchmarks.summary import BenchmarkReport, collect, judgement_rows, summarise


async def judge_benchmark(
    benchmark: Benchmark,
    *,
    plan: Plan,
    answerer: Answerer,
    sampling: SamplingConfig,
    judge: Mapping[str, JsonValue],
    folder: Path,
    on_progress: Callable[[Progress], None],
) -> BenchmarkReport:
    """Ask what ``folder`` does not answer yet, and write all four files anew; ``judge`` names the model.

    Raises:
        AnswersUnusable: The folder holds answers given under other settings.
        ValueError: Several votes are wanted at temperature 0.
    """
    settings = settings_of(benchmark, plan=plan, sampling=sampling, judge=judge)
    questions = plan_questions(benchmark, plan=plan)
    answers = await ask_unanswered(
        plan_requests([question.prompt for question in questions], num_votes=plan.num_votes),
        answerer=answerer,
        path=folder / "answers.jsonl",
        settings=settings,
        on_progress=on_progress,
    )
    judgements = collect(questions, answers, num_votes=plan.num_votes)
    report = summarise(judgements)
    _write_lines(folder / "judgements.jsonl", rows=judgement_rows(judgements))
    _write_lines(folder / "report.json", rows=[{"settings": settings, "split": benchmark.split, **report.to_dict()}])
    (folder / "report.md").write_text(report_markdown(report), encoding="utf-8")
    return report


async def rank_tasks(
    file: TaskFile,
    *,
    plan: RankingPlan,
    answerer: Answerer,
    sampling: SamplingConfig,
    judge: Mapping[str, JsonValue],
    folder: Path,
    on_progress: Callable[[Progress], None],
) -> RankingReport:
    """Ask what ``folder`` does not answer yet, and write all four files anew; ``judge`` names the model.

    Raises:
        AnswersUnusable: The folder holds answers given under other settings.
        ValueError: Several votes are wanted at temperature 0.
    """
    settings = ranking_settings_of(file, plan=plan, sampling=sampling, judge=judge)
    answers = await ask_unanswered(
        plan_requests(plan_rankings(file.tasks, plan=plan), num_votes=plan.num_votes),
        answerer=answerer,
        path=folder / "answers.jsonl",
        settings=settings,
        on_progress=on_progress,
    )
    report = summarise_rankings(file.tasks, [rank(task, plan=plan, answers=answers) for task in file.tasks])
    _write_lines(folder / "rankings.jsonl", rows=ranking_rows(report))
    read_as = {"num_opponents": plan.num_opponents, "model": plan.model}
    _write_lines(folder / "report.json", rows=[{"settings": settings, **read_as, **report.to_dict()}])
    (folder / "report.md").write_text(ranking_markdown(report), encoding="utf-8")
    return report


def _write_lines(path: Path, *, rows: Iterable[Mapping[str, object]]) -> None:
    lines = (json.dumps(row, ensure_ascii=False, allow_nan=False) for row in rows)
    path.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
