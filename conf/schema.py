"""Every knob of a run, typed, bounded and documented. Imports pydantic only.

Values live in the YAML files beside this module; no field has a Python default. The docstring under a
field is what ``arbiter explain KEY`` prints.
"""

from typing import Annotated, Literal, Self

from pydantic import Field, field_validator, model_validator

from conf.algorithms import AlgorithmConfig
from conf.base import Section
from conf.benchmark import BenchmarkConfig, RankConfig
from conf.checklist import ChecklistConfig
from conf.data import DataConfig
from conf.judge import JudgeConfig, check_base_url
from conf.machine import ClusterConfig, ModelConfig, ModelPart, WeightsConfig
from conf.plan import PlanConfig
from conf.reward_terms import RewardsConfig
from conf.rules import disagreements
from conf.score import ScoreConfig


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


class ColdStartConfig(SupervisedConfig):
    """The supervised phase before RL."""

    file: str | None
    """Conversations to imitate, a .jsonl, .json or .parquet file (docs/data.md); null: the data set's own
    demonstrations."""
    validation_fraction: float = Field(ge=0, lt=1)
    """Share of the file's contents that is not learned from; the loss on it is measured ten times in the phase."""

    @model_validator(mode="after")
    def _only_a_file_is_divided(self) -> Self:
        if self.file is None and self.validation_fraction > 0:
            raise ValueError(
                f"validation_fraction={self.validation_fraction} divides the rows of a file; name one with file, or "
                "set validation_fraction=0"
            )
        return self


class SamplingConfig(Section):
    """How completions are drawn."""

    temperature: float = Field(ge=0, le=2)
    """Softmax temperature: 0 takes the likeliest token. The trainer scores completions at the one of ``rollout``."""
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


class LearnerConfig(Section):
    """The DeepSpeed learner."""

    world_size: int = Field(ge=1)
    """Learner ranks, one Ray actor each."""
    zero_stage: Literal[0, 1, 2, 3]
    """DeepSpeed ZeRO stage."""
    micro_batch_size: int = Field(ge=1)
    """Completions per forward pass and rank, which computes a prompt once for all of them that it holds; changes memory
    and speed, never the loss. No effect with ``pack_tokens``."""
    pack_tokens: int | None = Field(ge=1)
    """Fill a forward pass of a rank with up to this many tokens instead, a shared prompt counting once; a completion
    that does not fit with its prompt goes alone. Changes memory and speed, never the loss. null:
    ``micro_batch_size``."""
    learning_rate: float = Field(gt=0, le=1)
    """AdamW learning rate of the RL phase."""
    warmup_steps: int = Field(ge=0)
    """RL steps of linear warm-up."""
    decay_steps: int | None = Field(ge=1)
    """RL steps after which the learning rate would be 0: it falls linearly after the warm-up. null: it stays."""
    betas: tuple[Annotated[float, Field(ge=0, lt=1)], Annotated[float, Field(ge=0, lt=1)]]
    """AdamW betas."""
    weight_decay: float = Field(ge=0)
    """AdamW weight decay."""
    max_grad_norm: float = Field(gt=0)
    """Gradients are clipped to this norm; a step with a non-finite norm stops the run."""
    gradient_checkpointing: bool
    """Recompute activations in the backward pass: less memory, about a third more time."""
    dtype: Literal["auto", "float32", "bfloat16", "bfloat16_head_float32"]
    """auto: bfloat16 on a GPU, float32 on CPU. bfloat16_head_float32: bfloat16, but learner and engines compute logits
    from the last hidden states in float32, so that nothing is rounded away between sampling and scoring."""
    attention: Literal["auto", "sdpa", "eager", "flash_attention_2"]
    """auto: flash_attention_2 on a GPU, sdpa on CPU. eager: plain arithmetic to compare with, which shares no prompt;
    completions are padded to the longest of a pass, or cost the square of ``pack_tokens``."""
    frozen: tuple[ModelPart, ...]
    """Parts of the model that stay as they are, in every phase."""
    lora_rank: int | None = Field(ge=1)
    """Learn adapters of this rank beside the linear layers that are not frozen, and nothing else (LoRA, arXiv
    2106.09685; alpha is twice the rank). Pushed and exported models have them merged. null: learn every weight."""

    @property
    def head_dtype(self) -> Literal["model", "float32"]:
        """In which learner and engines compute logits."""
        return "float32" if self.dtype == "bfloat16_head_float32" else "model"


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


class CritiquesConfig(Section):
    """What ``arbiter collect-traces`` gathers where the data set asks for a score."""

    num_per_level: int | None = Field(ge=1)
    """Critiques of bad, fair and good pictures each; null: one for every picture."""
    max_total_tokens: int | None = Field(ge=1)
    """Once teacher and checker have read and written this many tokens, no picture is begun; a reply without the
    server's count ends the command. null: no bound."""
    checker: str | None
    """Who checks what the teacher wrote, its level and its facts: a model of the teacher's servers by name, or a server
    of its own, sent no key, as http://HOST:8000/v1 or, where it lists several models, http://HOST:8000/v1#MODEL. null:
    the teacher itself, and the level alone."""

    @field_validator("checker")
    @classmethod
    def _usable_checker(cls, checker: str | None) -> str | None:
        if checker is not None and "://" in checker:
            check_base_url(checker)
        elif checker is not None and not checker.strip():
            raise ValueError("checker is empty; name a model or a server, or null for the teacher itself")
        return checker


class JournalConfig(Section):
    """What is written down while the run goes on."""

    tensorboard: bool
    """Write TensorBoard event files into the run folder."""
    samples_per_step: int = Field(ge=0)
    """Completions per step written to samples.jsonl."""


class RunConfig(Section):
    """One run, whole."""

    run: RunSection
    loop: LoopConfig
    model: ModelConfig
    data: DataConfig
    warm_up: SupervisedConfig
    """Teaches a model from scratch to see: dense targets that name what is wrong with a picture."""
    cold_start: ColdStartConfig
    """Teaches the answer format, with scores that carry no information, or imitates the answers of a file."""
    rollout: RolloutConfig
    judge: JudgeConfig
    rewards: RewardsConfig
    algorithm: AlgorithmConfig
    learner: LearnerConfig
    weights: WeightsConfig
    parity: ParityConfig
    evaluation: EvaluationConfig
    benchmark: BenchmarkConfig
    critiques: CritiquesConfig
    score: ScoreConfig | None
    """How ``arbiter score`` asks; null in every other run."""
    checklist: ChecklistConfig | None
    """What ``arbiter checklist`` asks; null in every other run."""
    rank: RankConfig
    plan: PlanConfig
    journal: JournalConfig
    cluster: ClusterConfig

    @model_validator(mode="after")
    def _sections_agree(self) -> Self:
        problems = disagreements(self)
        if problems:
            raise ValueError("\n".join(problems))
        return self
