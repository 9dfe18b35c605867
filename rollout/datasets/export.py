"""Prompts in, a folder out that ``opinion_score`` or ``preference_pairs`` reads and that people can look at.

{"train": Dataset, ...} --> FOLDER/images/train_000000.png ...  FOLDER/train.jsonl ...

Or, of pictures with opinion scores, what ``arbiter checklist ask`` and ``fit`` take:

{"train": Dataset, ...} --> the pictures, FOLDER/train_items.jsonl, FOLDER/train_pairs.jsonl ...
"""

import json
import shutil
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from rollout.datasets.base import Dataset
from rollout.datasets.questions import rating_question
from rollout.types import Preference, Prompt

IMAGES = "images"


def write_folder(splits: Mapping[str, Dataset], *, folder: Path) -> None:
    """Write every picture and one jsonl per split; the folder appears whole or not at all.

    Scores are written in VisualQuality-R1's format, pairs in the plain one, each once however often it is asked.

    Raises:
        ValueError: The folder exists and is not empty, or a picture is not PNG bytes made on the fly.
    """
    with _appears_whole(folder) as unfinished:
        for split, dataset in splits.items():
            _write_split(dataset, split=split, folder=unfinished)


def write_rated_pairs(splits: Mapping[str, Dataset], *, folder: Path) -> None:
    """Write every picture, a list of them and, of each two neighbours, which has the higher opinion score.

    Every picture is in one pair at most, and each pair is a group of its own; equal scores are a tie. The last picture
    of an odd number is in none. The folder appears whole or not at all.

    Raises:
        ValueError: The folder exists and is not empty, a picture is not PNG bytes made on the fly, or has no score.
    """
    with _appears_whole(folder) as unfinished:
        for split, dataset in splits.items():
            names = [f"{split}_{index:06d}" for index in range(len(dataset))]
            scores = [_write_picture(dataset.prompt(n), name=name, folder=unfinished) for n, name in enumerate(names)]
            items = ({"id": name, "path": f"{IMAGES}/{name}.png"} for name in names)
            _write_lines(items, path=unfinished / f"{split}_items.jsonl")
            pairs = zip(range(0, len(names) - 1, 2), range(1, len(names), 2), strict=True)
            rows = (
                {"first": names[a], "second": names[b], "better": _better(scores[a], scores[b]), "group": names[a]}
                for a, b in pairs
            )
            _write_lines(rows, path=unfinished / f"{split}_pairs.jsonl")


def _write_picture(prompt: Prompt, *, name: str, folder: Path) -> float:
    """Write one picture; returns its opinion score."""
    (folder / IMAGES / f"{name}.png").write_bytes(_png_bytes(prompt))
    return prompt.opinion.score


def _better(first: float, second: float) -> str:
    return "tie" if first == second else "first" if first > second else "second"


def _write_lines(rows: Iterable[Mapping[str, object]], *, path: Path) -> None:
    with path.open("w", encoding="utf-8") as lines:
        lines.writelines(json.dumps(row, allow_nan=False) + "\n" for row in rows)


@contextmanager
def _appears_whole(folder: Path) -> Iterator[Path]:
    """A folder to write into that becomes ``folder`` when all is written, and nothing before."""
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise ValueError(f"{folder} exists and is not an empty folder; choose another one")
    folder.parent.mkdir(parents=True, exist_ok=True)
    unfinished = Path(tempfile.mkdtemp(prefix=f".{folder.name}.", dir=folder.parent))
    try:
        (unfinished / IMAGES).mkdir()
        yield unfinished
        # mkdtemp makes private folders; this one is to be looked at.
        unfinished.chmod(0o755)
        unfinished.replace(folder)
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)


def _write_split(dataset: Dataset, *, split: str, folder: Path) -> None:
    with (folder / f"{split}.jsonl").open("w", encoding="utf-8") as lines:
        for number, (name, prompt) in enumerate(_named_prompts(dataset, split=split), start=1):
            (folder / IMAGES / name).write_bytes(_png_bytes(prompt))
            lines.write(json.dumps(_row(prompt, image=name, number=number), allow_nan=False) + "\n")


def _named_prompts(dataset: Dataset, *, split: str) -> Iterator[tuple[str, Prompt]]:
    pairs = set[str]()
    for index in range(len(dataset)):
        prompt = dataset.prompt(index)
        if isinstance(prompt.reference, Preference):
            if prompt.reference.pair_id in pairs:
                continue
            pairs.add(prompt.reference.pair_id)
        yield f"{split}_{index:06d}.png", prompt


def _png_bytes(prompt: Prompt) -> bytes:
    pictures = list(prompt.media())
    if len(pictures) != 1 or pictures[0].data is None or not pictures[0].data.startswith(b"\x89PNG"):
        raise ValueError(f"prompt {prompt.prompt_id} does not hold exactly one picture made on the fly as PNG bytes")
    return pictures[0].data


def _row(prompt: Prompt, *, image: str, number: int) -> dict[str, object]:
    if isinstance(prompt.reference, Preference):
        return _pair_row(prompt.reference, source=prompt.source, image=image)
    return {
        "id": number,
        "dataset_name": prompt.source,
        "image": [image],
        "conversations": [
            {"from": "human", "value": rating_question(prompt.opinion.scale)},
            {"from": "gpt", "value": prompt.opinion.score},
        ],
    }


def _pair_row(pair: Preference, *, source: str, image: str) -> dict[str, object]:
    if pair.responses is None:
        raise ValueError(f"pair {pair.pair_id} has no two answers to write, only a whole message")
    return {
        "id": pair.pair_id,
        "source": source,
        "question": pair.question,
        "responses": list(pair.responses),
        "better": pair.better,
        "image": image,
    }
