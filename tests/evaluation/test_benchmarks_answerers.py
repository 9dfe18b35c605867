"""Who answers a benchmark: engines in batches, and chat endpoints with pictures inside the messages."""

import asyncio
import base64
import io
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from conf.schema import SamplingConfig
from evaluation.benchmarks.answerers import Answerer, ChatAnswerer, EngineAnswerer
from evaluation.benchmarks.answers import Answer
from evaluation.benchmarks.chat_messages import ChatMessage, MessageWriter, VideoAs
from evaluation.benchmarks.questions import JudgeRequest, plan_questions, plan_requests
from rollout.types import Completion, FinishReason, Media, Message, Prompt, RolloutGroup
from rollout.worker_types import GenerationOrder
from tests.builders import make_choice, make_completion, make_pair_prompt
from tests.evaluation.benchmark_judges import make_benchmark, make_plan, make_row

SAMPLED = SamplingConfig(temperature=1.0, top_p=1.0, max_tokens=4096)
MAX_PIXELS = 10_000


@dataclass(frozen=True, kw_only=True, slots=True)
class Reply:
    """What a chat door returns."""

    text: str | None
    finish_reason: FinishReason | None = "stop"
    num_tokens: int | None = 7
    failure: str | None = None


class FakeEngines:
    """Answers vote ``v`` of every prompt with the text of ``v``."""

    def __init__(self, *, finish_reason: FinishReason = "stop") -> None:
        self._finish_reason: FinishReason = finish_reason
        self.orders: list[GenerationOrder] = []

    async def run(self, order: GenerationOrder) -> list[RolloutGroup]:
        self.orders.append(order)
        return [
            RolloutGroup(
                prompt=prompt,
                completions=tuple(self._completion(vote) for vote in range(order.num_completions)),
                prompt_token_ids=np.arange(3, dtype=np.int32),
            )
            for prompt in order.prompts
        ]

    def _completion(self, vote: int) -> Completion:
        return make_completion(f"vote {vote}", num_tokens=9, finish_reason=self._finish_reason)


class FakeChat:
    """Answers "1" after the others had a chance to start; fails for prompts that hold ``failing``."""

    def __init__(self, *, failing: str | None = None) -> None:
        self._failing = failing
        self.num_running = self.most_running = 0
        self.seeds: list[int] = []

    async def chat(self, messages: Sequence[ChatMessage], *, sampling: SamplingConfig, seed: int) -> Reply:
        self.num_running += 1
        self.most_running = max(self.most_running, self.num_running)
        self.seeds.append(seed)
        await asyncio.sleep(0)
        self.num_running -= 1
        if self._failing is not None and self._failing in str(messages):
            return Reply(text=None, finish_reason=None, num_tokens=None, failure="HTTP 503: overloaded")
        return Reply(text=make_choice(1))


def requests_of(num_pairs: int, *, num_votes: int) -> tuple[JudgeRequest, ...]:
    """Requests without pictures."""
    benchmark = make_benchmark([make_row(index) for index in range(num_pairs)])
    questions = plan_questions(benchmark, plan=make_plan(num_votes=num_votes))
    return plan_requests([without_pictures(question.prompt) for question in questions], num_votes=num_votes)


def without_pictures(prompt: Prompt) -> Prompt:
    text = prompt.messages[0].content[-1]
    return replace(prompt, messages=(Message(role="user", content=(text,)),))


def answers_of(answerer: Answerer, requests: Sequence[JudgeRequest]) -> list[Answer]:
    async def collected() -> list[Answer]:
        return [answer async for answer in answerer.answer(requests)]

    return asyncio.run(collected())


def engine_answerer(engines: FakeEngines, *, num_votes: int = 2, prompts_per_batch: int = 3) -> EngineAnswerer:
    return EngineAnswerer(engines, sampling=SAMPLED, num_votes=num_votes, seed=5, prompts_per_batch=prompts_per_batch)


def chat_answerer(chat: FakeChat, *, max_concurrent: int = 4) -> ChatAnswerer:
    writer = MessageWriter(max_pixels=MAX_PIXELS, video_as="pictures")
    return ChatAnswerer(chat, sampling=SAMPLED, seed=5, max_concurrent=max_concurrent, writer=writer)


def write(content: Sequence[str | Media], *, video_as: VideoAs = "pictures") -> list[dict[str, object]]:
    """The parts of one message."""
    prompt = replace(make_pair_prompt(), messages=(Message(role="user", content=tuple(content)),))
    (message,) = MessageWriter(max_pixels=MAX_PIXELS, video_as=video_as).write(prompt)
    parts = message["content"]
    assert message["role"] == "user"
    assert isinstance(parts, list)
    return parts


def opened(url: str) -> Image.Image:
    return Image.open(io.BytesIO(base64.b64decode(url.partition(",")[2])))


def picture(path: Path, *, size: tuple[int, int] = (64, 48), orientation: int | None = None) -> Media:
    exif = Image.Exif()
    if orientation is not None:
        exif[0x0112] = orientation
    Image.new("RGB", size, "red").save(path, exif=exif)
    return Media(kind="image", path=str(path))


def video(folder: Path) -> Media:
    frames = [picture(folder / f"{number}.png", size=(200, 100)).name for number in range(3)]
    return Media(kind="video", frames=tuple(frames), fps=2.0, max_pixels=5_000)


def test_engines_sample_all_votes_of_a_prompt_at_once() -> None:
    engines = FakeEngines()
    requests = requests_of(2, num_votes=2)
    answers = answers_of(engine_answerer(engines), requests)
    assert [answer.key for answer in answers] == [request.key for request in requests]
    assert [answer.text for answer in answers[:2]] == ["vote 0", "vote 1"]
    assert [(len(order.prompts), order.num_completions, order.seed) for order in engines.orders] == [
        (3, 2, 5),
        (1, 2, 5),
    ]


def test_a_missing_vote_is_the_same_one_when_its_prompt_is_sampled_again() -> None:
    *_, last = requests_of(1, num_votes=2)
    (answer,) = answers_of(engine_answerer(FakeEngines()), [last])
    assert (answer.key, answer.text, answer.num_tokens) == (last.key, "vote 1", 9)


def test_a_truncated_completion_is_an_answer_and_an_aborted_one_is_none() -> None:
    requests = requests_of(1, num_votes=2)[:1]
    (cut,) = answers_of(engine_answerer(FakeEngines(finish_reason="length")), requests)
    (aborted,) = answers_of(engine_answerer(FakeEngines(finish_reason="abort")), requests)
    assert cut.is_truncated
    assert (aborted.text, aborted.error) == (None, "aborted by the engine")


def test_a_chat_endpoint_is_asked_once_per_vote_with_seeds_of_their_own() -> None:
    chat, requests = FakeChat(), requests_of(2, num_votes=3)
    answers = answers_of(chat_answerer(chat), requests)
    assert {answer.key for answer in answers} == {request.key for request in requests}
    assert len(set(chat.seeds)) == len(requests)
    assert all(answer.num_tokens == 7 for answer in answers)


@pytest.mark.parametrize("max_concurrent", [1, 4])
def test_no_more_requests_are_under_way_than_allowed(max_concurrent: int) -> None:
    chat = FakeChat()
    answers_of(chat_answerer(chat, max_concurrent=max_concurrent), requests_of(4, num_votes=2))
    assert 1 <= chat.most_running <= max_concurrent


def test_a_failed_chat_request_is_an_answer_with_an_error() -> None:
    answers = answers_of(chat_answerer(FakeChat(failing="Response 1: a dog")), requests_of(2, num_votes=1))
    by_key = {answer.key: answer.error for answer in answers}
    assert by_key["vl_rewardbench/row-0#0/swapped/0"] == "HTTP 503: overloaded"
    assert by_key["vl_rewardbench/row-0#0/given/0"] is None


def test_messages_keep_text_and_pictures_in_reading_order(tmp_path: Path) -> None:
    parts = write(["before", picture(tmp_path / "a.png"), "after"])
    assert [part["type"] for part in parts] == ["text", "image_url", "text"]
    assert (parts[0]["text"], parts[2]["text"]) == ("before", "after")


def test_pictures_are_turned_upright_and_sent_without_loss(tmp_path: Path) -> None:
    (part,) = write([picture(tmp_path / "a.jpg", orientation=6)])
    sent = opened(str(part["image_url"]["url"]) if isinstance(part["image_url"], dict) else "")
    assert (sent.format, sent.size) == ("PNG", (48, 64))


def test_large_pictures_are_reduced_to_the_pixel_budget(tmp_path: Path) -> None:
    (part,) = write([picture(tmp_path / "a.png", size=(400, 100))])
    assert isinstance(part["image_url"], dict)
    width, height = opened(part["image_url"]["url"]).size
    assert width * height <= MAX_PIXELS
    assert width / height == pytest.approx(4, rel=0.05)


def test_a_video_is_one_picture_per_frame_within_its_own_budget(tmp_path: Path) -> None:
    parts = write([video(tmp_path)])
    assert [part["type"] for part in parts] == ["image_url"] * 3
    assert isinstance(parts[0]["image_url"], dict)
    assert opened(parts[0]["image_url"]["url"]).size == (100, 50)


def test_frames_of_a_video_share_its_total(tmp_path: Path) -> None:
    # Three frames, two of which count as one: each may have two thirds of it.
    parts = write([replace(video(tmp_path), total_pixels=3 * 800)])
    assert isinstance(parts[0]["image_url"], dict)
    width, height = opened(parts[0]["image_url"]["url"]).size
    assert 1500 < width * height <= 1600


def test_a_video_may_go_as_one_list_of_jpeg_frames(tmp_path: Path) -> None:
    (part,) = write([video(tmp_path)], video_as="video")
    assert isinstance(part["video_url"], dict)
    kind, *frames = part["video_url"]["url"].split(",")
    assert (kind, len(frames)) == ("data:video/jpeg;base64", 3)
    assert Image.open(io.BytesIO(base64.b64decode(frames[0]))).format == "JPEG"
