"""The tiny model is a real Qwen2.5-VL: it loads, sees pictures, and speaks Qwen's chat format."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from transformers import AutoModelForImageTextToText, AutoProcessor, Qwen2_5_VLProcessor

from rollout.datasets.distortions import KIND_WORDS, LEVEL_WORDS
from rollout.families.tiny_qwen_vl import (
    SPECIAL_TOKENS,
    TinyModelSize,
    build_model,
    build_tokenizer,
    create_tiny_qwen_vl,
    num_parameters,
)

SIZE = TinyModelSize()


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("models") / "tiny"
    create_tiny_qwen_vl(path, size=SIZE, seed=0)
    return path


def _processor(folder: Path) -> Qwen2_5_VLProcessor:
    processor = AutoProcessor.from_pretrained(folder)
    assert isinstance(processor, Qwen2_5_VLProcessor)
    return processor


def _messages(kind: str = "image") -> list[dict[str, Any]]:
    return [{"role": "user", "content": [{"type": kind}, {"type": "text", "text": "How good is it?"}]}]


def test_the_chat_text_is_byte_equal_to_qwens(folder: Path) -> None:
    text = _processor(folder).apply_chat_template(_messages(), add_generation_prompt=True)
    assert text == (
        "<|im_start|>system\nYou are a helpful assistant.<|im_end|>\n<|im_start|>user\n"
        "<|vision_start|><|image_pad|><|vision_end|>How good is it?<|im_end|>\n<|im_start|>assistant\n"
    )


def test_the_vision_id_option_numbers_the_pictures(folder: Path) -> None:
    messages = [{"role": "system", "content": "Judge."}, *_messages()]
    text = _processor(folder).apply_chat_template(messages, add_vision_id=True)
    assert text == (
        "<|im_start|>system\nJudge.<|im_end|>\n<|im_start|>user\n"
        "Picture 1: <|vision_start|><|image_pad|><|vision_end|>How good is it?<|im_end|>\n"
    )


def test_a_video_part_has_its_own_placeholder(folder: Path) -> None:
    messages = _messages("video")
    text = _processor(folder).apply_chat_template(messages, add_vision_id=True)
    assert "user\nVideo 1: <|vision_start|><|video_pad|><|vision_end|>How good is it?<|im_end|>" in text


def test_the_loaded_model_reads_a_picture_and_answers(folder: Path) -> None:
    processor = _processor(folder)
    model = AutoModelForImageTextToText.from_pretrained(folder)
    text = processor.apply_chat_template(_messages(), add_generation_prompt=True)
    pictures = [Image.fromarray(np.full((84, 56, 3), gray, dtype=np.uint8)) for gray in (0, 255)]
    inputs = processor(text=[text, text], images=pictures, return_tensors="pt")
    assert inputs["image_grid_thw"].tolist() == [[1, 6, 4]] * 2
    with torch.no_grad():
        logits = model(**inputs).logits
    assert torch.isfinite(logits).all()
    assert not torch.allclose(logits[0, -1], logits[1, -1])


def test_a_small_video_becomes_video_tokens(folder: Path) -> None:
    processor = _processor(folder)
    model = AutoModelForImageTextToText.from_pretrained(folder)
    messages = _messages("video")
    text = processor.apply_chat_template(messages, add_generation_prompt=True)
    frames = np.random.default_rng(0).integers(0, 256, (4, 56, 56, 3), dtype=np.uint8)
    inputs = processor(text=[text], videos=[frames], do_sample_frames=False, return_tensors="pt")
    inputs.pop("second_per_grid_ts", None)
    assert inputs["video_grid_thw"].tolist() == [[2, 4, 4]]
    with torch.no_grad():
        assert torch.isfinite(model(**inputs).logits).all()


def test_the_pixel_bounds_set_the_number_of_image_tokens(folder: Path) -> None:
    image_processor = _processor(folder).image_processor
    big = Image.fromarray(np.zeros((400, 400, 3), dtype=np.uint8))
    small = Image.fromarray(np.zeros((20, 20, 3), dtype=np.uint8))
    assert image_processor([big], return_tensors="pt")["image_grid_thw"].tolist() == [[1, 8, 8]]
    assert image_processor([small], return_tensors="pt")["image_grid_thw"].tolist() == [[1, 4, 4]]


def test_words_of_the_targets_are_single_tokens_and_digits_stand_alone() -> None:
    tokenizer = build_tokenizer(vocab_tokens_max=SIZE.vocab_tokens_max)
    for word in (*LEVEL_WORDS, *KIND_WORDS.values(), "defects"):
        assert len(tokenizer(f" {word}").input_ids) == 1, word
    assert [tokenizer.decode([token]) for token in tokenizer("13.05").input_ids] == ["1", "3", ".", "0", "5"]


def test_any_text_survives_the_tokenizer() -> None:
    tokenizer = build_tokenizer(vocab_tokens_max=SIZE.vocab_tokens_max)
    text = "<think>\nÜber 12.5 % – 好 🙂\n</think><answer>3.10</answer>"
    assert tokenizer.decode(tokenizer(text).input_ids) == text


def test_special_tokens_are_the_last_ids_in_qwens_order() -> None:
    tokenizer = build_tokenizer(vocab_tokens_max=SIZE.vocab_tokens_max)
    first = len(tokenizer) - len(SPECIAL_TOKENS)
    assert tokenizer.convert_tokens_to_ids(list(SPECIAL_TOKENS)) == list(range(first, len(tokenizer)))
    assert (tokenizer.eos_token, tokenizer.pad_token) == ("<|im_end|>", "<|endoftext|>")


def test_the_seed_alone_decides_the_weights() -> None:
    tokenizer = build_tokenizer(vocab_tokens_max=SIZE.vocab_tokens_max)
    torch.manual_seed(1)
    first = build_model(tokenizer, size=SIZE, seed=4).state_dict()
    torch.manual_seed(2)
    second = build_model(tokenizer, size=SIZE, seed=4).state_dict()
    other = build_model(tokenizer, size=SIZE, seed=5).state_dict()
    assert all(torch.equal(first[name], second[name]) for name in first)
    assert not torch.equal(first["lm_head.weight"], other["lm_head.weight"])


def test_the_default_size_is_a_few_million_parameters() -> None:
    model = build_model(build_tokenizer(vocab_tokens_max=SIZE.vocab_tokens_max), size=SIZE, seed=0)
    assert 1_000_000 <= num_parameters(model) <= 3_000_000


def test_patch_filters_see_fine_detail_as_well_as_brightness() -> None:
    model = build_model(build_tokenizer(vocab_tokens_max=SIZE.vocab_tokens_max), size=SIZE, seed=0)
    weight = model.model.visual.patch_embed.proj.weight
    checkers = (torch.arange(14)[:, None] + torch.arange(14)[None, :]) % 2 * 2.0 - 1.0
    plain = torch.ones(14, 14)
    answers = [torch.einsum("octxy,xy->o", weight, pattern).std() for pattern in (checkers, plain)]
    assert answers[0] > 5 * answers[1]


def test_a_filled_folder_is_never_overwritten(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(FileExistsError, match="is not empty"):
        create_tiny_qwen_vl(tmp_path, size=SIZE, seed=0)
    assert [path.name for path in tmp_path.iterdir()] == ["notes.txt"]


def test_an_empty_folder_is_filled_and_no_scratch_folder_is_left(tmp_path: Path) -> None:
    target = tmp_path / "model"
    target.mkdir()
    create_tiny_qwen_vl(target, size=SIZE, seed=0)
    assert (target / "config.json").is_file()
    assert [path.name for path in tmp_path.iterdir()] == ["model"]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"text_heads": 3}, "text_hidden=128 over text_heads=3"),
        ({"vision_heads": 32}, "vision_hidden=128 over vision_heads=32"),
        ({"text_kv_heads": 3}, "text_kv_heads=3 must divide"),
        ({"image_pixels_max": 100}, "image_pixels_max=100"),
    ],
)
def test_an_impossible_size_is_refused(changes: dict[str, int], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        TinyModelSize(**changes)
