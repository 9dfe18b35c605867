"""Is a model folder complete? Answered from file names and small JSON files, before anything loads a library.

    config.model --check_model--> nothing, or ValueError: everything that is missing, and what to do

What is not a folder here may be a name on the hub, and is left to the library that fetches it.
"""

import json
from collections.abc import Iterator
from pathlib import Path

from conf.machine import ModelConfig

_WEIGHT_INDICES = ("model.safetensors.index.json", "pytorch_model.bin.index.json")
# For each part of a model: the sets of files that can hold it, of which one must be there whole.
_PARTS: dict[str, tuple[tuple[str, ...], ...]] = {
    "tokenizer": (("tokenizer.json",), ("vocab.json", "merges.txt")),
    "tokenizer settings": (("tokenizer_config.json",),),
    "image processor": (("preprocessor_config.json",), ("processor_config.json",)),
    "weights": (("model.safetensors",), ("pytorch_model.bin",), *((name,) for name in _WEIGHT_INDICES)),
}
_TEMPLATE_FILES = ("chat_template.jinja", "chat_template.json")
_TEMPLATE_SETTINGS = ("tokenizer_config.json", "processor_config.json")


def check_model(config: ModelConfig) -> None:
    """Refuse a ``model.path`` that cannot be the family's model.

    Raises:
        ValueError: It looks like a path and no folder is there, or the folder is not a complete model.
    """
    if config.path is None:
        return
    folder = Path(config.path)
    if folder.is_dir():
        check_model_folder(folder, family=config.family)
    elif not _may_be_hub_name(config.path):
        found = "that is a file" if folder.exists() else "there is no such folder"
        raise ValueError(
            f"model.path={config.path}: {found}; give the folder of a Hugging Face model (~ is not expanded), or a "
            "hub name of the form OWNER/NAME"
        )


def check_model_folder(folder: Path, *, family: str) -> None:
    """Refuse a folder without one of the files the family needs, or with another architecture's model.

    Raises:
        ValueError: One line with everything that is wrong, and what to do.
    """
    problems = [*_config_problems(folder, family=family), *_missing_parts(folder), *_missing_shards(folder)]
    if problems:
        raise ValueError(
            f"model folder {folder}: {'; '.join(problems)}. Expected a complete Hugging Face folder of a {family} "
            "model; copy what is missing from the base model, or fetch the model again"
        )


def _may_be_hub_name(path: str) -> bool:
    """Whether it has the form OWNER/NAME; with more or fewer slashes, or starting like a path, it is a path."""
    owner, _, name = path.partition("/")
    return bool(owner and name) and "/" not in name and not owner.startswith((".", "~"))


def _config_problems(folder: Path, *, family: str) -> Iterator[str]:
    path = folder / "config.json"
    if not path.is_file():
        yield "no config.json"
        return
    settings = _read_object(path)
    if settings is None:
        yield "config.json is not a JSON object"
    elif settings.get("model_type") != family:  # families are named as transformers names their model_type
        yield f"config.json says model_type={settings.get('model_type')!r}, expected {family!r}"


def _missing_parts(folder: Path) -> Iterator[str]:
    for part, choices in _PARTS.items():
        if not any(all((folder / name).is_file() for name in names) for names in choices):
            yield f"no {part} ({' or '.join(' + '.join(names) for names in choices)})"
    has_template = any((folder / name).is_file() for name in _TEMPLATE_FILES)
    if not has_template and not any(_has_template(folder / name) for name in _TEMPLATE_SETTINGS):
        yield f"no chat template ({' or '.join(_TEMPLATE_FILES)})"


def _has_template(path: Path) -> bool:
    return path.is_file() and "chat_template" in (_read_object(path) or {})


def _missing_shards(folder: Path) -> Iterator[str]:
    """A download that was cut short has the index but not every file it names."""
    index = next((folder / name for name in _WEIGHT_INDICES if (folder / name).is_file()), None)
    if index is None or any((folder / name).is_file() for name in ("model.safetensors", "pytorch_model.bin")):
        return
    weight_map = (_read_object(index) or {}).get("weight_map")
    if not isinstance(weight_map, dict):
        yield f"{index.name} has no weight_map"
        return
    shards = sorted({str(name) for name in weight_map.values()})
    missing = [name for name in shards if not (folder / name).is_file()]
    if missing:
        yield f"{len(missing)} of {len(shards)} weight files are missing, the first is {missing[0]}"


def _read_object(path: Path) -> dict[str, object] | None:
    """The JSON object a file holds; None when it holds anything else."""
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return found if isinstance(found, dict) else None
