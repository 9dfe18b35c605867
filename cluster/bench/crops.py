"""Test crops of ``photo_distortions`` as files, for benches that score files."""

import json
import shutil
from pathlib import Path

from conf.load import load_run_config
from rollout.datasets import build_data
from rollout.types import Opinion

LABELS_FILE = "labels.json"


def crops(folder: Path, *, count: int) -> Path:
    """A folder of ``count`` PNG files with ``labels.json``, their opinion scores by name; made once."""
    if folder.exists():
        return folder
    scratch = folder.with_suffix(".new")
    shutil.rmtree(scratch, ignore_errors=True)
    scratch.mkdir(parents=True)
    test = build_data(load_run_config(["data=photo_distortions", f"data.num_test={count}"]).data).test
    labels: dict[str, float] = {}
    for number in range(count):
        prompt = test.prompt(number)
        (media,) = prompt.media()
        assert media.data is not None, "these pictures are made on the fly"
        assert isinstance(prompt.reference, Opinion)
        name = f"{number:05d}.png"
        (scratch / name).write_bytes(media.data)
        labels[name] = prompt.reference.score
    (scratch / LABELS_FILE).write_text(json.dumps(labels))
    scratch.rename(folder)
    return folder
