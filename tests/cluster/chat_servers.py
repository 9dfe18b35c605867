"""A chat model of few lines behind the OpenAI protocol, and real HTTP."""

import json
import math
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

MODEL = "scripted"
Reply = Callable[[str], str | None]
"""The text of a question -> the reply; None fails with HTTP 500."""


class ChatServer(ThreadingHTTPServer):
    """Answers by ``reply`` and remembers the texts it was asked.

    Asked for log-probs, it calls every character a token, and ``digits`` the likeliest ones wherever a digit stands;
    with ``first_tokens`` it has these likeliest for its first token and no others.
    """

    request_queue_size = 256

    def __init__(self, reply: Reply) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.reply = reply
        self.asked: list[str] = []
        self.digits: Mapping[str, float] = {}
        self.counts_tokens = True
        self.declines = False
        self.first_tokens: Callable[[str], Mapping[str, float]] | None = None

    @property
    def url(self) -> str:
        """What ``judge.base_urls`` takes."""
        return f"http://127.0.0.1:{self.server_address[1]}/v1"


class _Handler(BaseHTTPRequestHandler):
    server: ChatServer

    def do_GET(self) -> None:
        self._send(200, {"object": "list", "data": [{"id": MODEL, "object": "model"}]})

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        content = body["messages"][-1]["content"]
        parts = [{"type": "text", "text": content}] if isinstance(content, str) else content
        text = "".join(part["text"] for part in parts if part["type"] == "text")
        self.server.asked.append(text)
        reply = self.server.reply(text)
        if reply is None:
            self._send(500, {"error": {"message": "told to fail"}})
            return
        choice = {"index": 0, "message": {"role": "assistant", "content": reply}, "finish_reason": "stop"}
        if self.server.declines:
            choice["finish_reason"] = "content_filter"
        if body.get("logprobs") and self.server.first_tokens is not None:
            shares = self.server.first_tokens(text)
            likely = [{"token": token, "logprob": math.log(share)} for token, share in shares.items()]
            choice["logprobs"] = {"content": [{**likely[0], "top_logprobs": likely}]}
        elif body.get("logprobs"):
            choice["logprobs"] = {"content": [self._token(character) for character in reply]}
        usage = {"usage": {"prompt_tokens": 10, "completion_tokens": 3}} if self.server.counts_tokens else {}
        self._send(200, {"choices": [choice], **usage})

    def _token(self, character: str) -> dict[str, Any]:
        likeliest = self.server.digits if character.isdigit() else {}
        named = [{"token": token, "logprob": math.log(share)} for token, share in likeliest.items()]
        return {"token": character, "logprob": math.log(likeliest.get(character, 1.0)), "top_logprobs": named}

    def _send(self, status: int, body: Mapping[str, Any]) -> None:
        content = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@contextmanager
def chat_server(reply: Reply) -> Iterator[ChatServer]:
    """A server for as long as the context lasts."""
    with ChatServer(reply) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join()
