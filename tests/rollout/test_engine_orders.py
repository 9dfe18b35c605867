"""What an order may ask of the engine beside samples, held against the trainer's model and transformers' generate."""

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from conf.schema import SamplingConfig
from evaluation.scoring.expectation import DIGITS, integers_on, tenths_on
from evaluation.scoring.items import Item
from evaluation.scoring.rows import ScoreRow
from rollout.datasets import build_data
from rollout.engine_prompts import rendered_tokens
from rollout.families.plain_generate import PlainGenerator
from rollout.types import Message, Prompt, RolloutGroup
from rollout.worker_types import GenerationOrder
from tests.builders import ONE_TO_FIVE
from tests.evaluation.scoring_judges import options, scorer
from tests.rollout.teaching import photographs, teach_form
from tests.rollout.test_engine import BOUND, Bench, bench, picture, prompt_about

__all__ = ["bench"]

GREEDY = SamplingConfig(temperature=0.0, top_p=1.0, max_tokens=12)
WARM = SamplingConfig(temperature=1.0, top_p=1.0, max_tokens=12)


def order_of(prompts: Sequence[Prompt], *, sampling: SamplingConfig = GREEDY, num: int = 1) -> GenerationOrder:
    return GenerationOrder(prompts=prompts, num_completions=num, sampling=sampling, seed=0)


def run(bench: Bench, order: GenerationOrder) -> list[RolloutGroup]:
    return bench.runner.run(bench.worker.generate(order))


def questions(count: int) -> list[Prompt]:
    return [prompt_about(picture(seed), name=f"p{seed}") for seed in range(count)]


@torch.no_grad()
def trainer_logits(bench: Bench, prompt: Prompt, token_ids: NDArray[np.int32]) -> NDArray[np.float64]:
    """Logits at each place of a completion, ``[T + 1, V]``, the last for what would follow; banned tokens at -inf."""
    encoded = bench.family.encode(prompt)
    logits = bench.model(**bench.family.forward_arguments([(encoded, token_ids)])).logits[0].double()
    logits[:, list(bench.family.banned_token_ids)] = -torch.inf
    return np.asarray(logits[len(encoded.token_ids) - 1 :].numpy(), dtype=np.float64)


def log_softmax(logits: NDArray[np.float64]) -> NDArray[np.float64]:
    shifted = logits - logits.max(axis=-1, keepdims=True)
    result: NDArray[np.float64] = shifted - np.log(np.exp(shifted).sum(axis=-1, keepdims=True))
    return result


@pytest.mark.parametrize("sampling", [GREEDY, WARM])
def test_watched_tokens_are_as_likely_as_the_trainer_says_at_every_place(
    bench: Bench, sampling: SamplingConfig
) -> None:
    groups = run(bench, replace(order_of(questions(3), sampling=sampling, num=1), watched_tokens=DIGITS))
    for group in groups:
        one = group.completions[0]
        assert one.watched is not None
        expected = log_softmax(trainer_logits(bench, group.prompt, one.token_ids))[:-1, one.watched.token_ids]
        assert one.watched.logprobs.shape == (len(one.token_ids), len(DIGITS))
        assert np.abs(one.watched.logprobs - expected).max() < BOUND
        assert np.abs(bench.trainer_logprobs(group.prompt, one.token_ids) - one.logprobs).max() < BOUND


def test_tokens_and_patches_are_those_of_vllms_own_processor(bench: Bench) -> None:
    shapes = [(56, 84), (84, 56), (28, 112), (100, 61)]
    pictures = [picture(seed, height=height, width=width) for seed, (height, width) in enumerate(shapes)]
    prompts = [*map(prompt_about, pictures), prompt_about(pictures[0], pictures[1]), prompt_about()]
    for prompt in prompts:
        shown = bench.family.engine_input(prompt)
        tokens = bench.family.engine_tokens(shown)
        assert tokens is not None
        ours: Any = rendered_tokens(tokens)
        theirs: Any = bench.runner.run(bench.worker._engine.render(shown))
        assert ours["prompt_token_ids"] == theirs["prompt_token_ids"]
        assert ours.get("mm_placeholders", {}) == theirs.get("mm_placeholders", {})
        both = [rendered["mm_kwargs"]["image"] if tokens.pictures else [] for rendered in (ours, theirs)]
        for one, other in zip(*both, strict=True):
            assert one.keys() == other.keys()
            assert all(torch.equal(one[name].data, other[name].data) for name in one)
            assert all(type(one[name].field) is type(other[name].field) for name in one)


def test_only_whole_tokens_can_be_watched(bench: Bench) -> None:
    with pytest.raises(ValueError, match="the tokenizer writes '12' in 2 tokens; only one can be watched"):
        run(bench, replace(order_of(questions(1)), watched_tokens=("12",)))


def test_greedy_answers_are_those_of_transformers(bench: Bench, tmp_path: Path) -> None:
    bench.push()
    bench.family.save_processor(str(tmp_path))
    bench.model.save_pretrained(tmp_path)  # type: ignore[operator]
    config = photographs("model.add_vision_id=true").model
    prompts = [prompt_about(picture(seed, height=56, width=56), name=f"p{seed}") for seed in range(8)]
    texts = PlainGenerator(config, folder=str(tmp_path)).answer(prompts, max_tokens=12)
    assert [group.completions[0].text for group in run(bench, order_of(prompts))] == texts


def test_answers_are_the_same_where_log_probs_are_not_needed(bench: Bench) -> None:
    order = order_of(questions(3), sampling=WARM)
    for group, silent in zip(run(bench, order), run(bench, replace(order, needs_logprobs=False)), strict=True):
        one, other = group.completions[0], silent.completions[0]
        assert one.token_ids.tolist() == other.token_ids.tolist()
        assert np.isfinite(one.logprobs).all()
        assert np.isnan(other.logprobs).all()
        assert other.logprobs.shape == other.token_ids.shape


def test_a_repetition_penalty_is_taken_from_all_tokens_before(bench: Bench) -> None:
    penalty = 1.3
    for group in run(bench, replace(order_of(questions(3)), repetition_penalty=penalty)):
        token_ids = group.completions[0].token_ids
        logits = trainer_logits(bench, group.prompt, token_ids)
        for place, token in enumerate(token_ids):
            seen = np.unique(np.concatenate([group.prompt_token_ids, token_ids[:place]]))
            here = logits[place].copy()
            here[seen] = np.where(here[seen] > 0, here[seen] / penalty, here[seen] * penalty)
            assert here[token] >= here.max() - 10 * BOUND


def test_an_answer_goes_on_from_the_beginning_it_is_given(bench: Bench) -> None:
    beginning = Message(role="assistant", content=("<answer>3.",))
    asked = prompt_about(picture(1))
    continued = replace(asked, messages=(*asked.messages, beginning))
    (group,) = run(bench, replace(order_of([continued]), watched_tokens=DIGITS))
    one = group.completions[0]
    assert group.prompt_token_ids.tolist() == bench.family.encode(continued).token_ids.tolist()
    # The same place, reached by the trainer as the continuation of an answer.
    begun = bench.family.encode_target("<answer>3.")[:-1]
    expected = log_softmax(trainer_logits(bench, asked, begun))[-1]
    assert one.watched is not None
    assert np.abs(one.watched.logprobs[0] - expected[one.watched.token_ids]).max() < BOUND


def test_what_cannot_be_asked_says_why_and_leaves_the_others_alone(bench: Bench, tmp_path: Path) -> None:
    (tmp_path / "torn.png").write_bytes((picture(1).data or b"")[:60])
    torn = replace(picture(1), data=None, path=str(tmp_path / "torn.png"))
    good = questions(2)
    prompts = [
        good[0],
        prompt_about(torn, name="torn"),
        prompt_about(picture(3), name="markup", text="a <|image_pad|> b"),
        prompt_about(picture(4), name="long", text="sharp " * 400),
        good[1],
    ]
    groups = run(bench, replace(order_of(prompts), skips_unusable=True))
    assert [group.failure and group.failure.kind for group in groups] == [
        None, "unreadable_media", "unusable_text", "too_long", None,
    ]  # fmt: skip
    assert "torn.png" in (groups[1].failure.detail if groups[1].failure else "")
    alone = run(bench, order_of(good))
    for group, expected in zip((groups[0], groups[4]), alone, strict=True):
        assert group.completions[0].token_ids.tolist() == expected.completions[0].token_ids.tolist()
    with pytest.raises(ValueError, match=r"torn\.png"):
        run(bench, order_of(prompts[:2]))


def test_batches_that_run_alone_repeat_bit_for_bit_however_they_are_handed_over(bench: Bench) -> None:
    orders = [replace(order_of(questions(5)[start:]), runs_alone=True) for start in (0, 2, 4)]

    async def together() -> list[list[RolloutGroup]]:
        return list(await asyncio.gather(*map(bench.worker.generate, orders)))

    apart = [run(bench, order) for order in orders]
    for groups, expected in zip(bench.runner.run(together()), apart, strict=True):
        for group, other in zip(groups, expected, strict=True):
            assert group.completions[0].token_ids.tolist() == other.completions[0].token_ids.tolist()
            assert group.completions[0].logprobs.tolist() == other.completions[0].logprobs.tolist()


class OneEngine:
    """The bench's engine as a scorer knows engines."""

    def __init__(self, bench: Bench) -> None:
        self._bench = bench

    async def run(self, order: GenerationOrder) -> list[RolloutGroup]:
        return await self._bench.worker.generate(order)


def expectation_by_trainer(bench: Bench, prompt: Prompt, *, prefix: str) -> float:
    """The mean over every number of one decimal, each digit from a forward pass of its own."""

    def digits_after(text: str, allowed: Sequence[int]) -> NDArray[np.float64]:
        begun = bench.family.encode_target(text)[:-1]
        ids = [int(bench.family.encode_target(str(digit))[0]) for digit in allowed]
        shares = np.exp(log_softmax(trainer_logits(bench, prompt, begun))[-1, ids])
        return np.asarray(shares / shares.sum(), dtype=np.float64)

    integers = integers_on(ONE_TO_FIVE)
    total = 0.0
    for integer, share in zip(integers, digits_after(prefix, integers), strict=True):
        tenths = tenths_on(ONE_TO_FIVE, integer=integer)
        numbers = integer + np.array(tenths) / 10
        total += share * float(numbers @ digits_after(f"{prefix}{integer}.", tenths))
    return total


def test_an_expectation_is_the_mean_over_every_number_the_trainer_weighs(bench: Bench, tmp_path: Path) -> None:
    torch.manual_seed(0)
    teach_form(bench.model, family=bench.family)
    bench.model.eval()
    bench.push()
    test = build_data(photographs("data.num_test=6").data).test
    for number in range(6):
        (media,) = test.prompt(number).media()
        (tmp_path / f"{number}.png").write_bytes(media.data or b"")
    items = [Item(item_id=str(n), path=str(tmp_path / f"{n}.png")) for n in range(6)]
    judge = scorer(OneEngine(bench), options(answer="expectation_tenths"), sampling=GREEDY)

    async def collect() -> list[ScoreRow]:
        return [row async for rows in judge.score(items) for row in rows]

    rows = bench.runner.run(collect())
    assert [row.status for row in rows] == ["ok"] * 6
    for number, row in enumerate(rows):
        expected = expectation_by_trainer(bench, test.prompt(number), prefix="<answer>")
        # Integers below a thousandth are not followed, and rounding is that of two implementations.
        assert row.score == pytest.approx(expected, abs=0.02)
