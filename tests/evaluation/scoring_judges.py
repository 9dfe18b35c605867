"""Rows, and engines that answer what they are told, for tests of scoring."""

import asyncio
import math
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from conf.data import ScaleConfig, VideoConfig
from conf.schema import SamplingConfig
from conf.score import ScoreConfig
from evaluation.scoring.asking import Questioner
from evaluation.scoring.engines import EngineScorer
from evaluation.scoring.expectation import DIGITS
from evaluation.scoring.items import Item
from evaluation.scoring.rows import RowStatus, RowWriter, ScoreRow
from evaluation.scoring.weighing import Engines
from rewards.tags import OutOfRange
from rollout.types import Completion, Failure, Prompt, RolloutGroup, WatchedTokens
from rollout.wordings import look_up
from rollout.worker_types import GenerationOrder
from tests.builders import ONE_TO_FIVE

GREEDY = SamplingConfig(temperature=0.0, top_p=1.0, max_tokens=16)
HOT = SamplingConfig(temperature=1.0, top_p=1.0, max_tokens=16)
VIDEO = VideoConfig(fps=2.0, max_frames=4, max_pixels=784, total_pixels=None)
Digits = dict[int, float]
"""Probabilities of digits; the others are impossible."""


def options(*, answer: str = "numeric", num_samples: int = 1, window: int = 4) -> ScoreConfig:
    return ScoreConfig.model_validate(
        {
            "prompt": "visualquality_r1_no_thinking",
            "scale": ScaleConfig(minimum=1.0, maximum=5.0),
            "answer": answer,
            "num_samples": num_samples,
            "repetition_penalty": 1.0,
            "window": window,
        }
    )


def questioner() -> Questioner:
    return Questioner(wording=look_up("visualquality_r1_no_thinking"), scale=ONE_TO_FIVE, video=VIDEO)


def row_writer(*, out_of_range: OutOfRange = "keep") -> RowWriter:
    return RowWriter(model="judge", prompt="visualquality_r1_no_thinking", scale=ONE_TO_FIVE, out_of_range=out_of_range)


def make_item(number: int, *, folder: Path = Path("photos")) -> Item:
    path = str(folder / f"{number:06d}.png")
    return Item(item_id=path, path=path)


def make_row(number: int, *, score: float | None = 3.0, status: RowStatus = "ok") -> ScoreRow:
    item = make_item(number)
    return ScoreRow(
        id=item.item_id,
        path=item.path,
        score=score,
        status=status,
        std=None,
        reasoning="It is sharp.\nVery.",
        text=None,
        error=None,
        seed=None,
        samples=None,
        model="judge",
        prompt="quality",
    )


class ScriptedEngines:
    """Answers each prompt with a text of one token per character; remembers what was asked of it."""

    def __init__(
        self,
        answer: Callable[[Prompt, int], str | Failure],
        *,
        digits: Callable[[Prompt], Digits] | None = None,
    ) -> None:
        self._answer, self._digits = answer, digits
        self.orders: list[GenerationOrder] = []
        self.num_running = self.most_running = 0

    async def run(self, order: GenerationOrder) -> list[RolloutGroup]:
        self.orders.append(order)
        self.num_running += len(order.prompts)
        self.most_running = max(self.most_running, self.num_running)
        await asyncio.sleep(0)
        groups = [self._group(prompt, order) for prompt in order.prompts]
        self.num_running -= len(order.prompts)
        return groups

    def _group(self, prompt: Prompt, order: GenerationOrder) -> RolloutGroup:
        answers = [self._answer(prompt, index) for index in range(order.num_completions)]
        failure = next((answer for answer in answers if isinstance(answer, Failure)), None)
        completions = tuple(self._completion(prompt, text, order) for text in answers if isinstance(text, str))
        return RolloutGroup(
            prompt=prompt,
            completions=() if failure else completions,
            prompt_token_ids=np.zeros(0, dtype=np.int32),
            failure=failure,
        )

    def _completion(self, prompt: Prompt, text: str, order: GenerationOrder) -> Completion:
        shown = text[: order.sampling.max_tokens] if order.sampling.max_tokens == 1 else text
        return Completion(
            text=shown,
            token_ids=np.array([ord(character) for character in shown], dtype=np.int32),
            logprobs=np.zeros(len(shown), dtype=np.float32),
            finish_reason="stop" if shown.endswith("</answer>") else "length",
            policy_version=0,
            watched=self._watched(prompt, shown) if order.watched_tokens else None,
        )

    def _watched(self, prompt: Prompt, text: str) -> WatchedTokens:
        assert self._digits is not None
        digits = self._digits(prompt)
        at_place = [math.log(digits[digit]) if digit in digits else -math.inf for digit in range(10)]
        return WatchedTokens(
            token_ids=np.array([ord(digit) for digit in DIGITS], dtype=np.int32),
            logprobs=np.array([at_place] * len(text), dtype=np.float32),
        )


def scorer(
    engines: Engines,
    config: ScoreConfig,
    *,
    sampling: SamplingConfig = GREEDY,
    out_of_range: OutOfRange = "keep",
) -> EngineScorer:
    return EngineScorer(
        engines,
        questioner=questioner(),
        writer=row_writer(out_of_range=out_of_range),
        config=config,
        sampling=sampling,
        seed=0,
    )


def score_all(engine_scorer: EngineScorer, items: Sequence[Item]) -> list[ScoreRow]:
    async def collect() -> list[ScoreRow]:
        return [row async for rows in engine_scorer.score(items) for row in rows]

    return asyncio.run(collect())
