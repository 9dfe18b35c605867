"""Whom a benchmark or a ranking asks: the model of ``model.path`` on engines of its own, or a chat endpoint."""

import asyncio
import hashlib
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any, TypeVar

from pydantic import JsonValue
from rich.console import Console

from cluster.commands import make_pool, plan_of
from cluster.engines import RolloutPool
from cluster.preflight import ASKS_A_SERVER, LEARNS_NOTHING, finished_model
from cluster.progress import ProgressDisplay
from cluster.start import connected, start_engines
from conf.effective import ineffective_chat_settings, leaf_values
from conf.errors import ConfigError
from conf.judge import RemoteJudgeConfig
from conf.load import load_run_config
from conf.schema import RunConfig
from evaluation.benchmarks.answerers import Answerer, ChatAnswerer, EngineAnswerer
from evaluation.benchmarks.chat_messages import MessageWriter
from evaluation.benchmarks.run import Progress
from judge_client.chat import ChatClient
from rollout.types import Prompt, RolloutGroup
from rollout.worker_types import FirstTokens, GenerationOrder, MediaLimits, QuestionOrder

T = TypeVar("T")
Ask = Callable[[Answerer, Mapping[str, JsonValue]], Coroutine[Any, Any, T]]
"""Takes whom to ask, and what tells this judge from others."""
ENDPOINT = "benchmark.answerer=endpoint"


def answering_config(overrides: Sequence[str]) -> RunConfig:
    """The configuration of a command that asks whom ``benchmark.answerer`` chooses.

    Raises:
        ConfigError: It cannot be used.
    """
    asks_a_server = ENDPOINT in overrides
    return load_run_config([*(ASKS_A_SERVER if asks_a_server else ()), *overrides, *LEARNS_NOTHING])


def ask_judge(config: RunConfig, prompts: Sequence[Prompt], *, name: str, ask: Ask[T]) -> T:
    """Do ``ask`` with the judge that ``benchmark.answerer`` chooses; ``prompts`` are all it may be asked.

    Raises:
        ConfigError: There is no such judge, or prompts of ``name`` leave no room for an answer.
    """
    if config.benchmark.answerer == "endpoint":
        return asyncio.run(_ask_endpoint(config, ask))
    if config.model.path is None:
        what = "model.path: name the judge to be tested (and model.size=null), or ask a server with "
        raise ConfigError([f"{what}{ENDPOINT}"])
    model_folder = finished_model(config.model.path, family=config.model.family)
    _check_lengths(config, prompts, name=name, model_folder=model_folder)
    engines = EnginesOnDemand(config, model_folder=model_folder, limits=_limits(prompts))
    return asyncio.run(_ask_engines(config, engines, ask, judge=weights_of(model_folder)))


def idle_settings(config: RunConfig) -> dict[str, str]:
    """Settings of the section ``judge`` that change nothing for whom ``benchmark.answerer`` chooses, and why."""
    if config.benchmark.answerer == "endpoint":
        return ineffective_chat_settings()
    keys = leaf_values(config.model_dump(include={"judge"}))
    return dict.fromkeys(keys, "benchmark.answerer=engines asks no server")


@contextmanager
def progress_of(console: Console, *, phase: str) -> Iterator[Callable[[Progress], None]]:
    """A display of how many requests are answered."""
    with ProgressDisplay(console) as display:

        def show(progress: Progress) -> None:
            display.step(
                phase,
                done=progress.num_answered,
                total=progress.num_requests,
                numbers={"failed": float(progress.num_failed)},
            )

        yield show


class EnginesOnDemand:
    """Engines that start with the first question: a report on answers that are all there needs none."""

    def __init__(self, config: RunConfig, *, model_folder: Path, limits: MediaLimits) -> None:
        self._config, self._model_folder, self._limits = config, model_folder, limits
        self._placement = plan_of(config)
        self._started = AsyncExitStack()
        self._pool: RolloutPool | None = None

    async def run(self, order: GenerationOrder) -> list[RolloutGroup]:
        """Sample one group per prompt, in the order of the prompts."""
        return await (await self.start()).run(order)

    async def first_tokens(self, order: QuestionOrder) -> list[FirstTokens]:
        """How the answers to every item's questions begin."""
        return await (await self.start()).first_tokens(order)

    async def start(self) -> RolloutPool:
        """The engines, ready; not to be called twice at a time before they are."""
        if self._pool is None:
            self._started.enter_context(connected(self._config, self._placement))
            stack = await start_engines(
                self._config, self._placement, model_folder=self._model_folder, limits=self._limits
            )
            self._started.push_async_callback(stack.close)
            self._pool = make_pool(self._config, stack)
        return self._pool

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


@asynccontextmanager
async def connected_chat(remote: RemoteJudgeConfig) -> AsyncIterator[tuple[ChatClient, str]]:
    """The servers of a judge section as a chat model, and the name they know it by."""
    chat = ChatClient(remote)
    try:
        yield chat, await chat.find_model()
    finally:
        await chat.close()


async def _ask_engines(config: RunConfig, engines: EnginesOnDemand, ask: Ask[T], *, judge: dict[str, JsonValue]) -> T:
    answerer = EngineAnswerer(
        engines,
        sampling=config.evaluation.sampling,
        num_votes=config.evaluation.num_completions,
        seed=config.run.seed,
        prompts_per_batch=config.rollout.max_concurrent_sequences,
    )
    try:
        return await ask(answerer, judge | _pixels(config))
    finally:
        await engines.close()


async def _ask_endpoint(config: RunConfig, ask: Ask[T]) -> T:
    servers = chat_servers(config)
    async with connected_chat(servers) as (chat, model):
        answerer = ChatAnswerer(
            chat,
            sampling=config.evaluation.sampling,
            seed=config.run.seed,
            max_concurrent=servers.max_concurrent,
            writer=MessageWriter(max_pixels=config.model.max_pixels, video_as="pictures"),
        )
        return await ask(answerer, {"model": model, **_pixels(config)})


def _pixels(config: RunConfig) -> dict[str, JsonValue]:
    """How much of a picture and of a video a judge is shown, which decides its answers too."""
    video: dict[str, JsonValue] = config.benchmark.video.model_dump()
    return {"min_pixels": config.model.min_pixels, "max_pixels": config.model.max_pixels, "video": video}


def _check_lengths(config: RunConfig, prompts: Sequence[Prompt], *, name: str, model_folder: Path) -> None:
    """Refuse questions that leave no room for an answer, before anything is asked."""
    from rollout.families import build_family  # noqa: PLC0415 - loads torch

    family = build_family(config.model, folder=str(model_folder))
    most = config.rollout.max_model_len - config.evaluation.sampling.max_tokens
    lengths = [family.count_tokens(prompt) for prompt in prompts]
    num_too_long = sum(length > most for length in lengths)
    if num_too_long:
        sampled, longest = config.evaluation.sampling.max_tokens, config.rollout.max_model_len
        problem = (
            f"{num_too_long} of {len(lengths)} questions of {name} have more than {most} tokens (the longest "
            f"{max(lengths)}), which leave no room for evaluation.sampling.max_tokens={sampled} within "
            f"rollout.max_model_len={longest}; raise rollout.max_model_len, or lower model.max_pixels"
        )
        raise ConfigError([problem])


def _limits(prompts: Sequence[Prompt]) -> MediaLimits:
    """The most media a prompt holds."""
    kinds = [[media.kind for media in prompt.media()] for prompt in prompts]
    return MediaLimits(images=max(one.count("image") for one in kinds), videos=max(one.count("video") for one in kinds))


def weights_of(folder: Path) -> dict[str, JsonValue]:
    """What tells one model folder from another: its name, and a digest of its weights."""
    digest = hashlib.sha256()
    for path in sorted(folder.glob("*.safetensors")):
        with path.open("rb") as weights:
            digest.update(hashlib.file_digest(weights, "sha256").digest())
    return {"model": folder.name, "weights": digest.hexdigest()}
