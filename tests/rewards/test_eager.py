"""Slow terms begin while a step is still being generated, and leave nothing behind."""

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from conf.reward_terms import ConsistencyTermConfig
from judge_client.errors import JudgeUnavailable
from judge_client.types import Question, Verdict
from rewards.eager import all_or_none
from rewards.scorer import Scorer
from rewards.terms.consistency import ConsistencyTerm
from rollout.types import Completion, RolloutGroup
from tests.builders import make_choice, make_completion, make_group, make_pair_prompt
from tests.rewards.judges import ScriptedJudge

PROMPT = make_pair_prompt()
FIRST, SECOND = make_completion(make_choice(1)), make_completion(make_choice(2))


def yes(_: Question) -> Verdict:
    return Verdict(outcome="consistent")


def fail(_: Question) -> Verdict:
    raise JudgeUnavailable("nobody answers")


def scorer_with(judge: ScriptedJudge) -> Scorer:
    term = ConsistencyTerm(ConsistencyTermConfig(kind="consistency", weight=1.0, mode="signed"), judge=judge)
    return Scorer({"consistency": term}, weights={"consistency": 1.0}, rule=totals_of_one, scale=None)


def totals_of_one(parts: object, *, weights: object) -> list[float | None]:
    assert weights == {"consistency": 1.0}
    assert isinstance(parts, list)
    return [part["consistency"] for part in parts]


def group(*completions: Completion) -> RolloutGroup:
    return RolloutGroup(prompt=PROMPT, completions=completions, prompt_token_ids=make_group(["x"]).prompt_token_ids)


def run(work: Callable[[Scorer, ScriptedJudge], Awaitable[None]], judge: ScriptedJudge) -> ScriptedJudge:
    """Do the work and check that no task outlives it."""

    async def main() -> None:
        await work(scorer_with(judge), judge)
        assert asyncio.all_tasks() == {asyncio.current_task()}

    asyncio.run(main())
    return judge


def begin(scorer: Scorer, text: str) -> None:
    assert scorer.on_end is not None
    scorer.on_end(PROMPT, text)


async def settled() -> None:
    """Let every task that can run reach its next wait."""
    for _ in range(5):
        await asyncio.sleep(0)


def test_a_completion_is_judged_before_its_step_is_scored() -> None:
    async def work(scorer: Scorer, judge: ScriptedJudge) -> None:
        begin(scorer, FIRST.text)
        await settled()
        assert len(judge.questions) == 1
        await scorer.score([group(FIRST)])

    run(work, ScriptedJudge(yes))


def test_scoring_picks_up_what_was_begun_and_asks_the_rest() -> None:
    async def work(scorer: Scorer, _: ScriptedJudge) -> None:
        begin(scorer, FIRST.text)
        await settled()
        scored = await scorer.score([group(FIRST, SECOND)])
        assert [reward.total for reward in scored[0].rewards] == [1.0, 1.0]

    assert len(run(work, ScriptedJudge(yes)).questions) == 2


def test_scoring_waits_for_a_question_still_open() -> None:
    async def work(scorer: Scorer, judge: ScriptedJudge) -> None:
        judge.gate.clear()
        begin(scorer, FIRST.text)
        scoring = asyncio.create_task(scorer.score([group(FIRST)]))
        await settled()
        assert not scoring.done()
        judge.gate.set()
        await scoring

    assert len(run(work, ScriptedJudge(yes)).questions) == 1


def test_completions_begun_one_by_one_are_judged_side_by_side() -> None:
    async def work(scorer: Scorer, judge: ScriptedJudge) -> None:
        judge.gate.clear()
        begin(scorer, FIRST.text)
        await settled()
        begin(scorer, SECOND.text)
        await settled()
        judge.gate.set()
        await scorer.score([group(FIRST, SECOND)])

    assert run(work, ScriptedJudge(yes)).most_waiting == 2


def test_a_text_begun_twice_is_asked_about_once() -> None:
    async def work(scorer: Scorer, _: ScriptedJudge) -> None:
        begin(scorer, FIRST.text)
        begin(scorer, FIRST.text)
        await scorer.score([group(FIRST, FIRST)])

    assert len(run(work, ScriptedJudge(yes)).questions) == 1


def test_what_was_begun_for_the_next_step_outlives_further_rounds_of_this_one() -> None:
    async def work(scorer: Scorer, judge: ScriptedJudge) -> None:
        begin(scorer, FIRST.text)  # of the next step, which is being sampled while this one is sampled again
        await settled()
        await scorer.score([group(SECOND)])
        await scorer.score([group(FIRST)])

    assert len(run(work, ScriptedJudge(yes)).questions) == 2


def test_what_is_begun_while_a_step_is_scored_belongs_to_the_next() -> None:
    async def work(scorer: Scorer, judge: ScriptedJudge) -> None:
        judge.gate.clear()
        scoring = asyncio.create_task(scorer.score([group(FIRST)]))
        await settled()
        begin(scorer, SECOND.text)
        await settled()
        judge.gate.set()
        await scoring
        await scorer.score([group(SECOND)])

    judge = run(work, ScriptedJudge(yes))
    assert (len(judge.questions), judge.num_cancelled) == (2, 0)


def test_a_step_is_judged_anew_although_its_texts_came_before() -> None:
    async def work(scorer: Scorer, _: ScriptedJudge) -> None:
        await scorer.score([group(FIRST)])
        await scorer.score([group(FIRST)])

    assert len(run(work, ScriptedJudge(yes)).questions) == 2


def test_closing_ends_what_was_begun() -> None:
    async def work(scorer: Scorer, judge: ScriptedJudge) -> None:
        judge.gate.clear()
        begin(scorer, FIRST.text)
        await settled()
        await scorer.close()
        assert judge.num_cancelled == 1

    run(work, ScriptedJudge(yes))


def test_a_failure_in_the_background_is_raised_by_scoring() -> None:
    async def work(scorer: Scorer, _: ScriptedJudge) -> None:
        begin(scorer, FIRST.text)
        await settled()
        with pytest.raises(JudgeUnavailable, match="nobody answers"):
            await scorer.score([group(FIRST)])

    run(work, ScriptedJudge(fail))


def test_cancelling_the_scoring_ends_its_questions() -> None:
    async def work(scorer: Scorer, judge: ScriptedJudge) -> None:
        judge.gate.clear()
        scoring = asyncio.create_task(scorer.score([group(FIRST, SECOND)]))
        await settled()
        scoring.cancel()
        with pytest.raises(asyncio.CancelledError):
            await scoring
        assert judge.num_cancelled == 2

    run(work, ScriptedJudge(yes))


def test_the_first_failure_ends_the_work_beside_it() -> None:
    ended: list[str] = []

    async def endless() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            ended.append("endless")

    async def broken() -> None:
        raise ValueError("broken")

    with pytest.raises(ValueError, match="broken"):
        asyncio.run(all_or_none([endless(), broken()]))
    assert ended == ["endless"]
