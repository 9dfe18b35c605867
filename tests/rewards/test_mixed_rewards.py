"""Steps that mix tasks: each term scores the answers it is for, and nobody else's reward changes."""

import asyncio
from collections.abc import Mapping, Sequence

import pytest

from conf.load import load_run_config
from rewards.metrics import reward_metrics
from rewards.rules import r1_reward, refine_iqa
from rewards.scorer import Scorer, build_scorer
from rewards.types import Score, ScoredGroup
from rollout.types import Prompt, RolloutGroup
from tests.builders import (
    ONE_TO_FIVE,
    make_answer,
    make_choice,
    make_defect_prompt,
    make_group,
    make_pair_prompt,
    make_prompt,
)

SCORES = make_group([make_answer(3), make_answer(5), "3"], prompt=make_prompt(opinion=3.0))
CHOICES = make_group([make_choice(2), make_choice(1)], prompt=make_pair_prompt(better=2))
DEFECTS = make_group([make_answer("blur"), make_answer("fog")], prompt=make_defect_prompt())
STEP = [SCORES, CHOICES, DEFECTS]
PART_OF_TASK = {"score": "opinion", "choice": "choice", "defect": "perception"}


def scored(groups: Sequence[RolloutGroup]) -> list[ScoredGroup]:
    config = load_run_config(["data=mixed", "rewards=mixed"]).rewards
    return asyncio.run(build_scorer(config, scale=ONE_TO_FIVE, judge=None).score(groups))


def totals(group: ScoredGroup) -> list[float | None]:
    return [reward.total for reward in group.rewards]


def test_every_group_is_scored_by_the_terms_for_its_task() -> None:
    for one in scored(STEP):
        for reward in one.rewards:
            assert set(reward.parts) == {"format", PART_OF_TASK[one.group.prompt.task]}


def test_right_answers_of_every_task_earn_as_much() -> None:
    found, chosen, seen = scored(STEP)
    assert totals(found)[0] == totals(chosen)[0] == totals(seen)[0] == 2.0
    assert (totals(chosen)[1], totals(seen)[1]) == (1.0, 1.0)


def test_a_group_earns_the_same_alone_and_among_others() -> None:
    for group, among in zip(STEP, scored(STEP), strict=True):
        (alone,) = scored([group])
        assert alone.rewards == among.rewards


def test_the_order_of_the_groups_changes_nothing() -> None:
    assert scored(STEP[::-1])[::-1] == scored(STEP)


class Recorder:
    """A slow term that notes what it is asked to begin with."""

    def __init__(self) -> None:
        self.begun: list[str] = []

    def begin(self, prompt: Prompt, text: str) -> None:
        del text
        self.begun.append(prompt.task)

    async def score(self, groups: Sequence[RolloutGroup]) -> list[list[Score]]:
        return [[1.0] * len(group.completions) for group in groups]

    async def close(self) -> None:
        pass


def ones(parts: Sequence[Mapping[str, float | None]], *, weights: Mapping[str, float]) -> list[float | None]:
    """A rule that gives every answer 1."""
    return [1.0 for _ in parts]


def test_a_slow_term_begins_with_answers_to_its_own_task_only() -> None:
    term = Recorder()
    scorer = Scorer(
        {"slow": term}, weights={"slow": 1.0}, rule=ones, scale=None,
        tasks={"slow": "choice"},
    )  # fmt: skip
    assert scorer.on_end is not None
    for group in STEP:
        scorer.on_end(group.prompt, "x")
    assert term.begun == ["choice"]


def test_means_and_abstentions_are_over_the_answers_a_term_is_for() -> None:
    metrics = reward_metrics(scored(STEP))
    assert metrics["rewards/choice/mean"] == metrics["rewards/perception/mean"] == 0.5
    assert metrics["rewards/abstained/choice"] == metrics["rewards/abstained/fraction"] == 0.0
    assert metrics["rewards/format/mean"] == pytest.approx(6 / 7)


def test_factors_of_a_rule_leave_groups_of_other_tasks_alone() -> None:
    parts = [{"format": 1.0, "consistency": -1.0}, {"format": 0.0, "consistency": 1.0}]
    weights = {"format": 0.5, "choice": 1.0, "consistency": 0.5}
    assert r1_reward(parts, weights=weights, abstention="group") == [0.0, 0.5]
    found = [{"format": 1.0, "perception": 0.5}]
    assert refine_iqa(found, weights={"format": 1.0, "perception": 2.0}, abstention="group") == [2.0]
