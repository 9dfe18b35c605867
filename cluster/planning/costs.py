"""Seconds of a step's parts by a roofline: work over what a processor reaches, the slower of arithmetic and memory.

generate   pictures and prompts (arithmetic), then a pass per token: weights and cache (memory) or arithmetic
learn      passes over prompt and completion (arithmetic) or the weights' and gradients' travel, then the optimizer
push       gathering shards, sending the weights, stopping and starting engines; on shared GPUs their sleep as well
"""

import heapq
import math
from dataclasses import dataclass

import numpy as np

from cluster.planning.hardware import Processor
from cluster.planning.workload import Floats, Ints, Workload
from rollout.families.shapes import ModelShape

OPTIMIZER_BYTES = 32
"""Read and written for each trained parameter: gradient, two moments, float32 weight, weight."""
FULL_ATTENTION_SHARE = 1 / 8
"""Layers of the vision tower that attend to the whole picture (4 of 32); the others see windows of 8 x 8 patches."""
_WINDOW = 64


@dataclass(frozen=True, kw_only=True, slots=True)
class Model:
    """Sizes in numbers and bytes."""

    shape: ModelShape
    bytes_per_value: int
    trained_parameters: int

    @property
    def weight_bytes(self) -> float:
        """Of the whole model."""
        return sum(self.shape.num_parameters.values()) * self.bytes_per_value

    @property
    def cache_bytes_per_token(self) -> float:
        """Of keys and values."""
        return self.shape.kv_values_per_token * self.bytes_per_value

    def text_flops(self, num_tokens: float) -> float:
        """Of one sequence going forward through the layers: 2 a parameter and token, and causal attention."""
        shape = self.shape
        return 2 * shape.layer_parameters * num_tokens + 2 * shape.num_layers * shape.hidden_size * num_tokens**2

    def output_flops(self, num_tokens: float) -> float:
        """Of the output layer."""
        return 2 * self.shape.output_parameters * num_tokens

    def vision_flops(self, media_tokens: float) -> float:
        """Of pictures going forward through the vision tower, and on to the language model."""
        shape, parts = self.shape, self.shape.num_parameters
        patches = media_tokens * shape.merge_size**2
        seen = FULL_ATTENTION_SHARE * patches + (1 - FULL_ATTENTION_SHARE) * min(patches, _WINDOW)
        attention = 4 * shape.vision_layers * shape.vision_hidden * patches * seen
        return 2 * parts["vision"] * patches + 2 * parts["projector"] * media_tokens + attention


@dataclass(frozen=True, kw_only=True, slots=True)
class Engines:
    """The engines, all alike."""

    num: int
    tensor_parallel: int
    max_concurrent: int
    """Sequences side by side, by the configuration."""
    cache_bytes: float
    """For keys and values, over the GPUs of one engine."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Learner:
    """The ranks, all alike, and what they do with a batch."""

    num_ranks: int
    gpus_per_node: int
    zero_stage: int
    rows_per_pass: int | None
    """None with ``tokens_per_pass``."""
    tokens_per_pass: int | None
    siblings: float
    """Completions that a prompt is computed once for."""
    text_passes: float
    """Passes over a batch's tokens, each as dear as one forward: forward 1, again for recomputed activations 1,
    gradients of activations 1, of weights 1; old and reference log-probs 1 each."""
    vision_passes: float
    """Over its pictures."""
    num_forwards: int
    """Times the batch goes through the policy."""
    num_backwards: int
    num_optimizer_steps: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Timeline:
    """One engine at work on its share of a batch."""

    prefill_s: float
    ends_s: Floats
    """When each completion ends, in the order of the lengths given."""

    @property
    def seconds(self) -> float:
        """Until the last has ended."""
        return float(self.ends_s.max()) if self.ends_s.size else 0.0


def share_of_prompts(num_prompts: int, num_engines: int) -> list[int]:
    """Prompts of each engine; the pool deals them out evenly."""
    base, more = divmod(num_prompts, num_engines)
    return [base + (index < more) for index in range(num_engines)]


def num_side_by_side(model: Model, engines: Engines, work: Workload) -> int:
    """Sequences an engine decodes at a time: what is configured, or fewer where the cache is full before.

    Raises:
        ValueError: Not even one fits.
    """
    tokens = work.prompt_tokens / work.num_completions + work.lengths.mean  # siblings share the prompt's blocks
    fitting = int(engines.cache_bytes / (tokens * model.cache_bytes_per_token))
    if fitting < 1:
        raise ValueError(f"an engine has no room for the keys and values of one sequence of {tokens:.0f} tokens")
    return min(engines.max_concurrent, fitting)


def timeline(
    lengths: Ints, *, num_prompts: int, work: Workload, model: Model, engines: Engines, processor: Processor
) -> Timeline:
    """How one engine answers ``num_prompts`` prompts with completions of these lengths."""
    prefill_s = num_prompts * prefill_seconds(work, model=model, engines=engines, processor=processor)
    starts = _starts(lengths, num_slots=num_side_by_side(model, engines, work))
    ends = starts + lengths
    num_steps = int(ends.max()) if lengths.size else 0
    running = np.cumsum(_counts(starts, num_steps) - _counts(ends, num_steps))[:num_steps]
    begun_at = np.cumsum(_counts(starts, num_steps, starts) - _counts(ends, num_steps, starts))[:num_steps]
    context = running * work.prompt_tokens + running * np.arange(num_steps) - begun_at
    step_s = _decode_seconds(running, context, model=model, engines=engines, processor=processor)
    return Timeline(prefill_s=prefill_s, ends_s=prefill_s + np.concatenate([[0.0], np.cumsum(step_s)])[ends])


def prefill_seconds(work: Workload, *, model: Model, engines: Engines, processor: Processor) -> float:
    """Of one prompt with its pictures; siblings find both in the caches."""
    flops = model.vision_flops(work.media_tokens) + model.text_flops(work.prompt_tokens)
    gpus = engines.tensor_parallel
    travel_s = _all_reduce_seconds(np.array(work.prompt_tokens), model=model, gpus=gpus, processor=processor)
    return flops / (gpus * processor.flops_per_s * processor.prefill_share) + float(travel_s)


def _decode_seconds(
    running: Floats, context: Floats, *, model: Model, engines: Engines, processor: Processor
) -> Floats:
    """Of each step, in which ``running`` sequences that look back on ``context`` tokens get one more."""
    shape, gpus = model.shape, engines.tensor_parallel
    parameters = shape.layer_parameters + shape.output_parameters
    memory_s = (parameters * model.bytes_per_value + context * model.cache_bytes_per_token) / (
        gpus * processor.memory_bytes_per_s * processor.memory_share
    )
    flops = 2 * parameters * running + 4 * shape.num_layers * shape.hidden_size * context
    arithmetic_s = flops / (gpus * processor.flops_per_s * processor.prefill_share)
    travel_s = _all_reduce_seconds(running, model=model, gpus=gpus, processor=processor)
    return np.asarray(np.maximum(memory_s, arithmetic_s) + travel_s + processor.decode_overhead_s, dtype=np.float64)


def _all_reduce_seconds(num_tokens: Floats, *, model: Model, gpus: int, processor: Processor) -> Floats:
    """Of the two all-reduces of every layer of a tensor-parallel engine."""
    if gpus == 1:
        return np.zeros_like(num_tokens)
    sent = 2 * (gpus - 1) / gpus * num_tokens * model.shape.hidden_size * model.bytes_per_value
    bus = processor.link_share * processor.link_bytes_per_s
    return np.asarray(2 * model.shape.num_layers * (processor.all_reduce_s + sent / bus), dtype=np.float64)


def _starts(lengths: Ints, *, num_slots: int) -> Ints:
    """The decoding step at which each sequence gets a slot; they are given out in order."""
    if len(lengths) <= num_slots:
        return np.zeros(len(lengths), dtype=np.int64)
    free_at = [0] * num_slots
    starts = []
    for length in lengths.tolist():
        start = heapq.heappop(free_at)
        starts.append(start)
        heapq.heappush(free_at, start + length)
    return np.array(starts, dtype=np.int64)


def _counts(at: Ints, num_steps: int, weights: Ints | None = None) -> Floats:
    return np.bincount(at, weights=weights, minlength=num_steps + 1).astype(np.float64)


def learn_seconds(work: Workload, *, model: Model, learner: Learner, processor: Processor) -> float:
    """Of one step: the slower of arithmetic and travel, which overlap, then the optimizer."""
    return max(
        _learn_arithmetic(work, model=model, learner=learner, processor=processor),
        _learn_travel(work, model=model, learner=learner, processor=processor),
    ) + _optimizer_seconds(model, learner=learner, processor=processor)


def learned_tokens(work: Workload, learner: Learner) -> float:
    """Positions that a step's completions and their prompts are computed in."""
    return work.num_sequences * (work.prompt_tokens / learner.siblings + work.lengths.mean)


def num_passes(work: Workload, learner: Learner) -> int:
    """Forward passes in which a rank sees its share of the batch once."""
    if learner.tokens_per_pass is not None:
        return math.ceil(learned_tokens(work, learner) / learner.num_ranks / learner.tokens_per_pass)
    assert learner.rows_per_pass is not None
    return math.ceil(work.num_sequences / learner.num_ranks / learner.rows_per_pass)


def _learn_arithmetic(work: Workload, *, model: Model, learner: Learner, processor: Processor) -> float:
    prompt, answer = model.text_flops(work.prompt_tokens), work.lengths.mean
    behind_it = model.text_flops(work.prompt_tokens + answer) - prompt
    text = prompt / learner.siblings + behind_it + model.output_flops(answer)
    vision = model.vision_flops(work.media_tokens) / learner.siblings
    flops = learner.text_passes * text + learner.vision_passes * vision
    num_sequences = math.ceil(work.num_sequences / learner.num_ranks)
    overhead_s = learner.num_forwards * num_passes(work, learner) * processor.learn_overhead_s
    return num_sequences * flops / (processor.flops_per_s * processor.training_share) + overhead_s


def _learn_travel(work: Workload, *, model: Model, learner: Learner, processor: Processor) -> float:
    """ZeRO 3 gathers the weights for every pass, forward and backward; gradients are summed after every pass with ZeRO
    2 and 3, otherwise once an optimizer step, which sends them twice."""
    if learner.num_ranks == 1:
        return 0.0
    passes, weights = num_passes(work, learner), model.weight_bytes
    gradients = model.trained_parameters * model.bytes_per_value
    sent = 0.0
    if learner.zero_stage == 3:
        sent += (learner.num_forwards + learner.num_backwards) * passes * weights
    if learner.zero_stage >= 2:
        sent += learner.num_backwards * passes * gradients
    else:
        sent += 2 * learner.num_optimizer_steps * gradients
    bus = processor.bus(learner.num_ranks, per_node=learner.gpus_per_node)
    return sent * (learner.num_ranks - 1) / learner.num_ranks / bus


def _optimizer_seconds(model: Model, *, learner: Learner, processor: Processor) -> float:
    sharded = learner.num_ranks if learner.zero_stage >= 1 else 1
    size = model.trained_parameters * OPTIMIZER_BYTES / sharded
    return learner.num_optimizer_steps * size / (processor.memory_bytes_per_s * processor.memory_share)


def push_seconds(model: Model, *, learner: Learner, engines: Engines, in_place: bool, processor: Processor) -> float:
    """Of one weight push; ``in_place``: engines on the learner's own GPUs, which sleep while it works."""
    gather_s = 0.0
    if learner.zero_stage == 3 and learner.num_ranks > 1:
        gather_s = model.weight_bytes / processor.bus(learner.num_ranks, per_node=learner.gpus_per_node)
    if in_place:
        held = model.weight_bytes / engines.tensor_parallel
        copied_s = 2 * held / (processor.memory_bytes_per_s * processor.memory_share)
        asleep_s = 2 * held / (processor.host_bytes_per_s * processor.link_share)  # there and back
        return gather_s + copied_s + asleep_s + processor.push_overhead_s
    stays = learner.num_ranks + engines.num * engines.tensor_parallel <= max(learner.gpus_per_node, 1)
    wire = processor.link_bytes_per_s if stays else processor.network_bytes_per_s
    return gather_s + model.weight_bytes / (processor.link_share * wire) + processor.push_overhead_s
