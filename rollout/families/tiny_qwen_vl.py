"""A real Qwen2.5-VL of about 1.5 million parameters, in a folder that transformers and vLLM both load.

    TinyModelSize, seed --create_tiny_qwen_vl--> folder: config, random weights, tokenizer, processors

Nothing is downloaded: the architecture comes from transformers, the tokenizer is trained here on a few
hundred words. The model is untrained; how it learns to see is the business of the recipes. The
initialisation differs from the library's constant 0.02, with which so narrow a model does not start to
learn (see `_initialise`).
"""

import json
import math
import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path

import torch
from tokenizers import Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers
from torch import Tensor, nn
from transformers import (
    GenerationConfig,
    Qwen2_5_VLConfig,
    Qwen2_5_VLForConditionalGeneration,
    Qwen2_5_VLProcessor,
    Qwen2Tokenizer,
    Qwen2VLImageProcessor,
)
from transformers.models.qwen2_vl.video_processing_qwen2_vl import Qwen2VLVideoProcessor
from transformers.utils.logging import disable_progress_bar

PATCH_SIDE_PX = 14
MERGE_SIDE = 2
CELL_SIDE_PX = PATCH_SIDE_PX * MERGE_SIDE
"""One image token stands for a square of this side."""

END_OF_TEXT = "<|endoftext|>"
END_OF_TURN = "<|im_end|>"
# The order of Qwen2.5's own table, so that ids ascend in the same order as there.
SPECIAL_TOKENS: tuple[str, ...] = (
    END_OF_TEXT,
    "<|im_start|>",
    END_OF_TURN,
    "<|object_ref_start|>",
    "<|object_ref_end|>",
    "<|box_start|>",
    "<|box_end|>",
    "<|quad_start|>",
    "<|quad_end|>",
    "<|vision_start|>",
    "<|vision_end|>",
    "<|vision_pad|>",
    "<|image_pad|>",
    "<|video_pad|>",
)

# Qwen2's pre-tokenizer: every digit stands alone, so a score is read digit by digit.
_PRETOKEN_PATTERN = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}"
    r"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)

CHAT_TEMPLATE = (
    "{%- set pictures = namespace(count=0) -%}{%- set clips = namespace(count=0) -%}"
    "{%- for message in messages -%}"
    "{%- if loop.first and message['role'] != 'system' -%}"
    "{{- '<|im_start|>system\\nYou are a helpful assistant.<|im_end|>\\n' -}}"
    "{%- endif -%}"
    "{{- '<|im_start|>' + message['role'] + '\\n' -}}"
    "{%- if message['content'] is string -%}{{- message['content'] -}}"
    "{%- else -%}{%- for part in message['content'] -%}"
    "{%- if part['type'] in ('image', 'image_url') or 'image' in part or 'image_url' in part -%}"
    "{%- set pictures.count = pictures.count + 1 -%}"
    "{%- if add_vision_id -%}{{- 'Picture ' ~ pictures.count ~ ': ' -}}{%- endif -%}"
    "{{- '<|vision_start|><|image_pad|><|vision_end|>' -}}"
    "{%- elif part['type'] == 'video' or 'video' in part -%}"
    "{%- set clips.count = clips.count + 1 -%}"
    "{%- if add_vision_id -%}{{- 'Video ' ~ clips.count ~ ': ' -}}{%- endif -%}"
    "{{- '<|vision_start|><|video_pad|><|vision_end|>' -}}"
    "{%- elif 'text' in part -%}{{- part['text'] -}}"
    "{%- endif -%}"
    "{%- endfor -%}{%- endif -%}"
    "{{- '<|im_end|>\\n' -}}"
    "{%- endfor -%}"
    "{%- if add_generation_prompt -%}{{- '<|im_start|>assistant\\n' -}}{%- endif -%}"
)
"""Gives the same bytes as Qwen2.5-VL's template, written anew from the format."""

_PROMPTS: tuple[str, ...] = (
    "You are a helpful assistant.",
    "Please describe the quality of this image.",
    "Please describe the defects of this picture.",
    (
        "You are doing the image quality assessment task. Here is the question: What is your "
        "overall rating on the quality of this picture? The rating should be a float between 1 "
        "and 5, rounded to two decimal places, with 1 representing very poor quality and 5 "
        "representing excellent quality. First output the thinking process in <think> </think> "
        "tags and then output the final answer with only one score in <answer> </answer> tags. "
        "Please only output the final answer with only one score in <answer> </answer> tags."
    ),
    (
        "You are an aesthetic expert. What is your overall rating on the aesthetic of this "
        "picture ? The rating should be a float between 0 and 1, rounded to two decimal places, "
        "with 0 representing very poor quality and 1 representing excellent quality. Your task: "
        "1. Think through the question, put all your thinking or reasoning process in only one "
        "pair <think>...</think> tags. 2. Then provide the correct rating inside only one pair of"
        " <answer>...</answer> tags. 3. No any other information or text outside of these tags. "
        "E.g. your response should be:<think>...</think><answer>...</answer>"
    ),
)
_DEFECT_WORDS = (
    "no faint mild clear strong extreme slight severe heavy weak defects blur blurry compression "
    "noise noisy specks mosaic haze tint banding smear dropout stripes darkness blocks contrast "
    "brightness colour color dark bright sharp clean distortion"
)
_COMMON_WORDS = (
    "the a an of to in and or is are was be it this that these with for on as at by from not but "
    "which what who how why when more less most least better worse best worst first second both "
    "neither same different than because so therefore overall image picture photo video frame "
    "answer question response assistant user helpful good bad fair poor excellent score rating "
    "quality describe shows show has have looks see seen look detail object scene person animal "
    "building sky water plant street left right top bottom center large small red green blue "
    "yellow black white gray one two three four five number count text correct wrong yes true "
    "false accurate complete clearly relevant motion smooth stable"
)
_SHAPES: tuple[str, ...] = (
    "<think>This picture shows strong blur.</think><answer>2.31</answer>",
    "<think>\n</think>\n<answer>\n</answer>\n",
    "system\nuser\nassistant\nPicture 1: Video 1: ",
)


@dataclass(frozen=True, slots=True)
class TinyModelSize:
    """Sizes of the tiny model; the defaults give about 1.5 million parameters.

    ``init_gain`` scales every linear layer's standard deviation, which is ``init_gain / sqrt(fan_in)``.
    ``image_pixels_min`` and ``image_pixels_max`` bound height x width after resizing; sides are multiples
    of 28 pixels. ``vocab_tokens_max`` is a bound: training the tokenizer stops when the built-in corpus has
    nothing left to merge.
    """

    vision_layers: int = 2
    vision_hidden: int = 128
    vision_heads: int = 4
    vision_mlp: int = 512
    text_layers: int = 2
    text_hidden: int = 128
    text_heads: int = 4
    text_kv_heads: int = 4
    text_mlp: int = 256
    vocab_tokens_max: int = 1024
    image_pixels_min: int = 56 * 56
    image_pixels_max: int = 112 * 112
    max_positions: int = 2048
    init_gain: float = 1.0

    def __post_init__(self) -> None:
        """Refuse sizes that do not fit together."""
        for name, hidden, heads in (
            ("vision", self.vision_hidden, self.vision_heads),
            ("text", self.text_hidden, self.text_heads),
        ):
            # Rotary embedding splits a vision head by four (height, width), a text head by M-RoPE sections.
            if hidden % heads or (hidden // heads) % 8:
                raise ValueError(
                    f"{name}_hidden={hidden} over {name}_heads={heads} must give a head size divisible by 8"
                )
        if self.text_heads % self.text_kv_heads:
            raise ValueError(f"text_kv_heads={self.text_kv_heads} must divide text_heads={self.text_heads}")
        if not CELL_SIDE_PX**2 <= self.image_pixels_min <= self.image_pixels_max:
            raise ValueError(
                f"need {CELL_SIDE_PX**2} <= image_pixels_min={self.image_pixels_min}"
                f" <= image_pixels_max={self.image_pixels_max}"
            )
        if self.init_gain <= 0:
            raise ValueError(f"init_gain={self.init_gain} must be positive")


SIZES = {
    "tiny": TinyModelSize(),
    "small": TinyModelSize(
        vision_layers=4, vision_hidden=256, vision_heads=8, vision_mlp=1024,
        text_layers=4, text_hidden=256, text_heads=8, text_kv_heads=8, text_mlp=768,
    ),
}  # fmt: skip
"""The choices of ``model.size``."""


def create_tiny_qwen_vl(folder: Path, *, size: TinyModelSize, seed: int) -> None:
    """Write an untrained Qwen2.5-VL with tokenizer and processors; the same seed gives the same weights.

    The folder appears whole or not at all: it is filled under a temporary name beside it and then renamed.

    Raises:
        FileExistsError: ``folder`` exists and is not an empty folder.
        ValueError: It cannot be made where it was asked for.
    """
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        found = "is not empty" if folder.is_dir() else "is a file"
        raise FileExistsError(f"{folder} {found}; choose another folder or remove it first")
    scratch = _scratch_beside(folder)
    try:
        tokenizer = build_tokenizer(vocab_tokens_max=size.vocab_tokens_max)
        build_processor(tokenizer, size=size).save_pretrained(scratch)
        disable_progress_bar()  # a bar for one small file would only break up the run's own display
        build_model(tokenizer, size=size, seed=seed).save_pretrained(scratch)
        # mkdtemp makes the folder private to its owner; a model folder is as readable as any other.
        scratch.chmod(0o755)
        scratch.replace(folder)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def _scratch_beside(folder: Path) -> Path:
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        return Path(tempfile.mkdtemp(prefix=f".{folder.name}-", dir=folder.parent))
    except OSError as error:
        raise ValueError(f"{folder} cannot be made ({error.strerror}); choose another folder") from error


def build_tokenizer(*, vocab_tokens_max: int) -> Qwen2Tokenizer:
    """A byte-level BPE tokenizer with Qwen2's splitting rules and special tokens."""
    raw = Tokenizer(models.BPE())
    raw.normalizer = normalizers.NFC()
    raw.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(_PRETOKEN_PATTERN), behavior="isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    raw.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocab_tokens_max - len(SPECIAL_TOKENS),
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    raw.train_from_iterator(_corpus(), trainer=trainer)
    learned = json.loads(raw.to_str())["model"]
    # Special tokens come last and in Qwen's order, as in its own table.
    vocab = learned["vocab"] | {token: len(learned["vocab"]) + i for i, token in enumerate(SPECIAL_TOKENS)}
    return Qwen2Tokenizer(
        vocab=vocab,
        # The annotation says list of strings; the tokenizers library wants pairs.
        merges=[tuple(pair) for pair in learned["merges"]],  # type: ignore[misc]
        unk_token=END_OF_TEXT,
        eos_token=END_OF_TURN,
        pad_token=END_OF_TEXT,
        extra_special_tokens=list(SPECIAL_TOKENS),
    )


def build_processor(tokenizer: Qwen2Tokenizer, *, size: TinyModelSize) -> Qwen2_5_VLProcessor:
    """Qwen2.5-VL's own processor with this tokenizer, this model's pixel bounds and the chat template."""
    bounds = {"shortest_edge": size.image_pixels_min, "longest_edge": size.image_pixels_max}
    shared = {"patch_size": PATCH_SIDE_PX, "merge_size": MERGE_SIDE, "temporal_patch_size": 2}
    return Qwen2_5_VLProcessor(
        image_processor=Qwen2VLImageProcessor(size=dict(bounds), **shared),
        tokenizer=tokenizer,
        video_processor=Qwen2VLVideoProcessor(size=dict(bounds), **shared),
        chat_template=CHAT_TEMPLATE,
    )


def build_model(tokenizer: Qwen2Tokenizer, *, size: TinyModelSize, seed: int) -> Qwen2_5_VLForConditionalGeneration:
    """The float32 model on the CPU, initialised from ``seed`` without touching torch's global generator."""
    with torch.random.fork_rng(devices=[]):
        model = Qwen2_5_VLForConditionalGeneration(_config(tokenizer, size=size))
    _initialise(model, size=size, generator=torch.Generator().manual_seed(seed))
    model.generation_config = GenerationConfig(
        do_sample=True,
        temperature=1.0,
        top_k=0,
        top_p=1.0,
        repetition_penalty=1.0,
        eos_token_id=[_token_id(tokenizer, END_OF_TURN), _token_id(tokenizer, END_OF_TEXT)],
        pad_token_id=_token_id(tokenizer, END_OF_TEXT),
    )
    return model


def _corpus() -> list[str]:
    """Texts in which every word of the prompts and targets occurs often enough to become one token."""
    words = f"{_DEFECT_WORDS} {_COMMON_WORDS}".split()
    spaced = " " + " ".join(words)
    capitalised = " ".join(word.capitalize() for word in words)
    defects = f" {_DEFECT_WORDS}"
    # Repetition is weight: what matters most is merged first.
    return [*_PROMPTS * 4, *_SHAPES * 8, *[spaced] * 4, *[defects] * 8, capitalised, "\n".join(words)]


def _token_id(tokenizer: Qwen2Tokenizer, token: str) -> int:
    token_id = tokenizer.convert_tokens_to_ids(token)
    assert isinstance(token_id, int)
    return token_id


def _config(tokenizer: Qwen2Tokenizer, *, size: TinyModelSize) -> Qwen2_5_VLConfig:
    half_head = size.text_hidden // size.text_heads // 2
    time_section = half_head // 4
    height_section = (half_head - time_section) // 2
    text = {
        "vocab_size": len(tokenizer),
        "hidden_size": size.text_hidden,
        "intermediate_size": size.text_mlp,
        "num_hidden_layers": size.text_layers,
        "num_attention_heads": size.text_heads,
        "num_key_value_heads": size.text_kv_heads,
        "max_position_embeddings": size.max_positions,
        "rms_norm_eps": 1e-6,
        "rope_parameters": {
            "rope_type": "default",
            "rope_theta": 10_000.0,
            # Time, height, width share half a head in Qwen's own proportion 2:3:3.
            "mrope_section": [time_section, height_section, half_head - time_section - height_section],
        },
        "bos_token_id": _token_id(tokenizer, END_OF_TEXT),
        "eos_token_id": _token_id(tokenizer, END_OF_TURN),
        "pad_token_id": _token_id(tokenizer, END_OF_TEXT),
    }
    vision = {
        "depth": size.vision_layers,
        "hidden_size": size.vision_hidden,
        "num_heads": size.vision_heads,
        "intermediate_size": size.vision_mlp,
        "out_hidden_size": size.text_hidden,
        "patch_size": PATCH_SIDE_PX,
        "spatial_merge_size": MERGE_SIDE,
        "temporal_patch_size": 2,
        "tokens_per_second": 2,
        # A tiny picture fits in one window, so every layer attends to all of it.
        "fullatt_block_indexes": list(range(size.vision_layers)),
    }
    return Qwen2_5_VLConfig(
        text_config=text,
        vision_config=vision,
        image_token_id=_token_id(tokenizer, "<|image_pad|>"),
        video_token_id=_token_id(tokenizer, "<|video_pad|>"),
        vision_start_token_id=_token_id(tokenizer, "<|vision_start|>"),
        vision_end_token_id=_token_id(tokenizer, "<|vision_end|>"),
        tie_word_embeddings=True,
        architectures=["Qwen2_5_VLForConditionalGeneration"],
        dtype="float32",
    )


@torch.no_grad()
def _initialise(model: Qwen2_5_VLForConditionalGeneration, *, size: TinyModelSize, generator: torch.Generator) -> None:
    """Weights of standard deviation ``init_gain / sqrt(fan_in)``, residual branches damped by depth.

    The library's constant 0.02 suits a width of thousands; at a width of 128 it leaves activations so small
    that a tiny model learns nothing for hundreds of steps.
    """
    for name, parameter in model.named_parameters():
        if name.endswith("patch_embed.proj.weight"):
            parameter.copy_(_whitening_filters(parameter, generator=generator))
        elif parameter.ndim == 1:
            parameter.fill_(1.0 if "norm" in name or "ln_q" in name else 0.0)
        else:
            std = size.init_gain / math.sqrt(parameter.shape[1])
            if name.endswith(("o_proj.weight", "attn.proj.weight", "down_proj.weight")):
                std /= math.sqrt(2.0 * (size.vision_layers if "visual" in name else size.text_layers))
            parameter.normal_(0.0, std, generator=generator)


def _whitening_filters(like: Tensor, *, generator: torch.Generator) -> Tensor:
    """Random patch filters ``[hidden, 3, 2, 14, 14]`` that answer to all spatial frequencies alike.

    In photographs the amplitude at frequency f falls like 1/f. Plain random filters therefore see brightness
    and almost nothing of the fine detail by which blur and noise are told apart; weighting the cosine basis
    by f undoes the fall.
    """
    hidden, channels, frames, side, _ = like.shape
    frequency = torch.arange(side, dtype=torch.float32)
    position = torch.arange(side, dtype=torch.float32) + 0.5
    basis = torch.cos(math.pi / side * frequency[:, None] * position[None, :]) * math.sqrt(2.0 / side)
    basis[0] /= math.sqrt(2.0)
    weight = 1.0 + torch.hypot(frequency[:, None], frequency[None, :])
    coefficients = torch.randn(hidden, channels, side, side, generator=generator) * weight
    filters = torch.einsum("ocuv,ux,vy->ocxy", coefficients, basis, basis)
    # A picture with unit pixel variance and spectrum (1 / weight)^2 then gives answers of unit variance; the
    # two equal frames of a still picture add up, hence the division by their number.
    mean_power = (side * side) / float((weight**-2).sum())
    scale = 1.0 / math.sqrt(channels * side * side * mean_power) / frames
    return (filters * scale)[:, :, None].expand(hidden, channels, frames, side, side)


def num_parameters(model: nn.Module) -> int:
    """How many numbers the model holds, tied ones once."""
    return sum(parameter.numel() for parameter in model.parameters())
