"""The learner's ends of vLLM's own transports speak the requests that vLLM's engines parse.

No GPU moves a byte here: these are the CPU twins of tests/gpu, held against vLLM's own request types.
"""

from typing import Any

from vllm.distributed.weight_transfer.nccl_common import NCCLWeightTransferInitInfo
from vllm.distributed.weight_transfer.nccl_engine import NCCLWeightTransferUpdateInfo

from rollout.weights.manifest import TensorEntry, WeightManifest
from rollout.weights.vllm_senders import IpcSender, NcclSender

MANIFEST = WeightManifest(
    entries=(
        TensorEntry(name="model.visual.w", dtype_name="bfloat16", shape=(2, 3)),
        TensorEntry(name="lm_head.weight", dtype_name="bfloat16", shape=(4,)),
    )
)


def test_vllm_accepts_the_rendezvous_of_an_nccl_sender() -> None:
    options: dict[str, Any] = NcclSender(host="127.0.0.1", bucket_bytes=1 << 20).receiver_options()
    info = NCCLWeightTransferInitInfo(**options, rank_offset=1, world_size=3)
    assert info.master_port > 0


def test_vllm_accepts_the_update_request_of_an_nccl_sender_and_packs_alike() -> None:
    options: dict[str, Any] = NcclSender(host="127.0.0.1", bucket_bytes=1 << 20).update_options()
    columns: dict[str, Any] = MANIFEST.columns()
    info = NCCLWeightTransferUpdateInfo(**columns, **options)
    assert info.packed
    assert info.packed_buffer_size_bytes == 1 << 20
    assert info.names == ["model.visual.w", "lm_head.weight"]


def test_an_ipc_sender_needs_no_rendezvous() -> None:
    sender = IpcSender(bucket_bytes=1 << 20, deliver=lambda _: None)
    assert sender.receiver_options() == sender.update_options() == {}
