"""How much faster are engines than transformers' ``generate``? ``make bench-score``.

The same pictures, question and model, once through ``arbiter score`` and once through ``generate`` in batches of 32,
one after the other in one run. Timed is everything from reading the files to the parsed score; loading the model is
not, and is shown beside it.

A batch of ``generate`` takes as long as its longest answer. So there are two judges: an untrained one whose greedy
answers all reach the limit, the best case for such batches; and one that draws answers as long as those of a judge that
reasons.
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

from cluster.bench.answer_lengths import judge_of_varied_lengths
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
from rollout.types import Media, Prompt
from rollout.wordings import MEDIUM, look_up

FOLDER = Path("runs/bench/score")
PLAIN_BATCH = 32
NUM_WARMING_UP = 1
"""Batches before the clock starts; engines warm up while they start."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Judge:
    """Who is timed."""

    name: str
    folder: Path
    temperature: float


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
    parser.add_argument("--model", type=Path, help="a model folder, greedy; by default the two judges are made")
    parser.add_argument("overrides", nargs="*", help="settings of arbiter score, KEY=VALUE")
    given = parser.parse_args(arguments)
    console = Console(highlight=False, markup=False)
    pictures = crops(FOLDER / f"pictures-{given.pictures}", count=given.pictures)
    rows, results = [("", "", "pictures/s", "seconds", "loading, s", "ratio")], []
    for judge in _judges(given.model, pictures=pictures):
        config, options = scoring_config([*_settings(judge, max_tokens=given.max_tokens), *given.overrides])
        plain = _plain(config, options, judge=judge, pictures=pictures)
        engines = _engines(config, options, pictures=pictures, console=console)
        rows += [
            (judge.name, "transformers generate", *_shown(plain), ""),
            ("", "engines", *_shown(engines), _ratio(plain, engines)),
        ]
        results.append(_result(config, judge=judge, plain=plain, engines=engines))
    console.print("\n".join(aligned(rows)), soft_wrap=True)
    summary = {
        "name": "score images/s, engines over transformers generate in batches of 32",
        "ratio": results[-1]["ratio"],
        "inputs": {"max_tokens": given.max_tokens, "generate_batch": PLAIN_BATCH, "judges": results},
    }
    console.print(json.dumps(summary), soft_wrap=True)


def _judges(model: Path | None, *, pictures: Path) -> Iterator[Judge]:
    if model is not None:
        yield Judge(name=model.name, folder=model, temperature=0.0)
        return
    untrained = FOLDER / "model"
    if not untrained.exists():
        make_model(load_run_config([]), untrained)
    yield Judge(name="untrained, fills every answer", folder=untrained, temperature=0.0)
    _, options = scoring_config([f"model.path={untrained}", "model.size=null"])
    asked = look_up(options.prompt).message(Media(kind="image", path=MEDIUM), scale=declared_scale(options.scale))
    question = "".join(part if isinstance(part, str) else MEDIUM for part in asked.content)
    folder = judge_of_varied_lengths(FOLDER / "varied", question=question, pictures=sorted(pictures.iterdir()))
    yield Judge(name="answers of varied length", folder=folder, temperature=1.0)


def _settings(judge: Judge, *, max_tokens: int) -> list[str]:
    return [
        f"model.path={judge.folder}", "model.size=null", f"run.folder={FOLDER / 'run'}", "run.name=bench-score",
        f"evaluation.sampling.temperature={judge.temperature}",
        f"evaluation.sampling.max_tokens={max_tokens}", "rollout.max_model_len=1024", "rollout.num_engines=2",
        "rollout.max_concurrent_sequences=256", "score.window=500",
    ]  # fmt: skip


def _plain(config: RunConfig, options: ScoreConfig, *, judge: Judge, pictures: Path) -> Speed:
    from rollout.families.plain_generate import PlainGenerator  # noqa: PLC0415 - loads torch

    started = time.perf_counter()
    generator = PlainGenerator(config.model, folder=str(judge.folder))
    loading_s = time.perf_counter() - started
    scale, most = declared_scale(options.scale), config.evaluation.sampling.max_tokens
    questioner = Questioner(wording=look_up(options.prompt), scale=scale, video=config.benchmark.video)
    items = list(Listing([str(pictures)]))
    for batch in islice(_batches(items, questioner), NUM_WARMING_UP):
        generator.answer(batch, max_tokens=most, temperature=judge.temperature)
    started = time.perf_counter()
    for batch in _batches(items, questioner):
        for text in generator.answer(batch, max_tokens=most, temperature=judge.temperature):
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


def _shown(speed: Speed) -> tuple[str, str, str]:
    return f"{speed.per_s:.1f}", f"{speed.scoring_s:.1f}", f"{speed.loading_s:.1f}"


def _ratio(plain: Speed, engines: Speed) -> str:
    return f"{engines.per_s / plain.per_s:.2f}"


def _result(config: RunConfig, *, judge: Judge, plain: Speed, engines: Speed) -> dict[str, object]:
    return {
        "judge": judge.name,
        "ratio": round(engines.per_s / plain.per_s, 2),
        "pictures": engines.num_pictures,
        "engines_per_s": round(engines.per_s, 1),
        "generate_per_s": round(plain.per_s, 1),
        "engines_startup_s": round(engines.loading_s, 1),
        "num_engines": config.rollout.num_engines,
    }


if __name__ == "__main__":
    main()
