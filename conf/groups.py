"""Which groups of choices there are: one folder per group beside this file, one YAML per choice."""

from functools import cache
from pathlib import Path

CONF_FOLDER = Path(__file__).resolve().parent


@cache
def group_choices() -> dict[str, tuple[str, ...]]:
    """Names of the choices of every group, sorted."""
    folders = sorted(path for path in CONF_FOLDER.iterdir() if path.is_dir() and any(path.glob("*.yaml")))
    return {folder.name: tuple(sorted(file.stem for file in folder.glob("*.yaml"))) for folder in folders}
