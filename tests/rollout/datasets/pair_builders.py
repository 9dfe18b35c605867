"""Small files of pairs with their pictures, for tests."""

import io
import json
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from conf.data import PreferencePairsConfig
from rollout.datasets.preference_pairs import build_preference_pairs
from rollout.datasets.problems import DatasetProblems
from rollout.types import Prompt

Row = dict[str, object]
VIDEO = {"fps": 2.0, "max_frames": 8, "max_pixels": 10_000, "total_pixels": None}


def pair_row(name: str, *, better: int = 1, image: str | None = None, **changes: object) -> Row:
    shown: Row = {} if {"images", "video"} & set(changes) else {"image": image or f"{name}.png"}
    return {
        "id": name,
        "question": "What is it?",
        "responses": ["A cat.", "A dog."],
        "better": better,
        **shown,
        **changes,
    }


def message_of(*, image: str | None, first: str = "A cat.", second: str = "A dog.") -> str:
    text = f"Compare.\n#### [Question]:\nWhat is it?\n#### [Response 1]:\n{first}\n#### [Response 2]:\n{second}"
    picture = {"type": "image", "image": image} if image else {"type": "image"}
    return json.dumps([{"role": "user", "content": [{"type": "text", "text": text}, picture]}])


def published_row(image: str, *, better: int = 1, first: str = "A cat.") -> Row:
    message = message_of(image=image, first=first)
    return {"message": message, "question": "What is it?", "answer": [f"<answer>{better}</answer>"]}


TRAIN = [pair_row("a"), pair_row("b", better=2), pair_row("c"), pair_row("d")]
TEST = [pair_row("e", better=2), pair_row("f")]


def picture(grey: int) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(np.full((30, 40, 3), grey, dtype=np.uint8)).save(buffer, "PNG")
    return buffer.getvalue()


def make_config(
    tmp_path: Path, *, train: Sequence[Row] = TRAIN, test: Sequence[Row] = TEST, **changes: object
) -> PreferencePairsConfig:
    """A folder of pictures a.png to h.png, one of frames, and two files of rows."""
    images = tmp_path / "images"
    (images / "clip").mkdir(parents=True, exist_ok=True)
    for grey, name in enumerate("abcdefgh"):
        (images / f"{name}.png").write_bytes(picture(grey))
        (images / "clip" / f"{grey}.png").write_bytes(picture(grey))
    for name, rows in (("train", train), ("test", test)):
        (tmp_path / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    values: Mapping[str, object] = {
        "kind": "preference_pairs",
        "image_folder": str(images),
        "train_labels": str(tmp_path / "train.jsonl"),
        "test_labels": str(tmp_path / "test.jsonl"),
        "label_format": "plain",
        "prompt": "pairwise_brief",
        "order": "as_given",
        "data_seed": 0,
        "traces": None,
        "difficulty": "all",
        "too_long": "refuse",
        "video": VIDEO,
    }
    return PreferencePairsConfig.model_validate({**values, **changes})


def prompts_of(config: PreferencePairsConfig, *, split: str = "train") -> list[Prompt]:
    data = build_preference_pairs(config)
    dataset = data.train if split == "train" else data.test
    return [dataset.prompt(index) for index in range(len(dataset))]


def problems_of(config: PreferencePairsConfig) -> list[str]:
    """Kind, place (without folders) and complaint of each problem."""
    with pytest.raises(DatasetProblems) as caught:
        build_preference_pairs(config)
    folder = str(Path(config.train_labels).parent)
    return [f"{one.kind} {Path(one.where).name}: {one.what.replace(folder, '...')}" for one in caught.value.problems]


def published_config(tmp_path: Path, *, train: Sequence[Row], **changes: object) -> PreferencePairsConfig:
    options: dict[str, object] = {"label_format": "r1_reward", "prompt": "as_given", **changes}
    return make_config(tmp_path, train=train, test=[published_row("f.png", better=2)], **options)


def text_of(prompt: Prompt) -> str:
    (text,) = (part for message in prompt.messages for part in message.content if isinstance(part, str))
    return text


def make_trace(name: str, *, better: int = 1, attempts: int = 1, correct: bool = True, **changes: object) -> Row:
    text = f"<think>I look at {name}.</think><answer>{better}</answer>"
    line: Row = {"id": f"preference_pairs/{name}", "trace": text, "attempts": attempts, "correct": correct}
    return {**line, "better": better, **changes}


def write_traces(tmp_path: Path, *traces: Row) -> str:
    path = tmp_path / "traces.jsonl"
    path.write_text("".join(json.dumps(trace) + "\n" for trace in traces))
    return str(path)


TRACES = (
    make_trace("a"),
    make_trace("b", better=2, attempts=2),
    make_trace("c", attempts=3, correct=False),
    make_trace("d"),
)
