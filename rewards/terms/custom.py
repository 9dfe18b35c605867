"""A reward function of the user's, loaded from a file."""

import asyncio
import hashlib
import importlib.util
import inspect
import math
import sys
from collections.abc import Callable, Sequence
from numbers import Real
from pathlib import Path
from types import ModuleType

from conf.reward_terms import CustomTermConfig
from rollout.types import RolloutGroup

RewardFunction = Callable[[RolloutGroup], Sequence[float | None]]
"""One finite number per completion of the group, in order; None abstains. May be called from another thread."""


class CustomTerm:
    """Calls the function once per group, one group after the other, off the event loop."""

    def __init__(self, config: CustomTermConfig) -> None:
        """Load the function.

        Raises:
            ValueError: There is no such file or function, or it does not take exactly a group.
        """
        self._path, self._function = config.path, load_function(config.path)

    async def score(self, groups: Sequence[RolloutGroup]) -> list[list[float | None]]:
        """Return what the function returned.

        Raises:
            ValueError: It returned something else than one finite number or None per completion.
        """
        return await asyncio.to_thread(lambda: [self._score_group(group) for group in groups])

    def _score_group(self, group: RolloutGroup) -> list[float | None]:
        returned: object = self._function(group)
        if not isinstance(returned, list | tuple) or len(returned) != len(group.completions):
            raise self._broken_promise(returned, group)
        if not all(score is None or (isinstance(score, Real) and math.isfinite(score)) for score in returned):
            raise self._broken_promise(returned, group)
        return [None if score is None else float(score) for score in returned]

    def _broken_promise(self, returned: object, group: RolloutGroup) -> ValueError:
        text = repr(returned)
        return ValueError(
            f"{self._path} returned {text if len(text) <= 200 else f'{text[:200]}...'} for prompt "
            f"{group.prompt.prompt_id!r}; expected a list of {len(group.completions)} finite numbers or None"
        )


def load_function(path: str) -> RewardFunction:
    """The function that ``FILE.py:FUNCTION`` names.

    Raises:
        ValueError: There is no such file or function, or it does not take exactly a group.
    """
    file, _, name = path.rpartition(":")
    functions = vars(_load_module(Path(file), path=path))
    function = functions.get(name)
    if not inspect.isfunction(function):
        known = ", ".join(sorted(n for n, value in functions.items() if inspect.isfunction(value))) or "none"
        raise ValueError(f"{path}: {file} has no function {name}; its functions: {known}")
    if inspect.iscoroutinefunction(function):
        raise ValueError(f"{path}: {name} is a coroutine function; expected a plain one, which is run in a thread")
    signature = inspect.signature(function)
    try:
        signature.bind(object())
    except TypeError as error:
        raise ValueError(f"{path}: {name}{signature} must take the rollout group as its only argument") from error
    checked: RewardFunction = function
    return checked


def _load_module(file: Path, *, path: str) -> ModuleType:
    if not file.is_file():
        raise ValueError(f"{path}: there is no file {file.resolve()}; give FILE.py:FUNCTION")
    # A name of its own, so that two files called reward.py do not meet in sys.modules.
    name = f"custom_reward_{hashlib.sha256(str(file.resolve()).encode()).hexdigest()[:12]}"
    spec = importlib.util.spec_from_file_location(name, file)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # dataclasses of the file look their module up there
    spec.loader.exec_module(module)
    return module
