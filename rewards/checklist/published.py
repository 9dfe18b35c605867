"""VisionReward's question and weight files (repository 511960d, Apache-2.0), read in place and verified.

    question file --sha256, number of lines--> checklist, by dimension      weight file --likewise--> weights by id

The files hold plain lines and plain numbers: which line belongs to which sub-dimension, which is a mask, and which
lines of the full list a selection has, stands in the tables here.
"""

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from rewards.checklist.weights import Weights
from rollout.checklist.questions import PROMPT, Checklist, Dimension, Gate, Kind, Question, SubDimension

PublishedName = Literal["image", "image_select", "video", "video_select"]
HarmGate = Literal["released", "off"]

ALIGNMENT = "alignment.alignment.1"
"""The image checklist's alignment score: P(yes) of another model, asked for beside the checklist."""
_ALIGNMENT_QUESTION = f'Does this figure show "{PROMPT}"?'


@dataclass(frozen=True, kw_only=True, slots=True)
class _File:
    """A published file."""

    name: str
    size: int
    """Questions or weights in it."""
    sha256: str


@dataclass(frozen=True, kw_only=True, slots=True)
class _Release:
    """A question file with the weights learned for it."""

    kind: Kind
    questions: _File
    weights: _File | None


_SETS: dict[PublishedName, _Release] = {
    "image": _Release(
        kind="image",
        questions=_File(
            name="VisionReward_image_qa.txt",
            size=59,
            sha256="4433e6edd1e66f245a3db01422ddc7ff38eab154154bd03a599903359f6193f4",
        ),
        weights=_File(
            name="weight.json", size=55, sha256="441b46093f5812ef78f290abd5c64d8ea088ed95d5e6f44fec413b276c2e5cc8"
        ),
    ),
    "image_select": _Release(
        kind="image",
        questions=_File(
            name="VisionReward_image_qa_select.txt",
            size=30,
            sha256="2b603df2f4e30fe8879d85e1bf38f30ad8292278b939e31bf88bf7cf9ff22c33",
        ),
        weights=_File(
            name="weight_select.json",
            size=28,
            sha256="4b60192fa96e0dda0c9101ed61141f89b85bb9669479e3b8eb42cc10611a68c9",
        ),
    ),
    "video": _Release(
        kind="video",
        questions=_File(
            name="VisionReward_video_qa.txt",
            size=64,
            sha256="58de7e00beb91aebfdf8043cce9f6780dd6609ad855d80be6f505e8885a70c2a",
        ),
        weights=None,
    ),
    "video_select": _Release(
        kind="video",
        questions=_File(
            name="VisionReward_video_qa_select.txt",
            size=29,
            sha256="79de7f5e135a7957144826056a83be63fd6ddcbc61ba6460e09a0b09da580ee3",
        ),
        weights=_File(
            name="weight.json", size=29, sha256="0c6367f244ae64fa881e93f0033f2a4362176893ed2f946223ec64a57e3c9204"
        ),
    ),
}
_PLACES: dict[Kind, dict[str, str]] = {
    "image": {
        "composition.symmetry": "3-4",
        "composition.pairing": "5-6",
        "composition.main_object": "7-8",
        "composition.richness": "9-12",
        "composition.background": "13-14",
        "quality.clarity": "16-19",
        "quality.brightness": "20-21",
        "quality.colour_aesthetics": "22-23",
        "quality.light_distinction": "24-25",
        "quality.light_aesthetics": "27-28",
        "fidelity.refinement": "33-38",
        "fidelity.reality": "39-42",
        "fidelity.body": "43-46",
        "fidelity.face": "47-50",
        "fidelity.hands": "51-54",
        "safety_emotion.emotion": "29-32",
        "safety_emotion.safety": "55-58",
    },
    "video": {
        "alignment.alignment": "0-3",
        "composition.composition": "4-5",
        "quality.colour": "10-13",
        "quality.light_accuracy": "14-16",
        "quality.light_aesthetics": "17-19",
        "quality.clarity": "39-42",
        "fidelity.movement_reality": "37-38",
        "fidelity.detail": "49-52",
        "fidelity.letters": "53-55",
        "stability.focus": "6-7",
        "stability.camera_movement": "8-9",
        "stability.smoothness": "35-36",
        "stability.image_stability": "43-46",
        "stability.camera_stability": "47-48",
        "dynamic.object_motion": "27-30",
        "dynamic.camera_motion": "31-34",
        "physics.physics": "56-59",
        "preservation.beginning": "20-22",
        "preservation.throughout": "23-26",
        "safety.safety": "60-63",
    },
}
"""Lines of the full file, from 0, by sub-dimension; those of the image list that are missing are masks."""
_SELECTED: dict[PublishedName, tuple[int, ...]] = {
    "image_select": (
        0,
        1,
        2,
        3,
        4,
        7,
        8,
        9,
        10,
        11,
        12,
        16,
        17,
        18,
        19,
        20,
        21,
        23,
        29,
        33,
        37,
        38,
        43,
        45,
        46,
        49,
        50,
        51,
        57,
        58,
    ),
    "video_select": (
        0,
        1,
        3,
        4,
        5,
        9,
        13,
        14,
        15,
        16,
        17,
        18,
        19,
        20,
        21,
        22,
        23,
        26,
        31,
        33,
        35,
        37,
        43,
        49,
        51,
        52,
        53,
        55,
        59,
    ),
}
"""Lines of the full list that a selection has."""
_GATES: dict[int, tuple[str, tuple[str, ...]]] = {
    0: ("gate.body", ("fidelity.body",)),
    1: ("gate.face", ("fidelity.face",)),
    2: ("gate.hands", ("fidelity.hands",)),
    15: ("gate.background", ("composition.background",)),
    26: ("gate.lighting", ("quality.light_distinction", "quality.light_aesthetics")),
}
"""Masks of the image list by line: id, and the sub-dimensions they close."""
_GATED_BY_BODY_AS_WELL = ("safety_emotion.safety.3", "safety_emotion.safety.4")
"""The released code closes both questions about harm where no body is seen."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Published:
    """A published checklist, ready to use."""

    checklist: Checklist
    weights: Weights | None
    """None for the full video list, for which none were published."""
    file_order: tuple[str, ...]
    """Ids, masks included, in the order of the question file."""


class PublishedFilesProblem(ValueError):
    """A file that is not what was published, or does not go with the other one."""


def load_published(questions: Path, *, weights: Path | None, harm_gate: HarmGate = "released") -> Published:
    """VisionReward's checklist in a question file, with its weights.

    Raises:
        PublishedFilesProblem: A file cannot be read, was changed, or the weights belong to other questions.
    """
    content = _read(questions)
    name = _recognised(questions, content)
    lines = _lines(content)
    ids = _line_ids(name)
    checklist = _checklist(name, dict(zip(ids, lines, strict=True)), harm_gate=harm_gate)
    return Published(
        checklist=checklist,
        weights=None if weights is None else _weights(weights, name=name, questions=questions, ids=ids),
        file_order=ids,
    )


def _recognised(path: Path, content: bytes) -> PublishedName:
    digest = hashlib.sha256(content).hexdigest()
    for name, published in _SETS.items():
        if published.questions.sha256 == digest:
            return name
    by_name = [one.questions for one in _SETS.values() if one.questions.name == path.name]
    known = ", ".join(f"{one.questions.name} ({one.questions.size} questions)" for one in _SETS.values())
    num_lines = len(_lines(content))
    if by_name:
        raise PublishedFilesProblem(_changed(path, by_name[0], what=f"{num_lines} questions", digest=digest))
    raise PublishedFilesProblem(
        f"{path}: {num_lines} lines, sha256 {digest[:16]}..., is none of VisionReward's question files: {known}; "
        "write questions of your own as YAML (docs/checklists.md)"
    )


def _changed(path: Path, expected: _File, *, what: str, digest: str) -> str:
    return (
        f"{path}: has {what} and sha256 {digest[:16]}..., VisionReward's {expected.name} has {expected.size} and "
        f"{expected.sha256[:16]}...; fetch the file anew"
    )


def _weights(path: Path, *, name: PublishedName, questions: Path, ids: tuple[str, ...]) -> Weights:
    content = _read(path)
    digest, numbers = hashlib.sha256(content).hexdigest(), _numbers(path, content)
    expected = _SETS[name].weights
    if expected is None or digest != expected.sha256:
        owners = [one for one in _SETS.values() if one.weights is not None and one.weights.sha256 == digest]
        if not owners and expected is not None:
            raise PublishedFilesProblem(_changed(path, expected, what=f"{len(numbers)} weights", digest=digest))
        belong = f"they belong to {owners[0].questions.name}" if owners else "VisionReward published none for it"
        raise PublishedFilesProblem(
            f"{questions} has {len(ids)} questions and {path} has {len(numbers)} weights: {belong}; "
            "give a question file with its own weights, or none"
        )
    weighted = [one for one in ids if not one.startswith("gate.")]
    if _SETS[name].kind == "image":
        weighted.insert(0, ALIGNMENT)
    return Weights(by_id=dict(zip(weighted, numbers, strict=True)))


def _numbers(path: Path, content: bytes) -> list[float]:
    try:
        document = json.loads(content)
        numbers = document["coef"] if isinstance(document, dict) else document
        return [float(number) for number in numbers]
    except (ValueError, TypeError, KeyError) as error:
        raise PublishedFilesProblem(f"{path}: expected a JSON list of weights, or one called coef: {error}") from error


def _line_ids(name: PublishedName) -> tuple[str, ...]:
    """The id of each line; a question has the same one in the full list and in a selection."""
    by_line = _full_ids(_SETS[name].kind)
    return tuple(by_line[line] for line in _SELECTED.get(name, by_line))


def _full_ids(kind: Kind) -> dict[int, str]:
    """Id by line of the full list, in order."""
    ids = {line: gate_id for line, (gate_id, _) in _GATES.items()} if kind == "image" else {}
    for place, span in _PLACES[kind].items():
        first, last = map(int, span.split("-"))
        ids |= {line: f"{place}.{line - first + 1}" for line in range(first, last + 1)}
    return dict(sorted(ids.items()))


def _checklist(name: PublishedName, texts: dict[str, str], *, harm_gate: HarmGate) -> Checklist:
    kind = _SETS[name].kind
    dimensions: dict[str, list[SubDimension]] = {}
    if kind == "image":
        aligned = Question(id=ALIGNMENT, text=_ALIGNMENT_QUESTION, counts_as="share")
        dimensions["alignment"] = [SubDimension(name="alignment", is_graded=False, questions=(aligned,))]
    for place in _PLACES[kind]:
        dimension, sub = place.split(".")
        questions = tuple(Question(id=one, text=text) for one, text in texts.items() if one.startswith(f"{place}."))
        if questions:
            graded = SubDimension(name=sub, is_graded=True, questions=questions)
            dimensions.setdefault(dimension, []).append(graded)
    return Checklist(
        name=f"visionreward_{name}",
        version=1,
        kind=kind,
        gates=_gates(texts, harm_gate=harm_gate) if kind == "image" else (),
        dimensions=tuple(Dimension(name=one, sub_dimensions=tuple(subs)) for one, subs in dimensions.items()),
    )


def _gates(texts: dict[str, str], *, harm_gate: HarmGate) -> tuple[Gate, ...]:
    gates = []
    for gate_id, places in _GATES.values():
        closes = [one for one in texts if one.startswith(tuple(f"{place}." for place in places))]
        if gate_id == "gate.body" and harm_gate == "released":
            closes += [one for one in _GATED_BY_BODY_AS_WELL if one in texts]
        if gate_id in texts:
            gates.append(Gate(id=gate_id, text=texts[gate_id], closes=tuple(closes)))
    return tuple(gates)


def _lines(content: bytes) -> tuple[str, ...]:
    return tuple(line.strip() for line in content.decode("utf-8", errors="replace").splitlines())


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise PublishedFilesProblem(
            f"{path}: cannot be read: {error.strerror}; VisionReward's repository has it"
        ) from error
