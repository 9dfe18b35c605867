"""The alarms of a run: figures of RL steps and of held-out evaluations that are beyond their bounds.

    figures of a step ------------> rewards.trust.BOUNDS --+--> trust/alarms/FIGURE among the numbers, 1 or 0
    figures of an evaluation -----> held_out_alarms -------+--> a line on the display, a row in alarms.jsonl
    those of the cold start ------------^

Of successive steps the first beyond a bound is told; of evaluations, which are few, every one.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping

from cluster.journal import Journal
from rewards.trust import BOUNDS, Alarm, alarms

Metrics = Mapping[str, float]

PREFIX = "trust/alarms/"
"""Before the key of a figure: the key of its alarm, 1 while it is beyond its bound, else 0."""

ACCURACY = "evaluation/accuracy/value"
CHANCE = 0.5
"""Accuracy of a guess between two answers."""
COLLAPSED = "evaluation/collapsed/alarm"
HELD_OUT_BOUNDS: Metrics = {"evaluation/position_bias/points": BOUNDS["answers/choice/position_bias"], COLLAPSED: 0.0}
"""As ``BOUNDS``, for evaluations from the first RL step on; ``held_out_alarms`` bounds the accuracy from below."""


class AlarmBell:
    """Tells alarms, and journals them."""

    def __init__(self, journal: Journal, *, say: Callable[[str], None], last_row: Mapping[str, float | str]) -> None:
        """``last_row`` is the newest one of ``metrics.jsonl``, whose alarms a resumed run has told; or empty."""
        self._journal, self._say = journal, say
        self._ringing = {key.removeprefix(PREFIX) for key, flag in last_row.items() if key.startswith(PREFIX) and flag}

    def hear_step(self, metrics: Metrics, *, step: int, global_step: int) -> dict[str, float]:
        """Tell what has crossed a bound since the step before; flags to journal with the step."""
        raised = alarms(metrics, bounds=BOUNDS)
        new = [alarm for alarm in raised if alarm.name not in self._ringing]
        self._ringing = {alarm.name for alarm in raised}
        self._tell(new, at=f"RL step {step}", global_step=global_step)
        return _flags(raised, names=BOUNDS.keys() & metrics.keys())

    def hear_evaluation(
        self, metrics: Metrics, *, cold_start: Metrics, label: str, global_step: int
    ) -> dict[str, float]:
        """Tell what is beyond its bound in an evaluation; flags to show with it."""
        raised = list(held_out_alarms(metrics, cold_start=cold_start))
        self._tell(raised, at=f"evaluation {label}", global_step=global_step)
        return _flags(raised, names={*HELD_OUT_BOUNDS, ACCURACY} & metrics.keys())

    def _tell(self, new: Iterable[Alarm], *, at: str, global_step: int) -> None:
        for alarm in new:
            self._journal.alarm(alarm, at=at, global_step=global_step)
            if alarm.name != COLLAPSED:  # which the line of the evaluation itself says in words
                self._say(f"ALARM at {at}: {alarm.line}")


def held_out_alarms(metrics: Metrics, *, cold_start: Metrics) -> Iterator[Alarm]:
    """Alarms of an evaluation; ``cold_start`` is the one RL started from, or empty.

    RL that is worth its while does not end below the 95 % interval it started in, nor below a coin.
    """
    yield from alarms(metrics, bounds=HELD_OUT_BOUNDS)
    accuracy, before = metrics.get(ACCURACY), cold_start.get("evaluation/accuracy/low", 0.0)
    if accuracy is not None and accuracy < max(before, CHANCE):
        floor = f"{before:.3g}, where the cold start's interval begins" if before > CHANCE else f"{CHANCE:g}, a guess"
        yield Alarm(name=ACCURACY, value=accuracy, why=f"below {floor}")


def _flags(raised: Iterable[Alarm], *, names: Iterable[str]) -> dict[str, float]:
    ringing = {alarm.name for alarm in raised}
    return {f"{PREFIX}{name}": float(name in ringing) for name in sorted(names)}
