"""Settings of the algorithms: what their losses share, and what each has of its own.

What these settings demand of one another stands in ``algorithm_rules.py``.
"""

from typing import Annotated, Literal

from pydantic import Field

from conf.base import Section

Aggregation = Literal["token_mean", "seq_mean_token_mean", "seq_mean_token_sum_norm", "prompt_mean"]
WeightRule = Literal["none", "token", "sequence", "geometric", "icepop", "mask"]
SequenceMask = Literal["none", "geometric", "product", "k3", "total_variation"]
KlEstimator = Literal["k1", "k2", "k3", "k3_k2"]
AdvantageFilter = Literal["paper", "released", "none"]
Statistics = Literal["token", "sample"]

Positive = Annotated[float, Field(gt=0)]
NotNegative = Annotated[float, Field(ge=0)]


class CorrectionConfig(Section):
    """What is done about engine and learner giving the same tokens different probabilities; always measured."""

    weight: WeightRule
    """Factor on each token's policy loss, from w = learner / engine probability. token: w; sequence: the product of
    the completion's w; geometric: their geometric mean; all three cut at ``weight_high``. icepop: w within
    ``[weight_low, weight_high]``, else 0; mask: 1 there, else 0; none: 1."""
    weight_low: float = Field(ge=0, le=1)
    """Tokens of smaller w carry no gradient; for icepop and mask."""
    weight_high: float = Field(ge=1)
    """Weights are cut here; for icepop and mask, tokens of larger w carry no gradient."""
    batch_normalise: bool
    """Divide the weights by their mean over all tokens of the batch, on all ranks and in all minibatches, masked ones
    included. Needs the log-probs at the start of the batch computed in a pass of their own."""
    sequence_mask: SequenceMask
    """Which completions carry no gradient: those whose geometric mean or product of w lies outside
    ``[sequence_low, sequence_high]``, or whose mean of w - 1 - ln w (k3) lies above ``sequence_high``.
    total_variation: where the mean of |w - 1| / 2 lies above it, the tokens whose update would add to it (VACO,
    arXiv 2603.01365)."""
    sequence_low: float = Field(ge=0, le=1)
    """Lower bound of the sequence mask; for geometric and product."""
    sequence_high: Positive
    """Upper bound of the sequence mask: 1 or more, and for k3 and total_variation a small number such as 0.01."""
    token_veto: tuple[NotNegative, NotNegative] | None
    """A completion with any w outside these bounds, lower and upper, carries no gradient; null: off."""
    max_negative_drift: float | None = Field(gt=0)
    """A completion with negative advantage whose tokens have become less likely than when they were sampled, by more
    than this many nats on average, carries no gradient (OPSM); null: off."""


class KlConfig(Section):
    """Penalty for leaving the model the RL phase started from."""

    coefficient: float = Field(ge=0)
    """0 loads no reference model."""
    estimator: KlEstimator
    """With x = ln(reference / policy): k1 = -x, k2 = x^2 / 2, k3 = e^x - 1 - x; k3_k2 has k3's value and k2's
    gradient, which is the true one on-policy."""
    placement: Literal["loss", "reward"]
    """loss: differentiated, token by token; reward: taken from the reward before advantages are computed."""


class DynamicSamplingConfig(Section):
    """Sampling again in place of groups that teach nothing (DAPO, arXiv 2503.14476)."""

    min_spread: float = Field(ge=0)
    """A group teaches something when its rewards differ by more than this."""
    max_rounds: int = Field(ge=1)
    """Rounds of sampling per step; 1 never samples again."""


class PolicyConfig(Section):
    """What every algorithm's loss has."""

    kind: str
    anchor: Literal["learner", "engine"]
    """What the policy ratio compares with. learner: the log-probs at the start of the batch, computed again when there
    is more than one optimizer step on it; engine: those the tokens were sampled with, which needs
    ``correction.weight=none`` and saves that pass unless a mask or veto of the correction reads it."""
    max_log_ratio: float = Field(gt=0, le=20)
    """Log-ratios are clamped to this size before exp (pre-clip); clamped tokens are counted."""
    aggregation: Aggregation
    """How token losses become one: mean over all tokens; over completions of their token mean; over completions of
    their token sum over ``rollout.sampling.max_tokens``; over prompts of the token mean of their completions."""
    num_updates: int = Field(ge=1)
    """Passes over each batch."""
    num_minibatches: int = Field(ge=1)
    """Optimizer steps per pass: whole groups are dealt out at random, repeatably. Must divide
    ``rollout.prompts_per_step``."""
    entropy_coefficient: float = Field(ge=0)
    """Bonus for the policy's entropy; 0 costs nothing, above 0 the entropy is differentiated."""
    dynamic_sampling: DynamicSamplingConfig
    correction: CorrectionConfig
    kl: KlConfig


class ClippedConfig(PolicyConfig):
    """PPO's clipped surrogate."""

    clip_low: float = Field(gt=0, lt=1)
    """The surrogate keeps the ratio above ``1 - clip_low``."""
    clip_high: Positive
    """The surrogate keeps the ratio below ``1 + clip_high``."""
    dual_clip: float | None = Field(gt=1)
    """For negative advantages the loss is at most ``-dual_clip * advantage``; null: unbounded."""


class ScaledConfig(PolicyConfig):
    """Rewards compared within their group."""

    scale_by_std: bool
    """Divide centred rewards by the group's unbiased standard deviation + 1e-4."""


class WhitenedConfig(PolicyConfig):
    """Returns compared over the whole batch."""

    statistics: Statistics
    """Whether a long completion weighs more (token, as published) or the same (sample) in mean and deviation."""


class GrpoConfig(ClippedConfig, ScaledConfig):
    """GRPO: rewards centred within the group, and scaled when asked (arXiv 2402.03300)."""

    kind: Literal["grpo"]


class DrGrpoConfig(ClippedConfig):
    """Dr. GRPO: rewards centred only, token sums over a constant length (arXiv 2503.20783)."""

    kind: Literal["dr_grpo"]


class DapoConfig(ClippedConfig, ScaledConfig):
    """DAPO: GRPO with clip-higher, token mean and dynamic sampling (arXiv 2503.14476)."""

    kind: Literal["dapo"]


class RlooConfig(ClippedConfig):
    """RLOO: the baseline of a reward is the mean of the others in its group (arXiv 2402.14740)."""

    kind: Literal["rloo"]


class PositiveGrpoConfig(ClippedConfig):
    """Refine-IQA's: GRPO scaled by the deviation, with 0 for what is negative where a group has a success, and less for
    all where it has none (arXiv 2508.03763, code)."""

    kind: Literal["positive_grpo"]
    success_reward: float
    """Total reward from which a completion is a success; 2 is right format plus right answer at weights 1."""


class StableReinforceConfig(ClippedConfig, WhitenedConfig):
    """StableReinforce: pre-clip, and returns normalised over the batch and filtered (arXiv 2505.02835)."""

    kind: Literal["stable_reinforce"]
    filter: AdvantageFilter
    """Which normalised advantages z are kept, the others become 0: paper: |z| <= 3; released: z within 3 of the mean
    before normalisation, as the authors' code does; none: all. |z| > 10 is never kept."""


class ReinforcePpConfig(ClippedConfig, WhitenedConfig):
    """REINFORCE++: returns normalised over the batch (arXiv 2501.03262)."""

    kind: Literal["reinforce_pp"]


class ReinforcePpBaselineConfig(ClippedConfig, WhitenedConfig):
    """REINFORCE++-baseline: rewards centred within the group, then normalised over the batch (arXiv 2501.03262)."""

    kind: Literal["reinforce_pp_baseline"]


class GdpoConfig(ClippedConfig):
    """GDPO: each reward term normalised within the group, their weighted sum over the batch (arXiv 2601.05242)."""

    kind: Literal["gdpo"]


class GspoConfig(ScaledConfig):
    """GSPO: the ratio of a whole completion, clipped (arXiv 2507.18071)."""

    kind: Literal["gspo"]
    clip_low: float = Field(gt=0, lt=1)
    """The surrogate keeps the geometric mean ratio above ``1 - clip_low``."""
    clip_high: Positive
    """The surrogate keeps the geometric mean ratio below ``1 + clip_high``."""


class CispoConfig(ScaledConfig):
    """CISPO: REINFORCE weighted by the clipped ratio, so that every token keeps a gradient (arXiv 2506.13585)."""

    kind: Literal["cispo"]
    clip_low: float = Field(gt=0, le=1)
    """Token weights are at least ``1 - clip_low``; 1 sets no lower bound."""
    clip_high: Positive
    """Token weights are at most ``1 + clip_high``."""


class SapoConfig(ScaledConfig):
    """SAPO: a smooth gate in place of the clip (arXiv 2511.20347)."""

    kind: Literal["sapo"]
    gate_sharpness: tuple[Positive, Positive]
    """How fast the gate closes as the ratio leaves 1, for positive and for negative advantages."""


class DppoTvConfig(ScaledConfig):
    """DPPO: REINFORCE that masks tokens whose probability has moved too far (binary TV, arXiv 2602.04879)."""

    kind: Literal["dppo_tv"]
    clip_low: float = Field(gt=0, lt=1)
    """A token of negative advantage is masked once its probability has fallen by more than this."""
    clip_high: float = Field(gt=0, lt=1)
    """A token of positive advantage is masked once its probability has risen by more than this."""
    max_ratio: float = Field(ge=1)
    """Token weights, the ratios, are cut here."""


AlgorithmConfig = Annotated[
    CispoConfig
    | DapoConfig
    | DppoTvConfig
    | DrGrpoConfig
    | GdpoConfig
    | GrpoConfig
    | GspoConfig
    | PositiveGrpoConfig
    | ReinforcePpBaselineConfig
    | ReinforcePpConfig
    | RlooConfig
    | SapoConfig
    | StableReinforceConfig,
    Field(discriminator="kind"),
]
