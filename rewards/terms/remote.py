"""Rewards from an endpoint over HTTP, one request per distinct completion. The only module that imports aiohttp.

completion --> {"query", "prompts"} --POST--> {"rewards"} --> score
                       ^------ further attempts ------+-----> abstains, with the cause
"""

import asyncio
import random
from collections.abc import Sequence

import aiohttp
from pydantic import ValidationError

from conf.reward_terms import RemoteTermConfig
from judge_client.limits import backoff_s
from rewards.eager import EagerScores
from rewards.types import Noted, Score
from rewards.wire import RewardReply, RewardRequest, message_of, query_of
from rollout.types import Prompt, RolloutGroup

MAX_CONCURRENT = 64
"""Requests under way at a time."""
_MAY_PASS = ("timeout", "connection", "http_error", "rate_limited")
"""Failures after which the same request may succeed."""


class RemoteTerm:
    """What the endpoint says, whatever its range; abstains when it says nothing."""

    def __init__(self, config: RemoteTermConfig, *, max_attempts: int = 3) -> None:
        """Prepare; nothing is sent. ``max_attempts`` are the requests per completion, the first included."""
        self._url, self._timeout_s, self._max_attempts = config.url, config.timeout_s, max_attempts
        self._turns = asyncio.Semaphore(MAX_CONCURRENT)
        self._randomness = random.Random()
        self._session: aiohttp.ClientSession | None = None
        self._scores = EagerScores(self._score_one)

    def begin(self, prompt: Prompt, text: str) -> None:
        """Send a completion now; ``score`` waits for the reply."""
        self._scores.begin(prompt, text)

    async def score(self, groups: Sequence[RolloutGroup]) -> list[list[Score]]:
        """Return the replies; equal texts of one prompt share a request.

        Raises:
            ValueError: The endpoint refuses a request (4xx), which no further attempt would change.
        """
        return await self._scores.score(groups)

    async def close(self) -> None:
        """Give up open requests and close the connections."""
        await self._scores.close()
        if self._session is not None:
            await self._session.close()
            self._session = None

    async def _score_one(self, prompt: Prompt, text: str) -> Score:
        body = RewardRequest(query=[query_of(text)], prompts=[message_of(prompt)]).model_dump_json()
        for num_failures in range(1, self._max_attempts + 1):
            async with self._turns:
                result = await self._post(body)
            if not (isinstance(result, Noted) and result.note in _MAY_PASS):
                return result
            if num_failures < self._max_attempts:
                await asyncio.sleep(backoff_s(num_failures, randomness=self._randomness))
        return result

    async def _post(self, body: str) -> Score:
        if self._session is None:
            # The limit below is the only one; aiohttp's own is five minutes.
            self._session = aiohttp.ClientSession(
                headers={"Content-Type": "application/json"}, timeout=aiohttp.ClientTimeout(total=None)
            )
        try:
            async with asyncio.timeout(self._timeout_s), self._session.post(self._url, data=body) as response:
                return self._read(response.status, await response.read())
        except TimeoutError:
            return Noted(score=None, note="timeout")
        except aiohttp.ClientError:
            return Noted(score=None, note="connection")

    def _read(self, status: int, content: bytes) -> Score:
        if status == 429 or status >= 500:
            return Noted(score=None, note="rate_limited" if status == 429 else "http_error")
        if status != 200:
            quoted = content[:300].decode(errors="replace")
            raise ValueError(f"the reward endpoint {self._url} refuses a request with HTTP {status}: {quoted}")
        try:
            rewards = RewardReply.model_validate_json(content).rewards
        except ValidationError:
            rewards = []
        if len(rewards) != 1:
            return Noted(score=None, note="unreadable")
        return Noted(score=None, note="abstained") if rewards[0] is None else rewards[0]
