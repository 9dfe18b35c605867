"""A reward server for other trainers: the scorer of a run behind R1-Reward's protocol. The only module with FastAPI.

    POST /get_reward  {"query": [...], "prompts": [...]}  -->  200 {"rewards": [...]}
                                                               404 a prompt is not in the data set
                                                               422 the request cannot be scored
                                                               503 a term abstained: try again
    GET /health                                           -->  200 {"num_prompts": N}

``/get_reward_mllm`` is the same under its published name. A missing reward is an error and no number, since a client of
this protocol knows no missing ones.
"""

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager

import numpy as np
import uvicorn
from fastapi import FastAPI, HTTPException

from judge_client.errors import JudgeUnavailable
from rewards.scorer import Scorer
from rewards.types import Reward
from rewards.wire import RewardReply, RewardRequest, canonical, response_of
from rollout.types import Completion, Prompt, RolloutGroup

_NO_TOKENS = np.empty(0, dtype=np.int32)
_NO_LOGPROBS = np.empty(0, dtype=np.float32)
_LONGEST_QUOTE = 120


def reward_app(scorer: Scorer, *, prompts: Mapping[str, Prompt]) -> FastAPI:
    """The application; ``prompts`` finds a prompt by its message, whatever its spelling as JSON (``rewards.wire``).

    Queries of one request that share a prompt are one group; requests know nothing of each other. The application
    closes the scorer when it ends.
    """

    known = {canonical(message): prompt for message, prompt in prompts.items()}

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        try:
            yield
        finally:
            await scorer.close()

    app = FastAPI(title="Arbiter rewards", lifespan=lifespan)

    @app.post("/get_reward")
    @app.post("/get_reward_mllm")
    async def get_reward(request: RewardRequest) -> RewardReply:
        return RewardReply(rewards=await _rewards(request, scorer=scorer, prompts=known))

    @app.get("/health")
    async def health() -> dict[str, int]:
        return {"num_prompts": len(prompts)}

    return app


async def serve_rewards(app: FastAPI, *, host: str, port: int) -> None:
    """Serve until interrupted, on the event loop of the scorer.

    There is no authentication: think before giving another ``host`` than 127.0.0.1.
    """
    await uvicorn.Server(uvicorn.Config(app, host=host, port=port, log_level="warning", ws="none")).serve()


async def _rewards(request: RewardRequest, *, scorer: Scorer, prompts: Mapping[str, Prompt]) -> list[float | None]:
    if len(request.query) != len(request.prompts):
        raise HTTPException(422, f"{len(request.query)} queries but {len(request.prompts)} prompts; send one for each")
    members: dict[str, list[int]] = {}
    for place, message in enumerate(map(canonical, request.prompts)):
        if message not in prompts:
            raise HTTPException(404, _unknown(place, request.prompts[place], num_prompts=len(prompts)))
        members.setdefault(message, []).append(place)
    groups = [_group(prompts[message], [request.query[p] for p in places]) for message, places in members.items()]
    try:
        scored = await scorer.score(groups)
    except ValueError as error:
        raise HTTPException(422, str(error)) from error
    except JudgeUnavailable as error:
        raise HTTPException(503, str(error)) from error
    rewards = {
        place: _number(place, reward)
        for places, group in zip(members.values(), scored, strict=True)
        for place, reward in zip(places, group.rewards, strict=True)
    }
    return [rewards[place] for place in range(len(request.query))]


def _group(prompt: Prompt, queries: Sequence[str]) -> RolloutGroup:
    return RolloutGroup(
        prompt=prompt,
        completions=tuple(
            Completion(
                text=response_of(query),
                token_ids=_NO_TOKENS,
                logprobs=_NO_LOGPROBS,
                finish_reason="stop",
                policy_version=0,
            )
            for query in queries
        ),
        prompt_token_ids=_NO_TOKENS,
    )


def _number(place: int, reward: Reward) -> float:
    """The total. A group may do without a term that abstains, but its siblings may be in other requests."""
    missing = [f"{name} ({reward.notes.get(name, 'no note')})" for name, part in reward.parts.items() if part is None]
    if missing or reward.total is None:
        raise HTTPException(503, f"no reward for query[{place}]: {', '.join(missing)} abstained; try again")
    return reward.total


def _unknown(place: int, message: str, *, num_prompts: int) -> str:
    quoted = message if len(message) <= _LONGEST_QUOTE else f"{message[:_LONGEST_QUOTE]}..."
    return f"prompts[{place}] is the message of none of the {num_prompts} loaded prompts: {quoted!r}"
