"""Settings of ``arbiter plan``: what is reckoned with where no run has measured it."""

from typing import Literal

from pydantic import Field

from conf.base import Section


class PlanConfig(Section):
    """What a plan assumes. Null: what the run of ``--metrics`` measured; without it, what is said below."""

    gpu: Literal["a100", "h100", "h200"]
    """The GPUs of the cluster: A100-80G, H100-80G or H200 (SXM). No effect without GPUs."""
    media_tokens: float | None = Field(ge=0)
    """Tokens of the pictures or video of a prompt, one for each 28 x 28 pixels. null: of the crops the data set makes,
    or of one picture of ``model.max_pixels``."""
    text_tokens: float | None = Field(ge=1)
    """Other tokens of a prompt. null: 256, as for ``--dry-run``."""
    completion_tokens: float | None = Field(ge=1)
    """Mean length of a completion. null: half of ``rollout.sampling.max_tokens``."""
    completion_spread: float | None = Field(ge=0, le=3)
    """Standard deviation of that length over its mean. null: 0.5."""
    judge_latency_s: float | None = Field(ge=0)
    """Mean seconds of a judge's reply. null: 1, and 0.01 for ``judge=rule_server``."""
