"""``arbiter benchmark`` and ``arbiter compare-judges``, from configuration to the printed report."""

import asyncio
import hashlib
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

from pydantic import JsonValue
from rich.console import Console

from cluster.commands import make_pool, plan_of
from cluster.preflight import finished_model, make_run_folder
from cluster.progress import ProgressDisplay
from cluster.start import connected, start_engines
from conf.errors import ConfigError
from conf.judge import RemoteJudgeConfig
from conf.load import load_run_config
from conf.schema import RunConfig
from evaluation.benchmarks.agreement import compare_judges, comparison_text, read_decisions
from evaluation.benchmarks.answerers import Answerer, ChatAnswerer, EngineAnswerer
from evaluation.benchmarks.chat_messages import MessageWriter
from evaluation.benchmarks.load import Benchmark, load_benchmark
from evaluation.benchmarks.questions import Plan
from evaluation.benchmarks.report import report_text
from evaluation.benchmarks.results import judge_benchmark
from evaluation.benchmarks.run import Progress
from judge_client.chat import ChatClient
from judge_client.rule_process import running_judge
from rollout.worker_types import MediaLimits

FOLDER = "benchmark"
"""Results of a benchmark lie in this folder of the run, under the benchmark's name."""
PHASE = "benchmark"


def judge_by_benchmark(words: Sequence[str], overrides: Sequence[str], console: Console) -> int:
    """Ask what is not answered yet, and print the report."""
    if len(words) != 2:
        raise ConfigError([f"benchmark takes a name and a file, got {' '.join(words) or 'nothing'}"])
    config = load_run_config(overrides)
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
    make_run_folder(folder)
    counts = ", ".join(f"{count} {category}" for category, count in benchmark.num_by_category.items())
    console.print(f"{benchmark.name}: {len(benchmark.rows)} pairs ({counts})", soft_wrap=True)
    ask = _ask_endpoint if config.benchmark.answerer == "endpoint" else _ask_engines
    console.print(ask(config, benchmark, folder, console), soft_wrap=True)
    console.print(f"results {folder}", soft_wrap=True)
    return 0


def compare(words: Sequence[str], console: Console) -> int:
    """Print where two benchmark results agree."""
    if len(words) != 2:
        raise ConfigError([f"compare-judges takes two folders of results, got {' '.join(words) or 'none'}"])
    first, second = (read_decisions(Path(word)) for word in words)
    console.print(comparison_text(compare_judges(first, second=second)), soft_wrap=True)
    return 0


def _ask_engines(config: RunConfig, benchmark: Benchmark, folder: Path, console: Console) -> str:
    if config.model.path is None:
        what = "model.path: name the judge to be tested (and model.size=null), or ask a server with "
        raise ConfigError([f"{what}benchmark.answerer=endpoint"])
    model_folder = finished_model(config.model.path, family=config.model.family)
    placement = plan_of(config)

    async def ask() -> str:
        stack = await start_engines(config, placement, model_folder=model_folder, limits=_limits(benchmark))
        try:
            answerer = EngineAnswerer(
                make_pool(config, stack),
                sampling=config.evaluation.sampling,
                num_votes=config.evaluation.num_completions,
                seed=config.run.seed,
                prompts_per_batch=config.rollout.max_concurrent_sequences,
            )
            return await _report(config, benchmark, answerer, folder, console, judge=weights_of(model_folder))
        finally:
            await stack.close()

    with connected(config, placement):
        return asyncio.run(ask())


def _ask_endpoint(config: RunConfig, benchmark: Benchmark, folder: Path, console: Console) -> str:
    async def ask() -> str:
        async with connected_chat(remote) as (chat, model):
            answerer = ChatAnswerer(
                chat,
                sampling=config.evaluation.sampling,
                seed=config.run.seed,
                max_concurrent=remote.max_concurrent,
                writer=MessageWriter(max_pixels=config.model.max_pixels, video_as="pictures"),
            )
            return await _report(config, benchmark, answerer, folder, console, judge={"model": model})

    with running_judge(config.judge) as remote:
        return asyncio.run(ask())


@asynccontextmanager
async def connected_chat(remote: RemoteJudgeConfig) -> AsyncIterator[tuple[ChatClient, str]]:
    """The servers of a judge section as a chat model, and the name they know it by."""
    chat = ChatClient(remote)
    try:
        yield chat, await chat.find_model()
    finally:
        await chat.close()


def _limits(benchmark: Benchmark) -> MediaLimits:
    kinds = {media.kind for media in benchmark.media.values()}
    return MediaLimits(images=int("image" in kinds), videos=int("video" in kinds))


def weights_of(folder: Path) -> dict[str, JsonValue]:
    """What tells one model folder from another: its name, and a digest of its weights."""
    digest = hashlib.sha256()
    for path in sorted(folder.glob("*.safetensors")):
        with path.open("rb") as weights:
            digest.update(hashlib.file_digest(weights, "sha256").digest())
    return {"model": folder.name, "weights": digest.hexdigest()}


async def _report(
    config: RunConfig,
    benchmark: Benchmark,
    answerer: Answerer,
    folder: Path,
    console: Console,
    *,
    judge: dict[str, JsonValue],
) -> str:
    plan = Plan(
        orders=config.benchmark.orders,
        num_votes=config.evaluation.num_completions,
        seed=config.run.seed,
        wording=config.benchmark.prompt,
    )
    with ProgressDisplay(console, live=config.journal.progress) as display:

        def show(progress: Progress) -> None:
            display.step(
                PHASE,
                done=progress.num_answered,
                total=progress.num_requests,
                numbers={"failed": float(progress.num_failed)},
            )

        report = await judge_benchmark(
            benchmark,
            plan=plan,
            answerer=answerer,
            sampling=config.evaluation.sampling,
            judge=judge,
            folder=folder,
            on_progress=show,
        )
    return report_text(report)
