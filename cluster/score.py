"""``arbiter score``: files in, a folder of scores out.

words --Listing--> items --judge--> rows --ScoreSheet--> RUN_FOLDER/score/scores.jsonl, .csv, .txt
"""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console

from cluster.filling import Bar, Filling, fill_sheet
from cluster.preflight import ASKS_A_SERVER, LEARNS_NOTHING, make_run_folder
from cluster.progress import ProgressDisplay
from cluster.scoring_judge import check_judge, opened_judge
from conf.errors import ConfigError
from conf.load import load_run_config
from conf.schema import RunConfig
from conf.score import ScoreConfig
from evaluation.scoring.items import PICTURE_ENDINGS, Listing, Survey
from evaluation.scoring.results import ScoreSheet, open_sheet, write_tables
from evaluation.scoring.rows import STATUSES, RowStatus
from rollout.datasets.base import declared_scale
from rollout.videos import VIDEO_ENDINGS
from rollout.wordings import Kind, look_up

FOLDER = "score"
"""Results lie in this folder of the run."""
PHASE = "score"
HAVE_A_SCORE: tuple[RowStatus, ...] = ("ok", "out_of_range")
"""Statuses of rows that have one, counted as ``evaluation.out_of_range`` says."""
DEFAULT_CHOICE = "score=visualquality_r1"


@dataclass(frozen=True, kw_only=True, slots=True)
class Outcome:
    """How a scoring run went."""

    filling: Filling
    folder: Path


def score(words: Sequence[str], overrides: Sequence[str], console: Console) -> int:
    """Score what the words name and has no score yet; returns the exit status."""
    config, options = scoring_config(overrides)
    if not words:
        raise ConfigError(["score takes files, folders, globs or .jsonl lists, got none"])
    run_scoring(config, options, listing=Listing(words), console=console)
    return 0


def scoring_config(overrides: Sequence[str]) -> tuple[RunConfig, ScoreConfig]:
    """The configuration of a command that scores, which has the section ``score``.

    Raises:
        ConfigError: It cannot be used, or names no judge that can do what is asked.
    """
    is_chosen = any(override.startswith("score=") for override in overrides)
    chosen = () if is_chosen else (DEFAULT_CHOICE,)
    asks_a_server = "judge=remote" in overrides
    config = load_run_config([*chosen, *(ASKS_A_SERVER if asks_a_server else ()), *overrides, *LEARNS_NOTHING])
    assert config.score is not None, "a choice was made"
    check_judge(config, config.score)
    return config, config.score


def run_scoring(config: RunConfig, options: ScoreConfig, *, listing: Listing, console: Console) -> Outcome:
    """Score a listing into the run folder, and say what came of it.

    Raises:
        ConfigError: There is nothing to score, or not in this wording.
        ResultsUnusable: The run folder holds scores made under other settings.
    """
    survey = listing.survey()
    check_kinds(config, options, kinds=survey.kinds, asked_alike=survey.kinds_asked_alike)
    console.print(_listed(survey), soft_wrap=True)
    folder = Path(config.run.folder).resolve() / FOLDER
    make_run_folder(folder)

    async def run() -> Outcome:
        async with opened_judge(config, options, kinds=survey.kinds) as judge:
            for note in judge.notes:
                console.print(note, soft_wrap=True)
            with open_sheet(folder, settings=judge.settings) as sheet:
                try:
                    filling = await fill_sheet(
                        sheet,
                        listing,
                        scorer=judge.scorer,
                        start=judge.start,
                        display=ProgressDisplay(console),
                        bar=Bar(phase=PHASE, num_items=survey.num_items, good=HAVE_A_SCORE, others="without a score"),
                    )
                finally:
                    _conclude(sheet, folder=folder, console=console)
        return Outcome(filling=filling, folder=folder)

    outcome = asyncio.run(run())
    console.print(outcome.filling.speed("scored"), soft_wrap=True)
    return outcome


def check_kinds(
    config: RunConfig, options: ScoreConfig, *, kinds: frozenset[Kind], asked_alike: frozenset[Kind]
) -> None:
    """Refuse media the wording does not ask about, and frames the model would enlarge again.

    Raises:
        ConfigError: Says what to change.
    """
    if not kinds:
        endings = " ".join(sorted(PICTURE_ENDINGS | VIDEO_ENDINGS))
        raise ConfigError([f"nothing to score there; of folders, files that end in {endings} are taken"])
    wording = look_up(options.prompt)
    for kind in asked_alike:
        try:
            wording.text(kind, scale=declared_scale(options.scale))
        except ValueError as error:
            raise ConfigError([str(error).replace("data.prompt", "score.prompt", 1)]) from None
    if "video" in kinds and config.benchmark.video.max_pixels < config.model.min_pixels:
        problem = (
            f"benchmark.video.max_pixels={config.benchmark.video.max_pixels} is below model.min_pixels="
            f"{config.model.min_pixels}, which every frame is enlarged to; raise the one or lower the other"
        )
        raise ConfigError([problem])


def _conclude(sheet: ScoreSheet, *, folder: Path, console: Console) -> None:
    write_tables(folder)
    counts = ", ".join(f"{sheet.num_by_status[one]} {one}" for one in STATUSES if sheet.num_by_status[one])
    console.print(f"rows {sheet.num_by_status.total()}: {counts or 'none'}", soft_wrap=True)
    if sheet.num_by_status["failed"]:
        console.print("the same command asks those that failed again", soft_wrap=True)
    console.print(f"results {folder}", soft_wrap=True)


def _num_without_score(sheet: ScoreSheet) -> int:
    return sheet.num_by_status.total() - sheet.num_by_status["ok"] - sheet.num_by_status["out_of_range"]


def _listed(survey: Survey) -> str:
    parts = [f"{survey.num_items} to score"]
    if survey.num_repeated:
        parts.append(f"{survey.num_repeated} named more than once")
    if survey.num_left_out:
        parts.append(f"{survey.num_left_out} other files left out")
    return ", ".join(parts)
