"""A tiny judge that knows nothing but how long a judge's answers are: for benches of scoring.

Its lengths are log-normal, as those of reasoning models are about: some answers of a batch are several times as long as
the mean. It has learned them from made-up answers of such lengths, and draws them anew for every picture.
"""

import json
import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from cluster.bench.runs import has_failed, is_finished, train_into

SPREAD = 0.6
"""Standard deviation of the lengths over their mean."""
MEAN_WORDS, MOST_WORDS = 20.0, 75
"""Of three tokens each, in the tiny model's vocabulary."""
_WORD = "fine"
_NUM_STEPS, _BATCH = 240, 16


def judge_of_varied_lengths(folder: Path, *, question: str, pictures: Sequence[Path]) -> Path:
    """The folder of a model whose answers to ``question`` have log-normal lengths; trained once.

    Raises:
        RuntimeError: Its training failed.
    """
    model = folder / "model"
    if not is_finished(folder):
        answers = folder.with_suffix(".jsonl")
        answers.parent.mkdir(parents=True, exist_ok=True)
        lengths = word_counts(_NUM_STEPS * _BATCH)
        answers.write_text(
            "".join(
                json.dumps({"image": str(path.resolve()), "question": question, "response": _answer(num)}) + "\n"
                for path, num in zip(_cycled(pictures, len(lengths)), lengths, strict=True)
            )
        )
        overrides = [
            f"cold_start.file={answers}", f"cold_start.num_steps={_NUM_STEPS}", f"cold_start.batch_size={_BATCH}",
            "loop.num_steps=0", "warm_up.num_steps=0", "rollout.max_model_len=1024",
        ]  # fmt: skip
        train_into(folder, overrides, recipe="smoke", seed=0)
        if has_failed(folder):
            raise RuntimeError(f"training the judge failed; its last words are in {folder}")
    return model


def word_counts(num: int) -> list[int]:
    """``num`` lengths at random, the same every time."""
    sigma = math.sqrt(math.log1p(SPREAD**2))
    drawn = np.random.default_rng(0).lognormal(math.log(MEAN_WORDS) - sigma**2 / 2, sigma, num)
    return [int(one) for one in np.clip(drawn.round(), 1, MOST_WORDS)]


def _answer(num_words: int) -> str:
    return f"<think>{' '.join([_WORD] * num_words)}</think><answer>3.50</answer>"


def _cycled(pictures: Sequence[Path], num: int) -> list[Path]:
    return [pictures[index % len(pictures)] for index in range(num)]
