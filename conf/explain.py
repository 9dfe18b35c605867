"""The schema told to a person: one knob, or all of them."""

import textwrap
from collections.abc import Sequence

from conf.effective import leaf_values
from conf.errors import ConfigError, did_you_mean
from conf.groups import group_choices
from conf.keys import ANY_NAME, Knob, all_knobs, find_knobs, section_meanings
from conf.load import compose_tree

_WIDTH = 110


def describe(key: str, overrides: Sequence[str] = ()) -> str:
    """Type, bounds, value and meaning of a knob, or the same for everything below a section.

    Raises:
        ConfigError: There is no such key; the nearest one is suggested.
    """
    knobs = find_knobs(key) or [knob for knob in all_knobs() if knob.key.startswith(f"{key}.")]
    if not knobs:
        names = [*section_meanings(), *(knob.key for knob in all_knobs())]
        raise ConfigError([f"{key}: unknown key{did_you_mean(key, names)}"])
    values = leaf_values(compose_tree(overrides))
    lines = [_entry(knob, values=values, asked=key) for knob in knobs]
    meaning = section_meanings().get(key)
    return "\n".join([f"{key}: {meaning}", *_choices(key), *lines] if meaning else lines)


def listing(overrides: Sequence[str] = ()) -> str:
    """Every knob by section, with type, bounds, composed value and meaning."""
    sections = dict.fromkeys(knob.key.partition(".")[0] for knob in all_knobs())
    return "\n\n".join(describe(section, overrides) for section in sections)


def _choices(key: str) -> list[str]:
    names = group_choices().get(key, ())
    return [f"  choices: {key}={', '.join(names)}"] if names else []


def _entry(knob: Knob, *, values: dict[str, object], asked: str) -> str:
    key = asked if len(asked.split(".")) == len(knob.key.split(".")) else knob.key
    value = "" if ANY_NAME in key or key not in values else f" = {_shown(values[key])}"
    only = f" [{knob.choice}]" if knob.choice else ""
    text = textwrap.fill(knob.meaning, _WIDTH, initial_indent="      ", subsequent_indent="      ")
    return f"  {key}{value}  ({knob.expected}){only}" + (f"\n{text}" if text else "")


def _shown(value: object) -> str:
    if value is None:
        return "null"
    return str(value).lower() if isinstance(value, bool) else str(value)
