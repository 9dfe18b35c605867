"""The published label files, where they are at hand."""

from pathlib import Path

import pytest

DATA = Path(__file__).parents[3] / "../shared/data"


def published(name: str, *, of: str = "visualquality_r1") -> Path:
    """A published file, read in place; a test that needs one that is not there is skipped."""
    file = DATA / of / name
    if not file.is_file():
        pytest.skip(f"the published file {name} is not at hand")
    return file
