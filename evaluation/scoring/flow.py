"""Items through a judge, a few at a time: window by window in their order, or each as it ends."""

import asyncio
from collections import deque
from collections.abc import AsyncGenerator, Callable, Coroutine, Iterable
from itertools import islice
from typing import Any, TypeVar

from evaluation.scoring.items import Item

R = TypeVar("R")
NUM_WINDOWS = 2
"""In memory at once: one is with the engines, one is read."""


async def in_windows(
    items: Iterable[Item], *, size: int, work: Callable[[list[Item]], Coroutine[Any, Any, list[R]]]
) -> AsyncGenerator[list[R], None]:
    """Yield what became of one window after the other; the next one is begun before the first is done."""
    waiting, running = iter(items), deque[asyncio.Task[list[R]]]()
    try:
        while True:
            while len(running) < NUM_WINDOWS and (window := list(islice(waiting, size))):
                running.append(asyncio.create_task(work(window)))
            if not running:
                return
            rows = await running[0]
            running.popleft()
            yield rows
    finally:
        for task in running:
            task.cancel()


async def as_they_end(
    items: Iterable[Item], *, most: int, work: Callable[[Item], Coroutine[Any, Any, R]]
) -> AsyncGenerator[list[R], None]:
    """Yield what became of each item, in any order; no more than ``most`` are begun at a time."""
    waiting, running = iter(items), set[asyncio.Task[R]]()
    try:
        while True:
            running |= {asyncio.create_task(work(item)) for item in islice(waiting, most - len(running))}
            if not running:
                return
            done, running = await asyncio.wait(running, return_when=asyncio.FIRST_COMPLETED)
            yield [task.result() for task in done]
    finally:
        for task in running:
            task.cancel()
