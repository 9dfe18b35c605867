"""How much memory a run needs, roughly: arithmetic on the sizes of the model and the configuration, nothing is loaded.

    learner rank   weights + gradients + optimizer + reference + activations     (ZeRO divides the first three)
    engine         weights + key-value cache

What is left out: buffers of the libraries, fragmentation, CUDA graphs, and the vision tower's activations. Add a fifth.
"""

from dataclasses import dataclass

from conf.rules import effective_dtype, placement_of
from conf.schema import RunConfig
from rollout.families.shapes import ModelShape

GIB = 2**30
_BYTES = {"float32": 4, "bfloat16": 2}
_PIXELS_PER_TOKEN = 28 * 28
_TEXT_TOKENS = 256
"""Of question and chat template, with room."""
TILE_LOGITS = 2048 * 16384
"""``GPU_TILE`` of learner/fused.py, which loads torch; a logit is there once in the model's dtype, twice in float32."""


@dataclass(frozen=True, kw_only=True, slots=True)
class MemoryBudget:
    """Bytes of one learner rank and of one GPU of an engine."""

    weights: float
    gradients: float
    optimizer: float
    """AdamW's two moments, and float32 weights beside bfloat16 ones."""
    reference: float
    """A whole frozen model per rank; nothing without a KL penalty."""
    activations: float
    """Of one micro-batch at its longest."""
    engine_weights: float
    engine_cache: float
    """Keys and values of all concurrent sequences at their longest."""
    sequence_tokens: int
    """The longest sequence reckoned with."""
    turns: bool
    """Whether engine and learner take turns on a GPU."""

    @property
    def learner(self) -> float:
        """All of a learner rank."""
        return self.weights + self.gradients + self.optimizer + self.reference + self.activations

    @property
    def engine(self) -> float:
        """All of an engine."""
        return self.engine_weights + self.engine_cache

    @property
    def shared_gpu(self) -> float:
        """Of a GPU they take turns on: what the learner keeps, and the larger of what only one of them needs."""
        kept = self.learner - self.activations
        return kept + max(self.activations, self.engine)


def memory_budget(config: RunConfig, shape: ModelShape) -> MemoryBudget:
    """The memory of a run with a model of this shape."""
    dtype = effective_dtype(config)
    size, learner = _BYTES[dtype], config.learner
    total = sum(shape.num_parameters.values())
    trained = _num_trained(config, shape)
    ranks = learner.world_size
    # DeepSpeed adds gradients up in float32 where it shards them; plain bfloat16 keeps them as they are.
    gradient_size = size if learner.zero_stage == 0 else 4
    adam_size = 8 if dtype == "float32" else 12
    tokens = min(config.rollout.max_model_len, _longest_sequence(config))
    return MemoryBudget(
        weights=total * size / (ranks if learner.zero_stage == 3 else 1),
        gradients=trained * gradient_size / (ranks if learner.zero_stage >= 2 else 1),
        optimizer=trained * adam_size / (ranks if learner.zero_stage >= 1 else 1),
        reference=total * size if config.algorithm.kl.coefficient > 0 else 0,
        activations=_activations(config, shape, tokens=tokens, size=size),
        engine_weights=total * size / config.rollout.tensor_parallel,
        engine_cache=_engine_cache(config, shape, tokens=tokens, size=size),
        sequence_tokens=tokens,
        turns=placement_of(config) in ("colocated", "one_gpu"),
    )


def _longest_sequence(config: RunConfig) -> int:
    return config.model.max_pixels // _PIXELS_PER_TOKEN + _TEXT_TOKENS + config.rollout.sampling.max_tokens


def _num_trained(config: RunConfig, shape: ModelShape) -> int:
    rank = config.learner.lora_rank
    by_part = shape.num_parameters if rank is None else shape.adapter_parameters(rank)
    return sum(count for part, count in by_part.items() if part not in config.learner.frozen)


def _activations(config: RunConfig, shape: ModelShape, *, tokens: int, size: int) -> float:
    """Of the language model: what one layer holds for the backward pass, in every layer or in one beside each layer's
    input, and the tile in which the answers' logits are computed."""
    packed = config.learner.pack_tokens
    rows = config.learner.micro_batch_size if packed is None else max(1.0, packed / tokens)
    layer_input = rows * tokens * shape.hidden_size * size
    layer = rows * tokens * (8 * shape.hidden_size + 3 * shape.intermediate_size) * size
    is_recomputed = config.learner.gradient_checkpointing
    layers = shape.num_layers * layer_input + layer if is_recomputed else shape.num_layers * layer
    logits = min(TILE_LOGITS, rows * config.rollout.sampling.max_tokens * shape.vocab_size)
    return layers + logits * (size + 2 * 4)


def _engine_cache(config: RunConfig, shape: ModelShape, *, tokens: int, size: int) -> float:
    if placement_of(config) == "no_gpu":
        return config.rollout.kv_cache_gib * GIB
    sequences = config.rollout.max_concurrent_sequences
    return sequences * tokens * shape.kv_values_per_token * size / config.rollout.tensor_parallel
