"""Configurations, pictures and batches for the learner's tests."""

import io
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from conf.algorithms import AlgorithmConfig, CorrectionConfig, GrpoConfig
from conf.load import load_run_config
from conf.machine import ModelConfig, ModelPart
from conf.schema import LearnerConfig
from learner.types import Outcome, ScoringRequest, TrainingBatch, TrainingSample
from rollout.datasets.clips import ClipRecipe
from rollout.datasets.pair_questions import ask_pair
from rollout.datasets.questions import ask
from rollout.families import build_family
from rollout.families.base import EncodedPrompt, Family
from rollout.families.tiny_qwen_vl import TinyModelSize, create_tiny_qwen_vl
from rollout.types import Completion, Demonstration, Media, Message, Opinion, Preference, Prompt, Scale

COMPLETION_LENGTHS = (5, 3, 7, 2, 6, 4, 1, 5)
ADVANTAGES = (0.5, -0.5, -0.2, 0.2, 0.0, 0.25, -0.6, 0.35)

ONE_TO_FIVE = Scale(minimum=1.0, maximum=5.0)

Changes = dict[str, Any]
UNCORRECTED: dict[str, Changes] = {"correction": {"weight": "none", "sequence_mask": "none", "token_veto": None}}
"""No correction of any kind, for ``make_config``."""


def make_model(folder: Path) -> None:
    """Write a model small enough that one step takes a fraction of a second."""
    size = TinyModelSize(
        vision_hidden=64,
        vision_heads=2,
        vision_mlp=128,
        text_hidden=64,
        text_heads=2,
        text_kv_heads=1,
        text_mlp=128,
    )
    create_tiny_qwen_vl(folder, size=size, seed=1)


def make_family(folder: str) -> Family:
    """The family of a model made by ``make_model``."""
    config = ModelConfig(
        family="qwen2_5_vl", path=folder, size=None, min_pixels=28 * 28, max_pixels=112 * 112, add_vision_id=False
    )
    return build_family(config, folder=folder)


def make_correction(*, enabled: bool = True, low: float = 0.5, high: float = 2.0) -> CorrectionConfig:
    """Token weights cut at 2, veto [1e-4, 100], and a geometric sequence mask wide enough to keep most completions."""
    changes: Changes = {} if enabled else UNCORRECTED["correction"]
    bounds = {"sequence_low": low, "sequence_high": high}
    return make_config("grpo", correction={**bounds, **changes}).correction


def make_grpo(
    *,
    correction: CorrectionConfig | None = None,
    clip_high: float = 0.28,
    num_updates: int = 1,
    kl_coefficient: float = 0.0,
    scale_by_std: bool = False,
) -> GrpoConfig:
    """GRPO with clip 0.2/0.28 and dual clip 3."""
    config = make_config(
        "grpo",
        scale_by_std=scale_by_std,
        clip_high=clip_high,
        max_log_ratio=20.0,
        num_updates=num_updates,
        correction=(make_correction() if correction is None else correction).model_dump(),
        kl={"coefficient": kl_coefficient},
    )
    assert isinstance(config, GrpoConfig)
    return config


def make_config(kind: str, **changes: Any) -> AlgorithmConfig:
    """The shipped settings of an algorithm with some of them changed, sections key by key."""
    shipped = shipped_config(kind)
    values = shipped.model_dump()
    for name, value in changes.items():
        values[name] = {**values[name], **value} if isinstance(value, dict) else value
    return type(shipped).model_validate(values)


@cache
def shipped_config(kind: str) -> AlgorithmConfig:
    """What ``algorithm=KIND`` stands for."""
    return load_run_config([f"algorithm={kind}"]).algorithm


def make_encoded(num_tokens: int) -> EncodedPrompt:
    """Text of that length as the trainer sees it."""
    return EncodedPrompt(
        token_ids=np.arange(num_tokens),
        features={},
        num_media_tokens=0,
        positions=np.broadcast_to(np.arange(num_tokens), (3, num_tokens)),
        media_grids=(),
    )


def make_learner(
    *,
    zero_stage: int = 0,
    micro_batch_size: int = 2,
    pack_tokens: int | None = None,
    share_prompts: bool = False,
    world_size: int = 1,
    gradient_checkpointing: bool = False,
    learning_rate: float = 1e-3,
    frozen: tuple[ModelPart, ...] = (),
    lora_rank: int | None = None,
    dtype: str = "float32",
) -> LearnerConfig:
    """On the CPU, with a gradient clip low enough to act; a row per completion unless prompts are shared."""
    return LearnerConfig.model_validate(
        {
            "world_size": world_size,
            "zero_stage": zero_stage,
            "micro_batch_size": micro_batch_size,
            "pack_tokens": pack_tokens,
            "learning_rate": learning_rate,
            "warmup_steps": 0,
            "decay_steps": None,
            "betas": (0.9, 0.95),
            "weight_decay": 0.01,
            "max_grad_norm": 1.0,
            "gradient_checkpointing": gradient_checkpointing,
            "dtype": dtype,
            "attention": "sdpa" if share_prompts else "eager",
            "frozen": frozen,
            "lora_rank": lora_rank,
        }
    )


def make_picture_prompt(index: int) -> Prompt:
    """A question about a picture of noise, 56 x (56 + 28 * index) pixels."""
    noise = np.random.default_rng(index).integers(0, 256, (56, 56 + 28 * index, 3), dtype=np.uint8)
    file = io.BytesIO()
    Image.fromarray(noise).save(file, format="PNG")
    return Prompt(
        prompt_id=f"noise-{index}",
        messages=(Message(role="user", content=(Media(kind="image", data=file.getvalue()), "How good?")),),
        reference=Opinion(score=3.0, scale=ONE_TO_FIVE),
        source="noise",
        content_id=f"noise-{index}",
    )


def make_video_prompt() -> Prompt:
    """A question about a clip of eight frames."""
    clip = ClipRecipe(source="clips", data_seed=0, crop_size=56, scale=ONE_TO_FIVE).clip(1, stage="train")
    return Prompt(
        prompt_id="video",
        messages=ask("quality", picture=clip.video, scale=ONE_TO_FIVE),
        reference=Opinion(score=3.0, scale=ONE_TO_FIVE),
        source="clips",
        content_id="video",
    )


def make_pair_prompt() -> Prompt:
    """Two answers about a picture, to choose from."""
    picture = next(make_picture_prompt(3).media())
    responses = ("strong blur", "strong haze")
    return Prompt(
        prompt_id="pair",
        messages=ask_pair("pairwise_brief", media=[picture], question="Which defect?", responses=responses),
        reference=Preference(better=2, pair_id="pair", question="Which defect?", responses=responses),
        source="pairs",
        content_id="pair",
    )


def make_prompt(prompt_id: str, *content: str | Media) -> Prompt:
    """A question of any parts."""
    return Prompt(
        prompt_id=prompt_id,
        messages=(Message(role="user", content=content),),
        reference=Opinion(score=3.0, scale=ONE_TO_FIVE),
        source="any",
        content_id=prompt_id,
    )


def make_prompts_of_every_kind() -> list[Prompt]:
    """One picture, a video, text alone, three pictures, a pair, a picture and a video: no two of the same length."""
    pictures = [next(make_picture_prompt(index).media()) for index in range(3)]
    video = next(make_video_prompt().media())
    return [
        make_picture_prompt(0),
        make_video_prompt(),
        make_prompt("text", "Is sharper better?"),
        make_prompt("album", *pictures, "Which is best?"),
        make_pair_prompt(),
        make_prompt("both", "Here", pictures[2], "and moving", video, "?"),
    ]


def make_requests() -> list[ScoringRequest]:
    """Eight completions of ordinary tokens to two prompts."""
    generator = np.random.default_rng(0)
    prompts = [make_picture_prompt(0), make_picture_prompt(1)]
    return [
        ScoringRequest(prompt=prompts[index // 4], token_ids=generator.integers(0, 200, length).astype(np.int32))
        for index, length in enumerate(COMPLETION_LENGTHS)
    ]


def make_batch(family: Family, *, logprobs: list[np.ndarray[tuple[int], np.dtype[np.float32]]]) -> TrainingBatch:
    """``make_requests`` as a batch, sampled by an engine that is off by a little noise."""
    generator = np.random.default_rng(7)
    samples = [
        TrainingSample(
            prompt=request.prompt,
            prompt_token_ids=family.encode(request.prompt).token_ids.astype(np.int32),
            completion=Completion(
                text="",
                token_ids=request.token_ids,
                logprobs=(own + generator.normal(0.0, 0.1, own.shape)).astype(np.float32),
                finish_reason="stop",
                policy_version=0,
            ),
            outcome=Outcome(
                reward=advantage, parts={"term": advantage}, group_index=index // 4, num_tokens=len(request.token_ids)
            ),
            advantages_T=np.full(len(request.token_ids), advantage),
        )
        for index, (request, own, advantage) in enumerate(zip(make_requests(), logprobs, ADVANTAGES, strict=True))
    ]
    return TrainingBatch(samples=tuple(samples), num_without_reward=0, max_tokens=8)


def make_demonstrations() -> list[Demonstration]:
    """Four answers of different lengths."""
    targets = ("blur", "strong noise", "no defects", "<think>mild haze</think><answer>3.5</answer>")
    return [Demonstration(prompt=make_picture_prompt(index % 2), target=target) for index, target in enumerate(targets)]


def make_demonstrations_of_every_kind() -> list[Demonstration]:
    """An answer to each of ``make_prompts_of_every_kind``, the later the longer."""
    return [
        Demonstration(prompt=prompt, target=f"{'mild haze ' * number}<answer>{number}.5</answer>")
        for number, prompt in enumerate(make_prompts_of_every_kind())
    ]
