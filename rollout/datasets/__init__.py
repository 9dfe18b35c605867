"""Rows in, prompts out: one module per data set, found by its config's ``kind``. May import: ``conf``."""

from collections.abc import Callable
from typing import Any

from conf.data import DataConfig, MixedConfig
from rollout.datasets.base import Data
from rollout.datasets.mixed import mix
from rollout.datasets.opinion_score import build_opinion_score
from rollout.datasets.photo_checklist import build_photo_checklist
from rollout.datasets.photo_defects import build_photo_defects
from rollout.datasets.photo_distortions import build_photo_distortions
from rollout.datasets.photo_pairs import build_photo_pairs
from rollout.datasets.photo_videos import build_photo_videos
from rollout.datasets.preference_pairs import build_preference_pairs


def build_mixed(config: MixedConfig) -> Data:
    """All parts as one.

    Raises:
        ValueError: As the parts' builders, or a part shares its prompts by a rule of its own.
    """
    return mix({name: build_data(part) for name, part in config.parts.items()}, rule=config.mixture)


DATASETS: dict[str, Callable[[Any], Data]] = {
    "photo_distortions": build_photo_distortions,
    "photo_videos": build_photo_videos,
    "photo_pairs": build_photo_pairs,
    "photo_defects": build_photo_defects,
    "photo_checklist": build_photo_checklist,
    "opinion_score": build_opinion_score,
    "preference_pairs": build_preference_pairs,
    "mixed": build_mixed,
}
"""``data.kind`` -> builder; each takes its own section of ``conf/data.py``."""


def build_data(config: DataConfig) -> Data:
    """The splits and demonstrations a run asks for.

    Raises:
        ValueError: Nothing is registered for the kind, or the data set has problems (all listed).
    """
    if config.kind not in DATASETS:
        raise ValueError(f"no data set for data.kind={config.kind!r}; known: {', '.join(DATASETS)}")
    return DATASETS[config.kind](config)
