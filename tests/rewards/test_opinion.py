"""The absolute reward."""

import asyncio

import numpy as np
import pytest

from conf.reward_terms import OpinionTermConfig
from rewards.terms.opinion import OpinionTerm, opinion_rewards
from rollout.types import Scale
from tests.builders import make_answer, make_group, make_prompt


def score(answer: float | str, *, opinion: float, scale: Scale, sigma_fraction: float = 0.1) -> float | None:
    config = OpinionTermConfig(kind="opinion", weight=1.0, sigma_fraction=sigma_fraction)
    group = make_group([make_answer(answer)], prompt=make_prompt(opinion=opinion, scale=scale))
    return asyncio.run(OpinionTerm(config).score([group]))[0][0]


@pytest.mark.parametrize(
    ("distance", "reward"),
    [(0.0, 1.0), (0.01, 0.995), (0.05, 0.8825), (0.07, 0.7827), (0.1, 0.6065), (0.2, 0.1353), (0.3, 0.0111)],
)
def test_the_published_table_of_distances(distance: float, reward: float) -> None:
    result = opinion_rewards(np.array([0.5 + distance]), opinion=0.5, sigma=0.1)
    assert result[0] == pytest.approx(reward, abs=5.1e-5)


def test_one_sigma_is_a_share_of_the_scale() -> None:
    assert score(3.4, opinion=3.0, scale=Scale(minimum=1, maximum=5)) == pytest.approx(np.exp(-0.5))


def test_rescaling_answer_label_and_scale_together_changes_nothing() -> None:
    on_five = score(2.0, opinion=3.0, scale=Scale(minimum=1, maximum=5))
    on_hundred = score(25, opinion=50.0, scale=Scale(minimum=0, maximum=100))
    assert on_five == pytest.approx(on_hundred)


def test_an_unparsed_answer_earns_zero() -> None:
    assert score("dunno", opinion=3.0, scale=Scale(minimum=1, maximum=5)) == 0.0


def test_an_out_of_range_score_is_judged_by_its_distance() -> None:
    assert score(5.4, opinion=5.0, scale=Scale(minimum=1, maximum=5)) == pytest.approx(np.exp(-0.5))
