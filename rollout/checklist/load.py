"""Checklists from YAML: those shipped here, by name, or a file of the user's. Every fault names file and field."""

from collections.abc import Iterator
from functools import cache
from pathlib import Path

import yaml
from pydantic import ValidationError

from conf.errors import did_you_mean
from rollout.checklist.questions import Checklist

FOLDER = Path(__file__).parent / "shipped"
ENDINGS = (".yaml", ".yml")


class ChecklistProblems(ValueError):
    """A file that is no checklist; one line each of what to mend."""

    def __init__(self, path: Path, problems: list[str]) -> None:
        self.problems = tuple(f"{path}: {problem}" for problem in problems)
        super().__init__("\n".join(self.problems))


def look_up(name: str) -> Checklist:
    """The shipped checklist of that name, or the one in the YAML file of that name.

    Raises:
        ValueError: There is no such checklist.
        ChecklistProblems: The file holds none.
    """
    if name.endswith(ENDINGS):
        return read_checklist(Path(name))
    known = shipped()
    if name not in known:
        raise ValueError(
            f"checklist {name!r} is unknown{did_you_mean(name, known)}; known: {', '.join(known)}, and files, whose "
            f"names end in {' or '.join(ENDINGS)}"
        )
    return known[name]


@cache
def shipped() -> dict[str, Checklist]:
    """The checklists that come with Arbiter, by name."""
    return {path.stem: read_checklist(path) for path in sorted(FOLDER.glob("*.yaml"))}


def read_checklist(path: Path) -> Checklist:
    """A checklist, checked; called by the name of its file unless it has one.

    Raises:
        ChecklistProblems: The file cannot be read, is not YAML or no checklist.
    """
    try:
        content, repeated = _parsed(path.read_bytes().decode("utf-8"))
    except OSError as error:
        raise ChecklistProblems(path, [f"cannot be read: {error.strerror}"]) from error
    except UnicodeDecodeError as error:
        raise ChecklistProblems(path, [f"not UTF-8: {error.reason} at byte {error.start}"]) from error
    except yaml.YAMLError as error:
        raise ChecklistProblems(path, [f"not YAML: {' '.join(str(error).split())}"]) from error
    if repeated:
        raise ChecklistProblems(path, repeated)
    if not isinstance(content, dict):
        raise ChecklistProblems(path, [f"expected a mapping with dimensions, got {type(content).__name__}"])
    try:
        return Checklist.model_validate({"name": path.stem, **content})
    except ValidationError as error:
        raise ChecklistProblems(path, list(_lines(error))) from error


def _lines(error: ValidationError) -> Iterator[str]:
    """A line per fault; that a list is too short because its members are faulty is none of its own."""
    places = [one["loc"] for one in error.errors()]
    for one in error.errors():
        place = one["loc"]
        is_echo = one["type"] == "too_short" and any(len(p) > len(place) and p[: len(place)] == place for p in places)
        if not is_echo:
            yield _line(place, one["msg"])


def _line(place: tuple[int | str, ...], message: str) -> str:
    return ": ".join([*([".".join(map(str, place))] if place else []), message.removeprefix("Value error, ")])


def _parsed(text: str) -> tuple[object, list[str]]:
    """The plain values of a document, and the keys that stand twice in one mapping."""
    loader = yaml.SafeLoader(text)
    node = loader.get_single_node()
    return (None if node is None else loader.construct_document(node)), list(_repeated_keys(node))


def _repeated_keys(node: yaml.Node | None) -> Iterator[str]:
    """Keys that stand twice in a mapping, of which YAML would silently keep the last."""
    if isinstance(node, yaml.MappingNode):
        keys = [key.value for key, _ in node.value]
        for index, (key, value) in enumerate(node.value):
            if key.value in keys[:index]:
                yield f"line {key.start_mark.line + 1}: the key {key.value} stands here again"
            yield from _repeated_keys(value)
    elif isinstance(node, yaml.SequenceNode):
        for item in node.value:
            yield from _repeated_keys(item)
