"""Rewards with the real judge client and the rule server behind real HTTP."""

import asyncio
from collections.abc import Sequence

import pytest

from conf.load import load_run_config
from judge_client.client import JudgeClient
from judge_client.rule_faults import Faults
from rewards.metrics import reward_metrics
from rewards.scorer import build_scorer
from rewards.types import ScoredGroup
from tests.builders import make_choice, make_group, make_pair_prompt
from tests.judge_client.builders import judge_config
from tests.judge_client.servers import NO_FAULTS, always, at_first, rule_server

TEXTS = [make_choice(2), make_choice(2, favoured=1), make_choice(1), "no idea"]


def scored(texts: Sequence[str], *, faults: Faults, begin: bool = False) -> ScoredGroup:
    """One group, scored as by ``rewards=r1_reward``; the judge is asked one question at a time."""
    config = load_run_config(["data=photo_pairs", "rewards=r1_reward"]).rewards
    group = make_group(texts, prompt=make_pair_prompt(better=2))

    async def work(url: str) -> ScoredGroup:
        judge = JudgeClient(judge_config(url, max_concurrent=1), cache_folder=None)
        scorer = build_scorer(config, scale=None, judge=judge)
        try:
            assert scorer.on_end is not None
            for completion in group.completions if begin else ():
                scorer.on_end(group.prompt, completion.text)
            return (await scorer.score([group]))[0]
        finally:
            await scorer.close()
            await judge.close()

    with rule_server(faults) as server:
        return asyncio.run(work(server.url))


@pytest.mark.parametrize("begin", [False, True])
def test_a_group_earns_the_published_rewards(*, begin: bool) -> None:
    assert [r.total for r in scored(TEXTS, faults=NO_FAULTS, begin=begin).rewards] == [2.0, 1.0, 0.5, 0.0]


def test_one_missing_verdict_on_a_right_answer_takes_the_factor_from_its_group() -> None:
    group = scored(TEXTS, faults=at_first(1, "error"))
    assert [r.total for r in group.rewards] == [1.5, 1.5, 0.5, 0.0]


def test_missing_verdicts_are_counted_with_their_cause() -> None:
    metrics = reward_metrics([scored(TEXTS, faults=always("garbage"))])
    assert metrics["rewards/abstained/consistency"] == metrics["rewards/consistency/num_unreadable"] == 4.0


def test_a_judge_that_lies_disagrees_with_the_rules() -> None:
    metrics = reward_metrics([scored(TEXTS, faults=always("wrong"))])
    assert metrics["rewards/consistency/rule_disagreement"] == 1.0
