"""The texts: to the byte where checkpoints were trained with them, versioned, and a user's own."""

import hashlib
from pathlib import Path
from typing import get_args

import pytest

from conf.data import WORDINGS_WITHOUT_THINKING, WordingName
from rollout.types import Media, Scale
from rollout.wordings import PromptText, look_up, shipped

ONE_TO_FIVE = Scale(minimum=1.0, maximum=5.0)
ZERO_TO_ONE = Scale(minimum=0.0, maximum=1.0)
PICTURE = Media(kind="image", path="a.png")
VIDEO = Media(kind="video", path="a.mp4", indices=(0, 1), fps=1.0)

QUALITY = (
    "You are doing the image quality assessment task. Here is the question: What is your overall rating on the quality"
    " of this picture? The rating should be a float between 1 and 5, rounded to two decimal places, with 1 representing"
    " very poor quality and 5 representing excellent quality."
)
THINKING = (
    " First output the thinking process in <think> </think> tags and then output the final answer with only one score"
    " in <answer> </answer> tags."
)
NO_THINKING = " Please only output the final answer with only one score in <answer> </answer> tags."
AESTHETICS = (
    "\nYou are an aesthetic expert. What is your overall rating on the aesthetic of this picture ",
    " ? The rating should be a float between 1 and 5, rounded to two decimal places, with 1 representing very poor"
    " quality and 5 representing excellent quality. Your task:\n1. Think through the question, put all your thinking or"
    " reasoning process in only one pair <think>...</think> tags.\n2. Then provide the correct rating inside only one"
    " pair of <answer>...</answer> tags.\n3. No any other information or text outside of these tags. \n\nE.g. your"
    " response should be:\n<think>...</think><answer>...</answer>\n\n",
)
REFINE_THINKING = (
    'Answer the question: "What is your overall rating on the quality of this {0}? The rating should be a float between'
    " 1 and 5, rounded to two decimal places, with 1 representing very poor quality and 5 representing excellent"
    ' quality." according to the content of the {1}. Firstly, give a through thinking on this  and then output your'
    " thought and analysis process within the <think> </think> tags and provide your score within the <answer>"
    " </answer> tags (formatted as Score: b). The final output should be with the following format:\n\n"
    "<think>Your think</think><answer>Score: {2}</answer>"
)
NO_AUDIO = (
    " according to the content of this video. Please note that there is no audio and the audio quality of the videos"
    " should not be considered. Directly give your score within the <answer> </answer> tags"
)

VERSIONS = {
    "aes_r1": (1, "4cde2d324fa0"),
    "aes_r1_inline": (1, "834a3389328b"),
    "description": (1, "80fd0b4856de"),
    "quality": (1, "e97fec47e32a"),
    "quality_no_thinking": (1, "e731949c18b2"),
    "refine_iqa": (1, "942b3a477f21"),
    "refine_iqa_no_thinking": (1, "0da14bc83750"),
    "refine_iqa_no_thinking_published": (1, "3f81ccd0090f"),
    "refine_iqa_published": (1, "ab77fff32292"),
    "visualquality_r1": (1, "6f28466454d1"),
    "visualquality_r1_no_thinking": (1, "5becee6fcb05"),
}
"""Version and digest of every text. One that changes gets a new version: completions of two versions do not compare."""


def shown(wording: str, media: Media, *, scale: Scale = ONE_TO_FIVE) -> tuple[str | Media, ...]:
    message = look_up(wording).message(media, scale=scale)
    assert message.role == "user"
    return message.content


def digest(one: PromptText) -> str:
    said = f"{one.media_position}{one.answer}{sorted(one.questions.items())}{sorted(one.texts.items())}"
    return hashlib.sha256(said.encode()).hexdigest()[:12]


def test_a_changed_text_has_a_new_version() -> None:
    assert {name: (one.version, digest(one)) for name, one in shipped().items()} == VERSIONS


def test_the_schema_and_the_texts_name_the_same_wordings() -> None:
    assert {name for name, one in shipped().items() if one.asks_for == "score"} == set(get_args(WordingName))


def test_the_schema_and_the_texts_agree_on_who_asks_for_thinking() -> None:
    assert {name for name, one in shipped().items() if one.answer and not one.wants_thinking} == set(
        WORDINGS_WITHOUT_THINKING
    )


@pytest.mark.parametrize("name", get_args(WordingName))
def test_a_text_mentions_the_tags_it_wants(name: str) -> None:
    one = look_up(name)
    for kind in one.texts:
        text = one.text(kind, scale=ONE_TO_FIVE)
        assert ("<think>" in text, "<answer>" in text) == (one.wants_thinking, True)


@pytest.mark.parametrize(
    ("wording", "suffix"), [("visualquality_r1", THINKING), ("visualquality_r1_no_thinking", NO_THINKING)]
)
def test_visualquality_r1_is_shown_the_picture_and_then_asked_in_its_own_words(wording: str, suffix: str) -> None:
    assert shown(wording, PICTURE) == (PICTURE, QUALITY + suffix)


def test_aes_r1_is_shown_the_picture_first_and_a_gap_in_its_place() -> None:
    before, after = AESTHETICS
    assert shown("aes_r1", PICTURE) == (PICTURE, before + after)
    assert "of this picture  ? The" in before + after


def test_aes_r1_inline_is_shown_the_picture_where_the_sentence_names_it() -> None:
    before, after = AESTHETICS
    assert shown("aes_r1_inline", PICTURE) == (before, PICTURE, after)


def test_aes_r1_on_its_own_scale_has_the_sentence_of_the_paper() -> None:
    text = look_up("aes_r1").text("image", scale=ZERO_TO_ONE)
    assert (
        "picture <image> ? The rating should be a float between 0 and 1, rounded to two decimal places, with 0"
        " representing very poor quality and 1 representing excellent quality. Your task:"
    ) in text


@pytest.mark.parametrize(
    ("wording", "media", "words"),
    [
        ("refine_iqa", PICTURE, ("picture", "image", "b")),
        ("refine_iqa", VIDEO, ("video", "video", "b")),
        ("refine_iqa_published", PICTURE, ("picture", "image", "Your score")),
        ("refine_iqa_published", VIDEO, ("video", "image", "Your score")),
    ],
)
def test_refine_iqa_is_asked_first_and_shown_the_medium_last(
    wording: str, media: Media, words: tuple[str, str, str]
) -> None:
    assert shown(wording, media) == (REFINE_THINKING.format(*words), media)


@pytest.mark.parametrize("media", [PICTURE, VIDEO])
def test_the_published_no_think_text_speaks_of_a_video_whatever_is_shown(media: Media) -> None:
    text = look_up("refine_iqa_no_thinking_published").text(media.kind, scale=ONE_TO_FIVE)
    assert NO_AUDIO in text
    assert text.endswith("<answer>Score:Your score</answer>")


def test_ours_speaks_of_sound_to_videos_only() -> None:
    one = look_up("refine_iqa_no_thinking")
    assert NO_AUDIO in one.text("video", scale=ONE_TO_FIVE)
    assert "audio" not in one.text("image", scale=ONE_TO_FIVE)


@pytest.mark.parametrize("name", [name for name in get_args(WordingName) if not name.endswith("_published")])
def test_a_text_about_images_never_says_video_nor_one_about_videos_image(name: str) -> None:
    one = look_up(name)
    others = {"image": ("video", "audio"), "video": ("image", "picture")}
    for kind in one.texts:
        bare = one.text(kind, scale=ONE_TO_FIVE).replace("<image>", "").lower()
        assert not [word for word in others[kind] if word in bare]


def test_the_declared_scale_fills_in_the_numbers() -> None:
    text = look_up("visualquality_r1").text("image", scale=Scale(minimum=0.5, maximum=100.0))
    assert "between 0.5 and 100, rounded" in text
    assert "with 0.5 representing very poor quality and 100 representing" in text


def test_an_image_wording_refuses_a_video_and_names_those_that_take_one() -> None:
    with pytest.raises(ValueError, match=r"visualquality_r1 asks about an image, not about a video; .*quality.* do"):
        shown("visualquality_r1", VIDEO)


def test_a_target_has_the_form_the_text_asks_for() -> None:
    targets = {name: look_up(name).target(thought="Sharp.", score=3.5) for name in get_args(WordingName)}
    assert targets["visualquality_r1"] == "<think>Sharp.</think><answer>3.50</answer>"
    assert targets["refine_iqa"] == "<think>Sharp.</think><answer>Score: 3.50</answer>"
    assert targets["refine_iqa_no_thinking"] == "<answer>Score:3.50</answer>"


def test_a_row_may_hold_the_question_or_all_of_the_text() -> None:
    assert set(look_up("visualquality_r1").in_rows(scale=ONE_TO_FIVE)) == {QUALITY, QUALITY + THINKING}
    assert set(look_up("aes_r1").in_rows(scale=ONE_TO_FIVE)) == {"".join(AESTHETICS).strip()}


def test_an_unknown_wording_is_refused_with_the_nearest() -> None:
    with pytest.raises(ValueError, match=r"'visualquality' is unknown; did you mean visualquality_r1\?; known: aes_r1"):
        look_up("visualquality")


def own(folder: Path, text: str) -> str:
    path = folder / "mine.txt"
    path.write_bytes(text.encode())
    return str(path)


def test_a_text_of_ones_own_is_asked_to_the_byte_with_the_numbers_filled_in(tmp_path: Path) -> None:
    path = own(tmp_path, "Grade it, {minimum} to {maximum}: {x}\r\n in <answer>.\n")
    assert shown(path, PICTURE) == (PICTURE, "Grade it, 1 to 5: {x}\r\n in <answer>.")
    assert shown(path, VIDEO) == (VIDEO, "Grade it, 1 to 5: {x}\r\n in <answer>.")


def test_a_text_of_ones_own_may_say_where_the_medium_goes(tmp_path: Path) -> None:
    path = own(tmp_path, "Look: <image>\nGrade it in <answer>.")
    assert shown(path, PICTURE) == ("Look: ", PICTURE, "\nGrade it in <answer>.")


@pytest.mark.parametrize(("text", "thinks"), [("In <answer>.", False), ("<think>, then <answer>.", True)])
def test_a_text_of_ones_own_wants_thinking_when_it_mentions_the_tag(text: str, *, thinks: bool, tmp_path: Path) -> None:
    one = look_up(own(tmp_path, text))
    assert one.wants_thinking is thinks
    assert one.target(thought="x", score=2) == ("<think>x</think>" if thinks else "") + "<answer>2.00</answer>"


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("How good is it?", "never mentions <answer> </answer>"),
        ("<image> or <image>? In <answer>.", "holds <image> 2 times"),
    ],
)
def test_a_text_that_cannot_be_asked_is_refused(text: str, complaint: str, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=complaint):
        look_up(own(tmp_path, text))


def test_a_missing_or_undecodable_text_is_refused_with_its_name(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"gone\.txt: cannot be read: No such file"):
        look_up(str(tmp_path / "gone.txt"))
    (tmp_path / "latin.txt").write_bytes(b"<answer> \xe9")
    with pytest.raises(ValueError, match=r"latin\.txt: not UTF-8: .* at byte 9"):
        look_up(str(tmp_path / "latin.txt"))


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        ({"answer": "<answer></answer>"}, "must hold {score}"),
        ({"texts": {"image": "{question} <answer>"}}, "must hold {question} where questions.image is given"),
        ({"media_position": "marker"}, "texts.image must hold <image> once"),
        ({"colour": "red"}, "Extra inputs"),
    ],
)
def test_a_text_that_contradicts_itself_is_refused(change: dict[str, object], complaint: str) -> None:
    good = {"name": "x", "version": 1, "asks_for": "score", "wants_thinking": False, "media_position": "first"}
    good |= {"answer": "<answer>{score}</answer>", "texts": {"image": "In <answer>."}}
    PromptText.model_validate(good)
    with pytest.raises(ValueError, match=complaint):
        PromptText.model_validate(good | change)
