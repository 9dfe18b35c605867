"""The reward protocol of R1-Reward and OpenRLHF: what a trainer posts, what a server replies.

    {"query": ["...<|im_start|>assistant\\n...</answer><|im_end|>"], "prompts": [MESSAGE]}  -->  {"rewards": [2.0]}

``query`` holds decoded sequences, special tokens included. ``prompts`` holds messages: the chat of a data set row as
JSON text, by which a server finds the row.
"""

import base64
import json

from pydantic import BaseModel, ConfigDict

from rollout.types import Media, Prompt

_ASSISTANT = "<|im_start|>assistant\n"
_END_TOKENS = ("<|im_end|>", "<|endoftext|>", "<｜end▁of▁sentence｜>")


class RewardRequest(BaseModel):
    """Completions to be rewarded, and the prompt of each. Other fields are let through unread."""

    model_config = ConfigDict(strict=True)
    query: list[str]
    prompts: list[str]


class RewardReply(BaseModel):
    """One reward per completion, in order; null for none."""

    model_config = ConfigDict(allow_inf_nan=False)
    rewards: list[float | None]


def query_of(text: str) -> str:
    """A completion as a query, without its prompt, which every server of this protocol cuts off."""
    return f"{_ASSISTANT}{text}{_END_TOKENS[0]}"


def response_of(query: str) -> str:
    """The completion in a query: what follows the first mark of an assistant's turn, or all of it without one.

    End and padding tokens and outer white space are removed. Nothing is left of an empty completion; the published
    server grades the question in its place.
    """
    before, mark, after = query.partition(_ASSISTANT)
    response = after if mark else before
    for token in _END_TOKENS:
        response = response.replace(token, "")
    return response.strip()


def message_of(prompt: Prompt) -> str:
    """A prompt as JSON text in the layout of R1-Reward's rows; a picture made on the fly becomes a data URI."""
    return json.dumps(
        [{"role": message.role, "content": [_part(part) for part in message.content]} for message in prompt.messages],
        ensure_ascii=False,
    )


def canonical(message: str) -> str:
    """The same for all spellings of one JSON text: spaces, escapes, order of keys. Other texts stay as they are."""
    try:
        return json.dumps(json.loads(message), ensure_ascii=False, sort_keys=True)
    except ValueError:
        return message


def _part(part: str | Media) -> dict[str, str]:
    if isinstance(part, str):
        return {"type": "text", "text": part}
    if part.data is None:
        return {"type": part.kind, part.kind: part.name}
    return {"type": part.kind, part.kind: f"data:{part.kind};base64,{base64.b64encode(part.data).decode()}"}
