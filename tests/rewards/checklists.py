"""VisionReward's files, read in place, and small checklists of known arithmetic."""

from collections.abc import Iterable, Mapping
from pathlib import Path

import pytest

from rewards.checklist.answers import NO, YES, Answer
from rewards.checklist.published import ALIGNMENT, HarmGate, Published, PublishedName, load_published
from rollout.checklist.questions import Checklist

FOLDER = Path(__file__).parents[3] / "shared/data/visionreward"
FILES: dict[PublishedName, tuple[str, str | None]] = {
    "image": ("VisionReward_Image/VisionReward_image_qa.txt", "VisionReward_Image/weight.json"),
    "image_select": ("VisionReward_Image/VisionReward_image_qa_select.txt", "VisionReward_Image/weight_select.json"),
    "video": ("VisionReward_Video/VisionReward_video_qa.txt", None),
    "video_select": ("VisionReward_Video/VisionReward_video_qa_select.txt", "VisionReward_Video/weight.json"),
}


def shared_file(name: str) -> Path:
    """A published file; skips the test where it is not beside the repository."""
    path = FOLDER / name
    if not path.exists():
        pytest.skip("VisionReward's files are not beside this checkout")
    return path


def published(name: PublishedName, *, harm_gate: HarmGate = "released") -> Published:
    """A published checklist with its weights."""
    questions, weights = FILES[name]
    return load_published(
        shared_file(questions), weights=None if weights is None else shared_file(weights), harm_gate=harm_gate
    )


def yes_no(letters: Iterable[str]) -> list[Answer]:
    """Y and N as hard answers."""
    return [YES if letter == "Y" else NO for letter in letters]


def image_answers(letters: str, *, alignment: float) -> dict[str, Answer]:
    """Answers to the 30 lines of the selection, gates first, and the alignment score."""
    lines = dict(zip(published("image_select").file_order, yes_no(letters), strict=True))
    return {ALIGNMENT: Answer(status="ok", p_yes=alignment), **lines}


def video_answers(no_at: Iterable[int]) -> dict[str, Answer]:
    """Answers to the 29 lines of the selection: no at some of them, yes elsewhere."""
    no_lines = set(no_at)
    return {one: NO if line in no_lines else YES for line, one in enumerate(published("video_select").file_order)}


def make_checklist(
    parts: Mapping[str, Mapping[str, int]], *, gates: Mapping[str, tuple[str, ...]] | None = None
) -> Checklist:
    """So many graded questions by dimension and sub-dimension, called ``dimension.sub.1`` and so on."""
    return Checklist.model_validate(
        {
            "name": "small",
            "version": 1,
            "kind": "image",
            "gates": [
                {"id": one, "text": f"Is there {one}?", "closes": closes} for one, closes in (gates or {}).items()
            ],
            "dimensions": [
                {
                    "name": dimension,
                    "sub_dimensions": [
                        {
                            "name": sub,
                            "is_graded": True,
                            "questions": [
                                {"id": f"{dimension}.{sub}.{rank}", "text": f"Is {sub} of grade {rank}?"}
                                for rank in range(1, size + 1)
                            ],
                        }
                        for sub, size in subs.items()
                    ],
                }
                for dimension, subs in parts.items()
            ],
        }
    )
