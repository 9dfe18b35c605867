"""Videos of every condition: which frames are shown, and everything that is refused."""

import re
from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from PIL import Image
from qwen_vl_utils.vision_process import smart_nframes

from conf.data import VideoConfig
from rollout.media import load_image
from rollout.types import Media
from rollout.videos import frame_files, frames_to_show, load_frames, open_video, pixels_per_frame, spread, ticks
from tests.videos import write_video

CONFIG = VideoConfig(fps=2.0, max_frames=8, max_pixels=10_000, total_pixels=None)


def _config(*, fps: float = 2.0, max_frames: int = 8) -> VideoConfig:
    return CONFIG.model_copy(update={"fps": fps, "max_frames": max_frames})


def _grey(frame: Image.Image) -> int:
    """Of the middle, away from what the codec does to edges."""
    return int(np.asarray(frame)[frame.height // 2, frame.width // 2, 0])


def _write_frames(folder: Path, *, names: Sequence[str], size: tuple[int, int] = (40, 30)) -> list[Path]:
    """Frame i is grey i."""
    folder.mkdir(exist_ok=True)
    paths = [folder / name for name in names]
    for grey, path in enumerate(paths):
        Image.new("RGB", size, (grey, grey, grey)).save(path)
    return paths


def test_a_video_file_is_shown_at_the_frame_rate_asked_for(tmp_path: Path) -> None:
    # 12 frames at 6 per second are 2 seconds; 2 per second are 4 frames.
    media = open_video(write_video(tmp_path / "a.mp4"), config=CONFIG)
    assert (media.indices, media.fps, media.max_pixels) == ((0, 4, 7, 11), 2.0, 10_000)


def test_the_frames_of_a_file_are_the_chosen_ones(tmp_path: Path) -> None:
    frames = load_frames(open_video(write_video(tmp_path / "a.mp4"), config=CONFIG))
    assert [_grey(frame) for frame in frames] == pytest.approx([0, 80, 140, 220], abs=4)
    assert {(frame.mode, frame.size) for frame in frames} == {("RGB", (64, 48))}


def test_of_a_long_video_the_most_frames_are_spread_evenly(tmp_path: Path) -> None:
    media = open_video(write_video(tmp_path / "a.mp4"), config=_config(fps=6.0))
    assert media.indices == (0, 2, 3, 5, 6, 8, 9, 11)
    assert media.fps == 4.0


@pytest.mark.parametrize("num_frames", [2, 3, 4, 5, 17, 30, 300, 9000])
@pytest.mark.parametrize("native_fps", [1.0, 23.976, 30.0])
@pytest.mark.parametrize(("fps", "max_frames"), [(0.1, 4), (2.0, 8), (2.0, 9), (5.0, 768)])
def test_as_many_frames_are_shown_as_qwen_vl_utils_would(
    num_frames: int, native_fps: float, fps: float, max_frames: int
) -> None:
    theirs = smart_nframes({"fps": fps, "max_frames": max_frames}, total_frames=num_frames, video_fps=native_fps)
    ours = frames_to_show(num_frames, native_fps=native_fps, config=_config(fps=fps, max_frames=max_frames))
    assert ours == theirs


@pytest.mark.parametrize(
    ("num_frames", "native_fps", "indices", "fps"),
    [
        (300, 30.0, [0, 33, 66, 100, 133, 166, 199, 233, 266, 299], 1.0),
        (75, 25.0, [0, 25, 49, 74], 1.3333),
        (261, 29.97, [0, 37, 74, 111, 149, 186, 223, 260], 0.9186),
    ],
)
def test_the_frames_shown_are_those_of_refine_iqa(
    num_frames: int, native_fps: float, indices: list[int], fps: float
) -> None:
    shown = frames_to_show(num_frames, native_fps=native_fps, config=_config(fps=1.0, max_frames=768))
    assert spread(num_frames, num_shown=shown) == indices
    assert native_fps * shown / num_frames == pytest.approx(fps, abs=5e-5)


@pytest.mark.parametrize(
    ("num_frames", "most"), [(4, 151_200.0), (37, 151_200.0), (38, 147_887.1579), (40, 140_492.8), (448, 13_171.0)]
)
def test_frames_share_a_total_as_in_refine_iqa(num_frames: int, most: float) -> None:
    found = pixels_per_frame(num_frames, max_pixels=360 * 420, total_pixels=3584 * 784, min_pixels=16 * 784)
    assert found == pytest.approx(most)


def test_without_a_total_every_frame_may_be_as_large_as_any() -> None:
    assert pixels_per_frame(768, max_pixels=10_000, total_pixels=None, min_pixels=784) == 10_000


def test_the_smallest_share_is_not_above_the_largest_frame() -> None:
    assert pixels_per_frame(768, max_pixels=800, total_pixels=784, min_pixels=784) == 800


def test_a_video_in_memory_is_shown_like_its_file(tmp_path: Path) -> None:
    path = write_video(tmp_path / "a.mp4")
    media = open_video(path, config=CONFIG)
    in_memory = Media(kind="video", data=path.read_bytes(), indices=media.indices, fps=media.fps)
    assert [frame.tobytes() for frame in load_frames(in_memory)] == [frame.tobytes() for frame in load_frames(media)]


def test_first_and_last_frame_are_among_those_that_are_spread() -> None:
    assert spread(100, num_shown=4) == [0, 33, 66, 99]


def test_opening_a_video_twice_gives_the_same(tmp_path: Path) -> None:
    path = write_video(tmp_path / "a.mp4")
    assert open_video(path, config=CONFIG) == open_video(path, config=CONFIG)


def test_a_rotated_video_is_turned(tmp_path: Path) -> None:
    media = open_video(write_video(tmp_path / "a.mp4", rotation=90), config=CONFIG)
    frame = load_frames(media)[0]
    assert frame.size == (48, 64)
    # A quarter turn to the left brings the upper left corner to the lower left.
    assert np.asarray(frame)[-5, 4, 0] > 200


@pytest.mark.parametrize("ending", ["mp4", "avi", "mkv"])
@pytest.mark.parametrize("share", [0.2, 0.6])
def test_a_torn_video_file_is_refused(ending: str, share: float, tmp_path: Path) -> None:
    path = write_video(tmp_path / f"a.{ending}", num_frames=60)
    path.write_bytes(path.read_bytes()[: int(path.stat().st_size * share)])
    with pytest.raises(ValueError, match=re.escape(str(path))):
        open_video(path, config=CONFIG)


def test_a_missing_video_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"video .*gone\.mp4: no such file"):
        open_video(tmp_path / "gone.mp4", config=CONFIG)


def test_a_file_that_is_no_video_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "page.mp4"
    path.write_text("<html>404</html>" * 100)
    with pytest.raises(ValueError, match=r"page\.mp4: cannot be decoded: Invalid data"):
        open_video(path, config=CONFIG)


def test_a_video_of_one_frame_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"a\.mp4: 1 frames, at least 2 make a video"):
        open_video(write_video(tmp_path / "a.mp4", num_frames=1), config=CONFIG)


def test_a_file_that_was_shortened_after_its_check_is_refused(tmp_path: Path) -> None:
    media = open_video(write_video(tmp_path / "a.mp4"), config=CONFIG)
    write_video(tmp_path / "a.mp4", num_frames=6)
    with pytest.raises(ValueError, match=r"a\.mp4: has no frame 11 any more"):
        load_frames(media)


def test_the_frames_of_a_folder_are_sorted_as_people_count(tmp_path: Path) -> None:
    names = ["f2.png", "f10.png", "f1.png", "f02.png", ".hidden.png"]
    _write_frames(tmp_path / "clip", names=names)
    assert [path.name for path in frame_files(tmp_path / "clip")] == ["f1.png", "f02.png", "f2.png", "f10.png"]


def test_all_frames_of_a_short_folder_are_shown(tmp_path: Path) -> None:
    _write_frames(tmp_path / "clip", names=[f"{index}.png" for index in range(5)])
    media = open_video(tmp_path / "clip", config=CONFIG)
    assert [_grey(frame) for frame in load_frames(media)] == [0, 1, 2, 3, 4]
    assert media.fps == 2.0


def test_the_frames_of_a_long_folder_are_spread_and_further_apart(tmp_path: Path) -> None:
    _write_frames(tmp_path / "clip", names=[f"{index}.png" for index in range(32)])
    media = open_video(tmp_path / "clip", config=CONFIG)
    assert [_grey(frame) for frame in load_frames(media)] == [0, 4, 9, 13, 18, 22, 27, 31]
    assert media.fps == 0.5


def test_listed_frames_keep_their_order(tmp_path: Path) -> None:
    first, second = _write_frames(tmp_path / "clip", names=["a.png", "b.png"])
    assert open_video([second, first], config=CONFIG).frames == (str(second), str(first))


def test_frames_of_different_sizes_are_refused(tmp_path: Path) -> None:
    frames = [*_write_frames(tmp_path, names=["a.png"]), *_write_frames(tmp_path, names=["b.png"], size=(60, 30))]
    with pytest.raises(ValueError, match=r"a\.png and 1 more frames: frames differ in size, 40x30 and 60x30"):
        open_video(frames, config=CONFIG)


def test_a_folder_with_something_else_in_it_is_refused(tmp_path: Path) -> None:
    _write_frames(tmp_path / "clip", names=["1.png", "2.png"])
    (tmp_path / "clip" / "notes.txt").write_text("second take")
    with pytest.raises(ValueError, match=r"notes\.txt: not an image"):
        open_video(tmp_path / "clip", config=CONFIG)


def test_an_empty_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="0 frames, at least 2 make a video"):
        open_video(tmp_path, config=CONFIG)


def test_tiny_frames_are_enlarged_like_tiny_pictures(tmp_path: Path) -> None:
    _write_frames(tmp_path / "clip", names=["1.png", "2.png"], size=(14, 28))
    assert load_frames(open_video(tmp_path / "clip", config=CONFIG))[0].size == (28, 56)


def test_a_video_is_not_read_as_a_picture_nor_a_picture_as_a_video() -> None:
    with pytest.raises(ValueError, match=r"a\.mp4 is a video"):
        load_image(Media(kind="video", path="a.mp4", indices=(0, 1), fps=1.0))
    with pytest.raises(ValueError, match=r"a\.png is a picture"):
        load_frames(Media(kind="image", path="a.png"))


@pytest.mark.parametrize(
    ("media", "complaint"),
    [
        ({"kind": "image"}, "exactly one of path, data and frames"),
        ({"kind": "image", "path": "a", "data": b"b"}, "exactly one of path, data and frames"),
        ({"kind": "image", "path": "a", "fps": 1.0}, "are for videos"),
        ({"kind": "image", "path": "a", "total_pixels": 784}, "are for videos"),
        ({"kind": "video", "path": "a", "fps": 1.0}, "a file with the indices of its frames"),
        ({"kind": "video", "data": b"a", "fps": 1.0}, "a file with the indices of its frames"),
        ({"kind": "video", "frames": ("a", "b"), "indices": (0, 1), "fps": 1.0}, "a file with the indices of"),
        ({"kind": "video", "frames": ("a", "b")}, "a video needs fps above 0, got None"),
    ],
)
def test_media_that_contradict_themselves_are_refused(media: dict[str, object], complaint: str) -> None:
    with pytest.raises(ValueError, match=complaint):
        Media(**media)  # type: ignore[arg-type]


# VisionReward's frames, read off its code: one a second, 24 at most.
@pytest.mark.parametrize(
    ("num_frames", "rate", "expected"),
    [
        (124, 24, [0, 24, 48, 72, 96, 120]),
        (49, 8, [0, 8, 16, 24, 32, 40, 48]),
        (81, 16, [0, 16, 32, 48, 64, 80]),
        (24, 4, [0, 4, 8, 12, 16, 20, 23]),
        (20, 8, [0, 8, 16]),
        (10, 30, [0]),
    ],
)
def test_a_clock_shows_the_frames_that_visionreward_shows(num_frames: int, rate: int, expected: list[int]) -> None:
    assert ticks([index / rate for index in range(num_frames)], fps=1.0) == expected


def test_of_a_long_video_a_clock_shows_the_beginning() -> None:
    shown = ticks([index / 30 for index in range(1500)], fps=1.0)
    assert (len(shown), shown[23]) == (51, 690)


def test_of_two_frames_as_near_to_a_tick_the_first_is_shown() -> None:
    assert ticks([0.0, 0.5, 1.5, 2.0], fps=1.0) == [0, 1, 3]


def test_a_clock_reads_the_times_in_the_file(tmp_path: Path) -> None:
    path = tmp_path / "a.mp4"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("mpeg4", rate=10)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        for tenths in (0, 1, 2, 3, 9, 12, 20):  # seven frames, unevenly over two seconds
            frame = av.VideoFrame.from_ndarray(np.full((48, 64, 3), 10 * tenths, dtype=np.uint8), format="rgb24")
            frame.pts, frame.time_base = tenths, Fraction(1, 10)
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    media = open_video(path, config=_config(fps=1.0), rule="clock")
    assert (media.indices, media.fps, media.is_cut) == ((0, 4, 6), 1.0, False)


def test_a_video_longer_than_the_clock_runs_is_marked_as_cut(tmp_path: Path) -> None:
    path = write_video(tmp_path / "a.mp4", num_frames=12, rate=2)
    cut = open_video(path, config=_config(fps=1.0, max_frames=4), rule="clock")
    assert (cut.indices, cut.fps, cut.is_cut) == ((0, 2, 4, 6), 1.0, True)
    whole = open_video(path, config=_config(fps=1.0, max_frames=7), rule="clock")
    assert (whole.indices[-2:], whole.is_cut) == ((10, 11), False)  # at 5 s and, nearest to the tick at 6 s, at 5.5 s
    assert not open_video(path, config=_config(fps=1.0, max_frames=4)).is_cut  # spread shows its end


def test_no_frame_is_shown_twice_to_a_clock_faster_than_the_video(tmp_path: Path) -> None:
    path = write_video(tmp_path / "a.mp4", num_frames=4, rate=2)
    media = open_video(path, config=_config(fps=30.0, max_frames=64), rule="clock")
    assert (media.indices, media.fps, media.is_cut) == ((0, 1, 2, 3), 2.0, False)


def test_of_frames_in_a_folder_a_clock_shows_the_first(tmp_path: Path) -> None:
    paths = _write_frames(tmp_path / "clip", names=[f"{index}.png" for index in range(6)])
    media = open_video(tmp_path / "clip", config=_config(fps=1.0, max_frames=4), rule="clock")
    assert (media.frames, media.fps, media.is_cut) == (tuple(map(str, paths[:4])), 1.0, True)
    assert not open_video(tmp_path / "clip", config=_config(max_frames=6), rule="clock").is_cut
