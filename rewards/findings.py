"""Answers about the defect of a picture: text in, a finding and its worth out.

An answer is compared with the candidates of its question after case, surplus white space and one final full stop are
taken away from both; nothing is guessed. On the candidates blur, haze, tint and noise, and the severities mild, clear
and strong:

=====================  ====================  =======================================  ============
asked for              answer                finding                                  status
=====================  ====================  =======================================  ============
type                   ``Blur.``             blur                                     ok
type                   ``none``              no defect                                ok
type                   ``strong blur``       None                                     no_candidate
type                   ``blur or haze``      None                                     no_candidate
severity               ``clear``             clear                                    ok
type_and_severity      ``Blur,strong``       blur, strong                             ok
type_and_severity      ``strong, blur``      None: the type comes first               no_candidate
area                   ``[14, 0, 56, 28]``   edges 14, 0, 56 and 28                   ok
area                   ``[56, 0, 14, 28]``   None: the right edge is not right        no_box
area                   ``14, 0, 56, 28``     None: no brackets                        no_box
=====================  ====================  =======================================  ============
"""

import re
from typing import Literal

from rollout.types import NO_DEFECT, Box, Defect, Finding

SEVERITY_CREDIT = (1.0, 0.6, 0.2)
"""Worth of a severity by its distance from the right one in steps; beyond these nothing."""
LEAST_OVERLAP = 0.5
"""Intersection over union from which a box counts as found."""

SeverityCredit = Literal["graded", "exact"]
_EDGE = r"\s*([0-9]{1,6}(?:\.[0-9]+)?)\s*"
_BOX = re.compile(rf"\[{_EDGE},{_EDGE},{_EDGE},{_EDGE}\]")


def read_finding(answer: str, *, defect: Defect) -> Finding | None:
    """What an answer says, in the words of the question; None where it is no answer to it."""
    said = _plain(answer)
    if said == NO_DEFECT:
        return Finding()
    if defect.task == "area":
        box = _read_box(said)
        return None if box is None else Finding(box=box)
    return _read_words(said, defect=defect)


def credit(finding: Finding | None, *, defect: Defect, severity: SeverityCredit) -> float:
    """What an answer is worth, 0..1; an unreadable one nothing.

    Type and region: 1 when right. Severity: ``SEVERITY_CREDIT`` by distance, or 1 when right with "exact". Type and
    severity: nothing without the right type, and with it one half and half the worth of the severity. Area: the
    intersection over union, and 1 for a pristine picture found pristine.
    """
    if finding is None:
        return 0.0
    truth = defect.finding
    if defect.task == "area":
        if finding.box is None or truth.box is None:
            return float(finding == truth)
        return intersection_over_union(finding.box, truth.box)
    if defect.task in ("type", "region"):
        return float(finding == truth)
    worth = _severity_credit(finding, defect=defect, severity=severity)
    if defect.task == "severity":
        return worth
    return (1.0 + worth) / 2 if finding.kind == truth.kind else 0.0


def is_right(finding: Finding | None, *, defect: Defect) -> bool:
    """Whether an answer is wholly right: in its words, or a box with at least ``LEAST_OVERLAP``."""
    least = LEAST_OVERLAP if defect.task == "area" else 1.0
    return credit(finding, defect=defect, severity="exact") >= least


def intersection_over_union(first: Box, second: Box) -> float:
    """Shared area of two boxes over the area of both together, 0..1. Boxes are not cut at the picture's edge."""
    width = min(first[2], second[2]) - max(first[0], second[0])
    height = min(first[3], second[3]) - max(first[1], second[1])
    if width <= 0 or height <= 0:
        return 0.0
    shared = width * height
    return shared / (_area(first) + _area(second) - shared)


def _plain(text: str) -> str:
    return " ".join(text.casefold().split()).removesuffix(".")


def _read_words(said: str, *, defect: Defect) -> Finding | None:
    if defect.task == "type_and_severity":
        first, _, second = said.partition(",")
        kind = _choose(first.strip(), defect.candidates)
        severity = _choose(second.strip(), defect.severities)
        return None if kind is None or severity is None else Finding(kind=kind, severity=severity)
    word = _choose(said, defect.severities if defect.task == "severity" else defect.candidates)
    if word is None:
        return None
    if defect.task == "severity":
        return Finding(severity=word)
    return Finding(region=word) if defect.task == "region" else Finding(kind=word)


def _choose(said: str, candidates: tuple[str, ...]) -> str | None:
    return next((candidate for candidate in candidates if _plain(candidate) == said), None)


def _read_box(said: str) -> Box | None:
    found = _BOX.fullmatch(said)
    if found is None:
        return None
    left, top, right, bottom = (float(edge) for edge in found.groups())
    return (left, top, right, bottom) if left < right and top < bottom else None


def _severity_credit(finding: Finding, *, defect: Defect, severity: SeverityCredit) -> float:
    distance = abs(_step(finding.severity, defect) - _step(defect.finding.severity, defect))
    if severity == "exact":
        return float(distance == 0)
    return SEVERITY_CREDIT[distance] if distance < len(SEVERITY_CREDIT) else 0.0


def _step(severity: str | None, defect: Defect) -> int:
    """Place of a severity on the scale, 0 for no defect."""
    return 0 if severity is None else 1 + defect.severities.index(severity)


def _area(box: Box) -> float:
    return (box[2] - box[0]) * (box[3] - box[1])
