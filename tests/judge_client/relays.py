"""A way to any server on which requests are counted, held up or cut off: real HTTP on both sides."""

import threading
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from http.client import HTTPConnection
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import urlsplit

_PASSED_ON = ("authorization", "content-type")


class Relay(ThreadingHTTPServer):
    """Passes on what it is asked, questions after a delay, and remembers when they came."""

    request_queue_size = 256

    def __init__(self, target: str, *, delay_s: float) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        parts = urlsplit(target)
        self.target, self.url = parts.netloc, f"http://127.0.0.1:{self.server_address[1]}{parts.path}"
        self.arrivals_s: list[float] = []
        self.has_arrived = threading.Event()
        """Set by the first question."""
        self.most_in_flight = 0
        self._delay_s, self._num_in_flight, self._lock = delay_s, 0, threading.Lock()
        self._is_closed = threading.Event()
        self._thread = threading.Thread(target=self.serve_forever, kwargs={"poll_interval": 0.02})
        self._thread.start()

    @property
    def num_requests(self) -> int:
        """Questions that arrived."""
        return len(self.arrivals_s)

    @contextmanager
    def question(self) -> Iterator[None]:
        """Count a question and hold it up, at the longest until the end."""
        with self._lock:
            self.arrivals_s.append(time.monotonic())
            self._num_in_flight += 1
            self.most_in_flight = max(self.most_in_flight, self._num_in_flight)
        self.has_arrived.set()
        try:
            self._is_closed.wait(self._delay_s)
            yield
        finally:
            with self._lock:
                self._num_in_flight -= 1

    def close(self) -> None:
        """Listen no longer; a second call does nothing."""
        self._is_closed.set()
        self.shutdown()
        self._thread.join()
        self.server_close()

    def handle_error(self, request: object, client_address: object) -> None:
        """Say nothing: clients that have had enough are the matter here."""


class _Handler(BaseHTTPRequestHandler):
    server: Relay

    def do_GET(self) -> None:
        self._pass_on(b"")

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["content-length"]))
        with self.server.question():
            self._pass_on(body)

    def _pass_on(self, body: bytes) -> None:
        headers = {name: self.headers[name] for name in _PASSED_ON if name in self.headers}
        with closing(HTTPConnection(self.server.target, timeout=60)) as connection:
            connection.request(self.command, self.path, body, headers)
            reply = connection.getresponse()
            content = reply.read()
        self.send_response(reply.status)
        self.send_header("content-type", reply.headers.get("content-type", "application/json"))
        self.send_header("content-length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@contextmanager
def relay(target: str, *, delay_s: float = 0.0) -> Iterator[Relay]:
    """A relay for as long as the context lasts."""
    one = Relay(target, delay_s=delay_s)
    try:
        yield one
    finally:
        one.close()
