"""A rule server without faults for all tests of a module."""

from collections.abc import Iterator

import pytest

from tests.judge_client.servers import Listener, rule_server


@pytest.fixture(scope="module")
def server() -> Iterator[Listener]:
    with rule_server() as listener:
        yield listener
