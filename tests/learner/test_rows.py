"""Prompts are encoded once while they are remembered."""

import numpy as np
import pytest

from learner.rows import PromptEncoder
from tests.learner.builders import make_family, make_picture_prompt


def test_equal_prompts_are_encoded_once(model_folder: str) -> None:
    encoder = PromptEncoder(make_family(model_folder))
    assert encoder.encode(make_picture_prompt(0)) is encoder.encode(make_picture_prompt(0))


def test_the_least_recently_used_prompt_is_forgotten_first(model_folder: str) -> None:
    first, second, third = (make_picture_prompt(index) for index in range(3))
    family = make_family(model_folder)
    sizes = [PromptEncoder(family).encode(prompt).features["pixel_values"].nbytes for prompt in (first, third)]
    encoder = PromptEncoder(family, max_bytes=sum(sizes) + 4096)
    kept, lost = encoder.encode(first), encoder.encode(second)
    encoder.encode(first)
    encoder.encode(third)
    assert encoder.encode(first) is kept
    assert encoder.encode(second) is not lost


def test_the_first_differing_prompt_token_is_named(model_folder: str) -> None:
    encoder = PromptEncoder(make_family(model_folder))
    prompt = make_picture_prompt(0)
    token_ids = encoder.encode(prompt).token_ids.astype(np.int32)
    token_ids[7] += 1
    with pytest.raises(ValueError, match="first difference at 7"):
        encoder.encode_as_sampled(prompt, token_ids)
