"""The judge of ``arbiter checklist``: a model on engines of ours, or a server that is asked."""

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass

from pydantic import JsonValue

from cluster.answering import EnginesOnDemand, chat_servers, connected_chat, weights_of
from cluster.preflight import finished_model
from cluster.scoring_judge import OF_A_SERVER, digest_of_files, nothing_to_start, pixels_note
from conf.checklist import ChecklistConfig
from conf.judge import RemoteJudgeConfig
from conf.rules import effective_dtype
from conf.schema import RunConfig
from evaluation.benchmarks.chat_messages import MessageWriter
from evaluation.checklist.askers import ChatAsker, EngineAsker
from evaluation.checklist.asking import AnswerWriter, ChecklistQuestioner
from evaluation.scoring.results import Settings
from rollout.checklist.questions import Checklist
from rollout.worker_types import MediaLimits


@dataclass(frozen=True, kw_only=True, slots=True)
class ChecklistJudge:
    """A judge that can be asked once it is started."""

    asker: EngineAsker | ChatAsker
    settings: Settings
    """Everything that decides an answer."""
    notes: tuple[str, ...]
    """What a user should know of it."""
    start: Callable[[], Awaitable[object]]


@asynccontextmanager
async def opened_asker(
    config: RunConfig, options: ChecklistConfig, *, checklist: Checklist
) -> AsyncIterator[ChecklistJudge]:
    """The judge a configuration names, for the questions of ``checklist``; engines start when they are told to."""
    questioner = ChecklistQuestioner(
        checklist=checklist,
        wording=options.wording,
        prompt=options.prompt,
        video=config.benchmark.video,
        frames=options.frames,
    )
    opened = _server if isinstance(config.judge, RemoteJudgeConfig) else _engines
    async with opened(config, options, questioner) as judge:
        yield judge


@asynccontextmanager
async def _server(
    config: RunConfig, options: ChecklistConfig, questioner: ChecklistQuestioner
) -> AsyncIterator[ChecklistJudge]:
    servers = chat_servers(config)
    async with connected_chat(servers) as (chat, model):
        yield ChecklistJudge(
            asker=ChatAsker(
                chat,
                writer=AnswerWriter(questioner=questioner, model=model),
                messages=MessageWriter(max_pixels=config.model.max_pixels, video_as="pictures"),
                min_mass=options.min_mass,
                seed=config.run.seed,
                max_concurrent=servers.max_concurrent,
            ),
            settings=_settings(config, options, questioner, model={"model": model}),
            notes=(f"judge {model} at {', '.join(servers.base_urls)}", OF_A_SERVER, pixels_note(config)),
            start=nothing_to_start,
        )


@asynccontextmanager
async def _engines(
    config: RunConfig, options: ChecklistConfig, questioner: ChecklistQuestioner
) -> AsyncIterator[ChecklistJudge]:
    assert config.model.path is not None, "a judge is named"
    folder = finished_model(config.model.path, family=config.model.family)
    kind = questioner.checklist.kind
    limits = MediaLimits(images=int(kind == "image"), videos=int(kind == "video"))
    engines = EnginesOnDemand(config, model_folder=folder, limits=limits)
    model = {**weights_of(folder), "files": digest_of_files(folder), "dtype": effective_dtype(config)}
    try:
        yield ChecklistJudge(
            asker=EngineAsker(
                engines,
                writer=AnswerWriter(questioner=questioner, model=folder.name),
                min_mass=options.min_mass,
                window=options.window,
            ),
            settings=_settings(config, options, questioner, model=model),
            notes=(f"judge {folder}", pixels_note(config)),
            start=engines.start,
        )
    finally:
        await engines.close()


def _settings(
    config: RunConfig,
    options: ChecklistConfig,
    questioner: ChecklistQuestioner,
    *,
    model: Mapping[str, JsonValue],
) -> Settings:
    return {
        **model,
        "checklist": questioner.checklist.name,
        "version": questioner.checklist.version,
        "questions": {one.id: one.text for one in questioner.checklist.asked},
        "wording": options.wording,
        "prompt": options.prompt,
        "min_mass": options.min_mass,
        "pixels": [config.model.min_pixels, config.model.max_pixels],
        "add_vision_id": config.model.add_vision_id,
        "video": {**config.benchmark.video.model_dump(), "frames": options.frames},
    }
