"""Prompts are encoded once while they are remembered; what is scored together is scored as if alone."""

import numpy as np
import pytest
import torch

from learner.rows import PromptEncoder, Row, score_rows
from tests.learner.builders import make_family, make_pair_prompt, make_picture_prompt, make_video_prompt
from tests.learner.full_logits import scores_by_the_book


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


def test_the_length_of_a_prompt_is_the_same_before_and_after_it_is_encoded(model_folder: str) -> None:
    encoder = PromptEncoder(make_family(model_folder))
    for prompt in (make_picture_prompt(1), make_video_prompt(), make_pair_prompt()):
        before = encoder.num_tokens(prompt)
        assert before == len(encoder.encode(prompt).token_ids) == encoder.num_tokens(prompt)


def test_the_first_differing_prompt_token_is_named(model_folder: str) -> None:
    encoder = PromptEncoder(make_family(model_folder))
    prompt = make_picture_prompt(0)
    token_ids = encoder.encode(prompt).token_ids.astype(np.int32)
    token_ids[7] += 1
    with pytest.raises(ValueError, match="first difference at 7"):
        encoder.encode_as_sampled(prompt, token_ids)


@torch.no_grad()
def test_pictures_videos_and_pairs_scored_together_have_the_logprobs_each_has_alone(model_folder: str) -> None:
    family = make_family(model_folder)
    scores_of = scores_by_the_book(family.load_model(dtype=torch.float32, attention="sdpa").eval())
    prompts = [make_picture_prompt(0), make_video_prompt(), make_pair_prompt(), make_picture_prompt(1)]
    rows = [
        Row(prompt=family.encode(prompt), completion=family.encode_target(f"<answer>{number}.50</answer>"))
        for number, prompt in enumerate(prompts)
    ]
    together = score_rows(scores_of, rows, family=family, layout="padded", temperature=1.0).logprobs_BT
    for number, row in enumerate(rows):
        alone = score_rows(scores_of, [row], family=family, layout="padded", temperature=1.0).logprobs_BT[0]
        assert torch.allclose(together[number, : len(row.completion)], alone[: len(row.completion)], atol=1e-4)
