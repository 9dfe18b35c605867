"""Is the reward still earned by judging? Figures that betray its being earned otherwise, and the alarms on them.

=======================================  ====================================================================
metric                                   what it betrays
=======================================  ====================================================================
``answers/choice/accuracy``              share of right choices; the ground truth itself, where there is one
``answers/choice/position_bias``         points by which answer 1 is given more often than it is labelled
``completions/length/correlation``       Pearson's, of length in tokens and reward: padding pays, or brevity
``completions/duplicates/fraction``      share of completions whose text another one of the group has too
``rewards/format_only/fraction``         share with a positive reward and a wrong or unreadable answer
``rewards/abstained/fraction``           share on which some term abstained
``rewards/consistency/rule_disagreement``  share of verdicts that differ from the rule-based judge's, where it has one
``rewards/consistency/yes_when_right``   share found consistent among right choices ...
``rewards/consistency/yes_when_wrong``   ... and wrong ones; far apart: the judge guesses the answer instead
=======================================  ====================================================================

Wrong is what the ground truth of a pairwise, perception (``rewards.findings.is_right``) or yes/no task says; an answer
to a scoring task counts as wrong without a score.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from judge_client.rule_judge import conclusion
from rewards.findings import is_right
from rewards.questions import consistency_question
from rewards.rules import CONSISTENCY
from rewards.tags import ParsedAnswer
from rewards.types import Reward, ScoredGroup
from rollout.types import Check, Completion, Defect, Preference, Prompt

BOUNDS: Mapping[str, float] = {
    "answers/choice/position_bias": 20.0,
    "completions/length/correlation": 0.6,
    "completions/duplicates/fraction": 0.9,
    "rewards/format_only/fraction": 0.7,
    "rewards/abstained/fraction": 0.5,
    "rewards/consistency/rule_disagreement": 0.3,
}
"""Sizes, whatever the sign, beyond which a figure is an alarm. Guessing one of two answers in the right format gives a
format-only share of 0.5, which is no alarm yet."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Alarm:
    """A figure that has crossed its bound."""

    name: str
    """Journal key of the figure."""
    value: float
    why: str
    """What is said after the figure, such as "beyond 20"."""

    @property
    def line(self) -> str:
        """The alarm for a person."""
        return f"{self.name}={self.value:.3g} is {self.why}"


@dataclass(frozen=True, kw_only=True, slots=True)
class _Row:
    """One completion with all that is known of it."""

    prompt: Prompt
    completion: Completion
    answer: ParsedAnswer
    reward: Reward

    @property
    def is_right(self) -> bool:
        reference = self.prompt.reference
        if isinstance(reference, Preference):
            return self.answer.choice == reference.better
        if isinstance(reference, Defect):
            return is_right(self.answer.finding, defect=reference)
        if isinstance(reference, Check):
            return self.answer.is_yes == reference.is_yes
        return self.answer.score is not None

    @property
    def is_found_consistent(self) -> bool | None:
        """The judge's verdict; None without one."""
        worth = self.reward.parts.get(CONSISTENCY)
        return None if worth is None else worth > 0


def trust_metrics(scored: Sequence[ScoredGroup]) -> dict[str, float | None]:
    """The table above for one step; None where a figure is undefined."""
    rows = list(_rows(scored))
    known = [(row.reward.total, row) for row in rows if row.reward.total is not None]
    return {
        **_choice_metrics([row for row in rows if isinstance(row.prompt.reference, Preference)]),
        **_consistency_metrics([row for row in rows if row.is_found_consistent is not None]),
        "completions/length/correlation": _correlation([(row.completion.token_ids.size, t) for t, row in known]),
        "completions/duplicates/fraction": _duplicate_fraction(scored),
        "rewards/abstained/fraction": _share(None in row.reward.parts.values() for row in rows),
        "rewards/format_only/fraction": _share(total > 0 and not row.is_right for total, row in known),
    }


def alarms(metrics: Mapping[str, float], *, bounds: Mapping[str, float]) -> list[Alarm]:
    """One for each figure that is beyond its bound; a figure that is missing is no alarm."""
    return [
        Alarm(name=name, value=metrics[name], why=f"beyond {bound:g}")
        for name, bound in bounds.items()
        if name in metrics and abs(metrics[name]) > bound
    ]


def _rows(scored: Sequence[ScoredGroup]) -> Iterator[_Row]:
    for group in scored:
        for completion, answer, reward in zip(group.group.completions, group.answers, group.rewards, strict=True):
            yield _Row(prompt=group.group.prompt, completion=completion, answer=answer, reward=reward)


def _choice_metrics(rows: Sequence[_Row]) -> dict[str, float | None]:
    """Of the completions of pairwise tasks; the bias is over those with a choice, the accuracy over all.

    The bias is the one ``evaluation/pairs.py`` reports of held-out answers, without that one's interval.
    """
    chosen = [row for row in rows if row.answer.choice is not None]
    first = _share(row.answer.choice == 1 for row in chosen)
    labelled = _share(row.prompt.preference.better == 1 for row in chosen)
    return {
        "answers/choice/accuracy": _share(row.is_right for row in rows),
        "answers/choice/position_bias": None if first is None or labelled is None else 100.0 * (first - labelled),
    }


def _consistency_metrics(judged: Sequence[_Row]) -> dict[str, float | None]:
    ruled = [(row, verdict) for row in judged if (verdict := _verdict_of_rules(row)) is not None]
    pairwise = [row for row in judged if isinstance(row.prompt.reference, Preference)]
    return {
        "rewards/consistency/rule_disagreement": _share(row.is_found_consistent != verdict for row, verdict in ruled),
        "rewards/consistency/yes_when_right": _share(bool(row.is_found_consistent) for row in pairwise if row.is_right),
        "rewards/consistency/yes_when_wrong": _share(
            bool(row.is_found_consistent) for row in pairwise if not row.is_right
        ),
    }


def _verdict_of_rules(row: _Row) -> bool | None:
    """Whether the reasoning's conclusion by rules is the choice; None without a clear conclusion or a choice."""
    concluded = conclusion(consistency_question(row.prompt, row.completion.text).reasoning)
    if row.answer.choice is None or not isinstance(concluded, str):
        return None
    return concluded == ("first" if row.answer.choice == 1 else "second")


def _correlation(pairs: Sequence[tuple[float, float]]) -> float | None:
    """Pearson's; None for fewer than three pairs, or when either side never varies."""
    if len(pairs) < 3:
        return None
    first, second = np.array(pairs, dtype=np.float64).T
    if np.ptp(first) == 0 or np.ptp(second) == 0:
        return None
    return float(np.corrcoef(first, second)[0, 1])


def _duplicate_fraction(scored: Sequence[ScoredGroup]) -> float | None:
    texts = [[completion.text for completion in group.group.completions] for group in scored]
    return _share(row.count(text) > 1 for row in texts for text in row)


def _share(claims: Iterable[bool]) -> float | None:
    counted = list(claims)
    return sum(counted) / len(counted) if counted else None
