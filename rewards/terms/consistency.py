"""Does the answer say what the reasoning says? The judge is asked, and may abstain."""

from collections.abc import Sequence

from conf.reward_terms import ConsistencyTermConfig
from judge_client.types import Judge, Outcome
from rewards.eager import EagerScores
from rewards.questions import consistency_question
from rewards.types import Noted, Score
from rollout.types import Prompt, RolloutGroup


class ConsistencyTerm:
    """1.0 where the judge finds answer and reasoning consistent, else -1.0 (signed) or 0.0 (binary).

    A judge without a verdict makes the term abstain, with the cause as a note. An empty completion needs no judge:
    no answer follows from nothing.
    """

    def __init__(self, config: ConsistencyTermConfig, *, judge: Judge) -> None:
        self._judge = judge
        self._worth: dict[Outcome, float] = {
            "consistent": 1.0,
            "inconsistent": -1.0 if config.mode == "signed" else 0.0,
        }
        self._scores = EagerScores(self._score_one)

    def begin(self, prompt: Prompt, text: str) -> None:
        """Ask about a completion now; ``score`` waits for the verdict."""
        self._scores.begin(prompt, text)

    async def score(self, groups: Sequence[RolloutGroup]) -> list[list[Score]]:
        """Return the worth of each verdict; equal texts of one prompt share a question."""
        return await self._scores.score(groups)

    async def close(self) -> None:
        """Give up open questions; the judge itself belongs to whoever made it."""
        await self._scores.close()

    async def _score_one(self, prompt: Prompt, text: str) -> Score:
        question = consistency_question(prompt, text)
        if question.is_empty:
            return self._worth["inconsistent"]
        verdict = await self._judge.ask(question)
        if verdict.cause is not None:
            return Noted(score=None, note=verdict.cause)
        return self._worth[verdict.outcome]
