"""What is wrong with a configuration, one readable line per problem."""

import re
from collections.abc import Container, Mapping, Sequence

from pydantic import ValidationError

from conf.errors import did_you_mean
from conf.groups import group_choices
from conf.keys import ANY_NAME, Knob, all_knobs, expected_of, find_knobs, key_of_location


def validation_problems(error: ValidationError) -> list[str]:
    """Pydantic's findings in the words of the schema: the key, what was given, what is allowed."""
    return [line for finding in error.errors(include_url=False) for line in _lines(finding)]


def unknown_key(key: str, *, known: Sequence[str]) -> str:
    """The problem line of a key that does not exist in this run; ``known`` are the keys that do."""
    knobs = find_knobs(key)
    if any(ANY_NAME in knob.key for knob in knobs):
        return _unknown_name(key, pattern=knobs[0].key, known=known)
    if any(knob.choice for knob in knobs):
        return _of_another_choice(key, knobs)
    section = key.partition(".")[0]
    if knobs and section in group_choices():
        names = ", ".join(group_choices()[section])
        return f"{key}: this run has no section {section}; choose one of {section}={names}"
    return f"{key}: unknown key{did_you_mean(key, known)}"


def missing_value(key: str, *, tags: Container[object] = ()) -> str:
    """The problem line of a key that must be given and is not; ``tags`` are the choices made above it, if known."""
    knobs = find_knobs(key)
    # Several choices may have an option of that name and mean different things by it.
    knobs = [knob for knob in knobs if any(kind in tags for kind in _kinds(knob))] or knobs
    if not knobs:
        return f"{key}: must be given"
    meaning = f": {knobs[0].meaning}" if knobs[0].meaning else ""
    return f"{key}: must be given, {expected_of(knobs)}{meaning}"


def _kinds(knob: Knob) -> list[str]:
    """The choices that have the knob, out of ``"rewards.terms.<name>.kind=format, ranking"``."""
    return (knob.choice or "").rpartition("=")[2].split(", ")


def _unknown_name(key: str, *, pattern: str, known: Sequence[str]) -> str:
    depth = pattern.split(".").index(ANY_NAME)
    section = ".".join(key.split(".")[:depth])
    names = sorted({k.split(".")[depth] for k in known if k.startswith(f"{section}.")} - {ANY_NAME})
    own = ".".join(key.split(".")[: depth + 1])
    return f"{key}: this run has no {own}, {section} holds {', '.join(names)}; add it with +{own}={{kind:...}}"


def _lines(finding: Mapping[str, object]) -> list[str]:
    location = finding["loc"]
    assert isinstance(location, tuple)
    key = key_of_location(location)
    match finding["type"]:
        case "extra_forbidden":
            return [_forbidden(key)]
        case "missing":
            return [missing_value(key, tags=location)]
        case "union_tag_not_found":
            return [missing_value(f"{key}.kind")]
        case "union_tag_invalid":
            return [_bad_tag(key, finding)]
        case "value_error":
            text = str(finding["msg"]).removeprefix("Value error, ")
            return [f"{key}: {line}" if key else line for line in text.splitlines()]
    return [_bad_value(key, finding)]


def _forbidden(key: str) -> str:
    knobs = find_knobs(key)
    if any(knob.choice for knob in knobs):
        return _of_another_choice(key, knobs)
    return unknown_key(key, known=[knob.key for knob in all_knobs()])


def _of_another_choice(key: str, knobs: Sequence[Knob]) -> str:
    choices = sorted({knob.choice for knob in knobs if knob.choice})
    return f"{key}: this run has no such option; it belongs to {' or '.join(choices)}"


def _bad_tag(key: str, finding: Mapping[str, object]) -> str:
    context = finding["ctx"]
    assert isinstance(context, dict)
    allowed = [tag.strip("'") for tag in str(context["expected_tags"]).split(", ")]
    return (
        f"{key}.kind={context['tag']}: expected one of {', '.join(allowed)}{did_you_mean(str(context['tag']), allowed)}"
    )


def _bad_value(key: str, finding: Mapping[str, object]) -> str:
    given = f"{key}={_shown(finding['input'])}"
    knobs = find_knobs(key) or find_knobs(key.rpartition(".")[0])
    if not knobs:
        return f"{given}: expected a section with its own keys, such as {_example_below(key)}"
    detail = ""
    if finding["type"] == "literal_error":
        # Pydantic knows which choice was made; the knobs are those of every choice that has such an option.
        allowed = _allowed(finding)
        return f"{given}: expected one of {', '.join(allowed)}{did_you_mean(str(finding['input']), allowed)}"
    if finding["type"] == "string_pattern_mismatch":
        context = finding["ctx"]
        assert isinstance(context, dict)
        detail = f" matching {context['pattern']}"
    return f"{given}: expected {expected_of(knobs)}{detail}"


def _allowed(finding: Mapping[str, object]) -> list[str]:
    """The values of a literal, out of pydantic's ``"'strict', 'tolerant' or 'number'"``."""
    context = finding["ctx"]
    assert isinstance(context, dict)
    return [value.strip("'") for value in re.split(r", | or ", str(context["expected"]))]


def _shown(value: object) -> str:
    if value is None:
        return "null"
    if isinstance(value, bool):
        return str(value).lower()
    text = repr(value) if isinstance(value, str) else str(value)
    return text if len(text) <= 80 else f"{text[:77]}..."


def _example_below(key: str) -> str:
    return next((knob.key for knob in all_knobs() if knob.key.startswith(f"{key}.")), "those of conf/run.yaml")
