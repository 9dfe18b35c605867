"""Prompts are encoded once while they are remembered; what is scored together is scored as if alone."""

from collections.abc import Mapping

import numpy as np
import pytest
import torch
from torch import Tensor

from learner.rows import PromptEncoder, Row, score_rows
from rollout.datasets.clips import ClipRecipe
from rollout.datasets.pair_questions import ask_pair
from rollout.datasets.questions import ask
from rollout.types import Opinion, Preference, Prompt, Scale
from tests.learner.builders import make_family, make_picture_prompt

ONE_TO_FIVE = Scale(minimum=1.0, maximum=5.0)


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


def _video_prompt() -> Prompt:
    clip = ClipRecipe(source="clips", data_seed=0, crop_size=56, scale=ONE_TO_FIVE).clip(1, stage="train")
    return Prompt(
        prompt_id="video",
        messages=ask("quality", picture=clip.video, scale=ONE_TO_FIVE),
        reference=Opinion(score=3.0, scale=ONE_TO_FIVE),
        source="clips",
        content_id="video",
    )


def _pair_prompt() -> Prompt:
    picture = next(make_picture_prompt(3).media())
    responses = ("strong blur", "strong haze")
    return Prompt(
        prompt_id="pair",
        messages=ask_pair("pairwise_brief", media=[picture], question="Which defect?", responses=responses),
        reference=Preference(better=2, pair_id="pair", question="Which defect?", responses=responses),
        source="pairs",
        content_id="pair",
    )


@torch.no_grad()
def test_pictures_videos_and_pairs_scored_together_have_the_logprobs_each_has_alone(model_folder: str) -> None:
    family = make_family(model_folder)
    model = family.load_model(dtype=torch.float32, attention="sdpa").eval()

    def logits_of(arguments: Mapping[str, Tensor], positions: range) -> Tensor:
        logits: Tensor = model(**arguments).logits
        return logits[:, positions.start : positions.stop]

    prompts = [make_picture_prompt(0), _video_prompt(), _pair_prompt(), make_picture_prompt(1)]
    rows = [
        Row(prompt=family.encode(prompt), completion=family.encode_target(f"<answer>{number}.50</answer>"))
        for number, prompt in enumerate(prompts)
    ]
    together = score_rows(logits_of, rows, family=family).logprobs_BT
    for number, row in enumerate(rows):
        alone = score_rows(logits_of, [row], family=family).logprobs_BT[0]
        assert torch.allclose(together[number, : len(row.completion)], alone[: len(row.completion)], atol=1e-4)
