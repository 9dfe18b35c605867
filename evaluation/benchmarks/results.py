"""A whole run in one call, and the files it leaves.

answers.jsonl      one line per vote, as it came                     report.json   every figure
judgements.jsonl   one line per question: the input and all votes   report.md     the tables
"""

import json
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

from pydantic import JsonValue

from conf.schema import SamplingConfig
from evaluation.benchmarks.answerers import Answerer
from evaluation.benchmarks.load import Benchmark
from evaluation.benchmarks.questions import Plan, plan_questions, plan_requests
from evaluation.benchmarks.report import report_markdown
from evaluation.benchmarks.run import Progress, run_benchmark, settings_of
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
    answers = await run_benchmark(
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


def _write_lines(path: Path, *, rows: Iterable[Mapping[str, object]]) -> None:
    lines = (json.dumps(row, ensure_ascii=False, allow_nan=False) for row in rows)
    path.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
