"""How much faster are engines than transformers' ``generate``? ``make bench-score``.

The same pictures, question, model and greedy answers, once through ``arbiter score`` and once through ``generate`` in
batches of 32, one after the other in one run. Timed is everything from reading the files to the parsed score; loading
the model is not, and is shown beside it.
"""

import argparse
import json
import shutil
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from rich.console import Console

from cluster.bench.crops import crops
from cluster.commands import make_model
from cluster.score import Outcome, run_scoring, scoring_config
from conf.load import load_run_config
from conf.schema import RunConfig
from conf.score import ScoreConfig
from evaluation.scoring.asking import Questioner
from evaluation.scoring.items import Item, Listing
from evaluation.tables import aligned
from rewards.tags import parse
from rollout.datasets.base import declared_scale
from rollout.types import Prompt
from rollout.wordings import look_up

FOLDER = Path("runs/bench/score")
PLAIN_BATCH = 32
NUM_WARMING_UP = 1
"""Batches before the clock starts; engines warm up while they start."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Speed:
    """How one side did."""

    loading_s: float
    scoring_s: float
    num_pictures: int

    @property
    def per_s(self) -> float:
        """Pictures per second, loading left out."""
        return self.num_pictures / self.scoring_s


def main(arguments: Sequence[str] | None = None) -> None:
    """Time both sides; print the table, and as last line one JSON object."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pictures", type=int, default=1000)
    parser.add_argument("--max-tokens", type=int, default=256, help="longest answer; an untrained model fills it")
    parser.add_argument("--model", type=Path, help="a model folder; by default an untrained tiny one is made")
    parser.add_argument("overrides", nargs="*", help="settings of arbiter score, KEY=VALUE")
    given = parser.parse_args(arguments)
    console = Console(highlight=False, markup=False)
    folder = FOLDER / "model" if given.model is None else given.model
    if not folder.exists():
        make_model(load_run_config([]), folder)
    pictures = crops(FOLDER / f"pictures-{given.pictures}", count=given.pictures)
    config, options = scoring_config([*_settings(folder, max_tokens=given.max_tokens), *given.overrides])
    plain = _plain(config, options, folder=folder, pictures=pictures)
    engines = _engines(config, options, pictures=pictures, console=console)
    rows = [("", "pictures/s", "seconds", "loading, s"), _row("transformers generate", plain), _row("engines", engines)]
    console.print("\n".join(aligned(rows)))
    console.print(json.dumps(_result(config, given, plain=plain, engines=engines)), soft_wrap=True)


def _settings(folder: Path, *, max_tokens: int) -> list[str]:
    return [
        f"model.path={folder}", "model.size=null", f"run.folder={FOLDER / 'run'}", "run.name=bench-score",
        f"evaluation.sampling.max_tokens={max_tokens}", "rollout.max_model_len=1024", "rollout.num_engines=2",
        "rollout.max_concurrent_sequences=256", "score.window=500",
    ]  # fmt: skip


def _plain(config: RunConfig, options: ScoreConfig, *, folder: Path, pictures: Path) -> Speed:
    from rollout.families.plain_generate import PlainGenerator  # noqa: PLC0415 - loads torch

    started = time.perf_counter()
    generator = PlainGenerator(config.model, folder=str(folder))
    loading_s = time.perf_counter() - started
    scale, most = declared_scale(options.scale), config.evaluation.sampling.max_tokens
    questioner = Questioner(wording=look_up(options.prompt), scale=scale, video=config.benchmark.video)
    items = list(Listing([str(pictures)]))
    for batch in islice(_batches(items, questioner), NUM_WARMING_UP):
        generator.answer(batch, max_tokens=most)
    started = time.perf_counter()
    for batch in _batches(items, questioner):
        for text in generator.answer(batch, max_tokens=most):
            parse(text, scale=scale)
    return Speed(loading_s=loading_s, scoring_s=time.perf_counter() - started, num_pictures=len(items))


def _batches(items: Sequence[Item], questioner: Questioner) -> Iterator[list[Prompt]]:
    for start in range(0, len(items), PLAIN_BATCH):
        asked = [questioner.prompt(item) for item in items[start : start + PLAIN_BATCH]]
        yield [prompt for prompt in asked if isinstance(prompt, Prompt)]


def _engines(config: RunConfig, options: ScoreConfig, *, pictures: Path, console: Console) -> Speed:
    shutil.rmtree(config.run.folder, ignore_errors=True)
    outcome: Outcome = run_scoring(config, options, listing=Listing([str(pictures)]), console=console)
    return Speed(
        loading_s=outcome.filling.startup_s,
        scoring_s=outcome.filling.progress.seconds,
        num_pictures=outcome.filling.progress.num_scored,
    )


def _row(name: str, speed: Speed) -> tuple[str, ...]:
    return (name, f"{speed.per_s:.1f}", f"{speed.scoring_s:.1f}", f"{speed.loading_s:.1f}")


def _result(config: RunConfig, given: argparse.Namespace, *, plain: Speed, engines: Speed) -> dict[str, object]:
    return {
        "name": "score images/s, engines over transformers generate in batches of 32",
        "ratio": round(engines.per_s / plain.per_s, 2),
        "inputs": {
            "pictures": engines.num_pictures,
            "max_tokens": given.max_tokens,
            "engines_per_s": round(engines.per_s, 1),
            "generate_per_s": round(plain.per_s, 1),
            "engines_startup_s": round(engines.loading_s, 1),
            "num_engines": config.rollout.num_engines,
            "generate_batch": PLAIN_BATCH,
        },
    }


if __name__ == "__main__":
    main()
