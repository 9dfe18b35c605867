"""Equal pictures, look-alikes, leakage between splits, and what cannot be opened."""

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from cluster.health_page import MOST_LISTED, PAGE, PICTURE, health_summary, write_health_page
from rollout.datasets.health import Health, find_unreadable, look_at
from rollout.datasets.label_checks import MediaFolders
from rollout.datasets.label_rows import LabelRow
from rollout.datasets.lookalikes import MAX_BITS, Fingerprint, find_pairs, fingerprint
from rollout.datasets.photographs import PHOTOGRAPHS, photograph_path

Pixels = NDArray[np.uint8]


def _photo(number: int, *, size: int = 96) -> Image.Image:
    """The middle of one of the photographs at hand."""
    with Image.open(photograph_path(PHOTOGRAPHS[number].name)) as opened:
        picture = opened.convert("RGB")
    left, top = (picture.width - size) // 2, (picture.height - size) // 2
    return picture.crop((left, top, left + size, top + size))


def _noisy(picture: Image.Image, *, sigma: float, seed: int = 0) -> Image.Image:
    pixels = np.asarray(picture, dtype=np.float64)
    noise = np.random.default_rng(seed).normal(0.0, sigma, pixels.shape)
    return Image.fromarray(np.clip(pixels + noise, 0, 255).astype(np.uint8))


def _pairs(*pictures: Image.Image, scenes: list[str] | None = None) -> list[tuple[int, int, bool]]:
    prints = [fingerprint(picture) for picture in pictures]
    found = find_pairs(prints, scenes=scenes or [str(number) for number in range(len(prints))])
    return [(pair.first, pair.second, pair.is_equal) for pair in found]


def test_equal_pixels_are_paired_with_the_first_of_their_kind() -> None:
    one, other = _photo(0), _photo(1)
    assert _pairs(one, other, one.copy(), one.copy()) == [(0, 2, True), (0, 3, True)]


@pytest.mark.parametrize("scale", [0.5, 2.0])
def test_a_picture_in_another_size_looks_alike(scale: float) -> None:
    picture = _photo(0)
    resized = picture.resize((int(96 * scale), int(96 * scale)), Image.Resampling.BICUBIC)
    assert _pairs(picture, resized) == [(0, 1, False)]


def test_a_picture_with_a_little_noise_looks_alike() -> None:
    assert _pairs(_photo(0), _noisy(_photo(0), sigma=4.0)) == [(0, 1, False)]


def test_pictures_of_one_scene_are_not_called_alike() -> None:
    assert _pairs(_photo(0), _noisy(_photo(0), sigma=4.0), scenes=["roof", "roof"]) == []


def test_different_photographs_do_not_look_alike() -> None:
    assert _pairs(*(_photo(number) for number in range(len(PHOTOGRAPHS)))) == []


def test_flat_pictures_of_different_brightness_do_not_look_alike() -> None:
    flat = [Image.new("RGB", (64, 64), (grey, grey, grey)) for grey in (40, 90, 200)]
    assert _pairs(*flat) == []


def test_no_pictures_make_no_pairs() -> None:
    assert _pairs() == []


def test_the_pairs_of_many_are_those_of_a_plain_double_loop() -> None:
    rng = np.random.default_rng(3)
    greys = np.zeros(256, dtype=np.uint8)
    codes = [int(code) for code in rng.integers(0, 2**63, size=40)]
    codes += [code ^ sum(1 << int(bit) for bit in rng.choice(63, size=count, replace=False)) for code in codes
              for count in (0, MAX_BITS, MAX_BITS + 1, 2, 1, 3, 7)]  # fmt: skip
    prints = [
        Fingerprint(width=1, height=1, digest=number.to_bytes(2), difference_hash=code, grey=greys)
        for number, code in enumerate(codes)
    ]
    expected = {
        (first, second)
        for second in range(len(codes))
        for first in range(second)
        if (codes[first] ^ codes[second]).bit_count() <= MAX_BITS
    }
    found = find_pairs(prints, scenes=list(range(len(codes))))
    assert {(pair.first, pair.second) for pair in found} == expected
    assert len(prints) > 256  # more than one block


def _row(media: str, *, content: str | None = None, label: float = 3.0, kind: str = "image") -> LabelRow:
    return LabelRow(
        where=f"labels:{media}",
        media=media,
        kind="video" if kind == "video" else "image",
        label=label,
        content=content or media,
        dataset_name="mine",
    )


def _saved(folder: Path, **pictures: Image.Image) -> MediaFolders:
    for name, picture in pictures.items():
        picture.save(folder / f"{name}.png")
    return MediaFolders(str(folder), called="--images")


def _health(tmp_path: Path) -> Health:
    folders = _saved(tmp_path, a=_photo(0), b=_photo(1), c=_noisy(_photo(0), sigma=4.0), d=_photo(0), e=_photo(2))
    (tmp_path / "f.png").write_text("no picture")
    train = [_row("a.png", label=1.5), _row("b.png", content="harbour", label=4.0), _row("f.png")]
    test = [_row("c.png"), _row("d.png"), _row("e.png", content="harbour")]
    return look_at({"train": train, "test": test}, folders=folders)


def test_what_leaks_between_splits_is_found(tmp_path: Path) -> None:
    health = _health(tmp_path)
    leaks = {(one.kind, one.first.row.media, one.second.row.media) for one in health.findings if one.crosses_splits}
    assert leaks == {("equal", "a.png", "d.png"), ("alike", "a.png", "c.png"), ("scene", "b.png", "e.png")}
    assert (health.count("equal", across=False), health.count("equal", across=True)) == (0, 1)


def test_a_picture_that_cannot_be_opened_is_a_problem(tmp_path: Path) -> None:
    problems = _health(tmp_path).problems
    assert [(problem.kind, problem.where) for problem in problems] == [("unreadable_image", "labels:f.png")]


def test_sizes_and_labels_are_counted(tmp_path: Path) -> None:
    health = _health(tmp_path)
    assert health.sizes == {(96, 96): 5}
    train, test = health.labels
    assert (train.split, train.values, train.num_scenes, train.num_with_std) == ("train", (1.5, 4.0, 3.0), 3, 0)
    assert (test.split, len(test.values)) == ("test", 3)


def test_missing_and_damaged_files_are_all_listed(tmp_path: Path) -> None:
    folders = _saved(tmp_path, a=_photo(0))
    (tmp_path / "torn.png").write_bytes((tmp_path / "a.png").read_bytes()[:-40])
    (tmp_path / "text.mp4").write_text("no video")
    rows = [
        _row("a.png"),
        _row("gone.png"),
        _row("torn.png"),
        _row("gone.mp4", kind="video"),
        _row("text.mp4", kind="video"),
    ]
    assert [problem.kind for problem in find_unreadable(rows, folders=folders)] == [
        "missing_image",
        "unreadable_image",
        "missing_video",
        "unreadable_video",
    ]


def test_the_summary_has_a_line_for_each_split_and_each_kind_of_finding(tmp_path: Path) -> None:
    lines = health_summary(_health(tmp_path)).splitlines()
    assert lines[1].split()[:7] == ["train", "mine", "3", "3", "1.500", "2.833", "4.000"]
    assert "sizes: 96x96 (5)" in lines
    assert "equal pixels: 0 within a split, 1 across splits" in lines
    assert "look alike, different scenes: 0 within a split, 1 across splits" in lines
    assert "one scene in two splits: 1" in lines


def test_the_page_names_what_leaks_and_has_a_picture(tmp_path: Path) -> None:
    page = write_health_page(_health(tmp_path), folder=tmp_path / "out")
    text = page.read_text()
    assert page.name == PAGE
    assert "**leaks** train: mine/a.png (1.5) and test: mine/d.png (3)" in text
    assert "labels:f.png: picture" in text
    with Image.open(tmp_path / "out" / PICTURE) as picture:
        assert min(picture.size) > 100


def test_a_long_list_on_the_page_is_cut_and_counted(tmp_path: Path) -> None:
    folders = _saved(tmp_path, a=_photo(0))
    rows = [_row(f"{number}.png") for number in range(MOST_LISTED + 3)]
    page = write_health_page(look_at({"all": rows}, folders=folders), folder=tmp_path / "out")
    assert "* ... and 3 more" in page.read_text()
