"""The CPU transport: buckets of weights broadcast over gloo, with a digest that proves what arrived.

One process group per run holds the sending learner rank (rank 0) and every engine worker. It lives beside the
learner's own default group, so that a slow engine never blocks a gradient all-reduce.
"""

from collections.abc import Iterator, Sequence
from datetime import timedelta
from hashlib import blake2b
from typing import Protocol, Self

import torch
from torch import Tensor
from torch.distributed import ProcessGroupGloo, TCPStore  # type: ignore[attr-defined]

from rollout.weights.manifest import TensorEntry, WeightManifest, buckets

DIGEST_BYTES = 32


class WeightsCorrupted(RuntimeError):
    """The bytes that arrived are not the bytes that were sent."""


class Channel(Protocol):
    """What ``receive`` reads from."""

    def broadcast(self, tensor: Tensor) -> None: ...


class GlooChannel:
    """One end of the broadcast group."""

    def __init__(self, store: TCPStore, *, rank: int, world_size: int, timeout_s: float) -> None:
        self._group = ProcessGroupGloo(store, rank, world_size, timedelta(seconds=timeout_s))

    @classmethod
    def connect(cls, host: str, port: int, *, rank: int, world_size: int, timeout_s: float) -> Self:
        """Join as a receiver; blocks until every member has joined."""
        store = TCPStore(
            host,
            port,
            world_size,
            is_master=False,
            timeout=timedelta(seconds=timeout_s),
            wait_for_workers=False,
        )
        return cls(store, rank=rank, world_size=world_size, timeout_s=timeout_s)

    def broadcast(self, tensor: Tensor) -> None:
        """Send ``tensor`` from rank 0 to everyone, in place; raises RuntimeError after the timeout."""
        self._group.broadcast(tensor, 0).wait()  # type: ignore[attr-defined]


class GlooSender:
    """The learner's end: listens, lets the engines join, sends pushes."""

    def __init__(self, *, host: str, bucket_bytes: int, timeout_s: float, verify: bool = True) -> None:
        self._timeout_s, self._bucket_bytes, self._host, self._verify = timeout_s, bucket_bytes, host, verify
        self._store = TCPStore(host, 0, is_master=True, timeout=timedelta(seconds=timeout_s), wait_for_workers=False)
        self._channel: GlooChannel | None = None

    @property
    def port(self) -> int:
        """Where it listens."""
        return int(self._store.port)

    def receiver_options(self) -> dict[str, object]:
        """Where receivers connect to: ``master_address`` and ``master_port``."""
        return {"master_address": self._host, "master_port": self.port, "timeout_s": self._timeout_s}

    def update_options(self) -> dict[str, object]:
        """What receivers must know to cut the same buckets."""
        return {"bucket_bytes": self._bucket_bytes, "verify": self._verify}

    def join(self, *, num_receivers: int) -> None:
        """Complete the group; blocks until every engine worker has connected."""
        self._channel = GlooChannel(self._store, rank=0, world_size=num_receivers + 1, timeout_s=self._timeout_s)

    def send(self, manifest: WeightManifest, tensors: Iterator[tuple[str, Tensor]]) -> None:
        """Broadcast every tensor of ``manifest`` in order, then the digest when verifying.

        Raises:
            ValueError: ``tensors`` does not yield what the manifest announced.
        """
        if self._channel is None:
            raise RuntimeError("join() the group before the first send")
        digest = blake2b(digest_size=DIGEST_BYTES)
        for run in buckets(manifest.entries, bucket_bytes=self._bucket_bytes):
            packed = pack(run, tensors)
            if self._verify:
                digest.update(packed.numpy().data)
            self._channel.broadcast(packed)
        if self._verify:
            self._channel.broadcast(torch.frombuffer(bytearray(digest.digest()), dtype=torch.uint8))

    def close(self) -> None:
        """Leave the group."""
        self._channel = None


def pack(run: Sequence[TensorEntry], tensors: Iterator[tuple[str, Tensor]]) -> Tensor:
    """Copy the next ``len(run)`` tensors into one uint8 bucket."""
    packed = torch.empty(sum(entry.num_bytes for entry in run), dtype=torch.uint8)
    start = 0
    for entry in run:
        name, tensor = next(tensors)
        if name != entry.name or tuple(tensor.shape) != entry.shape:
            raise ValueError(f"expected {entry.name} {entry.shape} next, got {name} {tuple(tensor.shape)}")
        flat = tensor.detach().to("cpu", _dtype(entry)).contiguous().view(-1).view(torch.uint8)
        packed[start : start + entry.num_bytes] = flat
        start += entry.num_bytes
    return packed


def receive(
    channel: Channel, manifest: WeightManifest, *, bucket_bytes: int, verify: bool
) -> Iterator[list[tuple[str, Tensor]]]:
    """Yield each bucket's named tensors as it arrives.

    Raises:
        WeightsCorrupted: After the last bucket, when the digests differ.
    """
    digest = blake2b(digest_size=DIGEST_BYTES)
    for run in buckets(manifest.entries, bucket_bytes=bucket_bytes):
        packed = torch.empty(sum(entry.num_bytes for entry in run), dtype=torch.uint8)
        channel.broadcast(packed)
        if verify:
            digest.update(packed.numpy().data)
        parts = torch.split(packed, [entry.num_bytes for entry in run])
        # The copy gives each tensor storage of its own, aligned for its type.
        yield [
            (entry.name, part.clone().view(_dtype(entry)).view(entry.shape))
            for entry, part in zip(run, parts, strict=True)
        ]
    if not verify:
        return
    sent = torch.empty(DIGEST_BYTES, dtype=torch.uint8)
    channel.broadcast(sent)
    if bytes(sent.tolist()) != digest.digest():
        raise WeightsCorrupted(
            f"weight push: received digest {digest.hexdigest()[:16]}, sent {bytes(sent.tolist()).hex()[:16]}"
        )


def _dtype(entry: TensorEntry) -> torch.dtype:
    dtypes = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}
    return dtypes[entry.dtype_name]
