"""``arbiter benchmark`` and ``arbiter compare-judges``, from configuration to the printed report."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from pydantic import JsonValue
from rich.console import Console

from cluster.answering import answering_config, ask_judge, idle_settings, progress_of
from cluster.preflight import make_run_folder
from conf.effective import IDLE_IN_BENCHMARK
from conf.errors import ConfigError
from conf.load import refuse_idle
from conf.schema import RunConfig
from evaluation.benchmarks.agreement import compare_judges, comparison_text, read_decisions
from evaluation.benchmarks.answerers import Answerer
from evaluation.benchmarks.load import Benchmark, load_benchmark
from evaluation.benchmarks.questions import Plan, plan_questions
from evaluation.benchmarks.report import report_text
from evaluation.benchmarks.results import judge_benchmark
from evaluation.benchmarks.summary import BenchmarkReport

FOLDER = "benchmark"
"""Results of a benchmark lie in this folder of the run, under the benchmark's name."""
JUDGEMENTS = "judgements.jsonl"


def judge_by_benchmark(words: Sequence[str], overrides: Sequence[str], console: Console) -> int:
    """Ask what is not answered yet, and print the report."""
    if len(words) != 2:
        raise ConfigError([f"benchmark takes a name and a file, got {' '.join(words) or 'nothing'}"])
    config = answering_config(overrides)
    refuse_idle(IDLE_IN_BENCHMARK | idle_settings(config), overrides)
    name, path = words[0], Path(words[1])
    given = config.benchmark.media_folder
    benchmark = load_benchmark(
        name,
        path,
        media_folder=path.parent if given is None else Path(given),
        split=config.benchmark.split,
        video=config.benchmark.video,
    )
    folder = Path(config.run.folder).resolve() / FOLDER / benchmark.name
    report = _judge(config, benchmark, folder, console)
    console.print(report_text(report), soft_wrap=True)
    if not report.is_complete:
        console.print("requests without an answer are asked again by the same command", soft_wrap=True)
    console.print(f"results {folder}", soft_wrap=True)
    return 0


def compare(words: Sequence[str], console: Console) -> int:
    """Print where two benchmark results agree."""
    if len(words) != 2:
        raise ConfigError([f"compare-judges takes two folders of results, got {' '.join(words) or 'none'}"])
    first, second = (read_decisions(_judgements(word)) for word in words)
    console.print(comparison_text(compare_judges(first, second=second)), soft_wrap=True)
    return 0


def _judge(config: RunConfig, benchmark: Benchmark, folder: Path, console: Console) -> BenchmarkReport:
    plan = Plan(
        orders=config.benchmark.orders,
        num_votes=config.evaluation.num_completions,
        seed=config.run.seed,
        wording=config.benchmark.prompt,
    )

    async def ask(answerer: Answerer, judge: Mapping[str, JsonValue]) -> BenchmarkReport:
        make_run_folder(folder)
        counts = ", ".join(f"{count} {category}" for category, count in benchmark.num_by_category.items())
        console.print(f"{benchmark.name}: {len(benchmark.rows)} pairs ({counts})", soft_wrap=True)
        with progress_of(console, phase="benchmark") as show:
            return await judge_benchmark(
                benchmark,
                plan=plan,
                answerer=answerer,
                sampling=config.evaluation.sampling,
                judge=judge,
                folder=folder,
                on_progress=show,
            )

    prompts = [question.prompt for question in plan_questions(benchmark, plan=plan)]
    return ask_judge(config, prompts, name=benchmark.name, ask=ask)


def _judgements(folder: str) -> Path:
    path = Path(folder) / JUDGEMENTS
    if not path.is_file():
        raise ConfigError(
            [f"{folder}: holds no {JUDGEMENTS}; give a folder of results, such as runs/default/{FOLDER}/vl_rewardbench"]
        )
    return path
