"""Learning rates as pure functions of the step, so that a resume needs no scheduler state."""

from math import ceil, cos, pi

from conf.schema import SupervisedConfig


def supervised_learning_rate(step: int, *, config: SupervisedConfig) -> float:
    """Linear warm-up, then cosine decay that reaches ``final_fraction`` of the peak at the last step.

    Raises:
        ValueError: ``step`` lies outside the phase.
    """
    if not 0 <= step < config.num_steps:
        raise ValueError(f"step={step} lies outside a phase of {config.num_steps} steps")
    num_warmup = ceil(config.warmup_fraction * config.num_steps)
    if step < num_warmup:
        return config.learning_rate * (step + 1) / num_warmup
    progress = (step - num_warmup + 1) / (config.num_steps - num_warmup)
    share = config.final_fraction + (1.0 - config.final_fraction) * 0.5 * (1.0 + cos(pi * progress))
    return config.learning_rate * share


def policy_learning_rate(step: int, *, peak: float, warmup_steps: int, decay_steps: int | None) -> float:
    """Linear warm-up over ``warmup_steps``, then constant, or falling linearly to 0 at ``decay_steps``.

    Raises:
        ValueError: ``step`` is negative, or not below ``decay_steps``.
    """
    if step < 0 or (decay_steps is not None and step >= decay_steps):
        raise ValueError(f"step={step} must be 0 or more, and below learner.decay_steps={decay_steps}")
    rising = min(1.0, (step + 1) / (warmup_steps + 1))
    return (
        peak * rising
        if decay_steps is None
        else peak * min(rising, (decay_steps - step) / (decay_steps - warmup_steps))
    )
