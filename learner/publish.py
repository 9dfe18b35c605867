"""The learner's end of a weight push: every rank walks the parameters, one (or each, for IPC) sends them."""

from collections.abc import Iterator
from hashlib import blake2b
from typing import Protocol

import torch
from torch import Tensor

from learner.engine import ZeroEngine
from rollout.weights.manifest import WeightManifest


class WeightSender(Protocol):
    """A transport of ``rollout.weights``; it takes the tensors in the manifest's order, to the last."""

    def send(self, manifest: WeightManifest, tensors: Iterator[tuple[str, Tensor]]) -> None:
        """Deliver every tensor to every engine."""
        ...


class WeightPublisher:
    """Pushes an engine's weights through a sender."""

    def __init__(self, engine: ZeroEngine) -> None:
        self._engine = engine

    def publish(self, sender: WeightSender | None) -> None:
        """Send all weights; ranks without a sender take part in the gathers and send nothing.

        Raises:
            RuntimeError: The sender stopped early, which would leave the other ranks in a gather.
        """
        tensors = self._engine.iterate_full_parameters()
        if sender is not None:
            sender.send(self._engine.parameter_metadata(), tensors)
        num_left = sum(1 for _ in tensors)
        if sender is not None and num_left:
            raise RuntimeError(f"the sender left {num_left} tensors unsent")


def digest(tensors: Iterator[tuple[str, Tensor]]) -> str:
    """One checksum over names and bytes, equal exactly when all weights are bit for bit the same."""
    total = blake2b(digest_size=32)
    for name, tensor in tensors:
        total.update(name.encode())
        flat = tensor.detach().to("cpu").contiguous().view(-1).view(torch.uint8)
        total.update(flat.numpy().tobytes())
    return total.hexdigest()
