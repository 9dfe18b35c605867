"""What does it take to ask 29 questions about one video? ``make bench-checklist``.

The same 29 questions about the same 24 frames, once as one order of a checklist and once as 29 requests of which each
brings the video along, on one engine, one after the other. Tokens and runs of the vision tower are the engine's own
counts; loading the model is in neither time.
"""

import argparse
import asyncio
import json
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from PIL import Image
from rich.console import Console

from cluster.bench.crops import crops
from cluster.commands import make_model, plan_of
from cluster.preflight import LEARNS_NOTHING
from cluster.start import engine_options
from conf.data import QUESTION
from conf.load import load_run_config
from conf.schema import RunConfig
from evaluation.tables import aligned
from rewards.checklist.answers import SPELLINGS, read_logprobs
from rollout.checklist.load import look_up
from rollout.types import Media, Message, Prompt, Unlabelled
from rollout.worker_types import FirstTokens, MediaLimits, QuestionOrder

FOLDER = Path("runs/bench/checklist")
NUM_QUESTIONS, NUM_FRAMES, FPS = 29, 24, 4.0
SIDE_PX = 224
NUM_CROPS = 48
"""As few as the data set makes."""
WORDING = f"{QUESTION} Answer yes or no."


@dataclass(frozen=True, kw_only=True, slots=True)
class Cost:
    """What one side took."""

    seconds: float
    num_tokens: int
    num_computed: int
    num_encoded: int
    """Videos the vision tower saw."""


def main(arguments: Sequence[str] | None = None) -> None:
    """Ask both ways; print the table, and as last line one JSON object."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", type=Path, help="a model folder; by default an untrained tiny one is made")
    parser.add_argument("overrides", nargs="*", help="settings of the engine, KEY=VALUE")
    given = parser.parse_args(arguments)
    console = Console(highlight=False, markup=False)
    folder = FOLDER / "model" if given.model is None else given.model
    if not folder.exists():
        make_model(load_run_config([]), folder)
    config = load_run_config([*_settings(folder), *LEARNS_NOTHING, *given.overrides])
    shared, separate = asyncio.run(_both(config, folder=folder, prompts=_prompts()))
    difference = _largest_difference(shared[1], separate[1])
    header = ("", "seconds", "prompt tokens", "computed", "vision runs")
    rows = [header, _row("one order", shared[0]), _row(f"{NUM_QUESTIONS} requests", separate[0])]
    console.print("\n".join(aligned(rows)))
    console.print(f"largest difference of an answer's probability: {difference:.1e}")
    result = _result(shared[0], separate[0], num_shared=shared[1][0].num_shared_tokens, difference=difference)
    console.print(json.dumps(result), soft_wrap=True)


def _settings(folder: Path) -> list[str]:
    return [
        f"model.path={folder}", "model.size=null", f"run.folder={FOLDER / 'run'}", "run.name=bench-checklist",
        "rollout.max_model_len=2048",
    ]  # fmt: skip


def _prompts() -> tuple[Prompt, ...]:
    media = Media(kind="video", frames=tuple(map(str, _frames())), fps=FPS)
    asked = look_up("video").without_prompt().asked[:NUM_QUESTIONS]
    assert len(asked) == NUM_QUESTIONS, "the checklist has more"
    return tuple(
        Prompt(
            prompt_id=one.id,
            messages=(Message(role="user", content=(media, WORDING.replace(QUESTION, one.text))),),
            reference=Unlabelled(),
            source="bench",
            content_id="video",
            wants_thinking=False,
        )
        for one in asked
    )


def _frames() -> Iterator[Path]:
    """Crops of photographs, enlarged to what a tiny judge is shown of a frame at most."""
    folder = FOLDER / "frames"
    folder.mkdir(parents=True, exist_ok=True)
    for path in sorted(crops(FOLDER / "crops", count=NUM_CROPS).iterdir())[:NUM_FRAMES]:
        with Image.open(path) as crop:
            crop.resize((SIDE_PX, SIDE_PX), Image.Resampling.BICUBIC).save(folder / path.name)
        yield folder / path.name


Side = tuple[Cost, list[FirstTokens]]


async def _both(config: RunConfig, *, folder: Path, prompts: tuple[Prompt, ...]) -> tuple[Side, Side]:
    from rollout.worker import RolloutWorker  # noqa: PLC0415 - loads vLLM

    limits = MediaLimits(images=0, videos=1)
    options = engine_options(config, plan_of(config), model_folder=folder, limits=limits)
    worker = RolloutWorker(config.model, replace(options, counts_encoded=True))

    async def ask(*orders: tuple[Prompt, ...]) -> Side:
        await worker.num_encoded()
        started = time.perf_counter()
        found = [
            one
            for items in orders
            for one in await worker.first_tokens(QuestionOrder(items=[items], spellings=SPELLINGS))
        ]
        cost = Cost(
            seconds=time.perf_counter() - started,
            num_tokens=sum(one.num_tokens for one in found),
            num_computed=sum(one.num_computed_tokens for one in found),
            num_encoded=await worker.num_encoded(),
        )
        return cost, found

    try:
        await ask(prompts[:2])  # both shapes of a forward pass, once before the clock starts
        return await ask(prompts), await ask(*((prompt,) for prompt in prompts))
    finally:
        await worker.close()


def _largest_difference(shared: Sequence[FirstTokens], separate: Sequence[FirstTokens]) -> float:
    return max(abs(one - other) for one, other in zip(_probabilities(shared), _probabilities(separate), strict=True))


def _probabilities(found: Sequence[FirstTokens]) -> list[float]:
    answers = [read_logprobs(logprobs, min_mass=0.0) for one in found for logprobs in one.logprobs]
    return [one.p_yes for one in answers if one.p_yes is not None]


def _row(name: str, cost: Cost) -> tuple[str, ...]:
    return (name, f"{cost.seconds:.2f}", f"{cost.num_tokens:,}", f"{cost.num_computed:,}", f"{cost.num_encoded}")


def _result(shared: Cost, separate: Cost, *, num_shared: int, difference: float) -> dict[str, object]:
    return {
        "name": f"seconds for {NUM_QUESTIONS} questions about a video, separate requests over one order",
        "ratio": round(separate.seconds / shared.seconds, 2),
        "inputs": {
            "seconds": round(shared.seconds, 3),
            "separate_seconds": round(separate.seconds, 3),
            "frames": NUM_FRAMES,
            "tokens_to_the_end_of_the_video": num_shared,
            "tokens_of_the_questions": shared.num_tokens - NUM_QUESTIONS * num_shared,
            "computed_tokens": shared.num_computed,
            "cached_tokens": shared.num_tokens - shared.num_computed,
            "separate_computed_tokens": separate.num_computed,
            "vision_runs": shared.num_encoded,
            "separate_vision_runs": separate.num_encoded,
            "largest_difference_of_a_probability": difference,
        },
    }


if __name__ == "__main__":
    main()
