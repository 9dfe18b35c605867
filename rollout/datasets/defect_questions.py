"""The wording of questions about the local defect of a picture, and of the answers demonstrations show.

Each task is asked of one picture, or of a picture beside its undistorted reference (arXiv 2508.03763 has both kinds of
question; the words are our own). Pictures come first, the reference before the picture asked about.
"""

from rollout.types import NO_DEFECT, DefectTask, Finding, Media, Message

_ALONE: dict[DefectTask, str] = {
    "type": "Part of this picture may have a defect. Which one? Choose from: {candidates}.",
    "severity": "How strong is the defect of this picture? Choose from: {severities}.",
    "type_and_severity": (
        "Which defect has a part of this picture, and how strong is it? Choose from: {candidates}; "
        "and from: {severities}. Answer with both, separated by a comma, or with {none} alone."
    ),
    "region": "Where in this picture is the defect? Choose from: {candidates}.",
    "area": "Which area of this picture has the defect? Answer with its box [x1, y1, x2, y2] in pixels, or {none}.",
}
_BESIDE_REFERENCE: dict[DefectTask, str] = {
    "type": "The first picture is the reference. What was done to a part of the second? Choose from: {candidates}.",
    "severity": "How far is the second picture from the first, its reference? Choose from: {severities}.",
    "type_and_severity": (
        "The first picture is the reference. What was done to a part of the second, and how strongly? Choose from: "
        "{candidates}; and from: {severities}. Answer with both, separated by a comma, or with {none} alone."
    ),
    "region": "Where does the second picture differ from the first, its reference? Choose from: {candidates}.",
    "area": (
        "The first picture is the reference. Which area of the second differs from it? "
        "Answer with its box [x1, y1, x2, y2] in pixels, or {none}."
    ),
}
_FORM = " Think in <think> </think> tags, then answer in <answer> </answer> tags."
_DESCRIBE_ALONE = "Please describe the defects of this picture."
_DESCRIBE_BESIDE_REFERENCE = "Please describe the defects of the second picture."


def ask_about_defect(
    task: DefectTask,
    *,
    picture: Media,
    reference: Media | None,
    candidates: tuple[str, ...],
    severities: tuple[str, ...],
) -> tuple[Message, ...]:
    """One user turn: the reference where it is shown, the picture, then the question; "none" is the last choice."""
    text = (_ALONE if reference is None else _BESIDE_REFERENCE)[task] + _FORM
    # A question about both names its "none" once, at the end.
    end = () if task == "type_and_severity" else (NO_DEFECT,)
    filled = text.format(
        candidates=", ".join((*candidates, *end)), severities=", ".join((*severities, *end)), none=NO_DEFECT
    )
    return _one_turn(filled, picture=picture, reference=reference)


def ask_for_defects(*, picture: Media, reference: Media | None) -> tuple[Message, ...]:
    """One user turn: the pictures, then the request for a description."""
    text = _DESCRIBE_ALONE if reference is None else _DESCRIBE_BESIDE_REFERENCE
    return _one_turn(text, picture=picture, reference=reference)


def describe_finding(found: Finding) -> str:
    """The sentence that says all about a defect: "This picture shows strong blur top left in [0, 0, 42, 28]."."""
    if found == Finding():
        return "This picture shows no defects."
    return f"This picture shows {found.severity} {found.kind} {found.region} in {Finding(box=found.box).words}."


def answer_finding(found: Finding, *, thought: str) -> str:
    """The assistant text that answers a question."""
    return f"<think>{thought}</think><answer>{found.words}</answer>"


def _one_turn(text: str, *, picture: Media, reference: Media | None) -> tuple[Message, ...]:
    pictures = (picture,) if reference is None else (reference, picture)
    return (Message(role="user", content=(*pictures, text)),)
