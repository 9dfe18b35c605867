"""Pictures that are the same, or look the same, under different names: a difference hash and a small grey copy of each.

The hash says of 8 x 8 places whether brightness rises to the right. Pictures of which at most ``MAX_BITS`` places
differ and whose 16 x 16 grey copies differ little count as look-alikes: the copies tell apart what is flat, where every
place says no. Pictures of one scene look alike by design and are not compared.
"""

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image

MAX_BITS = 4
"""Of 64 places of the hash."""
MAX_GREY_DIFFERENCE = 6.0
"""Mean difference of the grey copies, of 255."""
_SIDE = 8
_COPY_SIDE = 16
_BLOCK = 256


@dataclass(frozen=True, kw_only=True, slots=True)
class Fingerprint:
    """What is kept of a picture."""

    width: int
    height: int
    digest: bytes
    """Equal for equal pixels."""
    difference_hash: int
    grey: NDArray[np.uint8]
    """``[256]``"""


@dataclass(frozen=True, kw_only=True, slots=True)
class Pair:
    """Two pictures, by index, the first one first."""

    first: int
    second: int
    is_equal: bool
    """Whether every pixel is; else they look alike."""


def fingerprint(picture: Image.Image) -> Fingerprint:
    """Of an RGB picture."""
    grey = picture.convert("L")
    small_HW = np.asarray(grey.resize((_SIDE + 1, _SIDE), Image.Resampling.BOX), dtype=np.int16)
    rises = (small_HW[:, 1:] > small_HW[:, :-1]).flatten()
    copy = np.asarray(grey.resize((_COPY_SIDE, _COPY_SIDE), Image.Resampling.BOX))
    size = f"{picture.width}x{picture.height}:".encode()
    return Fingerprint(
        width=picture.width,
        height=picture.height,
        digest=hashlib.blake2b(size + picture.tobytes(), digest_size=16).digest(),
        difference_hash=int.from_bytes(np.packbits(rises).tobytes()),
        grey=copy.flatten(),
    )


def find_pairs(prints: Sequence[Fingerprint], *, scenes: Sequence[object]) -> list[Pair]:
    """Equal pictures, each paired with the first of its kind; and of those, look-alikes of different scenes."""
    first_by_digest: dict[bytes, int] = {}
    equal: list[Pair] = []
    for index, one in enumerate(prints):
        first = first_by_digest.setdefault(one.digest, index)
        if first != index:
            equal.append(Pair(first=first, second=index, is_equal=True))
    return [*equal, *_find_alike(prints, firsts=list(first_by_digest.values()), scenes=scenes)]


def _find_alike(prints: Sequence[Fingerprint], *, firsts: Sequence[int], scenes: Sequence[object]) -> Iterator[Pair]:
    if not firsts:
        return
    hashes_N = np.array([prints[index].difference_hash for index in firsts], dtype=np.uint64)
    greys_NC = np.stack([prints[index].grey for index in firsts]).astype(np.int16)
    numbers: dict[object, int] = {}
    scenes_N = np.array([numbers.setdefault(scenes[index], len(numbers)) for index in firsts])
    for start in range(0, len(firsts), _BLOCK):
        block = slice(start, start + _BLOCK)
        bits_BM = np.bitwise_count(hashes_N[block, None] ^ hashes_N[None, start:])
        is_near_BM = (bits_BM <= MAX_BITS) & (scenes_N[block, None] != scenes_N[None, start:])
        for row, column in zip(*np.nonzero(np.triu(is_near_BM, k=1)), strict=True):
            if np.abs(greys_NC[start + row] - greys_NC[start + column]).mean() <= MAX_GREY_DIFFERENCE:
                yield Pair(first=firsts[start + row], second=firsts[start + column], is_equal=False)
