"""What the Qwen2.5-VL family makes of prompts, held against transformers' own processor and positions."""

import io
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from transformers import AutoTokenizer

from conf.machine import ModelConfig
from rollout.datasets.questions import ask
from rollout.families import build_family
from rollout.families.base import Family
from rollout.families.tiny_qwen_vl import TinyModelSize, create_tiny_qwen_vl
from rollout.types import Media, Message, Preference, Prompt, Scale

MIN_PIXELS, MAX_PIXELS = 28 * 28, 28 * 28 * 16
COMPLETION = np.array([5, 6, 7], dtype=np.int32)


CHAT = (
    "<|im_start|>system\nYou are a helpful assistant.<|im_end|>\n<|im_start|>user\n{number}"
    "<|vision_start|><|image_pad|><|vision_end|>You are doing the image quality assessment task. Here is the question:"
    " What is your overall rating on the quality of this picture? The rating should be a float between 1 and 5, rounded"
    " to two decimal places, with 1 representing very poor quality and 5 representing excellent quality. First output"
    " the thinking process in <think> </think> tags and then output the final answer with only one"
    " score in <answer> </answer> tags.<|im_end|>\n"
    "<|im_start|>assistant\n"
)
"""What VisualQuality-R1 is asked, wrapped by Qwen2.5-VL's template."""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("family") / "tiny"
    create_tiny_qwen_vl(folder, size=TinyModelSize(), seed=0)
    return folder


@pytest.fixture(scope="module")
def family(folder: Path) -> Family:
    return _family(folder)


def _family(
    folder: Path, *, min_pixels: int = MIN_PIXELS, max_pixels: int = MAX_PIXELS, add_vision_id: bool = False
) -> Family:
    config = ModelConfig(
        family="qwen2_5_vl",
        path=str(folder),
        size=None,
        min_pixels=min_pixels,
        max_pixels=max_pixels,
        add_vision_id=add_vision_id,
    )
    return build_family(config, folder=str(folder))


def _png(height: int, width: int, *, seed: int = 0) -> bytes:
    buffer = io.BytesIO()
    pixels_HW3 = np.random.default_rng(seed).integers(0, 255, (height, width, 3), dtype=np.uint8)
    Image.fromarray(pixels_HW3).save(buffer, "PNG")
    return buffer.getvalue()


def _picture(height: int, width: int) -> Media:
    return Media(kind="image", data=_png(height, width))


def _video(
    folder: Path,
    *,
    num_frames: int,
    height: int = 56,
    width: int = 84,
    fps: float = 2.0,
    max_pixels: int | None = None,
    total_pixels: int | None = None,
) -> Media:
    paths = [folder / f"{index}.png" for index in range(num_frames)]
    for seed, path in enumerate(paths):
        path.write_bytes(_png(height, width, seed=seed))
    frames = tuple(map(str, paths))
    return Media(kind="video", frames=frames, fps=fps, max_pixels=max_pixels, total_pixels=total_pixels)


def _prompt(*content: str | Media) -> Prompt:
    return Prompt(
        prompt_id="p",
        messages=(Message(role="user", content=content),),
        reference=Preference(better=1, pair_id="p", question="?"),
        source="noise",
        content_id="p",
    )


@pytest.mark.parametrize("height", [20, 28, 61, 200])
@pytest.mark.parametrize("width", [28, 45, 300])
def test_a_picture_is_counted_as_it_is_encoded(family: Family, height: int, width: int) -> None:
    prompt = _prompt("Which?", _picture(height, width), "This?")
    assert family.count_tokens(prompt) == len(family.encode(prompt).token_ids)


@pytest.mark.parametrize("num_frames", [1, 2, 3, 4, 9])
@pytest.mark.parametrize("max_pixels", [None, 28 * 28 * 2, 28 * 28 * 100])
def test_a_video_is_counted_as_it_is_encoded(
    family: Family, tmp_path: Path, num_frames: int, max_pixels: int | None
) -> None:
    prompt = _prompt(_video(tmp_path, num_frames=num_frames, max_pixels=max_pixels), "Which?", _picture(56, 56))
    assert family.count_tokens(prompt) == len(family.encode(prompt).token_ids)


def test_grids_and_media_tokens_come_in_reading_order(family: Family, tmp_path: Path) -> None:
    encoded = family.encode(_prompt(_picture(28, 56), _video(tmp_path, num_frames=5), "?", _picture(84, 28)))
    assert encoded.media_grids == ((1, 2, 4), (3, 4, 6), (1, 6, 2))
    assert encoded.num_media_tokens == 2 + 3 * 6 + 3


def test_a_last_odd_frame_is_shown_twice(family: Family, tmp_path: Path) -> None:
    odd, even = _video(tmp_path, num_frames=3), _video(tmp_path, num_frames=4)
    same = Media(kind="video", frames=(*odd.frames, odd.frames[-1]), fps=2.0)
    pixels = [family.encode(_prompt(one)).features["pixel_values_videos"] for one in (odd, same, even)]
    assert torch.equal(pixels[0], pixels[1])
    assert not torch.equal(pixels[0], pixels[2])


def test_frames_are_reduced_to_the_lower_of_both_limits(family: Family, tmp_path: Path) -> None:
    large = {limit: _video(tmp_path, num_frames=2, height=280, width=280, max_pixels=limit) for limit in (None, 3136)}
    assert family.encode(_prompt(large[None])).media_grids == ((1, 8, 8),)
    assert family.encode(_prompt(large[3136])).media_grids == ((1, 4, 4),)


def test_a_limit_below_the_models_smallest_picture_is_refused(family: Family, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"data\.video\.max_pixels=500 is below model\.min_pixels=784"):
        family.encode(_prompt(_video(tmp_path, num_frames=2, max_pixels=500)))


def test_a_picture_that_cannot_keep_its_form_is_refused(family: Family, tmp_path: Path) -> None:
    wide = _video(tmp_path, num_frames=2, height=48, width=64, max_pixels=784)
    with pytest.raises(ValueError, match=r"a picture of 64x48 pixels cannot keep its form in 784"):
        family.encode(_prompt(wide))


def test_frames_share_what_is_allowed_in_total(family: Family, tmp_path: Path) -> None:
    # 8 frames are 4 steps in time: a quarter of 4 * 3136 is 56x56, where 16 cells are allowed each.
    shared = _video(tmp_path, num_frames=8, height=280, width=280, total_pixels=4 * 56 * 56)
    assert family.encode(_prompt(shared)).media_grids == ((4, 4, 4),)


def test_frames_are_not_reduced_below_the_models_smallest_picture(family: Family, tmp_path: Path) -> None:
    starved = _video(tmp_path, num_frames=8, height=280, width=280, total_pixels=784)
    assert family.encode(_prompt(starved)).media_grids == ((4, 2, 2),)


@pytest.mark.parametrize(
    ("size", "shown", "num_tokens"),
    [
        ((1024, 768), (448, 336), 192),
        ((512, 384), (448, 336), 192),
        ((1920, 1080), (504, 280), 180),
        ((6000, 4000), (476, 308), 187),
        ((28, 28), (56, 56), 4),
    ],
)
def test_pictures_are_resized_as_refine_iqa_does(
    folder: Path, size: tuple[int, int], shown: tuple[int, int], num_tokens: int
) -> None:
    family = _family(folder, min_pixels=4 * 784, max_pixels=360 * 420)
    buffer = io.BytesIO()
    Image.new("RGB", size).save(buffer, "PNG")
    prompt = _prompt(Media(kind="image", data=buffer.getvalue()))
    assert family.engine_input(prompt).images[0].size == shown
    assert family.encode(prompt).num_media_tokens == num_tokens


@pytest.mark.parametrize(("add_vision_id", "number"), [(False, ""), (True, "Picture 1: ")])
def test_the_chat_is_the_published_one_with_and_without_a_number_before_the_picture(
    folder: Path, number: str, *, add_vision_id: bool
) -> None:
    family, picture = _family(folder, add_vision_id=add_vision_id), _picture(56, 56)
    (message,) = ask("visualquality_r1", picture=picture, scale=Scale(minimum=1.0, maximum=5.0))
    prompt = _prompt(*message.content)
    assert family.engine_input(prompt).text == CHAT.format(number=number)
    in_tokens = CHAT.format(number=number).replace("<|image_pad|>", 4 * "<|image_pad|>")
    assert AutoTokenizer.from_pretrained(folder).decode(family.encode(prompt).token_ids) == in_tokens
    assert family.count_tokens(prompt) == len(family.encode(prompt).token_ids)


def test_pictures_and_videos_are_numbered_apart_and_in_reading_order(folder: Path, tmp_path: Path) -> None:
    text = (
        _family(folder, add_vision_id=True)
        .engine_input(_prompt(_picture(28, 28), "a", _video(tmp_path, num_frames=2), "b", _picture(28, 28)))
        .text
    )
    image, video = ("<|vision_start|><|image_pad|><|vision_end|>", "<|vision_start|><|video_pad|><|vision_end|>")
    assert f"Picture 1: {image}aVideo 1: {video}bPicture 2: {image}" in text


def test_a_template_that_cannot_number_media_is_refused(folder: Path, tmp_path: Path) -> None:
    shutil.copytree(folder, tmp_path / "plain")
    template = tmp_path / "plain" / "chat_template.jinja"
    template.write_text(template.read_text().replace("add_vision_id", "false"))
    _family(tmp_path / "plain")
    with pytest.raises(ValueError, match=r"model\.add_vision_id=true, but the chat template of .* cannot number media"):
        _family(tmp_path / "plain", add_vision_id=True)


@pytest.mark.parametrize(("fps", "expected"), [(2.0, [0, 2, 4, 6]), (0.8, [0, 5, 10, 15]), (24.0, [0, 0, 0, 0])])
def test_steps_lie_apart_in_time_as_their_frames_do(
    family: Family, tmp_path: Path, fps: float, expected: list[int]
) -> None:
    # Two positions per second, two frames per step: 4 / fps positions between steps.
    encoded = family.encode(_prompt(_video(tmp_path, num_frames=8, height=28, width=28, fps=fps)))
    is_video = np.isin(encoded.token_ids, family.banned_token_ids[-1])
    time = encoded.positions[0][is_video]
    assert (time - time[0]).tolist() == expected


@pytest.mark.parametrize("fps", [0.03, 0.53, 1.0, 1.7, 2.0, 23.976, 60.0])
def test_the_time_between_steps_is_the_same_number_in_every_dtype(family: Family, tmp_path: Path, fps: float) -> None:
    (shown,) = family.engine_input(_prompt(_video(tmp_path, num_frames=2, fps=fps))).videos
    seconds = {float(torch.tensor(2 / shown.fps).to(dtype)) for dtype in (torch.float32, torch.bfloat16)}
    assert len(seconds) == 1
    assert seconds.pop() == pytest.approx(2 / fps, rel=2**-8)


def test_positions_of_pictures_are_those_of_transformers(family: Family) -> None:
    prompts = [_prompt("a", _picture(56, 28), "b", _picture(28, 112)), _prompt(_picture(84, 84), "much longer text")]
    arguments = family.forward_arguments([(family.encode(prompt), COMPLETION) for prompt in prompts])
    image_token = family.banned_token_ids[-2]
    is_image = (arguments["input_ids"] == image_token).to(torch.int32) * arguments["attention_mask"].to(torch.int32)
    model = family.load_model(dtype=torch.float32, attention="eager").model
    theirs, _ = model.get_rope_index(  # type: ignore[operator, union-attr]
        arguments["input_ids"],
        mm_token_type_ids=is_image,
        image_grid_thw=arguments["image_grid_thw"],
        attention_mask=arguments["attention_mask"],
    )
    assert torch.equal(arguments["position_ids"], theirs)


def test_rows_of_a_batch_keep_their_own_media(family: Family, tmp_path: Path) -> None:
    prompts = [_prompt("text"), _prompt(_picture(56, 56), "?"), _prompt(_video(tmp_path, num_frames=4), "which one?")]
    model = family.load_model(dtype=torch.float32, attention="eager").eval()
    encoded = [family.encode(prompt) for prompt in prompts]
    with torch.no_grad():
        together = model(**family.forward_arguments([(one, COMPLETION) for one in encoded])).logits
        for row, one in enumerate(encoded):
            alone = model(**family.forward_arguments([(one, COMPLETION)])).logits[0]
            assert torch.allclose(together[row, : len(alone)], alone, atol=1e-4)
