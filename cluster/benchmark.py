"""``arbiter benchmark`` and ``arbiter compare-judges``, from configuration to the printed report."""

import asyncio
import hashlib
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

from pydantic import JsonValue
from rich.console import Console

from cluster.commands import LEARNS_NOTHING, make_pool, plan_of
from cluster.engines import RolloutPool
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
from evaluation.benchmarks.questions import Plan, plan_questions
from evaluation.benchmarks.report import report_text
from evaluation.benchmarks.results import judge_benchmark
from evaluation.benchmarks.run import Progress
from judge_client.chat import ChatClient
from rollout.types import RolloutGroup
from rollout.worker_types import GenerationOrder, MediaLimits

FOLDER = "benchmark"
"""Results of a benchmark lie in this folder of the run, under the benchmark's name."""
PHASE = "benchmark"
JUDGEMENTS = "judgements.jsonl"


def judge_by_benchmark(words: Sequence[str], overrides: Sequence[str], console: Console) -> int:
    """Ask what is not answered yet, and print the report."""
    if len(words) != 2:
        raise ConfigError([f"benchmark takes a name and a file, got {' '.join(words) or 'nothing'}"])
    config = load_run_config([*overrides, *LEARNS_NOTHING])
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
    ask = _ask_endpoint if config.benchmark.answerer == "endpoint" else _ask_engines
    console.print(ask(config, benchmark, folder, console), soft_wrap=True)
    console.print(f"results {folder}", soft_wrap=True)
    return 0


def compare(words: Sequence[str], console: Console) -> int:
    """Print where two benchmark results agree."""
    if len(words) != 2:
        raise ConfigError([f"compare-judges takes two folders of results, got {' '.join(words) or 'none'}"])
    first, second = (read_decisions(_judgements(word)) for word in words)
    console.print(comparison_text(compare_judges(first, second=second)), soft_wrap=True)
    return 0


class EnginesOnDemand:
    """Engines that start with the first question: a report on answers that are all there needs none."""

    def __init__(self, config: RunConfig, *, model_folder: Path, limits: MediaLimits) -> None:
        self._config, self._model_folder, self._limits = config, model_folder, limits
        self._placement = plan_of(config)
        self._started = AsyncExitStack()
        self._pool: RolloutPool | None = None

    async def run(self, order: GenerationOrder) -> list[RolloutGroup]:
        """Sample one group per prompt, in the order of the prompts."""
        if self._pool is None:
            self._started.enter_context(connected(self._config, self._placement))
            stack = await start_engines(
                self._config, self._placement, model_folder=self._model_folder, limits=self._limits
            )
            self._started.push_async_callback(stack.close)
            self._pool = make_pool(self._config, stack)
        return await self._pool.run(order)

    async def close(self) -> None:
        """End what was started."""
        await self._started.aclose()


def chat_servers(config: RunConfig) -> RemoteJudgeConfig:
    """The servers that the section ``judge`` names, as chat models.

    Raises:
        ConfigError: It names none: the rule server answers the questions of a reward term and no others.
    """
    if not isinstance(config.judge, RemoteJudgeConfig):
        raise ConfigError(
            [f"judge={config.judge.kind} is no chat model; name one with judge=remote and judge.base_urls=[...]"]
        )
    return config.judge


def _judgements(folder: str) -> Path:
    path = Path(folder) / JUDGEMENTS
    if not path.is_file():
        raise ConfigError(
            [f"{folder}: holds no {JUDGEMENTS}; give a folder of results, such as runs/default/{FOLDER}/vl_rewardbench"]
        )
    return path


def _ask_engines(config: RunConfig, benchmark: Benchmark, folder: Path, console: Console) -> str:
    if config.model.path is None:
        what = "model.path: name the judge to be tested (and model.size=null), or ask a server with "
        raise ConfigError([f"{what}benchmark.answerer=endpoint"])
    model_folder = finished_model(config.model.path, family=config.model.family)
    _check_lengths(config, benchmark, model_folder=model_folder)
    engines = EnginesOnDemand(config, model_folder=model_folder, limits=_limits(benchmark))
    answerer = EngineAnswerer(
        engines,
        sampling=config.evaluation.sampling,
        num_votes=config.evaluation.num_completions,
        seed=config.run.seed,
        prompts_per_batch=config.rollout.max_concurrent_sequences,
    )

    async def ask() -> str:
        try:
            return await _report(
                config, benchmark, answerer, folder, console, judge=weights_of(model_folder) | _pixels(config)
            )
        finally:
            await engines.close()

    return asyncio.run(ask())


def _ask_endpoint(config: RunConfig, benchmark: Benchmark, folder: Path, console: Console) -> str:
    servers = chat_servers(config)

    async def ask() -> str:
        async with connected_chat(servers) as (chat, model):
            answerer = ChatAnswerer(
                chat,
                sampling=config.evaluation.sampling,
                seed=config.run.seed,
                max_concurrent=servers.max_concurrent,
                writer=MessageWriter(max_pixels=config.model.max_pixels, video_as="pictures"),
            )
            return await _report(
                config, benchmark, answerer, folder, console, judge={"model": model, **_pixels(config)}
            )

    return asyncio.run(ask())


@asynccontextmanager
async def connected_chat(remote: RemoteJudgeConfig) -> AsyncIterator[tuple[ChatClient, str]]:
    """The servers of a judge section as a chat model, and the name they know it by."""
    chat = ChatClient(remote)
    try:
        yield chat, await chat.find_model()
    finally:
        await chat.close()


def _pixels(config: RunConfig) -> dict[str, JsonValue]:
    """How much of a picture and of a video a judge is shown, which decides its answers too."""
    video: dict[str, JsonValue] = config.benchmark.video.model_dump()
    return {"min_pixels": config.model.min_pixels, "max_pixels": config.model.max_pixels, "video": video}


def _check_lengths(config: RunConfig, benchmark: Benchmark, *, model_folder: Path) -> None:
    """Refuse a benchmark whose questions leave no room for an answer, before anything is asked.

    Raises:
        ConfigError: Says how many are too long, and by how much.
    """
    from rollout.families import build_family  # noqa: PLC0415 - loads torch

    family = build_family(config.model, folder=str(model_folder))
    most = config.rollout.max_model_len - config.evaluation.sampling.max_tokens
    questions = plan_questions(benchmark, plan=_plan(config))
    lengths = [family.count_tokens(question.prompt) for question in questions]
    num_too_long = sum(length > most for length in lengths)
    if num_too_long:
        sampled, longest = config.evaluation.sampling.max_tokens, config.rollout.max_model_len
        problem = (
            f"{num_too_long} of {len(lengths)} questions of {benchmark.name} have more than {most} tokens (the longest "
            f"{max(lengths)}), which leave no room for evaluation.sampling.max_tokens={sampled} within "
            f"rollout.max_model_len={longest}; raise rollout.max_model_len, or lower model.max_pixels"
        )
        raise ConfigError([problem])


def _plan(config: RunConfig) -> Plan:
    return Plan(
        orders=config.benchmark.orders,
        num_votes=config.evaluation.num_completions,
        seed=config.run.seed,
        wording=config.benchmark.prompt,
    )


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
    make_run_folder(folder)
    counts = ", ".join(f"{count} {category}" for category, count in benchmark.num_by_category.items())
    console.print(f"{benchmark.name}: {len(benchmark.rows)} pairs ({counts})", soft_wrap=True)
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
            plan=_plan(config),
            answerer=answerer,
            sampling=config.evaluation.sampling,
            judge=judge,
            folder=folder,
            on_progress=show,
        )
    return report_text(report)
