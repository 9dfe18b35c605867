"""The soft penalty on length."""

import asyncio

import numpy as np
import pytest
from pydantic import ValidationError

from conf.reward_terms import OverlongTermConfig
from rewards.terms.overlong import OverlongTerm, overlong_penalties
from rollout.types import RolloutGroup
from tests.builders import make_completion, make_prompt

NO_TOKENS = np.empty(0, dtype=np.int32)


@pytest.mark.parametrize(
    ("length", "penalty"),
    [(0, 0.0), (16384, 0.0), (16385, -1 / 4096), (18432, -0.5), (20480, -1.0), (20481, -1.0), (99999, -1.0)],
)
def test_the_published_setting(length: int, penalty: float) -> None:
    result = overlong_penalties(np.array([length]), max_tokens=20480, cache_tokens=4096)
    assert result[0] == pytest.approx(penalty)


def test_tokens_are_counted_and_not_letters() -> None:
    completions = tuple(make_completion("x", num_tokens=number) for number in (6, 8, 10))
    group = RolloutGroup(prompt=make_prompt(), completions=completions, prompt_token_ids=NO_TOKENS)
    config = OverlongTermConfig(kind="overlong", weight=1.0, max_tokens=10, cache_tokens=4)
    assert asyncio.run(OverlongTerm(config).score([group])) == [[0.0, -0.5, -1.0]]


def test_a_text_without_tokens_has_no_length() -> None:
    completions = (make_completion("a text", num_tokens=0),)
    group = RolloutGroup(prompt=make_prompt(), completions=completions, prompt_token_ids=NO_TOKENS)
    config = OverlongTermConfig(kind="overlong", weight=1.0, max_tokens=10, cache_tokens=4)
    with pytest.raises(ValueError, match="came as text alone"):
        asyncio.run(OverlongTerm(config).score([group]))


def test_the_slope_cannot_start_below_zero() -> None:
    with pytest.raises(ValidationError, match="cache_tokens=11 must not exceed max_tokens=10"):
        OverlongTermConfig(kind="overlong", weight=1.0, max_tokens=10, cache_tokens=11)
