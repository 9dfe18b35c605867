"""Rule servers in threads of the test: real HTTP, and up at once."""

import json
import socket
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import replace
from http.client import HTTPConnection
from typing import Any
from urllib.parse import urlsplit

import uvicorn

from judge_client.rule_faults import Fate, Faults
from judge_client.rule_server import MODEL, RuleServer, RuleServerOptions, SchemaSupport

NO_FAULTS = Faults(
    seed=0,
    wrong_fraction=0.0,
    error_fraction=0.0,
    hang_fraction=0.0,
    garbage_fraction=0.0,
    rate_limit_fraction=0.0,
    num_first=0,
    first_fate="answer",
)


def at_first(num_first: int, fate: Fate) -> Faults:
    """The first requests meet one fate, the others are answered."""
    return replace(NO_FAULTS, num_first=num_first, first_fate=fate)


def always(fate: Fate) -> Faults:
    """Every request meets one fate."""
    return at_first(10**9, fate)


class Listener:
    """A server that listens."""

    def __init__(self, options: RuleServerOptions) -> None:
        self._socket = socket.create_server(("127.0.0.1", 0), backlog=2048)
        self.url = f"http://127.0.0.1:{self._socket.getsockname()[1]}/v1"
        app = RuleServer(options).app()
        self._server = uvicorn.Server(uvicorn.Config(app, log_level="critical", access_log=False, lifespan="off"))
        self._thread = threading.Thread(target=self._server.run, kwargs={"sockets": [self._socket]})
        self._thread.start()

    def get(self, path: str) -> dict[str, Any]:
        """Body of a page of the server."""
        with closing(HTTPConnection(urlsplit(self.url).netloc, timeout=20)) as connection:
            connection.request("GET", path)
            body: dict[str, Any] = json.loads(connection.getresponse().read())
            return body

    @property
    def num_requests(self) -> int:
        """Questions that arrived."""
        return int(self.get("/stats")["num_requests"])

    @property
    def arrivals_s(self) -> list[float]:
        """When they arrived."""
        return list(self.get("/stats")["arrivals_s"])

    def close(self) -> None:
        """Stop listening and drop every connection; a second call does nothing."""
        self._server.should_exit = self._server.force_exit = True
        self._thread.join()
        self._socket.close()


@contextmanager
def rule_server(
    faults: Faults = NO_FAULTS,
    *,
    model: str = MODEL,
    key: str | None = None,
    schema_support: SchemaSupport = "follow",
    delay_s: float = 0.0,
    retry_after_s: float = 0.0,
) -> Iterator[Listener]:
    """A server for as long as the context lasts."""
    options = RuleServerOptions(
        model=model,
        key=key,
        schema_support=schema_support,
        delay_s=delay_s,
        retry_after_s=retry_after_s,
        faults=faults,
    )
    listener = Listener(options)
    try:
        yield listener
    finally:
        listener.close()
