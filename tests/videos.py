"""Video files made for a test."""

from pathlib import Path

import av
import numpy as np


def write_video(
    path: Path,
    *,
    num_frames: int = 12,
    rate: int = 6,
    size: tuple[int, int] = (64, 48),
    rotation: int = 0,
    brightness: int = 0,
) -> Path:
    """Frame i is grey ``brightness`` + 20 i (modulo 256), with a white square at its upper left."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream("mpeg4", rate=rate)
        stream.width, stream.height = size
        stream.pix_fmt = "yuv420p"
        if rotation:
            stream.set_display_rotation(rotation)
        for index in range(num_frames):
            pixels_HW3 = np.full((size[1], size[0], 3), (brightness + 20 * index) % 256, dtype=np.uint8)
            pixels_HW3[:10, :10] = 255
            container.mux(stream.encode(av.VideoFrame.from_ndarray(pixels_HW3, format="rgb24")))
        container.mux(stream.encode())
    return path
