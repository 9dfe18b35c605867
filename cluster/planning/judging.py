"""When the judge has answered: requests go out as completions end, to a server of limited concurrency and rate."""

import heapq
import math
from dataclasses import dataclass

import numpy as np

from cluster.planning.workload import Floats


@dataclass(frozen=True, kw_only=True, slots=True)
class Judging:
    """What a batch asks of the judge, and how fast it answers."""

    latency_s: float
    """Mean of one reply."""
    requests_per_completion: float
    """Votes counted; below 1 where verdicts are found in the cache or siblings share a question."""
    max_concurrent: int
    requests_per_second: float | None

    @property
    def capacity(self) -> float:
        """Requests/s it answers at most, by Little's law: those under way over the seconds each takes."""
        by_concurrency = self.max_concurrent / self.latency_s if self.latency_s > 0 else math.inf
        return min(by_concurrency, self.requests_per_second or math.inf)

    def busy_seconds(self, num_completions: int) -> float:
        """The least a judge at work without a pause takes for a batch."""
        return self.requests_per_completion * num_completions / self.capacity


class JudgeServer:
    """Answers in the order of asking; later batches queue behind earlier ones."""

    def __init__(self, judging: Judging) -> None:
        self._judging = judging
        self._free_at = [0.0] * judging.max_concurrent
        self._next_start = 0.0
        self._owed = 0.0

    def last_answer(self, ends_s: Floats, *, latencies_s: Floats | None = None) -> float:
        """When the last verdict on completions that end at these times is there.

        ``latencies_s``: of each request in turn, drawn anew where there are not enough; None: all of them the mean.
        """
        judging, last = self._judging, float(ends_s.max())
        spacing = 1.0 / judging.requests_per_second if judging.requests_per_second else 0.0
        number = 0
        for asked in np.sort(ends_s).tolist():
            self._owed += judging.requests_per_completion
            while self._owed > 1 - 1e-9:  # so that ten tenths are a request
                self._owed -= 1
                latency = judging.latency_s if latencies_s is None else float(latencies_s[number % len(latencies_s)])
                start = max(asked, heapq.heappop(self._free_at), self._next_start)
                self._next_start = start + spacing
                heapq.heappush(self._free_at, start + latency)
                last, number = max(last, start + latency), number + 1
        return last
