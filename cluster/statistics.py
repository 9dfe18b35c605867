"""One RL step as numbers for the journal: rewards, staleness, speed, queue, learner."""

from collections.abc import Mapping

import numpy as np

from cluster.loop import StepRecord
from rewards.metrics import reward_metrics


def step_metrics(record: StepRecord, *, num_pending: int, policy_version: int) -> dict[str, float]:
    """Everything about one step, keys ``room/thing/statistic``."""
    return {
        **reward_metrics(record.scored),
        **(record.report.metrics if record.report is not None else {}),
        **_rollout_metrics(record, policy_version=policy_version),
        "learner/step/skipped": float(record.report is None),
        "loop/queue/depth": float(record.num_waiting),
        "loop/prompts/pending": float(num_pending),
        **{f"loop/{part}/seconds": seconds for part, seconds in record.seconds.items()},
    }


def _rollout_metrics(record: StepRecord, *, policy_version: int) -> Mapping[str, float]:
    completions = [completion for one in record.scored for completion in one.group.completions]
    num_tokens = sum(len(completion.token_ids) for completion in completions)
    # The step's own update has been counted already when there was one.
    learned_at = policy_version - (record.report is not None)
    ages = np.array([learned_at - completion.policy_version for completion in completions])
    # Further rounds of dynamic sampling are generated while the step is being scored.
    generate_s = record.seconds["generate"] + (record.seconds["score"] if record.num_replaced else 0.0)
    return {
        "rollout/groups/replaced": float(record.num_replaced),
        "rollout/prompt_tokens/mean": float(np.mean([len(one.group.prompt_token_ids) for one in record.scored])),
        "rollout/tokens/total": float(num_tokens),
        "rollout/tokens/per_s": num_tokens / generate_s if generate_s > 0 else 0.0,
        "rollout/staleness/mean": float(ages.mean()),
        "rollout/staleness/max": float(ages.max()),
    }
