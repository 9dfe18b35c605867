"""Videos: a file or picture files of frames in, the frames a model is shown out, the same for every consumer.

    folder, files or video file --open_video--> Media (which frames, how far apart) --load_frames--> PIL.Image, ...
                                                                           pixels_per_frame --> their size

Which frames are shown is decided once, when the data is checked, and written into the ``Media``: engine, trainer and
teacher look at the same ones. The policy in one place:

* spread: of a video file ``fps`` frames a second are shown, at least 4, an even number, evenly spread (qwen-vl-utils'
  rule, which cannot be called here because it loads torch); frame files all, or ``max_frames`` of them evenly spread;
* clock: of a video file the frames nearest to each tick of ``fps``, of frame files all; the first ``max_frames`` of
  them, and a video that goes on behind is marked as cut (VisionReward's rule at 1 per second and 24);
* a folder's frames are sorted as people do, 2 before 10;
* the rotation a file asks for is applied, as every player does; pixels that are not square are not stretched;
* what cannot be decoded to its end, ends early, or changes its size is refused.
"""

import io
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import av
import numpy as np
from av.container import InputContainer
from av.video.stream import VideoStream
from PIL import Image

from conf.data import FrameRule, VideoConfig
from rollout.media import fit_for_training, load_image
from rollout.types import Media

MIN_FRAMES = 4
"""Shown of a video file, unless it has fewer."""
FRAMES_PER_STEP = 2
"""Models look at frames two by two."""
MIN_SHARE = 0.9
"""A file that ends before this share of the duration it declares is torn; timestamps are not more exact."""
VIDEO_ENDINGS = frozenset({".avi", ".m4v", ".mkv", ".mov", ".mp4", ".mpeg", ".mpg", ".webm", ".wmv"})
"""How the names of video files end, in small letters: what a folder of mixed media is sorted by."""


def open_video(source: Path | Sequence[Path], *, config: VideoConfig, rule: FrameRule = "spread") -> Media:
    """The video with the frames to be shown; every one of them has been decoded.

    ``source`` is a video file, a folder of frames, or the frames in order. ``rule`` says which of them are shown.

    Raises:
        ValueError: A file is missing, torn or damaged, frames differ in size, or there are fewer than two. The message
            names the file and the reason.
    """
    if isinstance(source, Path) and not source.is_dir():
        return _open_file(source, config=config, rule=rule)
    files = frame_files(source) if isinstance(source, Path) else list(source)
    if len(files) < FRAMES_PER_STEP:
        where = source if isinstance(source, Path) else ", ".join(map(str, files))
        raise ValueError(f"video {where}: {len(files)} frames, at least {FRAMES_PER_STEP} make a video")
    num_shown = min(len(files), config.max_frames)
    is_clock = rule == "clock"
    shown = list(range(num_shown)) if is_clock else spread(len(files), num_shown=num_shown)
    media = Media(
        kind="video",
        frames=tuple(str(files[index]) for index in shown),
        fps=config.fps if is_clock else config.fps * num_shown / len(files),
        max_pixels=config.max_pixels,
        total_pixels=config.total_pixels,
        is_cut=is_clock and num_shown < len(files),
    )
    load_frames(media)
    return media


def load_frames(media: Media) -> list[Image.Image]:
    """The shown frames as RGB, all of one size, both sides at least 28 px.

    Raises:
        ValueError: A frame cannot be read any more, or frames differ in size.
    """
    if media.kind != "video":
        raise ValueError(f"{media.name} is a picture, not a video")
    frames = _load_files(media.frames) if media.frames else _decode(media)
    if len({frame.size for frame in frames}) > 1:
        sizes = sorted({f"{frame.width}x{frame.height}" for frame in frames})
        raise ValueError(f"video {media.name}: frames differ in size, {' and '.join(sizes)}")
    return frames


def frame_files(folder: Path) -> list[Path]:
    """Every file of a folder, sorted as people count; hidden files are none."""
    files = [path for path in folder.iterdir() if path.is_file() and not path.name.startswith(".")]
    return sorted(files, key=lambda path: ([_as_counted(part) for part in re.split(r"(\d+)", path.name)], path.name))


def frames_to_show(num_frames: int, *, native_fps: float, config: VideoConfig) -> int:
    """How many of a video file's frames are shown."""
    wanted = max(num_frames / native_fps * config.fps, MIN_FRAMES)
    most = min(config.max_frames - config.max_frames % FRAMES_PER_STEP, num_frames)
    shown = int(min(wanted, most))
    return shown - shown % FRAMES_PER_STEP


def pixels_per_frame(num_frames: int, *, max_pixels: int, total_pixels: int | None, min_pixels: int) -> float:
    """Most pixels a shown frame may have: ``max_pixels``, or its share of ``total_pixels`` where that is less.

    Two frames count as one, because they become one step in time. A share is never below 1.05 times ``min_pixels``,
    what a frame is enlarged to; many frames may then exceed the total (qwen-vl-utils' rule).
    """
    if total_pixels is None:
        return float(max_pixels)
    least = min(int(1.05 * min_pixels), max_pixels)
    return max(min(max_pixels, total_pixels / num_frames * FRAMES_PER_STEP), least)


def spread(num_frames: int, *, num_shown: int) -> list[int]:
    """Indices of ``num_shown`` frames from the first to the last, evenly spread."""
    return [int(index) for index in np.linspace(0, num_frames - 1, num_shown).round()]


def ticks(starts_s: Sequence[float], *, fps: float) -> list[int]:
    """Indices of the frames that start nearest to 0, 1, 2, ... ticks of ``fps``, the first of two as near.

    The last tick is the one nearest to the last start, so that a frame may be shown up to half a tick early.
    """
    starts_T = np.array(starts_s)
    last = round(starts_s[-1] * fps)
    return [int(np.argmin(np.abs(starts_T - tick / fps))) for tick in range(last + 1)]


def _as_counted(part: str) -> tuple[int, str]:
    return (int(part), "") if part.isdigit() else (-1, part)


def _open_file(path: Path, *, config: VideoConfig, rule: FrameRule) -> Media:
    starts_s, native_fps = _measure(path)
    num_frames = len(starts_s)
    if num_frames < FRAMES_PER_STEP:
        raise ValueError(f"video {path}: {num_frames} frames, at least {FRAMES_PER_STEP} make a video")
    if rule == "clock":
        # No frame is shown twice to a clock that ticks faster than the video.
        fps = min(config.fps, native_fps)
        indices = ticks(starts_s, fps=fps)
    else:
        num_shown = frames_to_show(num_frames, native_fps=native_fps, config=config)
        fps = native_fps * num_shown / num_frames
        indices = spread(num_frames, num_shown=num_shown)
    return Media(
        kind="video",
        path=str(path),
        indices=tuple(indices[: config.max_frames]),
        fps=fps,
        max_pixels=config.max_pixels,
        total_pixels=config.total_pixels,
        is_cut=len(indices) > config.max_frames,
    )


def _load_files(files: Sequence[str]) -> list[Image.Image]:
    return [load_image(Media(kind="image", path=file)) for file in files]


def _measure(path: Path) -> tuple[list[float], float]:
    """When each frame starts and frames per second, after decoding all of it: a header does not show a torn file."""
    starts_s, end_s = list[float](), 0.0
    with _opened(str(path), name=str(path)) as (container, stream):
        if stream.average_rate is None:
            raise ValueError(f"video {path}: declares no frame rate; encode it anew, or give its frames")
        rate = float(stream.average_rate)
        for packet in container.demux():  # sound too: the declared duration is that of the longest stream
            if packet.pts is not None:
                end_s = max(end_s, float((packet.pts + (packet.duration or 0)) * packet.time_base))
            if packet.stream.index == stream.index:
                # A file without timestamps is one of even steps.
                for frame in packet.decode():
                    assert isinstance(frame, av.VideoFrame), "of the video stream"
                    starts_s.append(len(starts_s) / rate if frame.time is None else frame.time)
        fit_for_training(Image.new("RGB", (stream.width, stream.height)), name=str(path))
        declared_s = (container.duration or 0) / av.time_base
        if end_s < MIN_SHARE * declared_s:
            raise ValueError(f"video {path}: ends after {end_s:.1f} of the {declared_s:.1f} s it declares")
        return starts_s, rate


def _decode(media: Media) -> list[Image.Image]:
    wanted, found = set(media.indices), dict[int, Image.Image]()
    source = media.path if media.data is None else io.BytesIO(media.data)
    assert source is not None, "a video without frames has a path or data"
    with _opened(source, name=media.name) as (container, stream):
        for index, frame in enumerate(container.decode(stream)):
            if index in wanted:
                picture = Image.fromarray(frame.to_ndarray(format="rgb24")).rotate(frame.rotation, expand=True)
                found[index] = fit_for_training(picture, name=f"{media.name} frame {index}")
            if len(found) == len(wanted):
                return [found[index] for index in media.indices]
    raise ValueError(f"video {media.name}: has no frame {max(wanted)} any more; it was changed after it was checked")


@contextmanager
def _opened(source: str | io.BytesIO, *, name: str) -> Iterator[tuple[InputContainer, VideoStream]]:
    """The container and its first video stream; whatever libav raises inside becomes a ValueError."""
    try:
        with av.open(source, "r") as container:
            if not container.streams.video:
                raise ValueError(f"video {name}: holds no pictures")
            stream = container.streams.video[0]
            stream.thread_type = "AUTO"
            yield container, stream
    except FileNotFoundError as error:
        raise ValueError(f"video {name}: no such file") from error
    except av.FFmpegError as error:
        raise ValueError(f"video {name}: cannot be decoded: {error.strerror}") from error
