"""Checklist scores as rewards for training generators, over HTTP.

    POST /score  {"items": [{"path": "a.png", "prompt": "a cat"}, {"data": "iVBORw0..."}, ...]}
             --> 200 {"rewards": [0.81, null], "dimensions": [{"quality": 0.9, ...}, null], "errors": [null, "..."]}
                 422 the request cannot be read, or an item names no file
    GET /health  --> 200 {"checklist": "image", "questions": 40}

A reward is the score on the scale the server was started with; a dimension's is the share of its open weight that was
answered with yes, from 0 to 1. What cannot be scored is null and says why: a missing reward is never 0.
"""

import asyncio
import base64
import binascii
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from math import fsum
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Literal, Self

from fastapi import FastAPI, HTTPException
from pydantic import BaseModel, ConfigDict, Field, model_validator

from rewards.checklist.scoring import ItemScore, ScoreScale
from rollout.checklist.questions import Checklist

MOST_ITEMS = 1024
_ENDINGS = {"image": ".png", "video": ".mp4"}
"""Decoders look at the content; the ending says which of the two it is."""


class RewardItem(BaseModel):
    """One picture or video, as a file that the server can read or as the bytes of one."""

    model_config = ConfigDict(strict=True, extra="forbid")

    path: str | None = None
    data: str | None = None
    """Base64."""
    prompt: str | None = None

    @model_validator(mode="after")
    def _is_one_of_the_two(self) -> Self:
        if (self.path is None) == (self.data is None):
            raise ValueError("expected either path or data")
        return self


class RewardItems(BaseModel):
    """Pictures or videos to be rewarded."""

    model_config = ConfigDict(strict=True, extra="forbid")

    items: list[RewardItem] = Field(min_length=1, max_length=MOST_ITEMS)


class Rewards(BaseModel):
    """By item, in order."""

    model_config = ConfigDict(allow_inf_nan=False)

    rewards: list[float | None]
    dimensions: list[dict[str, float | None] | None]
    errors: list[str | None]


@dataclass(frozen=True, kw_only=True, slots=True)
class ShownItem:
    """An item as a file."""

    path: str
    prompt: str | None


Judged = ItemScore | str
"""A score, or why there is none."""
Judge = Callable[[Sequence[ShownItem]], Awaitable[list[Judged]]]


def checklist_reward_app(judge: Judge, *, checklist: Checklist, scale: ScoreScale) -> FastAPI:
    """The application; ``judge`` scores the items of one request, in order."""
    app = FastAPI(title="Arbiter checklist rewards")

    @app.post("/score")
    async def score(request: RewardItems) -> Rewards:
        with TemporaryDirectory(prefix="arbiter-") as folder:
            items = await asyncio.to_thread(_shown, request.items, kind=checklist.kind, folder=Path(folder))
            if missing := [one.path for one in items if not Path(one.path).exists()]:
                raise HTTPException(422, f"{missing[0]}: no such file where the server runs; send its bytes as data")
            judged = await judge(items)
        scores = [one if isinstance(one, ItemScore) else None for one in judged]
        rewards = [None if one is None else one.on(scale) for one in scores]
        return Rewards(
            rewards=rewards,
            dimensions=[None if one is None else dimension_shares(one) for one in scores],
            errors=[_why(one) if reward is None else None for one, reward in zip(judged, rewards, strict=True)],
        )

    @app.get("/health")
    async def health() -> Mapping[str, str | int]:
        return {"checklist": checklist.name, "questions": len(checklist.asked)}

    return app


def dimension_shares(score: ItemScore) -> dict[str, float | None]:
    """Of each dimension, the share of the weight of its open questions that yes has; None where it is unknown."""
    open_weights = {
        name: fsum(one.weight for one in score.contributions if one.dimension == name and one.status == "counted")
        for name in score.dimensions
    }
    return {
        name: None if part.score is None or not open_weights[name] else part.score / open_weights[name]
        for name, part in score.dimensions.items()
    }


def _shown(items: Sequence[RewardItem], *, kind: Literal["image", "video"], folder: Path) -> list[ShownItem]:
    return [
        ShownItem(path=_file(one, path=folder / f"{number}{_ENDINGS[kind]}"), prompt=one.prompt)
        for number, one in enumerate(items)
    ]


def _file(item: RewardItem, *, path: Path) -> str:
    """Where the item is, or is written to."""
    if item.path is not None:
        return item.path
    try:
        path.write_bytes(base64.b64decode(item.data or "", validate=True))
    except binascii.Error as error:
        raise HTTPException(422, f"items[{path.stem}].data: expected base64: {error}") from error
    return str(path)


def _why(judged: Judged) -> str:
    if isinstance(judged, str):
        return judged
    return f"{judged.num_unusable} answers are neither yes nor no, or failed"
