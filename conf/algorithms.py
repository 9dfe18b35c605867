"""Settings of the algorithms: advantages, policy loss, engine correction, KL."""

from typing import Annotated, Literal

from pydantic import Field

from conf.base import Section


class CorrectionConfig(Section):
    """Truncated importance weights between engine and trainer (rl_systems section 5.3), always logged."""

    enabled: bool
    """Off: the weights are still measured and logged, but not applied."""
    token_cap: float = Field(ge=1)
    """Token weights ``exp(trainer - engine)`` are cut at this value (TIS)."""
    sequence_low: float = Field(gt=0, le=1)
    """A completion whose geometric mean weight falls below carries no gradient."""
    sequence_high: float = Field(ge=1)
    """A completion whose geometric mean weight rises above carries no gradient."""
    token_veto: float = Field(ge=0, lt=1)
    """A completion with any token weight below carries no gradient."""


class KlConfig(Section):
    """Penalty for leaving the model the RL phase started from."""

    coefficient: float = Field(ge=0)
    """0 loads no reference model."""


class GrpoConfig(Section):
    """Group-relative policy optimisation (arXiv 2402.03300), token-mean over the optimizer window."""

    kind: Literal["grpo"]
    scale_by_std: bool
    """Divide centred rewards by the group's unbiased standard deviation + 1e-4."""
    clip_low: float = Field(gt=0, lt=1)
    """The surrogate keeps the ratio above ``1 - clip_low``."""
    clip_high: float = Field(gt=0)
    """The surrogate keeps the ratio below ``1 + clip_high``."""
    dual_clip: float = Field(gt=1)
    """For negative advantages the loss is at most ``-dual_clip * advantage``."""
    max_log_ratio: float = Field(gt=0, le=20)
    """Log-ratios are clamped to this size before exp; clamped tokens are counted."""
    num_updates: int = Field(ge=1)
    """Optimizer steps on each batch; above 1 the old log-probs are recomputed first."""
    correction: CorrectionConfig
    """Engine/trainer mismatch."""
    kl: KlConfig
    """KL to the reference."""


AlgorithmConfig = Annotated[GrpoConfig, Field()]
"""A union discriminated by ``kind`` once there are several."""
