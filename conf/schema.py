"""Every knob of a run, typed, bounded and documented. Imports pydantic only.

Values live in the YAML files beside this module; no field has a Python default. The docstring under a
field is what ``arbiter explain KEY`` prints.
"""

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from conf.base import Section
from conf.data import DataConfig
from conf.machine import ClusterConfig, ModelConfig, WeightsConfig
from conf.rules import disagreements


class RunSection(Section):
    """What this run is called, where it is kept, and what makes it repeatable."""

    name: str = Field(min_length=1, pattern=r"^[A-Za-z0-9._-]+$")
    """Names the run folder and the actors in the Ray dashboard."""
    folder: str
    """Everything the run writes goes here: configuration, metrics, checkpoints, evaluation, plots."""
    seed: int = Field(ge=0, lt=2**31)
    """Seeds data order, sampling and initialisation. Same seed, same machine, max_lag=0: same run."""
    resume: Literal["auto", "never"]
    """auto: continue from the newest checkpoint in the folder; never: refuse a folder that has one."""


class LoopConfig(Section):
    """How long the RL phase lasts and how far generation may run ahead of learning."""

    num_steps: int = Field(ge=0)
    """RL steps; 0 ends after the supervised phases."""
    max_lag: int = Field(ge=0, le=8)
    """Steps generation may run ahead of learning; 0 is strictly on-policy."""
    evaluate_every: int = Field(ge=0)
    """RL steps between evaluations on the test split; 0 evaluates only before and after."""
    checkpoint_every: int = Field(ge=0)
    """Steps between checkpoints, counted over all phases; 0 saves only at the end of a phase."""
    keep_checkpoints: int = Field(ge=1)
    """Older checkpoints are deleted."""


class SupervisedConfig(Section):
    """One supervised phase (warm-up or cold start) through the DeepSpeed engine."""

    num_steps: int = Field(ge=0)
    """Optimizer steps; 0 skips the phase."""
    batch_size: int = Field(ge=1)
    """Demonstrations per optimizer step, over all ranks."""
    learning_rate: float = Field(gt=0, le=1)
    """Peak learning rate."""
    warmup_fraction: float = Field(ge=0, lt=1)
    """Linear warm-up for this share of the steps; cosine decay to ``final_fraction`` follows."""
    final_fraction: float = Field(ge=0, le=1)
    """Learning rate at the last step, as a share of the peak."""


class SamplingConfig(Section):
    """How completions are drawn."""

    temperature: float = Field(ge=0, le=2)
    """Softmax temperature; training needs 1 so that engine and trainer mean the same distribution."""
    top_p: float = Field(gt=0, le=1)
    """Nucleus mass; below 1 the engine samples from another distribution than the trainer scores."""
    max_tokens: int = Field(ge=1)
    """Longest completion in tokens; longer ones are cut and marked truncated."""


class RolloutConfig(Section):
    """What one RL step samples, and the engines that sample it."""

    prompts_per_step: int = Field(ge=1)
    """Prompts per RL step."""
    num_completions: int = Field(ge=1)
    """Completions per prompt (K, the group size)."""
    sampling: SamplingConfig
    """Sampling of training completions."""
    num_engines: int = Field(ge=1)
    """vLLM engines, one Ray actor each (data parallel)."""
    tensor_parallel: int = Field(ge=1)
    """GPUs per engine."""
    max_model_len: int = Field(ge=32)
    """Longest prompt + completion an engine accepts, in tokens."""
    max_concurrent_sequences: int = Field(ge=1)
    """Sequences an engine decodes side by side."""
    kv_cache_gib: float = Field(gt=0)
    """Key-value cache per engine on CPU, in GiB; on a GPU ``gpu_memory_fraction`` decides."""
    gpu_memory_fraction: float = Field(gt=0, lt=1)
    """Share of a GPU an engine may take; no effect without a GPU."""
    enforce_eager: bool
    """Skip CUDA graphs / compilation: slower decoding, quicker start. Always true in effect on CPU."""


class TermConfig(Section):
    """One reward term's weight and options."""

    weight: float
    """Factor in the weighted sum."""


class FormatTermConfig(TermConfig):
    """1 for a completion in the answer format of ``data.prompt``, else 0."""

    kind: Literal["format"]
    mode: Literal["strict", "tolerant", "number", "answer"]
    """One think block, then one answer block: strict: the published regular expression; tolerant: outer white
    space allowed, no stray or repeated tags; number: tolerant, and the answer must be a number. For a
    ``data.prompt`` without thinking: answer: one answer block with a number, and nothing else."""


class OpinionTermConfig(TermConfig):
    """How near the score is to the mean opinion score: ``exp(-0.5 (error / sigma)^2)``."""

    kind: Literal["opinion"]
    sigma_fraction: float = Field(gt=0, le=1)
    """Sigma as a share of the declared scale's range."""


class RankingTermConfig(TermConfig):
    """RL2R: does the score rank the picture rightly among the others of the step (arXiv 2505.14460)?"""

    kind: Literal["ranking"]
    form: Literal["released", "paper"]
    """released: 1e-6 inside both fidelity roots; paper: none."""
    ties: Literal["half", "one"]
    """Label of two pictures with equal opinion scores."""
    out_of_range: Literal["keep", "drop"]
    """keep: a score outside the declared scale is compared like any other (published); drop: it counts as unparsed, so
    that one absurd number does not decide a picture's mean."""


TermUnion = Annotated[FormatTermConfig | OpinionTermConfig | RankingTermConfig, Field(discriminator="kind")]


class RewardsConfig(Section):
    """Which terms make the reward."""

    terms: dict[str, TermUnion] = Field(min_length=1)
    """Terms by name; the reward is their weighted sum, and a term that abstains drops out."""


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


class LearnerConfig(Section):
    """The DeepSpeed learner."""

    world_size: int = Field(ge=1)
    """Learner ranks, one Ray actor each."""
    zero_stage: Literal[0, 1, 2, 3]
    """DeepSpeed ZeRO stage."""
    micro_batch_size: int = Field(ge=1)
    """Sequences per forward pass and rank; changes memory and speed, never the loss."""
    learning_rate: float = Field(gt=0, le=1)
    """AdamW learning rate of the RL phase."""
    warmup_steps: int = Field(ge=0)
    """RL steps of linear warm-up; constant afterwards."""
    betas: tuple[Annotated[float, Field(ge=0, lt=1)], Annotated[float, Field(ge=0, lt=1)]]
    """AdamW betas."""
    weight_decay: float = Field(ge=0)
    """AdamW weight decay."""
    max_grad_norm: float = Field(gt=0)
    """Gradients are clipped to this norm; a step with a non-finite norm stops the run."""
    gradient_checkpointing: bool
    """Recompute activations in the backward pass: less memory, about a third more time."""
    dtype: Literal["auto", "float32", "bfloat16"]
    """auto: bfloat16 on a GPU, float32 on CPU."""
    attention: Literal["auto", "sdpa", "eager", "flash_attention_2"]
    """auto: flash_attention_2 on a GPU, sdpa on CPU."""


class EvaluationConfig(Section):
    """How the judge is judged on the test split."""

    num_prompts: int = Field(ge=2)
    """Test pictures per evaluation; the same ones each time."""
    num_completions: int = Field(ge=1)
    """Completions per test picture; its score is the mean of those that parse."""
    out_of_range: Literal["keep", "drop"]
    """Whether a score outside the declared scale enters that mean; counted either way."""
    sampling: SamplingConfig
    """Greedy (temperature 0) by default, so that an evaluation repeats."""
    min_spread: float = Field(ge=0)
    """Alarm when the standard deviation of scores across pictures falls below this share of the scale."""


class ParityConfig(Section):
    """The gate that compares engine and trainer before training."""

    num_prompts: int = Field(ge=1)
    """Prompts sent through both sides."""
    max_logprob_difference: float | None = Field(gt=0)
    """Largest tolerated |engine - trainer| log-probability of a sampled token, in nats; null: 1e-3 in float32, 0.1 in
    bfloat16, where two implementations round differently."""
    every: int = Field(ge=0)
    """RL steps between repeated gates; 0 checks at the start of the run and of RL only."""


class JournalConfig(Section):
    """What is written down while the run goes on."""

    tensorboard: bool
    """Write TensorBoard event files into the run folder."""
    samples_per_step: int = Field(ge=0)
    """Completions per step written to samples.jsonl."""
    progress: bool
    """Show the live progress display when standard output is a terminal."""


class RunConfig(Section):
    """One run, whole."""

    run: RunSection
    loop: LoopConfig
    model: ModelConfig
    data: DataConfig
    warm_up: SupervisedConfig
    """Teaches a model from scratch to see: dense targets that name what is wrong with a picture."""
    cold_start: SupervisedConfig
    """Teaches the answer format, with scores that carry no information."""
    rollout: RolloutConfig
    rewards: RewardsConfig
    algorithm: AlgorithmConfig
    learner: LearnerConfig
    weights: WeightsConfig
    parity: ParityConfig
    evaluation: EvaluationConfig
    journal: JournalConfig
    cluster: ClusterConfig

    @model_validator(mode="after")
    def _sections_agree(self) -> Self:
        problems = disagreements(self)
        if problems:
            raise ValueError("\n".join(problems))
        return self
