"""Our own engines as the judge: one window is sampled while the next one's pictures are read.

    items --windows--> prompts --order--> groups --read--> rows

Each window is sampled alone and starts with empty caches, so a score depends on its window and on nothing before it.
"""

import asyncio
from collections.abc import AsyncGenerator, Iterable, Sequence
from dataclasses import replace

from conf.schema import SamplingConfig
from conf.score import ScoreConfig
from evaluation.scoring.asking import Questioner
from evaluation.scoring.expectation import DIGITS
from evaluation.scoring.flow import in_windows
from evaluation.scoring.items import Item
from evaluation.scoring.rows import OFF_SCALE, ROUNDED_TO, RowWriter, Sample, ScoreRow, unanswered
from evaluation.scoring.weighing import Engines, Weigher
from rollout.types import Failure, Prompt, RolloutGroup
from rollout.worker_types import GenerationOrder, completion_seed


class EngineScorer:
    """Scores items with a model on engines."""

    def __init__(
        self,
        engines: Engines,
        *,
        questioner: Questioner,
        writer: RowWriter,
        config: ScoreConfig,
        sampling: SamplingConfig,
        seed: int,
    ) -> None:
        self._engines, self._questioner, self._writer = engines, questioner, writer
        self._config, self._sampling, self._seed = config, sampling, seed

    def score(self, items: Iterable[Item]) -> AsyncGenerator[list[ScoreRow], None]:
        """Yield the rows of one window after the other, in the order of the items."""
        return in_windows(items, size=self._config.window, work=self._score_window)

    async def _score_window(self, items: Sequence[Item]) -> list[ScoreRow]:
        asked = await asyncio.gather(*map(self._prompt, items))
        order = self._order([one for one in asked if isinstance(one, Prompt)])
        groups = await self._engines.run(order) if order.prompts else []
        samples = iter(await self._samples(groups, order))
        return [
            self._writer.without_answer(item, one) if isinstance(one, Failure) else self._row(item, next(samples))
            for item, one in zip(items, asked, strict=True)
        ]

    async def _prompt(self, item: Item) -> Prompt | Failure:
        if item.kind == "image":  # read by the engine
            return self._questioner.prompt(item)
        return await asyncio.to_thread(self._questioner.prompt, item)

    def _order(self, prompts: Sequence[Prompt]) -> GenerationOrder:
        return GenerationOrder(
            prompts=prompts,
            num_completions=self._config.num_samples,
            sampling=self._sampling,
            seed=self._seed,
            repetition_penalty=self._config.repetition_penalty,
            watched_tokens=() if self._config.answer == "numeric" else DIGITS,
            needs_logprobs=False,
            runs_alone=True,
            skips_unusable=True,
        )

    def _row(self, item: Item, samples: list[Sample] | Failure) -> ScoreRow:
        return (
            self._writer.without_answer(item, samples)
            if isinstance(samples, Failure)
            else self._writer.row(item, samples)
        )

    async def _samples(self, groups: Sequence[RolloutGroup], order: GenerationOrder) -> list[list[Sample] | Failure]:
        """What was answered to each prompt, or why nothing."""
        read = [[self._read(group, index) for index in range(len(group.completions))] for group in groups]
        if self._config.answer != "numeric" and order.prompts:
            weigher = Weigher(
                self._engines,
                scale=self._writer.scale,
                counts_tenths=self._config.answer == "expectation_tenths",
                order=order,
            )
            means = await weigher.weigh(groups)
            read = [list(map(_weighed, *both)) for both in zip(read, means, strict=True)]
        return [group.failure or samples for group, samples in zip(groups, read, strict=True)]

    def _read(self, group: RolloutGroup, index: int) -> Sample:
        completion = group.completions[index]
        if completion.finish_reason == "abort":
            return unanswered("failed", error="aborted by the engine")
        is_drawn = self._sampling.temperature > 0
        seed = completion_seed(self._seed, group.prompt.prompt_id) + index if is_drawn else None
        return self._writer.read(completion.text, is_truncated=completion.is_truncated, seed=seed)


def _weighed(sample: Sample, mean: float | None) -> Sample:
    """The sample with an expectation for its score, where it has a score at all."""
    if sample.score is None:
        return sample
    if sample.status == "out_of_range":
        return replace(sample, score=None, status="no_distribution", error=OFF_SCALE)
    if mean is None:
        return replace(sample, score=None, status="no_distribution", error="no integer digit to take it at")
    return replace(sample, score=round(mean, ROUNDED_TO))
