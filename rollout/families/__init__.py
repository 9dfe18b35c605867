"""Model families by name. To add one: a module here, an entry in FAMILIES, a literal in ``conf.machine``."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from conf.machine import ModelConfig

if TYPE_CHECKING:
    from rollout.families.base import Family  # loads torch


def _qwen2_5_vl(config: ModelConfig, folder: str) -> Family:
    from rollout.families.qwen_vl import QwenVl  # noqa: PLC0415 - naming a family must not load transformers

    return QwenVl(config, folder=folder)


FAMILIES: dict[str, Callable[[ModelConfig, str], Family]] = {"qwen2_5_vl": _qwen2_5_vl}
"""Builders, so that naming a family does not import transformers."""


def build_family(config: ModelConfig, *, folder: str) -> Family:
    """Return the adapter ``config.family`` names, reading tokenizer and processor from ``folder``."""
    return FAMILIES[config.family](config, folder)
