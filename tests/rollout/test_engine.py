"""The real vLLM engine against the real trainer model: log-probs, seeds, bans, weight pushes, stale caches.

One engine serves the whole module; every test that changes weights pushes the ones it needs first.
"""

import asyncio
import io
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import nn

from conf.machine import ModelConfig
from conf.schema import RolloutConfig, SamplingConfig
from rollout.datasets.pair_questions import ask_pair
from rollout.families import build_family
from rollout.families.base import Family
from rollout.families.tiny_qwen_vl import TinyModelSize, create_tiny_qwen_vl
from rollout.types import Media, Message, Opinion, Preference, Prompt, RolloutGroup, Scale
from rollout.weights.gloo import GlooSender
from rollout.weights.manifest import TensorEntry, WeightManifest
from rollout.worker import RolloutWorker
from rollout.worker_types import EndedText, EngineOptions, ForcedToken, GenerationOrder, MediaLimits

BOUND = 1e-3
"""What the acceptance of engine/trainer agreement asks for in fp32, in nats."""
SAMPLING = SamplingConfig(temperature=1.0, top_p=1.0, max_tokens=12)
QUESTION = "What is your overall rating on the quality of this picture?"


def picture(seed: int, *, height: int = 56, width: int = 84) -> Media:
    pixels = np.random.default_rng(seed).integers(0, 255, (height, width, 3), dtype=np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG")
    return Media(kind="image", data=buffer.getvalue())


def video(folder: Path, *, seeds: Sequence[int], fps: float = 2.0, side: int = 56) -> Media:
    """One frame of noise per seed."""
    files = [folder / f"{seed}-{side}.png" for seed in seeds]
    for file, seed in zip(files, seeds, strict=True):
        file.write_bytes(picture(seed, height=side, width=side).data or b"")
    return Media(kind="video", frames=tuple(map(str, files)), fps=fps)


def prompt_about(*media: Media, name: str = "p", text: str = QUESTION) -> Prompt:
    return Prompt(
        prompt_id=name,
        messages=(Message(role="user", content=(*media, text)),),
        reference=Opinion(score=3.0, scale=Scale(minimum=1.0, maximum=5.0)),
        source="noise",
        content_id=name,
    )


def pair_about(*media: Media, name: str) -> Prompt:
    """A pairwise question."""
    messages = ask_pair("pairwise_brief", media=media, question="Which is it?", responses=("blur", "haze"))
    return Prompt(
        prompt_id=name,
        messages=messages,
        reference=Preference(better=1, pair_id=name, question="Which is it?", responses=("blur", "haze")),
        source="pairs",
        content_id=name,
    )


@dataclass
class Bench:
    """An engine, the trainer's model, and the line between them."""

    runner: asyncio.Runner
    worker: RolloutWorker
    family: Family
    model: nn.Module
    sender: GlooSender
    version: int = 0

    def sample(
        self, prompts: Sequence[Prompt], *, seed: int = 0, sampling: SamplingConfig = SAMPLING, num: int = 4
    ) -> list[RolloutGroup]:
        order = GenerationOrder(prompts=prompts, num_completions=num, sampling=sampling, seed=seed)
        return self.runner.run(self.worker.generate(order))

    def push(self) -> None:
        entries = [
            TensorEntry(name=name, dtype_name="float32", shape=tuple(tensor.shape))
            for name, tensor in self.model.named_parameters()
        ]
        manifest = WeightManifest(entries=tuple(entries))
        self.version += 1

        async def transfer() -> None:
            await self.worker.begin_update()
            await asyncio.gather(
                asyncio.to_thread(self.sender.send, manifest, self.model.named_parameters()),
                self.worker.receive({**manifest.columns(), **self.sender.update_options()}),
            )
            await self.worker.finish_update(self.version)

        self.runner.run(transfer())

    def shake(self, *, only_vision: bool) -> None:
        generator = torch.Generator().manual_seed(self.version)
        with torch.no_grad():
            for name, tensor in self.model.named_parameters():
                if not only_vision or self.family.part_of(name) != "language":
                    tensor.add_(0.05 * torch.randn(tensor.shape, generator=generator))

    @torch.no_grad()
    def trainer_logprobs(
        self, prompt: Prompt, token_ids: NDArray[np.int32], *, temperature: float = 1.0
    ) -> NDArray[np.float32]:
        encoded = self.family.encode(prompt)
        logits = self.model(**self.family.forward_arguments([(encoded, token_ids)])).logits[0].float()
        logits[:, list(self.family.banned_token_ids)] = -torch.inf
        start = len(encoded.token_ids) - 1
        chosen = torch.from_numpy(token_ids.astype(np.int64))[:, None]
        every = (logits[start : start + len(token_ids)] / temperature).log_softmax(-1).gather(-1, chosen)
        return np.asarray(every[:, 0].numpy(), dtype=np.float32)

    def disagreement(self, groups: Sequence[RolloutGroup], *, temperature: float = 1.0) -> float:
        return max(
            float(
                np.abs(self.trainer_logprobs(group.prompt, one.token_ids, temperature=temperature) - one.logprobs).max()
            )
            for group in groups
            for one in group.completions
        )


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bench]:
    folder = tmp_path_factory.mktemp("engine") / "tiny"
    create_tiny_qwen_vl(Path(folder), size=TinyModelSize(), seed=0)
    config = ModelConfig(
        family="qwen2_5_vl",
        path=str(folder),
        size=None,
        min_pixels=28 * 28,
        max_pixels=28 * 28 * 64,
        add_vision_id=True,
    )
    rollout = RolloutConfig(
        prompts_per_step=4,
        num_completions=4,
        sampling=SAMPLING,
        num_engines=1,
        tensor_parallel=1,
        max_model_len=256,
        max_concurrent_sequences=32,
        kv_cache_gib=0.25,
        gpu_memory_fraction=0.5,
        enforce_eager=True,
    )
    options = EngineOptions(
        folder=str(folder),
        dtype="float32",
        head_dtype="model",
        rollout=rollout,
        media_limits=MediaLimits(images=2, videos=2),
        transfer_backend="gloo",
        seed=0,
        on_gpu=False,
        shares_gpu=False,
        counts_encoded=True,
    )
    family = build_family(config, folder=str(folder))
    with asyncio.Runner() as runner:
        worker = RolloutWorker(config, options)
        sender = GlooSender(host="127.0.0.1", bucket_bytes=1 << 20, timeout_s=60.0)

        async def join() -> None:
            where = {**sender.receiver_options(), "rank_offset": 1, "world_size": 2}
            await asyncio.gather(asyncio.to_thread(sender.join, num_receivers=1), worker.init_transfer(where))

        runner.run(join())
        model = family.load_model(dtype=torch.float32, attention="sdpa").eval()
        yield Bench(runner=runner, worker=worker, family=family, model=model, sender=sender)
        runner.run(worker.close())


def test_engine_and_trainer_agree_on_logprobs_of_pictures_of_several_shapes(bench: Bench) -> None:
    shapes = [(56, 84), (84, 56), (28, 112), (100, 61)]
    prompts = [prompt_about(picture(i, height=h, width=w), name=f"shape-{i}") for i, (h, w) in enumerate(shapes)]
    assert bench.disagreement(bench.sample(prompts)) < BOUND


def test_engine_and_trainer_agree_on_logprobs_of_two_pictures(bench: Bench) -> None:
    prompt = prompt_about(picture(1), picture(2, height=84, width=28))
    assert bench.disagreement(bench.sample([prompt])) < BOUND


@pytest.mark.parametrize("fps", [0.3, 1.0, 2.0, 3.7, 24.0])
@pytest.mark.parametrize("num_frames", [4, 13])
def test_engine_and_trainer_agree_on_logprobs_of_a_video(
    bench: Bench, tmp_path: Path, num_frames: int, fps: float
) -> None:
    prompt = prompt_about(video(tmp_path, seeds=range(num_frames), fps=fps))
    assert bench.disagreement(bench.sample([prompt])) < BOUND


def test_engine_and_trainer_agree_on_logprobs_of_videos_of_several_sizes(bench: Bench, tmp_path: Path) -> None:
    # Below and above the sizes the model folder declares: the run's own bounds have to hold on both sides.
    videos = [video(tmp_path, seeds=range(4), side=side) for side in (28, 61, 140)]
    prompts = [prompt_about(one, name=f"size-{number}") for number, one in enumerate(videos)]
    assert bench.disagreement(bench.sample(prompts)) < BOUND


def test_engine_and_trainer_agree_on_logprobs_of_videos_and_a_picture_together(bench: Bench, tmp_path: Path) -> None:
    first, second = video(tmp_path, seeds=range(5)), video(tmp_path, seeds=range(7), fps=0.7, side=84)
    assert bench.disagreement(bench.sample([prompt_about(first, picture(1), second)])) < BOUND


def test_prompts_that_share_one_of_two_videos_are_each_shown_both(bench: Bench, tmp_path: Path) -> None:
    shared, one, other = (video(tmp_path, seeds=range(first, first + 8)) for first in (0, 10, 20))
    slow = video(tmp_path, seeds=range(8), fps=0.5)
    pairs = [(shared, one), (shared, other), (one, shared), (shared, slow), (shared, shared)]
    prompts = [prompt_about(*pair, name=f"pair-{number}") for number, pair in enumerate(pairs)]
    assert bench.disagreement(bench.sample(prompts)) < BOUND


def test_engine_and_trainer_see_the_same_tokens_of_a_video(bench: Bench, tmp_path: Path) -> None:
    prompt = prompt_about(video(tmp_path, seeds=range(5)), picture(1))
    (group,) = bench.sample([prompt])
    encoded = bench.family.encode(prompt)
    assert group.prompt_token_ids.tolist() == encoded.token_ids.tolist()
    assert encoded.media_grids == ((3, 4, 4), (1, 4, 6))


def test_another_frame_changes_the_logprobs_of_both_sides(bench: Bench, tmp_path: Path) -> None:
    whole, changed = (prompt_about(video(tmp_path, seeds=seeds)) for seeds in ([0, 1, 2, 3], [0, 1, 9, 3]))
    (group,) = bench.sample([whole])
    one = group.completions[0]
    assert np.abs(bench.trainer_logprobs(changed, one.token_ids) - one.logprobs).max() > 10 * BOUND
    (other,) = bench.sample([changed])
    assert other.completions[0].logprobs.tolist() != one.logprobs.tolist()


def test_another_frame_rate_changes_the_logprobs(bench: Bench, tmp_path: Path) -> None:
    fast, slow = (prompt_about(video(tmp_path, seeds=range(8), fps=fps)) for fps in (4.0, 0.5))
    (group,) = bench.sample([fast])
    one = group.completions[0]
    assert np.abs(bench.trainer_logprobs(slow, one.token_ids) - one.logprobs).max() > 10 * BOUND


def test_engine_and_trainer_see_the_same_prompt_tokens(bench: Bench) -> None:
    prompt = prompt_about(picture(1), picture(2))
    (group,) = bench.sample([prompt])
    assert group.prompt_token_ids.tolist() == bench.family.encode(prompt).token_ids.tolist()
    text = bench.family.decode(group.prompt_token_ids.tolist())
    assert [text.count(number) for number in ("Picture 1: ", "Picture 2: ")] == [1, 1]


def test_pictures_videos_and_pairs_sampled_together_have_the_logprobs_each_has_alone(
    bench: Bench, tmp_path: Path
) -> None:
    prompts = [
        prompt_about(picture(1), name="picture"),
        prompt_about(video(tmp_path, seeds=range(6), fps=1.5), name="video"),
        pair_about(picture(2), video(tmp_path, seeds=range(10, 14)), name="pair"),
    ]
    together = bench.sample(prompts)
    assert bench.disagreement(together) < BOUND
    for prompt, group in zip(prompts, together, strict=True):
        (alone,) = bench.sample([prompt])
        for one, other in zip(group.completions, alone.completions, strict=True):
            assert one.token_ids.tolist() == other.token_ids.tolist()
            assert np.abs(one.logprobs - other.logprobs).max() < BOUND


def test_another_picture_changes_the_logprobs(bench: Bench) -> None:
    (group,) = bench.sample([prompt_about(picture(1))])
    one = group.completions[0]
    other = bench.trainer_logprobs(prompt_about(picture(2)), one.token_ids)
    assert np.abs(other - one.logprobs).max() > 10 * BOUND


def test_the_same_seed_gives_bit_for_bit_the_same_completions(bench: Bench) -> None:
    prompts = [prompt_about(picture(i), name=f"p{i}") for i in range(4)]
    first, second = bench.sample(prompts, seed=3), bench.sample(prompts, seed=3)
    for one, two in zip(first, second, strict=True):
        for a, b in zip(one.completions, two.completions, strict=True):
            assert a.token_ids.tolist() == b.token_ids.tolist()
            assert a.logprobs.tolist() == b.logprobs.tolist()


def test_completions_of_a_group_differ_and_so_do_seeds(bench: Bench) -> None:
    (one,), (two,) = (
        bench.sample([prompt_about(picture(1))], seed=1),
        bench.sample([prompt_about(picture(1))], seed=2),
    )
    texts = [c.token_ids.tobytes() for group in (one, two) for c in group.completions]
    assert len(set(texts)) == len(texts)


def test_a_prompt_gets_the_same_completions_whatever_it_is_sampled_with(bench: Bench) -> None:
    alone = bench.sample([prompt_about(picture(1), name="x")])[0]
    crowded = bench.sample([prompt_about(picture(i), name=n) for i, n in ((5, "a"), (1, "x"), (7, "b"))])[1]
    assert [c.token_ids.tolist() for c in alone.completions] == [c.token_ids.tolist() for c in crowded.completions]


def test_every_text_is_streamed_once_and_the_groups_are_those_of_an_unstreamed_batch(bench: Bench) -> None:
    questions = [prompt_about(picture(seed), name=f"p{seed}") for seed in range(3)]

    async def follow() -> list[list[EndedText] | list[RolloutGroup]]:
        order = GenerationOrder(prompts=questions, num_completions=4, sampling=SAMPLING, seed=0)
        return [part async for part in bench.worker.stream(order)]

    *streamed, groups = bench.runner.run(follow())
    texts = sorted((one.prompt_index, one.text) for part in streamed for one in part if isinstance(one, EndedText))
    expected = [(index, one.text) for index, group in enumerate(bench.sample(questions)) for one in group.completions]
    assert texts == sorted(expected)
    assert [one.prompt for one in groups if isinstance(one, RolloutGroup)] == questions


def test_a_completion_cut_at_the_limit_is_marked_and_has_no_end_token(bench: Bench) -> None:
    (group,) = bench.sample([prompt_about(picture(1))], num=16)
    cut = [c for c in group.completions if c.is_truncated]
    assert cut
    assert all(len(c.token_ids) == SAMPLING.max_tokens for c in cut)
    assert all(bench.family.end_token_id not in c.token_ids for c in cut)


def test_media_tokens_are_never_sampled_however_flat_the_distribution(bench: Bench) -> None:
    hot = SamplingConfig(temperature=2.0, top_p=1.0, max_tokens=64)
    groups = bench.sample([prompt_about(picture(i), name=f"p{i}") for i in range(4)], sampling=hot, num=16)
    tokens = np.concatenate([c.token_ids for group in groups for c in group.completions])
    # About 1 in 1000 tokens each if they were allowed: some 15 are expected among these.
    assert len(tokens) > 2000
    assert not np.isin(tokens, bench.family.banned_token_ids).any()


@pytest.mark.parametrize("temperature", [0.5, 2.0])
def test_log_probs_are_those_of_the_distribution_at_the_temperature(bench: Bench, temperature: float) -> None:
    sampling = SamplingConfig(temperature=temperature, top_p=1.0, max_tokens=12)
    groups = bench.sample([prompt_about(picture(1))], sampling=sampling)
    assert bench.disagreement(groups, temperature=temperature) < BOUND
    assert bench.disagreement(groups) > 10 * BOUND


def test_literal_media_tokens_in_user_text_are_refused(bench: Bench) -> None:
    with pytest.raises(ValueError, match=r"prompt p: its text holds the literal token <\|image_pad\|>"):
        bench.sample([prompt_about(picture(1), text="a <|image_pad|> b")])


def test_after_a_push_both_sides_agree_again_and_completions_carry_the_version(bench: Bench) -> None:
    prompts = [prompt_about(picture(i), name=f"p{i}") for i in range(3)]
    bench.shake(only_vision=False)
    assert bench.disagreement(bench.sample(prompts)) > 10 * BOUND
    bench.push()
    groups = bench.sample(prompts)
    assert bench.disagreement(groups) < BOUND
    assert {c.policy_version for group in groups for c in group.completions} == {bench.version}


def test_a_push_that_moves_only_the_vision_tower_reaches_cached_pictures(bench: Bench) -> None:
    bench.push()
    prompts = [prompt_about(picture(i), name=f"p{i}") for i in range(3)]
    before = bench.sample(prompts)
    bench.shake(only_vision=True)
    bench.push()
    after = bench.sample(prompts)
    assert bench.disagreement(after) < BOUND
    assert bench.disagreement(before) > 10 * BOUND


def test_a_forced_token_has_the_log_prob_the_trainer_gives_it(bench: Bench) -> None:
    prompts = [prompt_about(picture(1), name="a"), prompt_about(picture(2), name="b", text="How dull?")]
    said = [("<think>It is sharp.</think><answer>Score: ", "4"), ("<answer>Score:3.", "7"), ("<answer>Score:3.7", "0")]
    tokens = [ForcedToken(prompt=prompt, before=before, token=token) for prompt in prompts for before, token in said]
    found = bench.runner.run(bench.worker.forced_logprobs(tokens))
    for one, logprob in zip(tokens, found, strict=True):
        token_ids = bench.family.encode_target(one.before + one.token)[:-1]
        assert logprob == pytest.approx(bench.trainer_logprobs(one.prompt, token_ids)[-1], abs=BOUND)


def test_forced_tokens_follow_the_weights_and_leave_sampling_as_it_was(bench: Bench) -> None:
    token = ForcedToken(prompt=prompt_about(picture(3)), before="<answer>3.", token="2")
    before = bench.sample([token.prompt])[0].completions[0].text
    (first,) = bench.runner.run(bench.worker.forced_logprobs([token]))
    assert bench.sample([token.prompt])[0].completions[0].text == before
    bench.shake(only_vision=True)
    bench.push()
    (second,) = bench.runner.run(bench.worker.forced_logprobs([token]))
    assert abs(first - second) > 1e-4


def test_what_is_no_token_of_its_own_cannot_be_forced(bench: Bench) -> None:
    token = ForcedToken(prompt=prompt_about(picture(1)), before="<answer>", token="é")
    with pytest.raises(ValueError, match="the tokenizer writes 'é' in"):
        bench.runner.run(bench.worker.forced_logprobs([token]))
