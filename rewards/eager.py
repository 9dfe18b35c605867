"""Scores of single completions, begun as soon as each is known and asked for once per text.

begin(text) ..... begin(text)               while the step is still being generated
        |                    |
        +------ tasks -------+----> score(groups): waits for those it needs, starts those not begun,
                                    and ends those nobody asked for
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
        self._task(self._begun, prompt, text)

    async def score(self, groups: Sequence[RolloutGroup]) -> list[list[Score]]:
        """Return a score per completion; what was begun and is not among ``groups`` is ended.

        Raises:
            Exception: What the first failing task raised, also one that was begun and is not needed now.
        """
        # Taken over whole: what is begun from now on belongs to the next step.
        tasks, self._begun = self._begun, {}
        finished = [task for task in tasks.values() if task.done()]
        try:
            wanted = [[self._task(tasks, group.prompt, c.text) for c in group.completions] for group in groups]
            await asyncio.gather(*finished, *(task for row in wanted for task in row))
            return [[task.result() for task in row] for row in wanted]
        finally:
            await _end(tasks.values())

    async def close(self) -> None:
        """End everything begun."""
        tasks, self._begun = self._begun, {}
        await _end(tasks.values())

    def _task(self, tasks: dict[Key, asyncio.Task[Score]], prompt: Prompt, text: str) -> asyncio.Task[Score]:
        key = (prompt.prompt_id, text)
        if key not in tasks:
            tasks[key] = asyncio.get_running_loop().create_task(self._score_one(prompt, text))
        return tasks[key]


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
