"""The rule-based judge behind the OpenAI chat protocol: ``python -m judge_client.rule_server --port 8000``.

    GET  /v1/models             the one model
    POST /v1/chat/completions   the verdict of judge_client.rule_judge on the last message
    GET  /health  /stats        whether it is up; what arrived so far

Prints its base URL on one line when it is ready. Faults can be switched on (``--help``) to see how a run bears them.
"""

import argparse
import asyncio
import hmac
import json
import os
import socket
import sys
import threading
import time
from collections import Counter, deque
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import uvicorn
from pydantic import ValidationError
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from judge_client.rule_faults import FATES, Fate, Fates, Faults
from judge_client.rule_judge import judge_prompt
from judge_client.schemas import ChatBody

MODEL = "arbiter-rules"
SchemaSupport = Literal["follow", "refuse", "ignore"]
_ARRIVALS_KEPT = 1000
_GARBAGE = "I am not able to say which it is."


@dataclass(frozen=True, kw_only=True, slots=True)
class RuleServerOptions:
    """What the server is called, whom it lets in, and what goes wrong with it."""

    model: str
    key: str | None
    """Requests must carry this key; None lets everybody in."""
    schema_support: SchemaSupport
    delay_s: float
    """Before every reply."""
    retry_after_s: float
    """What a 429 status asks for."""
    faults: Faults


class RuleServer:
    """Answers requests and counts them."""

    def __init__(self, options: RuleServerOptions) -> None:
        self._options, self._fates = options, Fates(options.faults)
        self._num_by_fate: Counter[Fate] = Counter()
        self._arrivals_s: deque[float] = deque(maxlen=_ARRIVALS_KEPT)
        self._num_requests = self._num_in_flight = self._most_in_flight = 0

    def app(self) -> Starlette:
        """The routes, for any ASGI server."""
        return Starlette(
            routes=[
                Route("/v1/models", self._models),
                Route("/v1/chat/completions", self._complete, methods=["POST"]),
                Route("/health", self._health),
                Route("/stats", self._stats),
            ]
        )

    async def _health(self, _: Request) -> Response:
        return JSONResponse({"status": "ok"})

    async def _stats(self, _: Request) -> Response:
        return JSONResponse(
            {
                "num_requests": self._num_requests,
                "num_by_fate": dict(self._num_by_fate),
                "most_in_flight": self._most_in_flight,
                "arrivals_s": list(self._arrivals_s),
            }
        )

    async def _models(self, request: Request) -> Response:
        if refusal := self._refuse_stranger(request):
            return refusal
        listed = {"id": self._options.model, "object": "model", "created": 0, "owned_by": "arbiter"}
        return JSONResponse({"object": "list", "data": [listed]})

    async def _complete(self, request: Request) -> Response:
        self._arrivals_s.append(time.monotonic())
        self._num_requests += 1
        self._num_in_flight += 1
        self._most_in_flight = max(self._most_in_flight, self._num_in_flight)
        try:
            return await self._reply(request)
        finally:
            self._num_in_flight -= 1

    async def _reply(self, request: Request) -> Response:
        if refusal := self._refuse_stranger(request):
            return refusal
        try:
            body = ChatBody.model_validate_json(await request.body())
        except ValidationError as error:
            return _error(400, f"unusable request: {error.errors(include_url=False, include_input=False)}")
        if body.model != self._options.model:
            return _error(404, f"the model {body.model!r} does not exist; there is {self._options.model!r}")
        return await self._meet_fate(request, body)

    async def _meet_fate(self, request: Request, body: ChatBody) -> Response:
        fate = self._fates.decide(json.dumps([body.messages[-1].text, body.seed, body.wants_json]))
        self._num_by_fate[fate] += 1
        await asyncio.sleep(self._options.delay_s)
        if fate == "hang":
            return await _never(request)
        if fate == "error":
            return _error(500, "told to fail")
        if fate == "rate_limit":
            return _error(429, "told to be busy", headers={"retry-after": f"{self._options.retry_after_s:g}"})
        return self._answer(body, _GARBAGE) if fate == "garbage" else self._judge(body, is_wrong=fate == "wrong")

    def _judge(self, body: ChatBody, *, is_wrong: bool) -> Response:
        wants_json = body.wants_json and self._options.schema_support != "ignore"
        if wants_json and self._options.schema_support == "refuse":
            return _error(400, "response_format is not supported")
        try:
            label = judge_prompt(body.messages[-1].text, is_wrong=is_wrong)
        except ValueError as error:
            return _error(400, str(error))
        return self._answer(body, json.dumps({"verdict": label}) if wants_json else label)

    def _answer(self, body: ChatBody, text: str) -> Response:
        num_prompt, num_reply = sum(len(m.text.split()) for m in body.messages), len(text.split())
        usage = {"prompt_tokens": num_prompt, "completion_tokens": num_reply, "total_tokens": num_prompt + num_reply}
        message = {"role": "assistant", "content": text}
        return JSONResponse(
            {
                "id": f"chatcmpl-{self._num_requests}",
                "object": "chat.completion",
                "created": int(time.time()),
                "model": self._options.model,
                "choices": [{"index": 0, "message": message, "finish_reason": "stop"}],
                "usage": usage,
            }
        )

    def _refuse_stranger(self, request: Request) -> Response | None:
        key, given = self._options.key, request.headers.get("authorization", "")
        if key is None or hmac.compare_digest(given.encode(), f"Bearer {key}".encode()):
            return None
        # Hosted services quote the key they refuse; a client must be able to bear that.
        return _error(401, f"incorrect key provided: {given.removeprefix('Bearer ')}")


async def _never(request: Request) -> Response:
    """Wait until the client has had enough."""
    while (await request.receive())["type"] != "http.disconnect":
        pass
    return Response(status_code=499)


def _error(status: int, message: str, *, headers: dict[str, str] | None = None) -> Response:
    return JSONResponse({"error": {"message": message, "code": status}}, status_code=status, headers=headers)


def serve(options: RuleServerOptions, *, host: str, port: int, until_stdin_closes: bool) -> None:
    """Serve until told to stop."""
    app = RuleServer(options).app()
    with socket.create_server((host, port), backlog=2048) as listener:
        config = uvicorn.Config(
            app, log_level="warning", access_log=False, lifespan="off", ws="none", timeout_graceful_shutdown=1
        )
        server = _AnnouncedServer(config, url=f"http://{host}:{listener.getsockname()[1]}/v1")
        if until_stdin_closes:
            threading.Thread(target=server.end_with_stdin, daemon=True).start()
        server.run(sockets=[listener])


class _AnnouncedServer(uvicorn.Server):
    """Says where it is once it listens, and can end with the process that started it."""

    def __init__(self, config: uvicorn.Config, *, url: str) -> None:
        super().__init__(config)
        self._url = url

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        sys.stdout.write(f"{self._url}\n")
        sys.stdout.flush()

    def end_with_stdin(self) -> None:
        """Wait for the end of standard input, which comes when the parent closes it or dies, however it dies."""
        # Not sys.stdin: a thread inside its lock would keep the interpreter from ending.
        while os.read(0, 1024):
            pass
        self.should_exit = self.force_exit = True


def main(arguments: Sequence[str] | None = None) -> None:
    """Read the command line and serve."""
    parser = argparse.ArgumentParser(prog="python -m judge_client.rule_server", description=__doc__.partition("\n")[0])
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=8000, help="0 picks a free one")
    parser.add_argument("--model", default=MODEL, help="name of the served model")
    parser.add_argument("--api-key-variable", help="environment variable with the key that requests must carry")
    parser.add_argument("--schemas", choices=("follow", "refuse", "ignore"), default="follow")
    parser.add_argument("--until-stdin-closes", action="store_true", help="end with the process at the other end")
    faults = parser.add_argument_group("faults")
    faults.add_argument("--delay-ms", type=float, default=0.0, help="before every reply")
    faults.add_argument("--wrong-fraction", type=float, default=0.0, help="another verdict than the rules give")
    faults.add_argument("--error-fraction", type=float, default=0.0, help="HTTP 500")
    faults.add_argument("--hang-fraction", type=float, default=0.0, help="no reply while the client waits")
    faults.add_argument("--garbage-fraction", type=float, default=0.0, help="a reply that is no verdict")
    faults.add_argument("--rate-limit-fraction", type=float, default=0.0, help="HTTP 429")
    faults.add_argument("--retry-after-s", type=float, default=1.0, help="what HTTP 429 asks for")
    faults.add_argument("--num-first", type=int, default=0, help="so many requests meet --first-fate before all that")
    faults.add_argument("--first-fate", choices=FATES, default="error")
    faults.add_argument("--fault-seed", type=int, default=0)
    given = parser.parse_args(arguments)
    try:
        options = _options(given)
        serve(options, host=given.host, port=given.port, until_stdin_closes=given.until_stdin_closes)
    except (OSError, ValueError) as error:
        parser.exit(2, f"error: {error}\n")


def _options(given: argparse.Namespace) -> RuleServerOptions:
    return RuleServerOptions(
        model=given.model,
        key=_key(given.api_key_variable),
        schema_support=given.schemas,
        delay_s=given.delay_ms / 1000,
        retry_after_s=given.retry_after_s,
        faults=Faults(
            seed=given.fault_seed,
            wrong_fraction=given.wrong_fraction,
            error_fraction=given.error_fraction,
            hang_fraction=given.hang_fraction,
            garbage_fraction=given.garbage_fraction,
            rate_limit_fraction=given.rate_limit_fraction,
            num_first=given.num_first,
            first_fate=given.first_fate,
        ),
    )


def _key(variable: str | None) -> str | None:
    if variable is None:
        return None
    if not os.environ.get(variable):
        raise ValueError(f"--api-key-variable {variable}: that environment variable is not set")
    return os.environ[variable]


if __name__ == "__main__":
    main()
