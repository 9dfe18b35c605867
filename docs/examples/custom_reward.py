"""A custom reward: how much of its group does a completion agree with?

arbiter train rewards=custom rewards.terms.custom.path=docs/examples/custom_reward.py:agreement
"""

from rewards.tags import parse_group
from rollout.types import RolloutGroup


def agreement(group: RolloutGroup) -> list[float | None]:
    """Share of the group that gives the same answer; 0 for an unreadable answer. Needs no ground truth."""
    answers = [answer.choice or answer.score for answer in parse_group(group)]
    return [0.0 if answer is None else answers.count(answer) / len(answers) for answer in answers]
