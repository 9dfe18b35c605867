"""The engine's end of the gloo transport, as a vLLM weight-transfer back end.

vLLM loads ``register`` through the ``vllm.general_plugins`` entry point in every process of its own.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Protocol, cast

from torch import Tensor
from vllm.distributed.weight_transfer import WeightTransferEngineFactory
from vllm.distributed.weight_transfer.base import (
    WeightTransferEngine,
    WeightTransferInitInfo,
    WeightTransferUpdateInfo,
)
from vllm.model_executor.model_loader.reload import finalize_layerwise_reload, initialize_layerwise_reload

from rollout.weights.gloo import GlooChannel, receive
from rollout.weights.manifest import TensorEntry, WeightManifest

BACKEND = "gloo"


@dataclass
class GlooInitInfo(WeightTransferInitInfo):
    """Where the sender listens, and which ranks of the group this engine's workers take."""

    master_address: str
    master_port: int
    rank_offset: int
    world_size: int
    timeout_s: float


@dataclass
class GlooUpdateInfo(WeightTransferUpdateInfo):
    """One push: the manifest's columns and how it is cut into buckets."""

    names: list[str]
    dtype_names: list[str]
    shapes: list[list[int]]
    bucket_bytes: int
    verify: bool

    def manifest(self) -> WeightManifest:
        """The push as the sender walks it."""
        columns = zip(self.names, self.dtype_names, self.shapes, strict=True)
        return WeightManifest(entries=tuple(TensorEntry(name=n, dtype_name=d, shape=tuple(s)) for n, d, s in columns))


class LoadsWeights(Protocol):
    """Every vLLM model."""

    def load_weights(self, weights: Iterable[tuple[str, Tensor]]) -> set[str]: ...


class GlooWeightTransferEngine(WeightTransferEngine[GlooInitInfo, GlooUpdateInfo]):
    """Receives buckets over gloo and loads them through the model's own checkpoint loader."""

    init_info_cls = GlooInitInfo
    update_info_cls = GlooUpdateInfo
    _channel: GlooChannel | None = None

    def init_transfer_engine(self, init_info: GlooInitInfo) -> None:
        """Join the sender's group with this worker's rank."""
        self._channel = GlooChannel.connect(
            init_info.master_address,
            init_info.master_port,
            rank=init_info.rank_offset + self.parallel_config.rank,
            world_size=init_info.world_size,
            timeout_s=init_info.timeout_s,
        )

    def start_weight_update(self) -> None:
        """Open vLLM's layer-wise reload."""
        initialize_layerwise_reload(self.model)

    def receive_weights(self, update_info: GlooUpdateInfo) -> None:
        """Load each bucket as it arrives."""
        if self._channel is None:
            raise RuntimeError("init_weight_transfer_engine must come before update_weights")
        for named in receive(
            self._channel,
            update_info.manifest(),
            bucket_bytes=update_info.bucket_bytes,
            verify=update_info.verify,
        ):
            cast("LoadsWeights", self.model).load_weights(named)

    def finish_weight_update(self) -> None:
        """Close the reload: fused and processed weights are rebuilt from what arrived."""
        finalize_layerwise_reload(self.model, self.model_config)

    def shutdown(self) -> None:
        """Leave the group."""
        self._channel = None

    @staticmethod
    def trainer_send_weights(iterator: object, trainer_args: object) -> None:  # noqa: ARG004
        """Not used: the learner sends through ``rollout.weights.gloo.GlooSender``."""
        raise RuntimeError("send through rollout.weights.gloo.GlooSender")


_registered: set[str] = set()


def register() -> None:
    """Make ``gloo`` known to vLLM's factory; calling it again changes nothing."""
    if BACKEND not in _registered:
        WeightTransferEngineFactory.register_engine(BACKEND, GlooWeightTransferEngine)
        _registered.add(BACKEND)
