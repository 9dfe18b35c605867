"""Seconds of a step in the long run, from the seconds of its parts and ``loop.max_lag``.

Batch ``k`` may be generated once ``k - max_lag`` batches have been learned from (``cluster/loop.py``), so at most
``max_lag + 1`` batches are anywhere between the start of their generation and the end of their push:

    capacity(now) = learned + max_lag + 1 - begun                batches that may be begun

Each batch stays for generate + judge + learn + push. With ``max_lag + 1`` of them under way, a step takes no less than
that sum over ``max_lag + 1``, and no less than any of those that serve one batch at a time needs for it: the learner
(learn and push), the engines (generate and push: they stop for new weights), the judge. The largest of these is the
step.
"""

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True, slots=True)
class Stages:
    """Seconds of one batch in each part, when nothing keeps it waiting."""

    generate: float
    judge: float
    """From the last completion to the last verdict; what hides behind generation is not counted."""
    learn: float
    push: float
    judge_busy: float = 0.0
    """Of the judge at work without a pause, hidden or not."""

    @property
    def total(self) -> float:
        """From the start of generation to the end of the push."""
        return self.generate + self.judge + self.learn + self.push


@dataclass(frozen=True, kw_only=True, slots=True)
class Pace:
    """The long run."""

    step_s: float
    bound_by: str
    engines_busy: float
    """Share of the time."""
    learner_busy: float


def pace(stages: Stages, *, max_lag: int, shared_core_s: float = 0.0) -> Pace:
    """The step in the long run; ``shared_core_s``: of engines and learner over the cores they share."""
    bounds = {
        "generation": stages.generate + stages.push,
        "learning": stages.learn + stages.push,
        "the judge": stages.judge_busy,
        "the cores both sides share": shared_core_s if max_lag else 0.0,
        _waiting(max_lag): stages.total / (max_lag + 1),
    }
    bound_by = max(bounds, key=lambda name: bounds[name])
    step_s = bounds[bound_by]
    return Pace(
        step_s=step_s,
        bound_by=bound_by,
        engines_busy=stages.generate / step_s if step_s else 0.0,
        learner_busy=stages.learn / step_s if step_s else 0.0,
    )


def _waiting(max_lag: int) -> str:
    if max_lag == 0:
        return "taking turns (max_lag=0)"
    return f"max_lag={max_lag}: {max_lag + 1} batches under way at most"


def capacity(*, learned: int, begun: int, max_lag: int) -> int:
    """Batches whose generation may begin now."""
    return learned + max_lag + 1 - begun
