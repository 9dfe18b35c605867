"""What a weight push carries, in order. Standard library only."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import prod

_ITEM_BYTES = {"float32": 4, "bfloat16": 2, "float16": 2}


@dataclass(frozen=True, kw_only=True, slots=True)
class TensorEntry:
    """One tensor: the trainer's parameter name, its type on the wire, its full (unsharded) shape."""

    name: str
    dtype_name: str
    shape: tuple[int, ...]

    @property
    def num_bytes(self) -> int:
        """Size on the wire."""
        return prod(self.shape) * _ITEM_BYTES[self.dtype_name]


@dataclass(frozen=True, kw_only=True, slots=True)
class WeightManifest:
    """Every tensor of a push; sender and receivers walk it in the same order."""

    entries: tuple[TensorEntry, ...]

    @property
    def num_bytes(self) -> int:
        """Size of one push."""
        return sum(entry.num_bytes for entry in self.entries)

    def columns(self) -> dict[str, list[str] | list[list[int]]]:
        """The three parallel lists that vLLM's update requests are made of."""
        return {
            "names": [entry.name for entry in self.entries],
            "dtype_names": [entry.dtype_name for entry in self.entries],
            "shapes": [list(entry.shape) for entry in self.entries],
        }


def buckets(entries: Sequence[TensorEntry], *, bucket_bytes: int) -> list[tuple[TensorEntry, ...]]:
    """Split ``entries`` into runs of at most ``bucket_bytes``; a larger tensor travels alone.

    Raises:
        ValueError: ``bucket_bytes`` is not positive.
    """
    if bucket_bytes <= 0:
        raise ValueError(f"bucket_bytes must be positive, got {bucket_bytes}")
    runs: list[tuple[TensorEntry, ...]] = []
    run: list[TensorEntry] = []
    size = 0
    for entry in entries:
        if run and size + entry.num_bytes > bucket_bytes:
            runs.append(tuple(run))
            run, size = [], 0
        run.append(entry)
        size += entry.num_bytes
    return [*runs, tuple(run)] if run else runs
