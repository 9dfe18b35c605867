"""What processors can do at most, and the share of it that work of each kind is assumed to reach.

Peaks are those of the makers' data sheets (dense, SXM boards). The shares are assumptions, to be replaced by what a run
measured (``cluster/planning/measured.py``).
"""

from dataclasses import dataclass, replace


@dataclass(frozen=True, kw_only=True, slots=True)
class Processor:
    """One GPU, or the cores of one actor."""

    name: str
    flops_per_s: float
    """Peak of the number format that is computed in."""
    memory_bytes_per_s: float
    memory_bytes: float
    link_bytes_per_s: float
    """To a neighbour on the same machine, one direction."""
    network_bytes_per_s: float
    """To another machine, one direction, for each GPU."""
    host_bytes_per_s: float
    """To the machine's own memory, where the weights of sleeping engines wait."""
    prefill_share: float
    """Of the peak, when prompts are read and pictures encoded."""
    training_share: float
    """Of the peak, when the learner computes (model FLOPs utilisation; recomputed activations count as work)."""
    memory_share: float
    """Of the memory bandwidth, when tokens are decoded and the optimizer steps."""
    link_share: float
    """Of links, network and the way to the host, when weights and gradients travel."""
    decode_overhead_s: float
    """Of every decoding step beside its arithmetic: scheduler, launches, sampling."""
    learn_overhead_s: float
    """Of every pass of the learner."""
    push_overhead_s: float
    """Of every weight push: stopping engines, opening and closing the update, dropping caches."""
    all_reduce_s: float
    """Latency of one all-reduce between the GPUs of a tensor-parallel engine."""

    def bus(self, num_gpus: int, *, per_node: int) -> float:
        """Bytes/s of a collective: the slower of links and, between machines, all network cards of one machine."""
        if num_gpus <= max(per_node, 1):
            return self.link_share * self.link_bytes_per_s
        return self.link_share * min(self.link_bytes_per_s, per_node * self.network_bytes_per_s)


_ON_GPU = {
    "prefill_share": 0.5, "training_share": 0.3, "memory_share": 0.7, "link_share": 0.8,
    "decode_overhead_s": 0.002, "learn_overhead_s": 0.02, "push_overhead_s": 0.1, "all_reduce_s": 15e-6,
}  # fmt: skip
GPUS = {
    "a100": Processor(
        name="A100-80G", flops_per_s=312e12, memory_bytes_per_s=2.039e12, memory_bytes=80e9,
        link_bytes_per_s=300e9, network_bytes_per_s=25e9, host_bytes_per_s=32e9, **_ON_GPU,
    ),
    "h100": Processor(
        name="H100-80G", flops_per_s=989e12, memory_bytes_per_s=3.35e12, memory_bytes=80e9,
        link_bytes_per_s=450e9, network_bytes_per_s=50e9, host_bytes_per_s=64e9, **_ON_GPU,
    ),
    "h200": Processor(
        name="H200", flops_per_s=989e12, memory_bytes_per_s=4.8e12, memory_bytes=141e9,
        link_bytes_per_s=450e9, network_bytes_per_s=50e9, host_bytes_per_s=64e9, **_ON_GPU,
    ),
}  # fmt: skip
"""The choices of ``plan.gpu``, in bfloat16."""

_CORE = Processor(
    name="CPU core", flops_per_s=160e9, memory_bytes_per_s=10e9, memory_bytes=4e9,
    link_bytes_per_s=1e9, network_bytes_per_s=1e9, host_bytes_per_s=10e9,
    prefill_share=0.25, training_share=0.25, memory_share=0.5, link_share=0.5,
    decode_overhead_s=0.02, learn_overhead_s=0.03, push_overhead_s=0.06, all_reduce_s=0.0,
)  # fmt: skip
"""Two 16-wide float32 fused multiply-adds a cycle at 2.5 GHz (AVX-512); two channels of memory among four cores."""


def cpu(num_threads: int) -> Processor:
    """The cores of one actor, in float32."""
    return replace(
        _CORE,
        name=f"CPU, {num_threads} thread{'s' if num_threads > 1 else ''} an actor",
        flops_per_s=num_threads * _CORE.flops_per_s,
        memory_bytes_per_s=num_threads * _CORE.memory_bytes_per_s,
    )
