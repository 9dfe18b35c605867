"""The judge of ``arbiter score`` and ``arbiter compare``: a model on engines of ours, or a server that is asked.

check_judge(config) --> opened_judge(config) --> ScoringJudge: what it is called, what decides its answers, its scorer
"""

import hashlib
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from pydantic import JsonValue

from cluster.answering import EnginesOnDemand, chat_servers, connected_chat, weights_of
from cluster.preflight import finished_model
from conf.errors import ConfigError
from conf.judge import RemoteJudgeConfig
from conf.rules import effective_dtype
from conf.schema import RunConfig
from conf.score import ScoreConfig
from evaluation.benchmarks.answerers import Answerer, ChatAnswerer, EngineAnswerer
from evaluation.benchmarks.chat_messages import MessageWriter
from evaluation.scoring.asking import Questioner
from evaluation.scoring.endpoint import ChatScorer
from evaluation.scoring.engines import EngineScorer
from evaluation.scoring.results import Settings
from evaluation.scoring.rows import RowWriter, ScoreRow
from evaluation.scoring.run import Scorer
from rollout.datasets.base import declared_scale
from rollout.wordings import Kind, look_up
from rollout.worker_types import MediaLimits

GENERATION_CONFIG = "generation_config.json"
SAMPLING_DEFAULTS = ("do_sample", "temperature", "top_k", "top_p", "min_p", "repetition_penalty")
"""What a checkpoint's generation_config may ask for."""
FILES_THAT_DECIDE = ("*.json", "*.jinja", "*.txt", "*.bin")
"""Of a model folder, beside its safetensors: sizes, tokenizer, chat template, weights in the older form."""


@dataclass(frozen=True, kw_only=True, slots=True)
class ScoringJudge:
    """A judge that can be asked once it is started."""

    scorer: Scorer[ScoreRow]
    answerer: Answerer
    """The same judge for other questions."""
    settings: Settings
    """Everything that decides a score."""
    notes: tuple[str, ...]
    """What a user should know of it: who it is, how it samples."""
    start: Callable[[], Awaitable[object]]


def check_judge(config: RunConfig, options: ScoreConfig) -> None:
    """Refuse a judge that is not named, or cannot do what is asked.

    Raises:
        ConfigError: One line per problem.
    """
    sampling, problems = config.evaluation.sampling, []
    if options.num_samples > 1 and sampling.temperature == 0:
        problems.append(
            f"score.num_samples={options.num_samples} at temperature 0 gives the same answer every time; "
            "set evaluation.sampling.temperature above 0, or one sample"
        )
    problems += unnamed_judge(config)
    if isinstance(config.judge, RemoteJudgeConfig):
        problems += _problems_of_a_server(options)
    if problems:
        raise ConfigError(problems)


def unnamed_judge(config: RunConfig) -> list[str]:
    """What is wrong with the naming of a judge: none, two, or one that does not read a setting."""
    if not isinstance(config.judge, RemoteJudgeConfig):
        if config.model.path is not None:
            return []
        return ["model.path: name the judge (and model.size=null), or a server with judge=remote judge.base_urls=[...]"]
    problems = []
    if config.model.path is not None:
        problems.append(f"model.path={config.model.path} and judge=remote both name a judge; leave one out")
    if config.model.add_vision_id:
        problems.append("model.add_vision_id=true: has no effect, the server's chat template decides; remove it")
    return problems


def _problems_of_a_server(options: ScoreConfig) -> list[str]:
    problems = []
    if options.repetition_penalty != 1:
        problems.append(
            f"score.repetition_penalty={options.repetition_penalty:g}: the chat protocol has no such field; leave it "
            "at 1 and see to it where the server is started"
        )
    if options.answer == "expectation_tenths":
        problems.append(
            "score.answer=expectation_tenths continues answers, which the chat protocol cannot; use expectation, or a "
            "model.path"
        )
    return problems


@asynccontextmanager
async def opened_judge(
    config: RunConfig, options: ScoreConfig, *, kinds: frozenset[Kind]
) -> AsyncIterator[ScoringJudge]:
    """The judge a configuration names, for media of these kinds; engines start when they are told to."""
    opened = (
        _server(config, options) if isinstance(config.judge, RemoteJudgeConfig) else _engines(config, options, kinds)
    )
    async with opened as judge:
        yield judge


@asynccontextmanager
async def _server(config: RunConfig, options: ScoreConfig) -> AsyncIterator[ScoringJudge]:
    servers = chat_servers(config)
    messages = MessageWriter(max_pixels=config.model.max_pixels, video_as="pictures")
    sampling, seed, most = config.evaluation.sampling, config.run.seed, servers.max_concurrent
    async with connected_chat(servers) as (chat, model):
        yield ScoringJudge(
            scorer=ChatScorer(
                chat,
                questioner=_questioner(config, options),
                writer=_row_writer(config, options, model=model),
                messages=messages,
                config=options,
                sampling=sampling,
                seed=seed,
                max_concurrent=most,
            ),
            answerer=ChatAnswerer(chat, sampling=sampling, seed=seed, max_concurrent=most, writer=messages),
            settings=_settings(config, options, model={"model": model}),
            notes=(
                f"judge {model} at {', '.join(servers.base_urls)}",
                _sampling(config, options),
                OF_A_SERVER,
                pixels_note(config),
            ),
            start=nothing_to_start,
        )


@asynccontextmanager
async def _engines(config: RunConfig, options: ScoreConfig, kinds: frozenset[Kind]) -> AsyncIterator[ScoringJudge]:
    assert config.model.path is not None, "check_judge wants one"
    folder = finished_model(config.model.path, family=config.model.family)
    limits = MediaLimits(images=int("image" in kinds), videos=int("video" in kinds))
    engines = EnginesOnDemand(config, model_folder=folder, limits=limits)
    sampling, seed = config.evaluation.sampling, config.run.seed
    try:
        yield ScoringJudge(
            scorer=EngineScorer(
                engines,
                questioner=_questioner(config, options),
                writer=_row_writer(config, options, model=folder.name),
                config=options,
                sampling=sampling,
                seed=seed,
            ),
            answerer=EngineAnswerer(
                engines,
                sampling=sampling,
                num_votes=options.num_samples,
                seed=seed,
                prompts_per_batch=config.rollout.max_concurrent_sequences,
            ),
            settings=_settings(
                config,
                options,
                model={**weights_of(folder), "files": digest_of_files(folder), "dtype": effective_dtype(config)},
            ),
            notes=(f"judge {folder}", _sampling(config, options), _defaults_of(folder), pixels_note(config)),
            start=engines.start,
        )
    finally:
        await engines.close()


async def nothing_to_start() -> None:
    """A server is there already."""


def _questioner(config: RunConfig, options: ScoreConfig) -> Questioner:
    return Questioner(
        wording=look_up(options.prompt), scale=declared_scale(options.scale), video=config.benchmark.video
    )


def _row_writer(config: RunConfig, options: ScoreConfig, *, model: str) -> RowWriter:
    return RowWriter(
        model=model,
        prompt=options.prompt,
        scale=declared_scale(options.scale),
        out_of_range=config.evaluation.out_of_range,
    )


def _settings(config: RunConfig, options: ScoreConfig, *, model: Mapping[str, JsonValue]) -> Settings:
    wording, scale = look_up(options.prompt), declared_scale(options.scale)
    return {
        **model,
        "prompt": options.prompt,
        "text": {kind: wording.text(kind, scale=scale) for kind in wording.texts},
        "media_position": wording.media_position,
        "scale": [scale.minimum, scale.maximum],
        "answer": options.answer,
        "num_samples": options.num_samples,
        "sampling": {**config.evaluation.sampling.model_dump(), "repetition_penalty": options.repetition_penalty},
        "seed": config.run.seed,
        "out_of_range": config.evaluation.out_of_range,
        "pixels": [config.model.min_pixels, config.model.max_pixels],
        "add_vision_id": config.model.add_vision_id,
        "video": config.benchmark.video.model_dump(),
    }


def _sampling(config: RunConfig, options: ScoreConfig) -> str:
    """The sampling in effect, in words."""
    sampling = config.evaluation.sampling
    if sampling.temperature == 0:
        drawn = "sampling greedy (temperature 0, top_p 1)"
    else:
        drawn = f"sampling temperature {sampling.temperature:g}, top_p {sampling.top_p:g}, seed {config.run.seed}"
    return (
        f"{drawn}, top_k off, repetition_penalty {options.repetition_penalty:g}, {sampling.max_tokens} tokens at most, "
        f"{options.num_samples} to a picture, read as {options.answer}"
    )


def pixels_note(config: RunConfig) -> str:
    """How much of a picture is shown, in words."""
    return f"pictures of more than {config.model.max_pixels:,} pixels (model.max_pixels) are reduced to that"


def _defaults_of(folder: Path) -> str:
    path = folder / GENERATION_CONFIG
    asked = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
    found = ", ".join(f"{name} {asked[name]}" for name in SAMPLING_DEFAULTS if name in asked)
    return f"not applied: the sampling of the checkpoint's {GENERATION_CONFIG} ({found or 'none'})"


OF_A_SERVER = (
    "what is not sent is up to the server: vLLM's applies the sampling of the checkpoint's generation_config, "
    "repetition_penalty included, unless it was started with --generation-config vllm"
)


def digest_of_files(folder: Path) -> str:
    """Of what in a model folder decides answers beside its safetensors."""
    digest = hashlib.sha256()
    for path in sorted(path for pattern in FILES_THAT_DECIDE for path in folder.glob(pattern)):
        digest.update(path.name.encode())
        with path.open("rb") as content:
            digest.update(hashlib.file_digest(content, "sha256").digest())
    return digest.hexdigest()
