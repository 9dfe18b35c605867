"""Sizes of a Qwen2.5-VL, by its config.json or the name of a published one: memory and time are reckoned with them.

Standard library only: nothing is loaded, and nothing is fetched.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from conf.machine import ModelConfig, ModelPart, ModelSize


@dataclass(frozen=True, kw_only=True, slots=True)
class ModelShape:
    """Widths and depths, named as in config.json."""

    hidden_size: int
    num_layers: int
    num_heads: int
    num_kv_heads: int
    intermediate_size: int
    vocab_size: int
    is_tied: bool
    """Whether the output layer is the embedding."""
    vision_layers: int
    vision_hidden: int
    vision_intermediate: int
    patch_size: int
    temporal_patch_size: int
    merge_size: int

    @property
    def kv_values_per_token(self) -> int:
        """Numbers in the key-value cache for each token."""
        return 2 * self.num_layers * self.num_kv_heads * (self.hidden_size // self.num_heads)

    @property
    def num_parameters(self) -> dict[ModelPart, int]:
        """Exactly those of the model, by part."""
        return {"vision": self._vision(), "projector": self._projector(), "language": self._language()}

    @property
    def output_parameters(self) -> int:
        """Of the output layer, which is computed where a token is scored or sampled."""
        return self.vocab_size * self.hidden_size

    @property
    def layer_parameters(self) -> int:
        """Of the language model's layers, which every token goes through: not embedding nor output layer."""
        return self._language() - self.output_parameters * (1 if self.is_tied else 2)

    def adapter_parameters(self, rank: int) -> dict[ModelPart, int]:
        """Of low-rank adapters beside every linear layer but the output layer."""
        hidden, middle = self.hidden_size, self.intermediate_size
        kv_size = hidden // self.num_heads * self.num_kv_heads
        layer = 2 * (hidden + hidden) + 2 * (hidden + kv_size) + 3 * (hidden + middle)
        vision, vision_middle = self.vision_hidden, self.vision_intermediate
        block = (vision + 3 * vision) + 2 * vision + 3 * (vision + vision_middle)
        merged = vision * self.merge_size**2
        return {
            "vision": rank * self.vision_layers * block,
            "projector": rank * (2 * merged + merged + hidden),
            "language": rank * self.num_layers * layer,
        }

    def _language(self) -> int:
        hidden = self.hidden_size
        kv_size = hidden // self.num_heads * self.num_kv_heads
        attention = 2 * hidden * hidden + hidden + 2 * (hidden * kv_size + kv_size)
        layer = attention + 3 * hidden * self.intermediate_size + 2 * hidden
        return self.num_layers * layer + hidden + self.vocab_size * hidden * (1 if self.is_tied else 2)

    def _vision(self) -> int:
        hidden, middle = self.vision_hidden, self.vision_intermediate
        patches = 3 * self.temporal_patch_size * self.patch_size**2 * hidden
        attention = 4 * hidden * hidden + 4 * hidden
        block = attention + 3 * hidden * middle + 2 * middle + hidden + 2 * hidden
        return patches + self.vision_layers * block

    def _projector(self) -> int:
        merged = self.vision_hidden * self.merge_size**2
        return self.vision_hidden + merged * merged + merged + merged * self.hidden_size + self.hidden_size


_PATCHES = {"patch_size": 14, "temporal_patch_size": 2, "merge_size": 2}
_PUBLISHED_VISION = {"vision_layers": 32, "vision_hidden": 1280, "vision_intermediate": 3420, **_PATCHES}
PUBLISHED = {
    "Qwen/Qwen2.5-VL-3B-Instruct": ModelShape(
        hidden_size=2048, num_layers=36, num_heads=16, num_kv_heads=2, intermediate_size=11008, vocab_size=151936,
        is_tied=True, **_PUBLISHED_VISION,
    ),
    "Qwen/Qwen2.5-VL-7B-Instruct": ModelShape(
        hidden_size=3584, num_layers=28, num_heads=28, num_kv_heads=4, intermediate_size=18944, vocab_size=152064,
        is_tied=False, **_PUBLISHED_VISION,
    ),
}  # fmt: skip
"""The published checkpoints that conf/model names."""
MADE: dict[ModelSize, ModelShape] = {
    "tiny": ModelShape(
        hidden_size=128, num_layers=2, num_heads=4, num_kv_heads=4, intermediate_size=256, vocab_size=1024,
        is_tied=True, vision_layers=2, vision_hidden=128, vision_intermediate=512, **_PATCHES,
    ),
    "small": ModelShape(
        hidden_size=256, num_layers=4, num_heads=8, num_kv_heads=8, intermediate_size=768, vocab_size=1024,
        is_tied=True, vision_layers=4, vision_hidden=256, vision_intermediate=1024, **_PATCHES,
    ),
}  # fmt: skip
"""Those made when a run starts, by ``model.size``."""


def shape_of(config: ModelConfig) -> ModelShape | None:
    """The sizes of the configured model; None for one that is made when the run starts, or is not on this machine.

    Raises:
        ValueError: The folder's config.json lacks a size.
    """
    if config.path is None:
        return None
    file = Path(config.path) / "config.json"
    return _read(file) if file.is_file() else PUBLISHED.get(config.path)


def _read(file: Path) -> ModelShape:
    """Sizes of the language model stand in ``text_config``, or beside ``vision_config`` in older files."""
    settings: Mapping[str, Any] = json.loads(file.read_text(encoding="utf-8"))
    try:
        text, vision = settings.get("text_config", settings), settings["vision_config"]
        return ModelShape(
            hidden_size=text["hidden_size"],
            num_layers=text["num_hidden_layers"],
            num_heads=text["num_attention_heads"],
            num_kv_heads=text["num_key_value_heads"],
            intermediate_size=text["intermediate_size"],
            vocab_size=text["vocab_size"],
            is_tied=settings.get("tie_word_embeddings", False),
            vision_layers=vision["depth"],
            vision_hidden=vision["hidden_size"],
            vision_intermediate=vision["intermediate_size"],
            patch_size=vision["patch_size"],
            temporal_patch_size=vision["temporal_patch_size"],
            merge_size=vision["spatial_merge_size"],
        )
    except KeyError as error:
        raise ValueError(f"{file}: says no {error.args[0]}, which memory cannot be reckoned without") from error
