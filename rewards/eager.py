"""Scores of single completions, begun as soon as each is known and asked for once per text.

begin(text) ..... begin(text)               while the step is still being generated
        |                    |
        +------ tasks -------+----> score(groups): takes those it needs and starts those not begun;
                                    the others belong to a step that is still being generated
"""

import asyncio
from collections.abc import Callable, Coroutine, Iterable, Sequence
from typing import Any, TypeVar

from rewards.types import Score
from rollout.types import Prompt, RolloutGroup

T = TypeVar("T")
Key = tuple[str, str]


class EagerScores:
    """Keeps the tasks of one term. Equal texts of one prompt share a task."""

    def __init__(self, score_one: Callable[[Prompt, str], Coroutine[Any, Any, Score]]) -> None:
        self._score_one = score_one
        self._begun: dict[Key, asyncio.Task[Score]] = {}

    def begin(self, prompt: Prompt, text: str) -> None:
        """Start on a completion, unless an equal one was begun before."""
        key = prompt.prompt_id, text
        if key not in self._begun:
            self._begun[key] = self._start(prompt, text)

    async def score(self, groups: Sequence[RolloutGroup]) -> list[list[Score]]:
        """Return a score per completion; what was begun and is not among ``groups`` goes on.

        Raises:
            Exception: What the first failing task raised.
        """
        tasks: dict[Key, asyncio.Task[Score]] = {}

        def task_of(prompt: Prompt, text: str) -> asyncio.Task[Score]:
            key = prompt.prompt_id, text
            if key not in tasks:
                # Taken out, so that equal texts of a later step are scored anew.
                tasks[key] = self._begun.pop(key) if key in self._begun else self._start(prompt, text)
            return tasks[key]

        try:
            wanted = [[task_of(group.prompt, c.text) for c in group.completions] for group in groups]
            await asyncio.gather(*tasks.values())
            return [[task.result() for task in row] for row in wanted]
        finally:
            await _end(tasks.values())

    async def close(self) -> None:
        """End everything begun."""
        tasks, self._begun = self._begun, {}
        await _end(tasks.values())

    def _start(self, prompt: Prompt, text: str) -> asyncio.Task[Score]:
        return asyncio.get_running_loop().create_task(self._score_one(prompt, text))


async def all_or_none(work: Iterable[Coroutine[Any, Any, T]]) -> list[T]:
    """Results in order of work done side by side; the first failure ends the rest and is raised."""
    try:
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(coroutine) for coroutine in work]
    except BaseExceptionGroup as failures:
        raise failures.exceptions[0] from None  # the first cause; what followed from it helps nobody
    return [task.result() for task in tasks]


async def _end(tasks: Iterable[asyncio.Task[Score]]) -> None:
    """Cancel what still runs and wait until it has."""
    tasks = list(tasks)
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
