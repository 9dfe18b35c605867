"""Judges for tests: one that follows the rules of the rule server, and one that does as told."""

import asyncio
from collections.abc import Callable

from judge_client.prompt import build_prompt
from judge_client.rule_judge import judge_prompt
from judge_client.types import Question, Verdict


class RuleJudge:
    """Answers at once, by the rules."""

    async def ask(self, question: Question) -> Verdict:
        prompt = build_prompt(question, style="arbiter", is_structured=False)
        outcome = prompt.read(judge_prompt(prompt.text))
        assert outcome is not None
        return Verdict(outcome=outcome)

    def metrics(self) -> dict[str, float]:
        return {}


class ScriptedJudge:
    """Answers what ``reply`` says, once the gate is open; counts who is waiting."""

    def __init__(self, reply: Callable[[Question], Verdict]) -> None:
        self.gate = asyncio.Event()
        self.gate.set()
        self.questions: list[Question] = []
        self.num_waiting = self.most_waiting = self.num_cancelled = 0
        self._reply = reply

    async def ask(self, question: Question) -> Verdict:
        self.questions.append(question)
        self.num_waiting += 1
        self.most_waiting = max(self.most_waiting, self.num_waiting)
        try:
            await self.gate.wait()
            await asyncio.sleep(0)  # an open gate lets through without a turn for the others
        except asyncio.CancelledError:
            self.num_cancelled += 1
            raise
        finally:
            self.num_waiting -= 1
        return self._reply(question)

    def metrics(self) -> dict[str, float]:
        return {}
