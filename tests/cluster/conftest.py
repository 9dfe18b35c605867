"""One Ray head serves every test that needs one."""

from collections.abc import Iterator

import pytest

from tests.cluster.heads import Head, running_head


@pytest.fixture(scope="session")
def ray_head() -> Iterator[Head]:
    """A head with a token of its own."""
    with running_head() as head:
        yield head
