"""``arbiter rank``: several answers to each question of a file, put in order by a judge of pairs."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from pydantic import JsonValue
from rich.console import Console

from cluster.answering import answering_config, ask_judge, idle_settings, progress_of
from cluster.preflight import make_run_folder
from conf.effective import IDLE_IN_RANK
from conf.errors import ConfigError
from conf.load import refuse_idle
from conf.schema import RunConfig
from evaluation.benchmarks.answerers import Answerer
from evaluation.benchmarks.ranking import RankingPlan, plan_rankings
from evaluation.benchmarks.ranking_report import RankingReport, ranking_text
from evaluation.benchmarks.ranking_tasks import TaskFile, load_tasks
from evaluation.benchmarks.results import rank_tasks

FOLDER = "rank"
"""Results lie in this folder of the run, under the name of the file."""


def rank_answers(words: Sequence[str], overrides: Sequence[str], console: Console) -> int:
    """Ask what is not answered yet, and print the rankings."""
    if len(words) != 1:
        raise ConfigError([f"rank takes a file of questions with their answers, got {' '.join(words) or 'none'}"])
    config = answering_config(overrides)
    refuse_idle(IDLE_IN_RANK | idle_settings(config), overrides)
    path, given = Path(words[0]), config.benchmark.media_folder
    file = load_tasks(path, media_folder=path.parent if given is None else Path(given), video=config.benchmark.video)
    folder = Path(config.run.folder).resolve() / FOLDER / path.stem
    report = _rank(config, file, folder, console)
    console.print(ranking_text(report), soft_wrap=True)
    if report.num_failed:
        console.print("requests that failed are made again by the same command", soft_wrap=True)
    console.print(f"results {folder}", soft_wrap=True)
    return 0


def _rank(config: RunConfig, file: TaskFile, folder: Path, console: Console) -> RankingReport:
    plan = RankingPlan(
        num_opponents=config.rank.num_opponents,
        num_votes=config.evaluation.num_completions,
        seed=config.run.seed,
        wording=config.benchmark.prompt,
        model=config.rank.model,
    )

    async def ask(answerer: Answerer, judge: Mapping[str, JsonValue]) -> RankingReport:
        make_run_folder(folder)
        num_answers = sum(len(task.responses) for task in file.tasks)
        console.print(f"{file.path}: {num_answers} answers to {len(file.tasks)} questions", soft_wrap=True)
        with progress_of(console, phase="rank") as show:
            return await rank_tasks(
                file,
                plan=plan,
                answerer=answerer,
                sampling=config.evaluation.sampling,
                judge=judge,
                folder=folder,
                on_progress=show,
            )

    return ask_judge(config, plan_rankings(file.tasks, plan=plan), name=file.path.name, ask=ask)
