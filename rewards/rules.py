"""How the parts of a group's rewards become one number per completion.

Rewards only mean something beside those of the same group, so the group decides what an abstention means; no rule
counts one as 0 unless it is told to. A term that abstains on a *whole* group always drops out of that group, and the
others decide. When it abstains on *some* completions, summing what is left would score the missing part 0, a wrong
label that also shifts the mean of the siblings. So either those completions have no total ("completion"), or the
term drops out of the group all the same ("group").
"""

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Literal, Protocol

from conf.reward_terms import RuleUnion

Parts = Mapping[str, float | None]

CHOICE, CONSISTENCY = "choice", "consistency"
"""Names of the terms that R1-Reward's rule multiplies."""
FORMAT, ANSWER, PROBABILITY_DIFFERENCE = "format", "answer", "probability_difference"
"""Names of the terms that Refine-IQA's rule tells apart."""


class Rule(Protocol):
    """Makes one group's totals, in completion order, from its parts and the weight of every term."""

    def __call__(self, parts: Sequence[Parts], *, weights: Mapping[str, float]) -> list[float | None]: ...


def build_rule(config: RuleUnion) -> Rule:
    """The rule a config section describes."""
    if config.kind == "r1_reward":
        return partial(r1_reward, abstention=config.abstention)
    if config.kind == "refine_iqa":
        return partial(refine_iqa, abstention=config.abstention)
    return partial(weighted_sum, abstention=config.abstention)


def weighted_sum(
    parts: Sequence[Parts], *, weights: Mapping[str, float], abstention: Literal["completion", "group"]
) -> list[float | None]:
    """Weighted sum of the parts; None where there is nothing comparable."""
    if not parts:
        return []
    answers = {name: [part[name] is not None for part in parts] for name in parts[0]}
    enough = any if abstention == "completion" else all
    counting = [name for name, answered in answers.items() if enough(answered)]
    return [_total(part, names=counting, weights=weights) for part in parts]


def r1_reward(
    parts: Sequence[Parts], *, weights: Mapping[str, float], abstention: Literal["completion", "group", "neutral"]
) -> list[float | None]:
    """``w_format F + w_choice A (1 + w_consistency C)``: the weighted sum, C being a factor on A and no term.

    C counts for completions with ``A != 0`` alone, so its absence elsewhere changes nothing. With "neutral" it is 0
    where it is missing, as in the released code; other missing parts are then treated as by "completion". A group of
    another task, which has no A, has the weighted sum.
    """
    if parts and CHOICE not in parts[0]:
        return weighted_sum(parts, weights=weights, abstention="group" if abstention == "group" else "completion")
    is_judged = [part[CONSISTENCY] is not None for part in parts if part[CHOICE]]
    drops_out = not any(is_judged) or (abstention == "group" and not all(is_judged))

    def judged(part: Parts) -> float | None:
        choice, consistency = part[CHOICE], part[CONSISTENCY]
        if not choice or drops_out or (consistency is None and abstention == "neutral"):
            return choice
        return None if consistency is None else choice * (1.0 + weights[CONSISTENCY] * consistency)

    merged = [{name: part[name] for name in part if name != CONSISTENCY} | {CHOICE: judged(part)} for part in parts]
    return weighted_sum(merged, weights=weights, abstention="group" if abstention == "group" else "completion")


def refine_iqa(
    parts: Sequence[Parts], *, weights: Mapping[str, float], abstention: Literal["completion", "group"]
) -> list[float | None]:
    """``w_format F + w_answer A``, plus ``w PD`` where F and A are both 1: ``base + PD * (base // 2)`` at weights 1.

    PD counts for such completions alone, so its absence elsewhere changes nothing. A group of another task has the
    weighted sum.
    """
    if parts and not {FORMAT, ANSWER, PROBABILITY_DIFFERENCE} <= set(parts[0]):
        return weighted_sum(parts, weights=weights, abstention=abstention)
    counted = [part[PROBABILITY_DIFFERENCE] for part in parts if _is_right(part)]
    answered = [value is not None for value in counted]
    drops_out = not any(answered) or (abstention == "group" and not all(answered))

    def difference(part: Parts) -> float | None:
        return part[PROBABILITY_DIFFERENCE] if _is_right(part) and not drops_out else 0.0

    merged = [{**part, PROBABILITY_DIFFERENCE: difference(part)} for part in parts]
    return weighted_sum(merged, weights=weights, abstention=abstention)


def _is_right(part: Parts) -> bool:
    return part[FORMAT] == 1.0 and part[ANSWER] == 1.0


def _total(part: Parts, *, names: Sequence[str], weights: Mapping[str, float]) -> float | None:
    values = {name: value for name in names if (value := part[name]) is not None}
    if not values or len(values) < len(names):
        return None
    return sum(weights[name] * value for name, value in values.items())
