"""The learner's end of vLLM's own transports: NCCL between GPUs, CUDA IPC on one GPU."""

import socket
from collections.abc import Callable, Iterator
from dataclasses import asdict

from torch import Tensor
from vllm.distributed.weight_transfer.ipc_engine import (
    IPCTrainerSendWeightsArgs,
    IPCWeightTransferEngine,
    IPCWeightTransferUpdateInfo,
)
from vllm.distributed.weight_transfer.nccl_engine import NCCLTrainerSendWeightsArgs, NCCLWeightTransferEngine

from rollout.weights.manifest import WeightManifest

Deliver = Callable[[dict[str, object]], None]
"""Hands one update request to every engine and returns when all have applied it."""


class NcclSender:
    """Packed NCCL broadcast from learner rank 0 to every engine worker."""

    def __init__(self, *, host: str, bucket_bytes: int) -> None:
        self._host, self._bucket_bytes = host, bucket_bytes
        with socket.socket() as probe:
            probe.bind((host, 0))
            self._port = int(probe.getsockname()[1])
        self._group: object = None

    def receiver_options(self) -> dict[str, object]:
        """Where receivers connect to."""
        return {"master_address": self._host, "master_port": self._port}

    def update_options(self) -> dict[str, object]:
        """Both sides must pack with the same buffer size."""
        return {"packed": True, "packed_buffer_size_bytes": self._bucket_bytes}

    def join(self, *, num_receivers: int) -> None:
        """Complete the group; blocks until every engine worker has connected.

        Raises:
            RuntimeError: NCCL could not be loaded; vLLM would then turn broadcasts into no-ops.
        """
        options = {**self.receiver_options(), "world_size": num_receivers + 1}
        group = NCCLWeightTransferEngine.trainer_init(options)
        if not group.available:
            raise RuntimeError("NCCL is not available to the learner: weights would silently not arrive")
        self._group = group

    def send(self, manifest: WeightManifest, tensors: Iterator[tuple[str, Tensor]]) -> None:
        """Broadcast every tensor of ``manifest`` in order."""
        del manifest  # the engines got it with the update request
        NCCLWeightTransferEngine.trainer_send_weights(
            iter(tensors),
            NCCLTrainerSendWeightsArgs(group=self._group, packed=True, packed_buffer_size_bytes=self._bucket_bytes),
        )

    def close(self) -> None:
        """Leave the group."""
        self._group = None


class IpcSender:
    """CUDA IPC handles to engines on the same GPUs; every learner rank takes part."""

    def __init__(self, *, bucket_bytes: int, deliver: Deliver) -> None:
        self._bucket_bytes, self._deliver = bucket_bytes, deliver

    def receiver_options(self) -> dict[str, object]:
        """IPC needs no rendezvous."""
        return {}

    def update_options(self) -> dict[str, object]:
        """Requests are made by ``send``, chunk by chunk."""
        return {}

    def join(self, *, num_receivers: int) -> None:
        """Nothing to complete."""

    def send(self, manifest: WeightManifest, tensors: Iterator[tuple[str, Tensor]]) -> None:
        """Share packed chunks; each is delivered, copied by the engines, and freed before the next.

        A chunk holds at least the largest tensor, which vLLM would otherwise refuse to pack.
        """
        largest = max(entry.num_bytes for entry in manifest.entries)

        def deliver(info: IPCWeightTransferUpdateInfo) -> None:
            self._deliver(asdict(info))

        IPCWeightTransferEngine.trainer_send_weights(
            iter(tensors),
            IPCTrainerSendWeightsArgs(
                send_mode=deliver, packed=True, packed_buffer_size_bytes=max(self._bucket_bytes, largest)
            ),
        )

    def close(self) -> None:
        """Nothing to leave."""
