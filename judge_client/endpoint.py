"""One server: the only module that imports the OpenAI client and knows its errors and HTTP statuses.

A failed request is a ``Failure``, not an exception: what becomes of it depends on the other servers and on the
attempts left, which are not known here.
"""

import asyncio
import ipaddress
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TypeVar, cast
from urllib.parse import urlsplit

import openai
from openai import AsyncOpenAI, DefaultAsyncHttpxClient
from openai.types.chat import ChatCompletionMessageParam
from openai.types.shared_params import ResponseFormatJSONSchema
from pydantic import ValidationError

from conf.judge import JudgeClientConfig
from judge_client.breaker import Breaker
from judge_client.limits import retry_after_s
from judge_client.prompt import Prompt
from judge_client.schemas import ChatReply, ModelList, SampledToken, Usage
from judge_client.types import Cause

T = TypeVar("T")

_LONGEST_QUOTE = 300


@dataclass(frozen=True, kw_only=True, slots=True)
class ChatRequest:
    """Messages with everything that decides the reply to them."""

    messages: Sequence[Mapping[str, object]]
    """In the form of the protocol: ``role`` and ``content``."""
    model: str
    temperature: float
    top_p: float
    max_tokens: int
    seed: int | None
    """Set where several replies to the same messages are wanted, which must differ and yet repeat."""
    schema: Mapping[str, object] | None
    """JSON schema the reply must follow; None for free text."""
    num_alternatives: int = 0
    """Likeliest tokens wanted at every place of the reply, with their log-probs."""


def question_request(prompt: Prompt, *, model: str, config: JudgeClientConfig, seed: int | None) -> ChatRequest:
    """The request that puts a question to a judge."""
    return ChatRequest(
        messages=[{"role": "user", "content": prompt.text}],
        model=model,
        temperature=config.temperature,
        top_p=1.0,
        max_tokens=config.max_tokens,
        seed=seed,
        schema=prompt.schema if prompt.is_structured else None,
    )


@dataclass(frozen=True, kw_only=True, slots=True)
class Reply:
    """What a model said."""

    text: str
    prompt_tokens: int
    completion_tokens: int
    endpoint: str
    is_cut: bool = False
    """Whether the token limit ended it."""
    has_usage: bool = True
    """Whether the server counted the tokens; where it did not, both counts are 0."""
    tokens: tuple[SampledToken, ...] = ()
    """Empty unless alternatives were wanted."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Failure:
    """Why a request brought no reply."""

    cause: Cause
    detail: str
    """Names the server; never holds the key."""
    status: int | None = None
    retry_after_s: float | None = None
    prompt_tokens: int = 0
    completion_tokens: int = 0
    """What the server counted all the same, where the model declined."""

    @property
    def may_pass(self) -> bool:
        """Whether the same request may succeed later; a 4xx status other than 429 would not."""
        return self.cause in ("timeout", "connection", "http_error", "rate_limited")

    @property
    def is_breakdown(self) -> bool:
        """Whether the server, and not the request or its rate, is at fault."""
        return self.cause in ("timeout", "connection", "http_error")


class Endpoint:
    """A base URL, its connections, and how it has been doing."""

    def __init__(self, url: str, *, key: str | None, timeout_s: float, breaker: Breaker) -> None:
        """Prepare the connections; nothing is sent.

        ``key=None`` is for servers that want none; the client insists on one, so it gets the usual stand-in.
        """
        self.url, self.breaker = url, breaker
        self.num_in_flight = self.num_requests = 0
        self._key, self._timeout_s, self._rests_until_s = key, timeout_s, 0.0
        self._client = AsyncOpenAI(
            base_url=url,
            api_key=key or "EMPTY",
            max_retries=0,
            # The deadline is on the whole request; the client's own would start anew with every byte received.
            timeout=None,
            # A proxy for the outside world cannot reach this machine's own addresses.
            http_client=DefaultAsyncHttpxClient(trust_env=not _is_loopback(url)),
        )

    def rest_s(self, now_s: float) -> float:
        """Seconds until the server wants to hear from us again, after it asked for a pause."""
        return max(self._rests_until_s - now_s, 0.0)

    async def complete(self, request: ChatRequest) -> Reply | Failure:
        """Ask once, within the timeout."""
        is_probe = self.breaker.start()
        self.num_in_flight += 1
        self.num_requests += 1
        result: Reply | Failure | None = None
        try:
            result = await self._guarded(lambda: self._complete(request), timeout_s=self._timeout_s)
        finally:
            # Without a result the request was given up, by a run that ends for instance.
            has_failed = None if result is None else isinstance(result, Failure) and result.is_breakdown
            self.num_in_flight -= 1
            self.breaker.finish(is_probe=is_probe, has_failed=has_failed, now_s=time.monotonic())
        if isinstance(result, Failure) and result.retry_after_s is not None:
            self._rests_until_s = max(self._rests_until_s, time.monotonic() + result.retry_after_s)
        return result

    async def list_models(self, *, timeout_s: float) -> tuple[str, ...] | Failure:
        """Names of the models the server serves."""
        return await self._guarded(self._list_models, timeout_s=timeout_s)

    async def close(self) -> None:
        """Close the connections."""
        await self._client.close()

    async def _complete(self, request: ChatRequest) -> Reply | Failure:
        response = await self._client.chat.completions.with_raw_response.create(
            model=request.model,
            # The protocol's own form; what it may hold is for the server to say.
            messages=cast("list[ChatCompletionMessageParam]", list(request.messages)),
            temperature=request.temperature,
            top_p=openai.omit if request.top_p == 1.0 else request.top_p,
            max_completion_tokens=request.max_tokens,
            response_format=openai.omit if request.schema is None else _response_format(request.schema),
            seed=openai.omit if request.seed is None else request.seed,
            logprobs=True if request.num_alternatives else openai.omit,
            top_logprobs=request.num_alternatives or openai.omit,
        )
        try:
            reply = ChatReply.model_validate_json(response.content)
        except ValidationError:
            return self._failure("unreadable", f"no chat completion: {response.text}")
        choice, usage = reply.choices[0], reply.usage or Usage()
        if choice.message.refusal or choice.finish_reason == "content_filter":
            declined = self._failure("refused", f"declined: {choice.message.refusal or 'content filter'}")
            return replace(declined, prompt_tokens=usage.prompt_tokens, completion_tokens=usage.completion_tokens)
        return Reply(
            text=choice.message.content or "",
            prompt_tokens=usage.prompt_tokens,
            completion_tokens=usage.completion_tokens,
            endpoint=self.url,
            is_cut=choice.finish_reason == "length",
            has_usage=usage.prompt_tokens > 0,
            tokens=tuple(choice.logprobs.content or ()) if choice.logprobs else (),
        )

    async def _list_models(self) -> tuple[str, ...] | Failure:
        response = await self._client.models.with_raw_response.list()
        try:
            listed = ModelList.model_validate_json(response.content)
        except ValidationError:
            return self._failure("unreadable", f"no list of models: {response.text}")
        return tuple(model.id for model in listed.data)

    async def _guarded(self, call: Callable[[], Awaitable[T | Failure]], *, timeout_s: float) -> T | Failure:
        try:
            async with asyncio.timeout(timeout_s):
                return await call()
        except TimeoutError:
            return self._failure("timeout", f"no reply within {timeout_s:g} s")
        except openai.APIStatusError as error:
            return self._failure(
                _cause_of(error.status_code),
                f"HTTP {error.status_code}: {error.response.text}",
                status=error.status_code,
                retry_after_s=retry_after_s(error.response.headers.get("retry-after")),
            )
        except openai.APIConnectionError as error:
            return self._failure("connection", f"no connection: {error.__cause__ or error}")

    def _failure(
        self, cause: Cause, detail: str, *, status: int | None = None, retry_after_s: float | None = None
    ) -> Failure:
        # Servers are known to quote the key they refuse.
        safe = detail.replace(self._key, "[key]") if self._key else detail
        text = " ".join(safe.split())
        quoted = text if len(text) <= _LONGEST_QUOTE else f"{text[:_LONGEST_QUOTE]}..."
        return Failure(cause=cause, detail=f"{self.url}: {quoted}", status=status, retry_after_s=retry_after_s)


def _cause_of(status: int) -> Cause:
    if status == 429:
        return "rate_limited"
    return "http_error" if status >= 500 else "refused"


def _response_format(schema: Mapping[str, object]) -> ResponseFormatJSONSchema:
    return {"type": "json_schema", "json_schema": {"name": "verdict", "strict": True, "schema": dict(schema)}}


def _is_loopback(url: str) -> bool:
    host = urlsplit(url).hostname or ""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
