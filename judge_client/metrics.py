"""What the journal says about the judge, as ``judge/thing/statistic``.

A statistic that is undefined (the latency of no verdicts) has no key: a made-up 0 would plot as a fact.
"""

import math
from collections import Counter
from collections.abc import Sequence

from judge_client.types import CAUSES, OUTCOMES, Cause, Outcome, Verdict


class JudgeMetrics:
    """Counts since the last ``drain``."""

    def __init__(self) -> None:
        self._num_waiting = 0
        self._clear()

    def _clear(self) -> None:
        self._outcomes: Counter[Outcome] = Counter()
        self._causes: Counter[Cause] = Counter()
        self._latencies_s: list[float] = []
        self._num_hits = self._num_shared = self._num_requests = self._num_retries = 0
        self._prompt_tokens = self._completion_tokens = 0
        self._most_waiting = self._num_waiting

    def question_asked(self) -> None:
        """Note that a question waits for its verdict."""
        self._num_waiting += 1
        self._most_waiting = max(self._most_waiting, self._num_waiting)

    def question_left(self) -> None:
        """Note that a question waits no longer, whatever came of it."""
        self._num_waiting -= 1

    def answered(self, verdict: Verdict, *, is_shared: bool) -> None:
        """Note a verdict; a shared one belongs to an equal question that was under way already."""
        self._outcomes[verdict.outcome] += 1
        if verdict.cause is not None:
            self._causes[verdict.cause] += 1
        elif not verdict.from_cache and not is_shared:
            self._latencies_s.append(verdict.latency_s)
        self._num_hits += verdict.from_cache
        self._num_shared += is_shared

    def request_sent(self, *, is_retry: bool) -> None:
        """Note one HTTP request."""
        self._num_requests += 1
        self._num_retries += is_retry

    def reply_received(self, *, prompt_tokens: int, completion_tokens: int) -> None:
        """Note the tokens a server charged for one reply, readable or not."""
        self._prompt_tokens += prompt_tokens
        self._completion_tokens += completion_tokens

    def drain(self, *, num_open_endpoints: int) -> dict[str, float]:
        """The metrics of everything since the last call, which are then forgotten."""
        num_questions = self._outcomes.total()
        metrics = {
            "judge/questions/count": num_questions,
            "judge/questions/shared": self._num_shared,
            **{f"judge/{outcome}/count": self._outcomes[outcome] for outcome in OUTCOMES if outcome != "abstained"},
            "judge/abstained/count": self._outcomes["abstained"],
            **{f"judge/abstained/{cause}": self._causes[cause] for cause in CAUSES},
            "judge/requests/count": self._num_requests,
            "judge/retries/count": self._num_retries,
            "judge/tokens/prompt": self._prompt_tokens,
            "judge/tokens/completion": self._completion_tokens,
            "judge/queue/depth": self._most_waiting,
            "judge/endpoints/open": num_open_endpoints,
            **self._ratios(num_questions),
        }
        self._clear()
        return {name: float(value) for name, value in metrics.items()}

    def _ratios(self, num_questions: int) -> dict[str, float]:
        ratios: dict[str, float] = {}
        if num_questions:
            ratios["judge/cache/hit_fraction"] = self._num_hits / num_questions
        if self._latencies_s:
            ratios["judge/latency/p50_s"] = percentile(self._latencies_s, 0.50)
            ratios["judge/latency/p95_s"] = percentile(self._latencies_s, 0.95)
        return ratios


def percentile(values: Sequence[float], share: float) -> float:
    """The smallest value that at least ``share`` of ``values`` do not exceed (nearest rank)."""
    return sorted(values)[max(math.ceil(share * len(values)) - 1, 0)]
