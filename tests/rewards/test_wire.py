"""The reward protocol: completions in queries, prompts as messages."""

import json

import pytest

from rewards.wire import canonical, message_of, query_of, response_of
from rollout.types import Media
from tests.builders import make_pair_prompt, make_prompt


@pytest.mark.parametrize(
    ("query", "response"),
    [
        ("<|im_start|>system\nS<|im_end|>\n<|im_start|>assistant\nA<|im_end|>\n", "A"),
        ("<|im_start|>assistant\nA<|im_start|>assistant\nB", "A<|im_start|>assistant\nB"),
        ("<|im_start|>assistant\nA<|im_end|><|endoftext|><|endoftext|>", "A"),
        ("<|im_start|>assistant\nA<｜end▁of▁sentence｜>", "A"),
        ("<|im_start|>user\nQ<|im_end|>\n<|im_start|>assistant\n<|im_end|>", ""),
        ("<|im_start|>user\nQ<|im_end|>\n<|im_start|>assistant\n", ""),
        (" A ", "A"),
        ("", ""),
    ],
)
def test_the_response_follows_the_first_mark_of_an_assistant(query: str, response: str) -> None:
    assert response_of(query) == response


@pytest.mark.parametrize("text", ["<think>a</think><answer>2</answer>", "<|im_start|>assistant\nodd", ""])
def test_a_completion_survives_the_way_there(text: str) -> None:
    assert response_of(query_of(text)) == text


def test_a_message_is_the_chat_of_a_row() -> None:
    prompt = make_prompt(media=Media(kind="image", path="/data/é.png"))
    assert json.loads(message_of(prompt)) == [
        {
            "role": "user",
            "content": [
                {"type": "image", "image": "/data/é.png"},
                {"type": "text", "text": "How good is this picture?"},
            ],
        }
    ]


def test_a_picture_made_on_the_fly_travels_along() -> None:
    message = message_of(make_prompt(media=Media(kind="image", data=b"\x89PNG")))
    assert '"data:image;base64,iVBORw=="' in message


def test_prompts_that_ask_the_same_have_the_same_message() -> None:
    assert message_of(make_pair_prompt("a/1", better=1)) == message_of(make_pair_prompt("b/2", better=2))


def test_a_message_is_known_in_every_spelling_of_its_json() -> None:
    message = message_of(make_prompt(media=Media(kind="image", path="/data/é.png")))
    chat = json.loads(message)
    turned = [{"content": turn["content"], "role": turn["role"]} for turn in chat]
    spellings = [message, json.dumps(chat, separators=(",", ":")), json.dumps(turned, indent=1)]
    assert len({canonical(spelling) for spelling in spellings}) == 1
    assert canonical(message.replace("é", "e")) != canonical(message)


def test_a_key_that_is_no_json_is_itself() -> None:
    assert canonical("message of a row") == "message of a row"
