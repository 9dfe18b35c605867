"""Answers through engines and chat endpoints: what is asked, how it is read, what becomes of failures."""

import asyncio
import math
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from conf.data import FrameRule, VideoConfig
from evaluation.checklist.askers import EngineAsker, read_outcome
from evaluation.checklist.asking import AnswerWriter, ChecklistQuestioner
from evaluation.checklist.rows import AnswerRow, item_of
from evaluation.scoring.items import Item
from judge_client.chat import ChatOutcome
from judge_client.schemas import SampledToken, TokenLogprob
from rewards.checklist.answers import SPELLINGS, Answer, yes_or_no
from rollout.types import Failure, Media, Prompt
from rollout.worker_types import FirstTokens, QuestionOrder
from tests.evaluation.scoring_judges import VIDEO
from tests.rewards.checklists import make_checklist
from tests.videos import write_video

SMALL = make_checklist({"a": {"x": 2}}, gates={"cat": ("a.x.1",)})
Shares = Mapping[str, float]


class ScriptedEngines:
    """Answers each question with probabilities of spellings; remembers what was asked of it."""

    def __init__(self, answer: Callable[[Prompt], Shares | Failure]) -> None:
        self._answer = answer
        self.orders: list[QuestionOrder] = []

    async def first_tokens(self, order: QuestionOrder) -> list[FirstTokens]:
        self.orders.append(order)
        return [self._first_tokens(prompts) for prompts in order.items]

    def _first_tokens(self, prompts: tuple[Prompt, ...]) -> FirstTokens:
        answers = [self._answer(prompt) for prompt in prompts]
        failure = next((one for one in answers if isinstance(one, Failure)), None)
        if failure is not None:
            return FirstTokens(failure=failure)
        return FirstTokens(
            logprobs=tuple(
                {word: math.log(share) for word, share in one.items()}
                for one in answers
                if not isinstance(one, Failure)
            ),
            num_tokens=30 * len(prompts),
            num_computed_tokens=30 + 5 * (len(prompts) - 1),
        )


def ask(
    engines: ScriptedEngines,
    *items: Item,
    window: int = 2,
    min_mass: float = 0.0,
    prompt: str | None = None,
    video: VideoConfig = VIDEO,
    frames: FrameRule = "spread",
) -> list[AnswerRow]:
    questioner = ChecklistQuestioner(
        checklist=SMALL, wording="[[question]] Say.", prompt=prompt, video=video, frames=frames
    )
    writer = AnswerWriter(questioner=questioner, model="judge")
    asker = EngineAsker(engines, writer=writer, min_mass=min_mass, window=window)

    async def collect() -> list[AnswerRow]:
        return [row async for rows in asker.score(items) for row in rows]

    return asyncio.run(collect())


def item(name: str) -> Item:
    return Item(item_id=name, path=f"{name}.png")


def test_every_question_comes_behind_the_media_and_items_stay_together() -> None:
    engines = ScriptedEngines(lambda prompt: {"yes": 1.0})
    rows = ask(engines, item("a"), item("b"), item("c"))
    assert [row.id for row in rows] == ["a", "b", "c"]
    assert [len(order.items) for order in engines.orders] == [2, 1]
    first = engines.orders[0].items[0]
    assert [one.messages[0].content for one in first] == [
        (Media(kind="image", path="a.png"), f"{question} Say.")
        for question in ("Is there cat?", "Is x of grade 1?", "Is x of grade 2?")
    ]
    assert len({one.prompt_id for prompts in engines.orders[0].items for one in prompts}) == 6


def test_the_likelier_word_is_the_answer_whatever_else_was_likelier() -> None:
    (row,) = ask(ScriptedEngines(lambda prompt: {"yes": 0.001, " Yes": 0.002, "no": 0.001}), item("a"))
    assert row.answers == {one.id: pytest.approx(0.75) for one in SMALL.asked}
    assert row.mass == {one.id: pytest.approx(0.004) for one in SMALL.asked}
    assert (row.num_tokens, row.num_computed_tokens) == (90, 40)


def test_less_than_the_least_mass_is_unknown_and_read_back_as_that() -> None:
    (row,) = ask(ScriptedEngines(lambda prompt: {"yes": 0.3, "no": 0.1}), item("a"), min_mass=0.5)
    assert {one.status for one in item_of(row).answers.values()} == {"unknown"}
    assert row.status == "ok"


def test_what_cannot_be_asked_about_has_a_row_among_the_others(tmp_path: Path) -> None:
    def answer(prompt: Prompt) -> Shares | Failure:
        return Failure(kind="unreadable_media", detail="torn") if prompt.content_id == "b.png" else {"no": 1.0}

    gone = Item(item_id="gone", path=str(tmp_path / "gone.mp4"))
    engines = ScriptedEngines(answer)
    rows = ask(engines, item("a"), item("b"), gone, window=3)
    assert [(row.id, row.status) for row in rows] == [
        ("a", "ok"), ("b", "unreadable_image"), ("gone", "unreadable_video"),
    ]  # fmt: skip
    assert (rows[1].error, dict(rows[1].answers)) == ("torn", {})
    # A video that cannot be read never reaches the engines.
    assert [len(order.items) for order in engines.orders] == [2]


def test_a_row_says_that_the_end_of_its_video_was_not_shown(tmp_path: Path) -> None:
    path = str(write_video(tmp_path / "clip.mp4", num_frames=12, rate=2))
    clip, engines = Item(item_id="clip", path=path), ScriptedEngines(lambda prompt: {"yes": 1.0})
    four = VIDEO.model_copy(update={"fps": 1.0, "max_frames": 4})
    assert [row.cut for row in ask(engines, clip, item("a"), video=four, frames="clock")] == [True, False]
    assert [row.cut for row in ask(engines, clip, video=four)] == [False]


def test_every_spelling_is_one_of_the_two_words() -> None:
    assert [yes_or_no(one) for one in SPELLINGS].count(True) == [yes_or_no(one) for one in SPELLINGS].count(False) == 6
    assert len(set(SPELLINGS)) == 12


def outcome(text: str | None, shares: Shares | None = None) -> ChatOutcome:
    likely = [TokenLogprob(token=token, logprob=math.log(share)) for token, share in (shares or {}).items()]
    tokens = (SampledToken(token=likely[0].token, logprob=likely[0].logprob, top_logprobs=likely),) if likely else ()
    return ChatOutcome(
        text=text,
        finish_reason="length" if text is not None else None,
        num_prompt_tokens=1,
        num_tokens=1,
        failure=None if text is not None else "HTTP 500",
        tokens=tokens,
    )


@pytest.mark.parametrize(
    ("reply", "status", "p_yes"),
    [
        (outcome("Yes", {"Yes": 0.6, "no": 0.2, "I": 0.2}), "ok", 0.75),
        (outcome("I", {"I": 0.9, "no": 0.03, "No": 0.03, "yes": 0.02}), "ok", 0.25),
        (outcome("Yes"), "ok", 1.0),
        (outcome("Yes", {"Y": 0.6, "n": 0.4}), "ok", 1.0),
        (outcome("Well", {"Well": 0.9, "But": 0.1}), "unknown", None),
        (outcome(""), "unknown", None),
        (outcome(None), "failed", None),
    ],
)
def test_a_server_is_read_softly_where_it_names_one_of_the_words(
    reply: ChatOutcome, status: str, p_yes: float | None
) -> None:
    answer: Answer = read_outcome(reply, min_mass=0.0)
    assert answer.status == status
    assert answer.p_yes == (None if p_yes is None else pytest.approx(p_yes))
