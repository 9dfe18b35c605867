"""Checklist rewards over real HTTP: numbers, dimensions, what has none, what is refused."""

import base64
import json
from collections.abc import Sequence
from pathlib import Path

import pytest

from rewards.checklist.answers import NO, YES, Answer
from rewards.checklist.scoring import score_answers
from rewards.checklist.server import Judged, ShownItem, checklist_reward_app, dimension_shares
from rewards.checklist.weights import Weights
from tests.rewards.checklists import make_checklist
from tests.rewards.serving import serving
from tests.rewards.test_server import Server

SMALL = make_checklist({"a": {"x": 1, "y": 1}, "b": {"z": 2}}, gates={"gate": ("a.y.1",)})
WEIGHTS = Weights(by_id={"a.x.1": 1.0, "a.y.1": 3.0, "b.z.1": 2.0, "b.z.2": 2.0})


def judged(letters: str) -> Judged:
    """Answers to the gate and the four questions; "?" is neither word."""
    words = {"Y": YES, "N": NO, "?": Answer(status="unknown")}
    answers = {one.id: words[letter] for one, letter in zip(SMALL.asked, letters, strict=True)}
    return score_answers(answers, checklist=SMALL, weights=WEIGHTS)


class Reader:
    """Judges an item by the letters in its file, and remembers prompts."""

    def __init__(self) -> None:
        self.prompts: list[str | None] = []

    async def __call__(self, items: Sequence[ShownItem]) -> list[Judged]:
        self.prompts += [one.prompt for one in items]
        texts = [Path(one.path).read_text() for one in items]
        return ["unreadable_image: torn" if text == "torn" else judged(text) for text in texts]


def post(body: object) -> tuple[int, object]:
    with serving(checklist_reward_app(Reader(), checklist=SMALL, scale="share")) as url:
        return Server(url).post(body, path="/score")


def encoded(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


def test_rewards_and_dimensions_come_in_the_order_of_the_items(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_text("YYNYN")
    items = [{"path": str(tmp_path / "a.png"), "prompt": "a cat"}, {"data": encoded("NYYYY")}]
    reader = Reader()
    with serving(checklist_reward_app(reader, checklist=SMALL, scale="share")) as url:
        status, reply = Server(url).post({"items": items}, path="/score")
        assert Server(url).get("/health") == (200, {"checklist": "small", "questions": 5})
    assert status == 200
    # 1 + 2 of 8; with the gate closed all 5 that are open.
    assert reply == {
        "rewards": [0.375, 1.0],
        "dimensions": [{"a": 0.25, "b": 0.5}, {"a": 1.0, "b": 1.0}],
        "errors": [None, None],
    }
    assert reader.prompts == ["a cat", None]


def test_what_cannot_be_scored_is_null_and_says_why() -> None:
    items = [{"data": encoded(text)} for text in ("torn", "YY?YY", "YYYYY")]
    status, reply = post({"items": items})
    assert status == 200
    assert reply == {
        "rewards": [None, None, 1.0],
        "dimensions": [None, {"a": None, "b": 1.0}, {"a": 1.0, "b": 1.0}],
        "errors": ["unreadable_image: torn", "1 answers are neither yes nor no, or failed", None],
    }


@pytest.mark.parametrize(
    ("body", "problem"),
    [
        ({"items": []}, "at least 1 item"),
        ({"items": [{}]}, "expected either path or data"),
        ({"items": [{"path": "a.png", "data": ""}]}, "expected either path or data"),
        ({"items": [{"data": "no base64!"}]}, "items[0].data: expected base64"),
        ({"items": [{"path": "nowhere/a.png"}]}, "nowhere/a.png: no such file where the server runs"),
        ({"items": [{"path": "a.png", "promt": "x"}]}, "promt"),
    ],
)
def test_what_cannot_be_read_is_refused(body: object, problem: str) -> None:
    status, reply = post(body)
    assert status == 422
    assert problem in json.dumps(reply)


def test_a_dimension_that_is_closed_whole_has_no_share() -> None:
    closed = make_checklist({"a": {"x": 1}, "b": {"z": 1}}, gates={"gate": ("a.x.1",)})
    answers = {"gate": NO, "b.z.1": Answer(status="ok", p_yes=0.25)}
    score = score_answers(answers, checklist=closed, weights=Weights(by_id={"a.x.1": 1.0, "b.z.1": 2.0}))
    assert dimension_shares(score) == {"a": None, "b": 0.25}
