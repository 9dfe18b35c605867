"""Buckets and the gloo transport: every byte arrives, in order, or the receiver says so."""

import threading
from collections.abc import Iterator

import pytest
import torch
from torch import Tensor

from rollout.weights.gloo import GlooChannel, GlooSender, WeightsCorrupted, pack, receive
from rollout.weights.manifest import TensorEntry, WeightManifest, buckets


def entry(name: str, *shape: int, dtype: str = "float32") -> TensorEntry:
    return TensorEntry(name=name, dtype_name=dtype, shape=shape)


WEIGHTS = {
    "a": torch.arange(6, dtype=torch.float32).view(2, 3),
    "b": torch.tensor(2.5),
    "c": torch.linspace(-1, 1, 7, dtype=torch.bfloat16),
}
MANIFEST = WeightManifest(
    entries=(entry("a", 2, 3), entry("b"), entry("c", 7, dtype="bfloat16")),
)


def test_a_manifest_knows_its_size() -> None:
    assert MANIFEST.num_bytes == 24 + 4 + 14


def test_buckets_hold_at_most_their_size_and_keep_the_order() -> None:
    entries = [entry(name, 2) for name in "abcde"]
    runs = buckets(entries, bucket_bytes=16)
    assert [[one.name for one in run] for run in runs] == [["a", "b"], ["c", "d"], ["e"]]


def test_a_tensor_larger_than_a_bucket_travels_alone() -> None:
    runs = buckets([entry("small", 1), entry("large", 100), entry("last", 1)], bucket_bytes=8)
    assert [[one.name for one in run] for run in runs] == [["small"], ["large"], ["last"]]


def test_no_tensors_make_no_buckets() -> None:
    assert buckets([], bucket_bytes=8) == []


def test_a_bucket_without_bytes_is_refused() -> None:
    with pytest.raises(ValueError, match="must be positive, got 0"):
        buckets([entry("a", 1)], bucket_bytes=0)


def test_a_tensor_out_of_order_is_named() -> None:
    with pytest.raises(ValueError, match=r"expected a \(2, 3\) next, got b"):
        pack(MANIFEST.entries[:1], iter([("b", WEIGHTS["b"])]))


def push(
    tensors: Iterator[tuple[str, Tensor]], *, bucket_bytes: int, corrupt: bool = False
) -> list[tuple[str, Tensor]]:
    """Send over a real group of two, the receiver in a thread; returns what arrived."""
    sender = GlooSender(host="127.0.0.1", bucket_bytes=bucket_bytes, timeout_s=20.0)
    where = sender.receiver_options()
    arrived: list[tuple[str, Tensor]] = []
    errors: list[Exception] = []

    def receiver() -> None:
        channel = GlooChannel.connect(str(where["master_address"]), sender.port, rank=1, world_size=2, timeout_s=20.0)
        if corrupt:
            clean = channel.broadcast

            class Noisy:
                def broadcast(self, tensor: Tensor) -> None:
                    clean(tensor)
                    if tensor.numel() != 32:
                        tensor[0] ^= 1

            noisy = Noisy()
            try:
                list(receive(noisy, MANIFEST, bucket_bytes=bucket_bytes, verify=True))
            except WeightsCorrupted as error:
                errors.append(error)
            return
        for named in receive(channel, MANIFEST, bucket_bytes=bucket_bytes, verify=True):
            arrived.extend(named)

    thread = threading.Thread(target=receiver)
    thread.start()
    sender.join(num_receivers=1)
    sender.send(MANIFEST, tensors)
    thread.join(timeout=20)
    if errors:
        raise errors[0]
    return arrived


@pytest.mark.parametrize("bucket_bytes", [1, 30, 4096])
def test_every_tensor_arrives_bit_for_bit_whatever_the_bucket(bucket_bytes: int) -> None:
    arrived = push(iter(WEIGHTS.items()), bucket_bytes=bucket_bytes)
    assert [name for name, _ in arrived] == ["a", "b", "c"]
    assert all(torch.equal(tensor, WEIGHTS[name]) and tensor.dtype == WEIGHTS[name].dtype for name, tensor in arrived)


def test_a_byte_that_changed_on_the_way_is_noticed() -> None:
    with pytest.raises(WeightsCorrupted, match="received digest"):
        push(iter(WEIGHTS.items()), bucket_bytes=4096, corrupt=True)
