"""Rows of both formats: what they become, and what is said about those that are none."""

import base64
import json
from collections.abc import Mapping

import pytest

from rollout.datasets.pair_rows import MediaSource, PairRow, read_plain, read_r1_reward
from rollout.datasets.problems import RowError

PLAIN = {"id": "7", "question": "What is it?", "responses": ["A cat.", "A dog."], "better": 2, "image": "a.png"}
TEXT = (
    "You compare two answers.\n\n###### [Question]:\nWhat is it?  \n\n###### [Response 1]:\nA cat.  \n\n"
    "###### [Response 2]:\nA dog.  \n\n###### **Output Format (strictly follow):**  \n<think>...</think>"
)
PICTURE = {"type": "image", "image": "/pictures/a.jpg"}


def _message(*parts: object) -> str:
    return json.dumps([{"role": "user", "content": list(parts)}])


def _text_part(text: str = TEXT) -> dict[str, str]:
    return {"type": "text", "text": text}


R1 = {"message": _message(_text_part(), PICTURE), "question": "What is it?", "answer": ["<answer>2</answer>"]}


def _plain(**changes: object) -> PairRow:
    return read_plain({**PLAIN, **changes}, "rows:1")


def _r1(**changes: object) -> PairRow:
    return read_r1_reward({**R1, **changes}, "rows:1")


def _complaint(fields: Mapping[str, object], *, is_plain: bool = True) -> str:
    with pytest.raises(RowError) as caught:
        (read_plain if is_plain else read_r1_reward)(fields, "rows:1")
    return f"{caught.value.kind} | {caught.value.what}"


def test_a_plain_row_is_read() -> None:
    assert _plain(source="pets") == PairRow(
        where="rows:1",
        row_id="7",
        source="pets",
        question="What is it?",
        responses=("A cat.", "A dog."),
        better=2,
        media=(MediaSource(kind="image", names=("a.png",)),),
    )


def test_a_plain_row_may_show_several_pictures() -> None:
    row = _plain(image=None, images=["a.png", "b.png"])
    assert [source.names for source in row.media] == [("a.png",), ("b.png",)]


@pytest.mark.parametrize(("video", "names"), [("clip.mp4", ("clip.mp4",)), (["1.png", "2.png"], ("1.png", "2.png"))])
def test_a_plain_row_may_show_a_video(video: object, names: tuple[str, ...]) -> None:
    assert _plain(image=None, video=video).media == (MediaSource(kind="video", names=names),)


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        ({"better": 3}, "field | better: Input should be 1 or 2"),
        ({"better": "1"}, "field | better: Input should be 1 or 2"),
        ({"better": None}, "field | better: Input should be 1 or 2"),
        ({"responses": ["A cat."]}, "field | responses: List should have at least 2 items after validation, not 1"),
        ({"responses": ["A cat.", ""]}, "field | responses.1: String should have at least 1 character"),
        ({"responses": ["A cat.", "A cat."]}, "responses | both answers are the same text"),
        ({"image": None}, "field | expected exactly one of images, image and video"),
        ({"video": "a.mp4"}, "field | expected exactly one of images, image and video"),
        ({"image": None, "images": []}, "field | images: List should have at least 1 item after validation, not 0"),
        ({"image": None, "video": ["a", 2]}, "field | video.1: Input should be a valid string"),
        ({"id": None}, "field | id: Input should be a valid string"),
        ({"source": ""}, "field | source: String should have at least 1 character"),
        ({"chosen": 1}, "field | chosen: Extra inputs are not permitted"),
        (
            {"question": "<image>\nWhat is it?"},
            "field | question: holds <image>; leave it out, the fields of the row place what is shown",
        ),
    ],
)
def test_a_bad_plain_row_is_named_by_field(change: Mapping[str, object], complaint: str) -> None:
    assert _complaint({**PLAIN, **change}) == complaint


def test_a_plain_row_without_a_field_is_refused() -> None:
    fields = {name: value for name, value in PLAIN.items() if name != "better"}
    assert _complaint(fields) == "field | better: Field required"


def test_a_published_row_keeps_text_and_picture_in_their_order() -> None:
    row = _r1()
    assert row.turns[0].content == (TEXT, MediaSource(kind="image", names=("/pictures/a.jpg",)))
    assert (row.better, row.question) == (2, "What is it?")


def test_the_two_answers_of_a_published_row_are_found() -> None:
    assert _r1().responses == ("A cat.", "A dog.")


def test_a_published_row_can_be_turned_round_and_back() -> None:
    row = _r1()
    text, picture = row.swapped_turns[0].content
    assert picture == row.turns[0].content[1]
    swapped = _r1(message=_message(_text_part(str(text)), PICTURE))
    assert swapped.responses == ("A dog.", "A cat.")
    assert swapped.swapped_turns == row.turns


def test_answers_that_end_the_message_are_found() -> None:
    text = TEXT.partition("###### **Output")[0]
    assert _r1(message=_message(_text_part(text), PICTURE)).responses == ("A cat.", "A dog.")


@pytest.mark.parametrize(
    "text",
    [
        "Is a cat or a dog the better answer?",
        TEXT.replace("[Response 2]", "Response 2"),
        TEXT.replace("A cat.", "A cat, unlike [Response 2]."),
        TEXT.replace("A cat.", ""),
        TEXT.replace("A dog.", ""),
    ],
)
def test_answers_that_cannot_be_told_for_certain_are_unknown(text: str) -> None:
    row = _r1(message=_message(_text_part(text), PICTURE))
    assert (row.responses, row.swapped_turns) == (None, ())


def test_a_published_row_is_named_by_what_it_says() -> None:
    assert _r1().row_id == _r1().row_id
    assert _r1().row_id != _r1(message=_message(PICTURE, _text_part())).row_id


def test_several_turns_and_a_video_are_read() -> None:
    turns = [
        {"role": "system", "content": "You judge."},
        {"role": "user", "content": [{"type": "video", "video": ["1.jpg", "2.jpg"]}, _text_part()]},
    ]
    row = _r1(message=json.dumps(turns))
    assert [turn.role for turn in row.turns] == ["system", "user"]
    assert row.media == (MediaSource(kind="video", names=("1.jpg", "2.jpg")),)


def test_a_picture_in_a_column_takes_the_place_of_the_one_in_the_message() -> None:
    assert _r1(image="b.png").media == (MediaSource(kind="image", names=("b.png",)),)


def test_a_column_may_hold_the_picture_itself() -> None:
    encoded = base64.b64encode(b"picture").decode()
    as_base64, as_bytes = _r1(image=encoded), _r1(image={"bytes": b"picture", "path": "a.png"})
    assert as_base64.media == as_bytes.media == (MediaSource(kind="image", data=b"picture"),)


@pytest.mark.parametrize("answer", ["<answer>1</answer>", " <answer> 1 </answer>\n", "1"])
def test_an_answer_may_have_tags(answer: str) -> None:
    assert _r1(answer=[answer]).better == 1


@pytest.mark.parametrize(
    "answer", [[], ["1", "2"], ["<answer>3</answer>"], ["1 or 2"], ["<answer>1</answer><answer>2</answer>"], [""]]
)
def test_an_answer_that_is_no_single_choice_is_refused(answer: list[str]) -> None:
    expected = f"answer | answer: expected a list of one text such as <answer>2</answer>, got {answer!r}"
    assert _complaint({**R1, "answer": answer}, is_plain=False) == expected


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        ({"message": [{"role": "user"}]}, "field | message: expected a string that holds JSON, got list"),
        ({"message": "[]"}, "field | message: List should have at least 1 item after validation, not 0"),
        ({"message": _message(_text_part())}, "field | message: no picture and no video in it"),
        ({"message": _message({"type": "image"})}, "field | message: a picture without a name, and no column image"),
        (
            {"message": _message({"type": "sound"})},
            "field | message: 0.content.0: Input tag 'sound' found using 'type'",
        ),
        (
            {"message": _message({**PICTURE, "detail": "low"})},
            "field | message: 0.content.0.image.detail: Extra inputs",
        ),
        ({"message": "{"}, "field | message: not a JSON object: Invalid JSON"),
        ({"answer": "<answer>2</answer>"}, "field | answer: Input should be a valid list"),
        ({"answer": [2]}, "field | answer.0: Input should be a valid string"),
        ({"image": "no base64!"}, "field | image: neither a file name nor base64: 'no base64!'"),
        ({"message": _message(PICTURE, PICTURE), "image": "b.png"}, "field | image: one picture for a message that pl"),
        ({"chosen": 1}, "field | chosen: Extra inputs are not permitted"),
        (
            {"message": _message(_text_part(TEXT.replace("A dog.", "A cat.")), PICTURE)},
            "responses | both answers are the same text",
        ),
    ],
)
def test_a_bad_published_row_is_named_by_field(change: Mapping[str, object], complaint: str) -> None:
    assert _complaint({**R1, **change}, is_plain=False).startswith(complaint)
