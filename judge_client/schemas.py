"""The parts of the OpenAI chat protocol that are read: replies here, requests in the rule server. Pydantic only.

Servers add fields of their own to what they send, so unknown ones are let through.
"""

from typing import Any, Literal

from pydantic import BaseModel, Field


class ReplyMessage(BaseModel):
    """The message of a choice."""

    content: str | None = None
    """Null when the model declined, or when all it did was reason."""
    refusal: str | None = None


class TokenLogprob(BaseModel):
    """One token and how likely it was."""

    token: str
    logprob: float
    """In nats."""
    bytes: list[int] | None = None
    """Where a token is a part of a character, its text does not tell."""


class SampledToken(TokenLogprob):
    """One token of a reply, and the likeliest in its place."""

    top_logprobs: list[TokenLogprob] = []


class ReplyLogprobs(BaseModel):
    """The tokens of a reply, where they were asked for."""

    content: list[SampledToken] | None = None


class ReplyChoice(BaseModel):
    """One of the replies; exactly one is asked for."""

    message: ReplyMessage
    finish_reason: str | None = None
    logprobs: ReplyLogprobs | None = None


class Usage(BaseModel):
    """Tokens as the server counts them."""

    prompt_tokens: int = 0
    completion_tokens: int = 0


class ChatReply(BaseModel):
    """Body of ``POST chat/completions``."""

    choices: list[ReplyChoice] = Field(min_length=1)
    usage: Usage | None = None


class ListedModel(BaseModel):
    """One line of the list of models."""

    id: str


class ModelList(BaseModel):
    """Body of ``GET models``."""

    data: list[ListedModel]


class TextPart(BaseModel):
    """A text among the parts of a message."""

    type: Literal["text"]
    text: str


class ChatMessage(BaseModel):
    """One turn of a request."""

    role: Literal["system", "developer", "user", "assistant"]
    content: str | list[TextPart]

    @property
    def text(self) -> str:
        """The content as one text."""
        return self.content if isinstance(self.content, str) else "".join(part.text for part in self.content)


class JsonSchema(BaseModel):
    """The schema a reply must follow."""

    name: str
    body: dict[str, Any] = Field(alias="schema")


class ResponseFormat(BaseModel):
    """How the reply is to be written."""

    type: Literal["text", "json_object", "json_schema"]
    json_schema: JsonSchema | None = None


class ChatBody(BaseModel):
    """Body of ``POST chat/completions`` as the rule server reads it."""

    model: str
    messages: list[ChatMessage] = Field(min_length=1)
    response_format: ResponseFormat | None = None
    seed: int | None = None

    @property
    def wants_json(self) -> bool:
        """Whether the reply is to be JSON."""
        return self.response_format is not None and self.response_format.type != "text"
