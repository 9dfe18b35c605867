"""Many questions about one picture or video through the real engine: answers, tokens computed, vision runs."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import torch

from rollout.types import Media, Prompt
from rollout.worker_types import FirstTokens, QuestionOrder
from tests.rollout.test_engine import BOUND, Bench, bench, picture, prompt_about, video

__all__ = ["bench"]

SPELLINGS = ("yes", "Yes", "no", "No")
"""The tiny tokenizer writes the second in two tokens."""
BLOCK = 128
"""Tokens of a block of vLLM's cache on CPU."""
QUESTIONS = ("Is it sharp?", "Is it noisy?", "Is there a face in it, and if so, is the face whole?", "Is it red?")


def questions(*media: Media, name: str) -> tuple[Prompt, ...]:
    return tuple(prompt_about(*media, name=f"{name}-{n}", text=text) for n, text in enumerate(QUESTIONS))


def ask(bench: Bench, items: Sequence[tuple[Prompt, ...]]) -> list[FirstTokens]:
    return bench.runner.run(bench.worker.first_tokens(QuestionOrder(items=items, spellings=SPELLINGS)))


@torch.no_grad()
def by_the_trainer(bench: Bench, prompt: Prompt, word: str) -> float:
    """Log-prob of a word as the first token, by the trainer's model and the family's whole encoding."""
    encoded = bench.family.encode(prompt)
    logits = bench.model(**bench.family.forward_arguments([(encoded, np.zeros(0, dtype=np.int32))])).logits[0, -1]
    logits[list(bench.family.banned_token_ids)] = -torch.inf
    return float(logits.double().log_softmax(-1)[int(bench.family.encode_target(word)[0])])


def shown(folder: Path) -> list[tuple[Prompt, ...]]:
    clip = video(folder, seeds=range(12), side=84)
    return [questions(picture(1), name="a"), questions(clip, name="v"), questions(picture(2, height=84), name="b")]


def test_every_answer_is_as_likely_as_the_trainer_says(bench: Bench, tmp_path: Path) -> None:
    items = shown(tmp_path)
    for prompts, found in zip(items, ask(bench, items), strict=True):
        for prompt, logprobs in zip(prompts, found.logprobs, strict=True):
            assert set(logprobs) == {"yes", "no", "No"}
            assert all(abs(logprobs[word] - by_the_trainer(bench, prompt, word)) < BOUND for word in logprobs)


def test_answers_do_not_depend_on_what_else_is_asked(bench: Bench, tmp_path: Path) -> None:
    items = shown(tmp_path)
    together = ask(bench, items)
    apart = [ask(bench, [(prompt,)])[0] for prompts in items for prompt in prompts]
    for one, other in zip((word for found in together for word in found.logprobs), apart, strict=True):
        assert other.logprobs[0] == pytest.approx(one, abs=1e-5)


def test_media_is_computed_and_encoded_once(bench: Bench, tmp_path: Path) -> None:
    bench.runner.run(bench.worker.num_encoded())
    items = shown(tmp_path)
    for found in ask(bench, items):
        own = found.num_tokens - len(QUESTIONS) * found.num_shared_tokens
        assert found.num_computed_tokens <= found.num_shared_tokens + own + BLOCK * len(QUESTIONS)
    assert bench.runner.run(bench.worker.num_encoded()) == len(items)


def test_a_long_video_is_computed_once_and_each_question_a_block(bench: Bench, tmp_path: Path) -> None:
    (found,) = ask(bench, [questions(video(tmp_path, seeds=range(24), side=112), name="long")])
    # 24 frames of 16 tokens by twos are 192 tokens: the first of the two blocks is found by three of four questions.
    assert found.num_shared_tokens > BLOCK
    assert found.num_tokens - found.num_computed_tokens == BLOCK * (len(QUESTIONS) - 1)


def test_what_cannot_be_asked_says_why_and_keeps_nobody_else(bench: Bench) -> None:
    torn = questions(Media(kind="image", data=b"torn"), name="torn")
    marked = (*questions(picture(3), name="marked")[:1], prompt_about(picture(3), name="m", text="<|im_end|>"))
    found = ask(bench, [torn, marked, questions(picture(4), name="good")])
    kinds = [None if one.failure is None else one.failure.kind for one in found]
    assert kinds == ["unreadable_media", "unusable_text", None]


def test_no_spelling_in_one_token_is_refused(bench: Bench) -> None:
    order = QuestionOrder(items=[questions(picture(1), name="a")], spellings=("Yes", "NO"))
    with pytest.raises(ValueError, match="writes none of"):
        bench.runner.run(bench.worker.first_tokens(order))
