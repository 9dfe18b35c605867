"""The schema as a flat table of knobs: dotted key, type, bounds, meaning.

Choices that bring their own options (``data.kind``, the terms of ``rewards.terms``) contribute the options of
every choice. In the key of a term, ``<name>`` stands for the name the run gives it.
"""

import types
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import astuple, dataclass, is_dataclass, replace
from typing import Annotated, Literal, Union, get_args, get_origin

import annotated_types
from pydantic.fields import FieldInfo

from conf.base import Section
from conf.schema import RunConfig

ANY_NAME = "<name>"
_SAME_OPTIONS = {f"data.parts.{ANY_NAME}": "data"}
"""Keys under which the options of another key stand once more; they are listed there alone."""
_BOUND_WORDS: dict[type, str] = {
    annotated_types.Ge: ">=",
    annotated_types.Gt: ">",
    annotated_types.Le: "<=",
    annotated_types.Lt: "<",
    annotated_types.MultipleOf: "a multiple of",
    annotated_types.MinLen: "of length >=",
}
_TYPE_WORDS: dict[object, str] = {
    int: "integer",
    float: "number",
    str: "text",
    bool: "true or false",
    type(None): "null",
}


@dataclass(frozen=True, kw_only=True, slots=True)
class Knob:
    """One leaf of the configuration."""

    key: str
    kind: str
    """Expected type in words; the allowed values of a closed choice."""
    bounds: str
    """Such as ">= 1 and <= 8"; empty when any value of the type will do."""
    meaning: str
    choice: str | None
    """"data.kind=opinion_score" for an option that only this choice has (or these, separated by commas), else None."""

    @property
    def expected(self) -> str:
        """Type and bounds, as an error message states them."""
        return f"{self.kind} {self.bounds}".rstrip()


def expected_of(knobs: Sequence[Knob]) -> str:
    """What a key may hold; the allowed values of several choices' knobs are merged into one list."""
    texts = list(dict.fromkeys(knob.expected for knob in knobs))
    if all(text.startswith("one of ") for text in texts):
        return "one of " + ", ".join(text.removeprefix("one of ") for text in texts)
    return " or ".join(dict.fromkeys(part for text in texts for part in text.split(" or ")))


def all_knobs() -> tuple[Knob, ...]:
    """Every knob of ``RunConfig`` in schema order."""
    return tuple(_section_knobs(RunConfig, prefix="", choice=None))


def section_meanings() -> dict[str, str]:
    """Docstring of every section that holds knobs, by dotted key (without ``<name>`` sections)."""
    return dict(_section_meanings(RunConfig, prefix=""))


def find_knobs(key: str) -> list[Knob]:
    """Knobs a concrete key may mean: several when two choices share an option's name, none when unknown."""
    parts = _listed(key.split("."))
    return [knob for knob in all_knobs() if _matches(knob.key.split("."), parts)]


def key_of_location(location: Iterable[str | int]) -> str:
    """Dotted key of a pydantic error location, without the tags pydantic inserts for chosen unions."""
    parts: list[str] = []
    current: object = RunConfig
    for step in location:
        members = _members(current)
        chosen = [member for member in members if len(members) > 1 and _kind_of(member) == step]
        if chosen:
            current = chosen[0]
            continue
        parts.append(str(step))
        if len(members) == 1 and step in members[0].model_fields:
            current = members[0].model_fields[str(step)].annotation
        else:
            current = _dict_value(current)
    return ".".join(parts)


def type_words(annotation: object) -> str:
    """An annotation as a person would say it: ``int | None`` is "integer or null"."""
    origin, arguments = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        nested = (info.metadata if isinstance(info, FieldInfo) else [info] for info in arguments[1:])
        constraints = [constraint for metadata in nested for constraint in metadata]
        return f"{type_words(arguments[0])} {bounds_words(constraints)}".rstrip()
    if origin is Literal:
        return "one of " + ", ".join(str(a) for a in arguments)
    if origin in (Union, types.UnionType):
        return " or ".join(type_words(a) for a in arguments)
    if origin in (dict, list, tuple):
        return _collection_words(origin, arguments)
    return _TYPE_WORDS.get(annotation, str(annotation))


def _collection_words(origin: object, arguments: tuple[object, ...]) -> str:
    if origin is dict:
        words = type_words(arguments[1])
        return f"({words}) by name" if " or " in words else f"{words} by name"
    has_any_length = origin is list or arguments[-1] is Ellipsis
    return f"list{'' if has_any_length else f' of {len(arguments)}'}, each {type_words(arguments[0])}"


def bounds_words(constraints: Iterable[object]) -> str:
    """Constraints of a field as text, such as ">= 1 and <= 8"; those without words are left out."""
    return " and ".join(filter(None, map(_bound, constraints)))


def _listed(parts: list[str]) -> list[str]:
    """The key under which an option is listed."""
    for key, other in _SAME_OPTIONS.items():
        depth = len(key.split("."))
        if len(parts) > depth and _matches(key.split("."), parts[:depth]):
            return [*other.split("."), *parts[depth:]]
    return parts


def _matches(pattern: list[str], parts: list[str]) -> bool:
    if len(pattern) != len(parts):
        return False
    return all(p in (ANY_NAME, part) for p, part in zip(pattern, parts, strict=True))


def _section_knobs(section: type[Section], *, prefix: str, choice: str | None) -> Iterator[Knob]:
    for name, info in section.model_fields.items():
        key = f"{prefix}{name}"
        members = _members(info.annotation)
        value = _dict_value(info.annotation)
        if value is not None:
            key, members = f"{key}.{ANY_NAME}", _members(value)
        if key in _SAME_OPTIONS:
            yield replace(_leaf(info, key=key, choice=choice), kind=f"the options of {_SAME_OPTIONS[key]}", bounds="")
        elif not members:
            yield _leaf(info, key=key, choice=choice)
        elif len(members) == 1:
            yield from _section_knobs(members[0], prefix=f"{key}.", choice=choice)
        else:
            yield from _choice_knobs(members, key=key)


def _choice_knobs(members: Sequence[type[Section]], *, key: str) -> Iterator[Knob]:
    """The knobs of several sections to choose from; what they mean alike stands once."""
    kinds = [str(_kind_of(member)) for member in members]
    yield Knob(key=f"{key}.kind", kind=f"one of {', '.join(kinds)}", bounds="", meaning="", choice=None)
    holders: dict[Knob, list[str]] = {}
    for kind, member in zip(kinds, members, strict=True):
        for knob in _section_knobs(member, prefix=f"{key}.", choice=None):
            holders.setdefault(knob, []).append(kind)
    for knob, holding in holders.items():
        if knob.key != f"{key}.kind":
            only = None if holding == kinds else f"{key}.kind={', '.join(holding)}"
            yield knob if knob.choice else replace(knob, choice=only)


def _section_meanings(section: type[Section], *, prefix: str) -> Iterator[tuple[str, str]]:
    for name, info in section.model_fields.items():
        members = _members(info.annotation) or _members(_dict_value(info.annotation))
        if not members:
            continue
        alternatives = " | ".join(f"{_kind_of(m)}: {m.__doc__}" for m in members)
        own = info.description or (members[0].__doc__ if len(members) == 1 else alternatives)
        yield f"{prefix}{name}", " ".join((own or "").split())
        if len(members) == 1:
            yield from _section_meanings(members[0], prefix=f"{prefix}{name}.")


def _leaf(info: FieldInfo, *, key: str, choice: str | None) -> Knob:
    return Knob(
        key=key,
        kind=type_words(info.annotation),
        bounds=bounds_words(info.metadata),
        meaning=" ".join((info.description or "").split()),
        choice=choice,
    )


def _bound(constraint: object) -> str:
    words = _BOUND_WORDS.get(type(constraint))
    if words is None or not is_dataclass(constraint) or isinstance(constraint, type):
        return ""
    return f"{words} {astuple(constraint)[0]}"


def _members(annotation: object) -> tuple[type[Section], ...]:
    """The sections an annotation may hold: one for a section, several for a choice, none for a value."""
    if isinstance(annotation, type) and issubclass(annotation, Section):
        return (annotation,)
    if get_origin(annotation) is Annotated:
        return _members(get_args(annotation)[0])
    if get_origin(annotation) in (Union, types.UnionType):
        return tuple(member for argument in get_args(annotation) for member in _members(argument))
    return ()


def _dict_value(annotation: object) -> object | None:
    return get_args(annotation)[1] if get_origin(annotation) is dict else None


def _kind_of(section: type[Section]) -> str | None:
    info = section.model_fields.get("kind")
    return str(get_args(info.annotation)[0]) if info is not None else None
