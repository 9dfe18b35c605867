"""What every transport offers at the learner's end. One per learner rank that sends."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Protocol

from rollout.weights.manifest import WeightManifest

if TYPE_CHECKING:  # the driver names senders and must not pay for torch
    from torch import Tensor


class Sender(Protocol):
    """One end of a transport, made by ``cluster.actors.make_sender``."""

    def receiver_options(self) -> Mapping[str, object]:
        """What receivers need to connect; asked for before anyone joins."""
        ...

    def update_options(self) -> Mapping[str, object]:
        """The part of every update request that does not depend on the weights."""
        ...

    def join(self, *, num_receivers: int) -> None:
        """Complete the group; blocks until every receiver has connected."""
        ...

    def send(self, manifest: WeightManifest, tensors: Iterator[tuple[str, Tensor]]) -> None:
        """Deliver every tensor of ``manifest``, in order, to every receiver."""
        ...

    def close(self) -> None:
        """Leave the group."""
        ...
