"""One request to whichever server will have it: choice of server, further attempts, and both limits.

request -> turn (max_concurrent) -> least busy server -> its pause -> pace -> HTTP -> Reply
                ^------------------ wait, another server if any <------------------+-> Failure
"""

import asyncio
import os
import random
import time
from collections.abc import Sequence

from conf.judge import JudgeClientConfig, RemoteJudgeConfig
from judge_client.breaker import Breaker
from judge_client.endpoint import ChatRequest, Endpoint, Failure, Reply
from judge_client.errors import JudgeUnavailable
from judge_client.limits import Pacer, backoff_s
from judge_client.metrics import JudgeMetrics

LONGEST_PAUSE_S = 120.0
"""A server that asks for a longer pause is taken to be out of reach."""


class Transport:
    """The servers of one judge."""

    def __init__(self, endpoints: Sequence[Endpoint], config: JudgeClientConfig, *, metrics: JudgeMetrics) -> None:
        self.endpoints = tuple(endpoints)
        self._max_attempts, self._metrics = config.max_attempts, metrics
        self._turns = asyncio.Semaphore(config.max_concurrent)
        self._pacer = Pacer(config.requests_per_second)
        self._randomness = random.Random()

    async def send(self, request: ChatRequest) -> Reply | Failure:
        """The reply, or the failure of the last attempt."""
        last: tuple[Endpoint, Failure] | None = None
        for num_failures in range(self._max_attempts):
            if num_failures:
                await asyncio.sleep(backoff_s(num_failures, randomness=self._randomness))
            async with self._turns:
                endpoint = await self._free_endpoint(avoid=last[0] if last else None)
                if endpoint is None:
                    break
                result = await self._send_once(request, endpoint, is_retry=num_failures > 0)
            if isinstance(result, Reply) or not result.may_pass:
                return result
            last = endpoint, result
        return last[1] if last else self._nobody()

    async def close(self) -> None:
        """Close every connection."""
        await asyncio.gather(*(endpoint.close() for endpoint in self.endpoints))

    async def _send_once(self, request: ChatRequest, endpoint: Endpoint, *, is_retry: bool) -> Reply | Failure:
        self._metrics.request_sent(is_retry=is_retry)
        result = await endpoint.complete(request)
        if isinstance(result, Reply):
            self._metrics.reply_received(prompt_tokens=result.prompt_tokens, completion_tokens=result.completion_tokens)
        return result

    async def _free_endpoint(self, *, avoid: Endpoint | None) -> Endpoint | None:
        """A server that may be asked now; None when all are left alone or ask for too long a pause."""
        is_paced = False
        while endpoint := self._choose(avoid=avoid):
            pause_s = endpoint.rest_s(time.monotonic())
            if pause_s == 0 and is_paced:
                return endpoint
            if pause_s > LONGEST_PAUSE_S:
                return None
            # While we wait, servers fail, come back or ask for pauses: choose again.
            await (asyncio.sleep(pause_s) if pause_s else self._pacer.wait())
            is_paced = pause_s == 0
        return None

    def _choose(self, *, avoid: Endpoint | None) -> Endpoint | None:
        """The allowed server with the shortest pause, then the least busy one, then the least used one."""
        now_s = time.monotonic()
        allowed = [endpoint for endpoint in self.endpoints if endpoint.breaker.allows(now_s)]
        return min(
            allowed,
            key=lambda e: (e.rest_s(now_s), e is avoid, e.num_in_flight, e.num_requests),
            default=None,
        )

    def _nobody(self) -> Failure:
        urls = ", ".join(endpoint.url for endpoint in self.endpoints)
        if any(endpoint.breaker.allows(time.monotonic()) for endpoint in self.endpoints):
            return Failure(cause="rate_limited", detail=f"{urls}: asked for a pause above {LONGEST_PAUSE_S:g} s")
        return Failure(cause="circuit_open", detail=f"{urls}: left alone after failures in a row")


def open_transport(config: RemoteJudgeConfig, *, metrics: JudgeMetrics) -> Transport:
    """The servers a configuration names; nothing is sent yet.

    Raises:
        JudgeUnavailable: The variable that should hold the key is not set, or holds no key.
    """
    key = _read_key(config.api_key_variable)
    return Transport([_endpoint(url, config, key=key) for url in config.base_urls], config, metrics=metrics)


def _endpoint(url: str, config: RemoteJudgeConfig, *, key: str | None) -> Endpoint:
    breaker = Breaker(max_failures=config.breaker_failures, cooldown_s=config.timeout_s)
    return Endpoint(url, key=key, timeout_s=config.timeout_s, breaker=breaker)


def _read_key(variable: str | None) -> str | None:
    if variable is None:
        return None
    key = os.environ.get(variable, "")
    # A line break copied along with the key would come back in the error of the HTTP library, escaped and so readable.
    if not key or not key.isascii() or not key.isprintable() or " " in key:
        raise JudgeUnavailable(
            f"judge.api_key_variable={variable}: expected that environment variable to hold the key, got "
            f"{'one with spaces, line breaks or other unusual characters' if key else 'none'}; export it where the run "
            "starts"
        )
    return key
