"""What each way to train a scoring judge is worth, side by side: ``make results``.

    warm-up -> cold start -> {SFT on true scores, RL2R, RAPO, other rewards}     per seed, all from one cold start
    Refine-IQA's stage 1 -> stage 2                                              per seed, from nothing

Every judge is asked about the same crops of photographs that no training showed. What is finished is not run again, so
that an interrupted table is completed by the same command.
"""

import argparse
import json
import shutil
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
from rich.console import Console

from cluster.bench.crops import crops, labels_of
from cluster.bench.results_page import Figures, Tables, draw, page
from cluster.bench.runs import FAILED_FILE, has_failed, is_finished, side_by_side, train_into
from cluster.records import RunRecords, write_json
from evaluation.metrics import plcc, srcc

FOLDER = Path("runs/results")
PAGE = Path("docs/results.md")
NUM_PICTURES = 192
CROPS = FOLDER / f"crops-{NUM_PICTURES}"
NUM_STEPS = 60
SFT_STEPS = NUM_STEPS * 24 * 8 // 32 * 5 // 3
"""The sequences RL learns from in batches of 32, times 5/3: learning takes 3 units of work a token (forward 1, backward
2), and RL also samples the tokens and scores them under the reference, 1 unit each."""

ONE_CORE = "cluster.cpu_threads_per_actor=1"
STEPS = (f"loop.num_steps={NUM_STEPS}", "loop.evaluate_every=0")
RL = (*STEPS, "warm_up.num_steps=0", "cold_start.num_steps=0")
SUPERVISED = ("loop.num_steps=0", "warm_up.num_steps=0")
BRIEF = "data.prompt=visualquality_r1_no_thinking"
OPINION = "rewards.terms.opinion"
"""The demo sets weight and width of this term, which not every reward has."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Run:
    """One training, for every seed."""

    key: str
    """Names its folder."""
    overrides: tuple[str, ...]
    start: str = ""
    """Key of the run whose model it starts from; empty: from nothing."""
    recipe: str = "demo"
    phase: str = "rl"
    """The evaluation that is reported."""


RUNS = {
    run.key: run
    for run in (
        Run(key="warm", overrides=("loop.num_steps=0", "cold_start.num_steps=0"), phase="untrained"),
        Run(key="start", overrides=SUPERVISED, start="warm", phase="cold_start"),
        Run(key="start-brief", overrides=(*SUPERVISED, BRIEF), start="warm", phase="cold_start"),
        Run(key="stage1", overrides=STEPS, recipe="demo_refine_stage1"),
        Run(
            key="sft",
            overrides=(*SUPERVISED, f"cold_start.num_steps={SFT_STEPS}", "data.demonstrated_scores=opinion"),
            start="start",
            phase="cold_start",
        ),
        Run(
            key="rl2r",
            overrides=("rewards=rl2r", "rewards.terms.ranking.scores=in_range", f"~{OPINION}", *RL),
            start="start",
        ),
        Run(key="rapo", overrides=("rewards=rapo", *RL), start="start"),
        Run(key="error", overrides=("rewards=error", *RL), start="start"),
        Run(key="binary", overrides=("rewards=binary", f"~{OPINION}", *RL), start="start"),
        Run(
            key="rapo-brief",
            overrides=("rewards=rapo", "rewards.terms.format.mode=answer", BRIEF, *RL),
            start="start-brief",
        ),
        Run(key="stage2", overrides=STEPS, start="stage1", recipe="demo_refine_stage2"),
    )
}  # fmt: skip


def _depth(key: str) -> int:
    return 1 + _depth(RUNS[key].start) if RUNS[key].start else 0


LEVELS = [[key for key in RUNS if _depth(key) == depth] for depth in range(1 + max(map(_depth, RUNS)))]
"""What may run side by side; a run stands behind what it starts from."""
ANSWERS = {
    "greedy": "score.answer=numeric",
    "expectation": "score.answer=expectation",
    "tenths": "score.answer=expectation_tenths",
}
"""Ways to read the answers of one judge."""
REMARKS = "## What it shows"
READ = "rapo"
"""The judge whose answers are read in all these ways."""


def main(arguments: Sequence[str] | None = None) -> None:
    """Run what is missing, then write page, picture and figures; status 1 when a run failed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=3, help="seeds 0 to N - 1")
    parser.add_argument("--jobs", type=int, default=2, help="runs side by side, each on about one core")
    parser.add_argument("--only", nargs="+", choices=list(RUNS), help="runs to make; by default all")
    parser.add_argument("--page", type=Path, default=PAGE, help="where the tables are written")
    given = parser.parse_args(arguments)
    console = Console(highlight=False, markup=False)
    seeds = range(given.seeds)
    for level in LEVELS:
        wanted = [(key, seed) for seed in seeds for key in level if given.only is None or key in given.only]
        side_by_side([partial(_make, key, seed, console) for key, seed in wanted], num_jobs=given.jobs)
    if given.only is None or READ in given.only:
        judged = [seed for seed in seeds if is_finished(_folder(READ, seed))]
        pictures = crops(CROPS, count=NUM_PICTURES)  # here: a configuration is not composed by two threads at a time
        side_by_side([partial(_read, seed, pictures, console) for seed in judged], num_jobs=given.jobs)
    tables = Tables(figures={key: [_figures(key, seed) for seed in seeds] for key in [*RUNS, *ANSWERS]})
    draw(tables, given.page.with_suffix(".png"))
    text = page(tables, num_steps=NUM_STEPS, sft_steps=SFT_STEPS, remarks=_remarks(given.page))
    given.page.write_text(text, encoding="utf-8")
    console.print(text, soft_wrap=True)
    console.print(json.dumps({"name": "SRCC of scoring judges by recipe", "srcc": tables.means()}), soft_wrap=True)
    failed = [f"{key}-{seed}" for key in RUNS for seed in seeds if has_failed(_folder(key, seed))]
    if failed:
        console.print(f"failed: {', '.join(failed)}; {FAILED_FILE} in each folder says why", soft_wrap=True)
        sys.exit(1)


def _folder(key: str, seed: int) -> Path:
    return FOLDER / f"{key}-{seed}"


def _make(key: str, seed: int, console: Console) -> None:
    """Run unless it was run before. A run that fails leaves its last words, and is tried again by the next command."""
    run, folder = RUNS[key], _folder(key, seed)
    if is_finished(folder):
        return
    console.print(f"running {folder.name}")
    start = (f"model.path={_folder(run.start, seed)}/model", "model.size=null") if run.start else ()
    train_into(folder, [ONE_CORE, *run.overrides, *start], recipe=run.recipe, seed=seed)
    if has_failed(folder):
        console.print(f"failed {folder.name}: see {folder / FAILED_FILE}", soft_wrap=True)


def _read(seed: int, pictures: Path, console: Console) -> None:
    """Score the test crops as files in every way to read an answer, and keep the agreement with their labels."""
    labels = labels_of(CROPS)
    for answer, override in ANSWERS.items():
        folder = _folder(answer, seed)
        if (folder / "agreement.json").exists():
            continue
        console.print(f"reading {folder.name}")
        shutil.rmtree(folder, ignore_errors=True)
        command = [
            *(sys.executable, "-m", "cluster.main", "score", str(pictures), override, "evaluation.out_of_range=drop"),
            *(f"model.path={_folder(READ, seed)}/model", "model.size=null", "model.min_pixels=784", ONE_CORE),
            *(f"run.name={folder.name}", f"run.folder={folder}", f"run.seed={seed}"),
        ]
        subprocess.run(command, stdout=subprocess.DEVNULL, check=True)
        lines = (folder / "score" / "scores.jsonl").read_text(encoding="utf-8").splitlines()
        scores = {Path(row["path"]).name: row["score"] for row in map(json.loads, lines) if row["score"] is not None}
        scores_N = np.array([scores[name] for name in sorted(scores)])
        opinions_N = np.array([labels[name] for name in sorted(scores)])
        found = {
            "srcc": srcc(scores_N, opinions_N=opinions_N),
            "plcc": plcc(scores_N, opinions_N=opinions_N),
            "format": len(scores) / len(labels),
        }
        write_json(folder / "agreement.json", found)


def _remarks(path: Path) -> str:
    """What people wrote below the tables stays."""
    text = path.read_text(encoding="utf-8") if path.exists() else ""
    _, heading, remarks = text.partition(REMARKS)
    return heading + remarks


def _figures(key: str, seed: int) -> Figures | None:
    """What a run or a way of reading came to; None where it is missing."""
    if key in ANSWERS:
        path = _folder(key, seed) / "agreement.json"
        return Figures(**json.loads(path.read_text())) if path.exists() else None
    if not is_finished(_folder(key, seed)):
        return None
    numbers = RunRecords(_folder(key, seed)).numbers(RUNS[key].phase)
    return Figures(
        srcc=numbers.get("evaluation/agreement/srcc"),
        plcc=numbers.get("evaluation/agreement/plcc"),
        format=numbers.get("evaluation/format/fraction"),
        credit=numbers.get("evaluation/credit/value"),
    )


if __name__ == "__main__":
    main()
