"""What the journal says about a scored step, as ``room/thing/statistic``; what gives cause for alarm is in ``trust``.

A statistic that is undefined (the mean of a term that abstained everywhere, the spread of no scores) has
no key: a made-up 0 would plot as a fact.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence

import numpy as np

from rewards.findings import is_right
from rewards.spread import score_spread
from rewards.tags import STATUSES, counted_score, possible_statuses
from rewards.trust import trust_metrics
from rewards.types import ScoredGroup
from rollout.types import Check, Defect


def reward_metrics(scored: Sequence[ScoredGroup]) -> dict[str, float]:
    """Rewards, answers and completions of one step; fractions are of completions unless named otherwise.

    Statuses an answer to these tasks cannot have are left out. Scores outside the scale are counted and enter no
    mean and no spread: a single one can be hundreds of scales away.

    Raises:
        ValueError: There is no completion to describe.
    """
    if not any(group.rewards for group in scored):
        raise ValueError("reward metrics need at least one scored completion")
    defined = {
        **_reward_metrics(scored),
        **_answer_metrics(scored),
        **_finding_metrics(scored),
        **_completion_metrics(scored),
        **trust_metrics(scored),
    }
    return {name: value for name, value in defined.items() if value is not None}


def _reward_metrics(scored: Sequence[ScoredGroup]) -> Mapping[str, float | None]:
    rewards = [reward for group in scored for reward in group.rewards]
    metrics: dict[str, float | None] = {}
    for term in dict.fromkeys(term for reward in rewards for term in reward.parts):
        scores = [reward.parts[term] for reward in rewards if term in reward.parts]
        metrics[f"rewards/{term}/mean"] = _mean(_present(scores))
        metrics[f"rewards/abstained/{term}"] = float(scores.count(None))
    totals = _present(reward.total for reward in rewards)
    notes = Counter(f"rewards/{term}/num_{note}" for reward in rewards for term, note in reward.notes.items())
    return (
        metrics
        | {name: float(number) for name, number in notes.items()}
        | {
            "rewards/total/mean": _mean(totals),
            "rewards/total/std": float(np.std(totals)) if totals else None,
            "rewards/abstained/total": float(len(rewards) - len(totals)),
            "rewards/zero_spread/group_fraction": _mean([float(_has_no_spread(group)) for group in scored]),
        }
    )


def _answer_metrics(scored: Sequence[ScoredGroup]) -> Mapping[str, float | None]:
    statuses = [answer.status for group in scored for answer in group.answers]
    scores = [_present(counted_score(answer, out_of_range="drop") for answer in group.answers) for group in scored]
    spread = score_spread(scores)
    possible = {status for group in scored for status in possible_statuses(group.group.prompt)}
    counts = {status: float(statuses.count(status)) for status in STATUSES if status in possible}
    return {
        **{f"answers/{status}/count": count for status, count in counts.items()},
        **{f"answers/{status}/fraction": count / len(statuses) for status, count in counts.items()},
        "answers/format/fraction": _mean([float(a.has_format) for group in scored for a in group.answers]),
        "answers/score/mean": _mean([score for row in scores for score in row]),
        "answers/spread/within": spread.within,
        "answers/spread/across": spread.across,
    }


def _finding_metrics(scored: Sequence[ScoredGroup]) -> Mapping[str, float | None]:
    """Share of right answers to perception tasks, by task, and to yes/no questions."""
    by_task: dict[str, list[float]] = {}
    for group in scored:
        truth = group.group.prompt.reference
        if isinstance(truth, Defect):
            right = (float(is_right(answer.finding, defect=truth)) for answer in group.answers)
            by_task.setdefault(truth.task, []).extend(right)
        if isinstance(truth, Check):
            by_task.setdefault("check", []).extend(float(answer.is_yes == truth.is_yes) for answer in group.answers)
    return {f"answers/{task}/right": _mean(right) for task, right in by_task.items()}


def _completion_metrics(scored: Sequence[ScoredGroup]) -> Mapping[str, float | None]:
    completions = [completion for group in scored for completion in group.group.completions]
    lengths = [float(completion.token_ids.size) for completion in completions]
    return {
        "completions/length/mean": _mean(lengths),
        "completions/length/max": max(lengths),
        "completions/truncated/fraction": _mean([float(c.is_truncated) for c in completions]),
    }


def _has_no_spread(group: ScoredGroup) -> bool:
    """Whether the group teaches nothing: its known totals are all equal, or there is none."""
    return len(set(_present(reward.total for reward in group.rewards))) <= 1


def _present(values: Iterable[float | None]) -> list[float]:
    return [value for value in values if value is not None]


def _mean(values: Sequence[float]) -> float | None:
    return float(np.mean(values)) if values else None
