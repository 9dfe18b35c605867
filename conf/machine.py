"""The model, how its weights travel, and the machines it runs on; what "auto" means for the latter two."""

from typing import Literal, Self

from pydantic import Field, model_validator

from conf.base import Section

Placement = Literal["split", "colocated", "one_gpu", "no_gpu"]
Backend = Literal["gloo", "nccl", "ipc"]
ModelSize = Literal["tiny", "small"]
ModelPart = Literal["vision", "projector", "language"]
"""The vision tower, what joins it to the language model, and the language model."""


class ModelConfig(Section):
    """The policy: a Hugging Face folder or hub name, or a tiny model made on the spot."""

    family: Literal["qwen2_5_vl"]
    """Which adapter encodes prompts and names parameters."""
    path: str | None
    """Folder or hub name of the start checkpoint; null makes a tiny model from ``size`` in the run folder."""
    size: ModelSize | None
    """Size of the model to make; null when ``path`` is given."""
    min_pixels: int = Field(ge=28 * 28)
    """Smaller pictures are enlarged to this many pixels."""
    max_pixels: int = Field(ge=28 * 28)
    """Larger pictures are reduced to this many pixels."""
    add_vision_id: bool
    """Write "Picture 1: " or "Video 1: " before each in the chat, as VisualQuality-R1's inference does and its training
    does not."""

    @model_validator(mode="after")
    def _one_source_of_weights(self) -> Self:
        if (self.path is None) == (self.size is None):
            raise ValueError(
                f"give one of path and size and set the other to null, got path={self.path} size={self.size}"
            )
        return self

    @model_validator(mode="after")
    def _pixel_bounds_ordered(self) -> Self:
        if self.min_pixels > self.max_pixels:
            raise ValueError(f"min_pixels={self.min_pixels} must not exceed max_pixels={self.max_pixels}")
        return self


class WeightsConfig(Section):
    """How new weights reach the engines."""

    backend: Literal["auto", "gloo", "nccl", "ipc"]
    """auto: ipc when colocated, nccl on other GPUs, gloo without a GPU."""
    bucket_mib: int = Field(ge=1, le=4096)
    """Tensors travel packed in buckets of this size."""
    verify: bool
    """Send a digest after every push and stop the run when the engines received other bytes (gloo only)."""


class ClusterConfig(Section):
    """Where things run."""

    ray_address: str
    """"local" starts Ray on this machine; "auto" joins a running cluster; or host:port."""
    placement: Literal["auto", "split", "colocated", "one_gpu", "no_gpu"]
    """auto: no_gpu without GPUs, one_gpu with one, split where learner and engines fit, else colocated."""
    gpus_per_node: int = Field(ge=0)
    """GPUs on each machine that may be used; 0 is the CPU stack."""
    num_nodes: int = Field(ge=1)
    """Machines that may be used."""
    cpu_threads_per_actor: int = Field(ge=1)
    """Threads for each engine and each learner rank on CPU."""
    start_timeout_s: float = Field(gt=0)
    """Longest wait for actors to start, in seconds."""
    step_timeout_s: float = Field(gt=0)
    """Longest wait for one step's generation, learning or push, in seconds."""


def resolve_placement(cluster: ClusterConfig, *, num_learner_gpus: int, num_engine_gpus: int) -> Placement:
    """The placement a run uses: the configured one, or what "auto" stands for on these machines."""
    num_gpus = cluster.gpus_per_node * cluster.num_nodes
    if cluster.placement != "auto":
        return cluster.placement
    if num_gpus == 0:
        return "no_gpu"
    if num_gpus == 1:
        return "one_gpu"
    return "split" if num_learner_gpus + num_engine_gpus <= num_gpus else "colocated"


def resolve_backend(weights: WeightsConfig, placement: Placement) -> Backend:
    """The weight transport a run uses: the configured one, or the usual one of its placement."""
    if weights.backend != "auto":
        return weights.backend
    usual: dict[Placement, Backend] = {
        "no_gpu": "gloo",
        "split": "nccl",
        "colocated": "ipc",
        "one_gpu": "ipc",
    }
    return usual[placement]
