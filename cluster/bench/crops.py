"""Test crops of ``photo_distortions`` as files, for benches that score files."""

from pathlib import Path

from conf.load import load_run_config
from rollout.datasets import build_data
from rollout.datasets.export import IMAGES, write_folder
from rollout.datasets.label_files import read_labels

_SPLIT = "test"


def crops(folder: Path, *, count: int) -> Path:
    """The folder of ``count`` PNG files, below ``folder``; made once."""
    if not folder.exists():
        test = build_data(load_run_config(["data=photo_distortions", f"data.num_test={count}"]).data).test
        write_folder({_SPLIT: test}, folder=folder)
    return folder / IMAGES


def labels_of(folder: Path) -> dict[str, float]:
    """Opinion scores by file name."""
    rows, problems = read_labels(folder / f"{_SPLIT}.jsonl", label_format="visualquality_r1", called="the labels")
    assert not problems, "we wrote them"
    return {row.media: row.label for row in rows}
