"""What the judge says of held-out answers."""

import asyncio

import pytest

from cluster.held_out import consistency_of
from judge_client.errors import JudgeUnavailable
from judge_client.types import Question, Verdict
from tests.builders import make_choice, make_group, make_pair_prompt
from tests.rewards.judges import RuleJudge, ScriptedJudge

GROUPS = [
    make_group([make_choice(1), make_choice(2, favoured=1)], prompt=make_pair_prompt("a/1", better=1)),
    make_group([" "], prompt=make_pair_prompt("a/2", better=2)),
]
"""An answer that follows, one that does not, and an empty completion."""


def abstain(_: Question) -> Verdict:
    return Verdict(outcome="abstained", cause="timeout")


def fail(_: Question) -> Verdict:
    raise JudgeUnavailable("nobody answers")


def test_an_answer_is_consistent_when_it_follows_and_an_empty_completion_never_is() -> None:
    assert asyncio.run(consistency_of(GROUPS, judge=RuleJudge())) == [[True, False], [False]]


def test_no_verdict_is_neither_yes_nor_no() -> None:
    assert asyncio.run(consistency_of(GROUPS, judge=ScriptedJudge(abstain))) == [[None, None], [False]]


def test_a_judge_that_is_gone_leaves_no_question_behind() -> None:
    async def ask() -> None:
        with pytest.raises(JudgeUnavailable, match="nobody answers"):
            await consistency_of(GROUPS, judge=ScriptedJudge(fail))
        assert asyncio.all_tasks() == {asyncio.current_task()}

    asyncio.run(ask())
