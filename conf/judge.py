"""The consistency judge: who is asked, how, and what to do when no answer comes."""

from typing import Annotated, Literal, Self
from urllib.parse import urlsplit

from pydantic import Field, field_validator, model_validator

from conf.base import Section


class JudgeClientConfig(Section):
    """How questions are put to a judge, whoever runs it."""

    template: Literal["released", "arbiter"]
    """Wording of the consistency question. released: what R1-Reward shows its judge, the last three lines before the
    answer and the answer; arbiter: the question, the whole reasoning and the answer."""
    structured: Literal["auto", "always", "never"]
    """Ask for the verdict as JSON by a schema. auto: where the start-up check finds that the server can."""
    temperature: float = Field(ge=0, le=2)
    """Sampling temperature of the judge."""
    max_tokens: int = Field(ge=1)
    """Longest reply in tokens; a judge that reasons before its verdict needs hundreds."""
    timeout_s: float = Field(gt=0)
    """Longest wait for one reply, in seconds; also how long a server that keeps failing is left alone."""
    max_attempts: int = Field(ge=1, le=10)
    """Requests per verdict, the first included; failures that may pass are tried again, on another server if any."""
    max_concurrent: int = Field(ge=1)
    """Requests under way at a time, over all servers."""
    requests_per_second: float | None = Field(gt=0)
    """Requests are spaced to this rate, over all servers; null: no limit."""
    num_votes: int = Field(ge=1)
    """Verdicts per question; the majority counts, and a tie abstains."""
    cache: bool
    """Keep verdicts in the run folder, so that an equal question is asked once, also after a restart."""
    breaker_failures: int = Field(ge=1)
    """Failures in a row after which a server is left alone for ``timeout_s``; then one request probes it."""
    max_consecutive_abstentions: int | None = Field(ge=1)
    """Questions in a row without a verdict after which the run stops; null: never."""

    @model_validator(mode="after")
    def _votes_can_differ(self) -> Self:
        if self.num_votes > 1 and self.temperature == 0:
            raise ValueError(
                f"num_votes={self.num_votes} asks for the same reply {self.num_votes} times at temperature=0; "
                "set temperature above 0, or num_votes=1"
            )
        return self


class RuleServerJudgeConfig(JudgeClientConfig):
    """The rule-based judge, which the run starts on this machine: deterministic, no model, no network."""

    kind: Literal["rule_server"]


class RemoteJudgeConfig(JudgeClientConfig):
    """A judge behind any server that speaks the OpenAI chat protocol."""

    kind: Literal["remote"]
    base_urls: tuple[str, ...] = Field(min_length=1)
    """Servers of one and the same model, such as http://judge:8000/v1; the least busy one is asked."""
    model: str | None
    """Name the servers know the model by; null: the only one they list."""
    api_key_variable: str | None
    """Environment variable that holds the key; null for servers that want none."""

    @field_validator("base_urls")
    @classmethod
    def _usable_urls(cls, urls: tuple[str, ...]) -> tuple[str, ...]:
        for url in urls:
            check_base_url(url)
        if len(set(urls)) < len(urls):
            raise ValueError(f"a server is named twice in {list(urls)}; one request at a time would count double")
        return urls


def check_base_url(url: str) -> None:
    """Refuse what is no address of a server.

    Raises:
        ValueError: It is none, or holds a password.
    """
    parts = urlsplit(url)
    if "@" in parts.netloc:
        raise ValueError("a base URL must hold no password; name the variable that does in api_key_variable")
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ValueError(f"{url!r} is no base URL; expected one such as http://judge:8000/v1")


JudgeConfig = Annotated[RuleServerJudgeConfig | RemoteJudgeConfig, Field(discriminator="kind")]
