"""Any chat model behind the servers of a ``judge`` section, asked anything: benchmark questions, a teacher's traces."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from conf.judge import RemoteJudgeConfig
from conf.schema import SamplingConfig
from judge_client.check import find_model
from judge_client.endpoint import ChatRequest, Failure
from judge_client.metrics import JudgeMetrics
from judge_client.schemas import SampledToken
from judge_client.transport import open_transport


@dataclass(frozen=True, kw_only=True, slots=True)
class ChatOutcome:
    """A text, or why there is none."""

    text: str | None
    finish_reason: Literal["stop", "length"] | None
    """None without a text."""
    num_prompt_tokens: int | None
    num_tokens: int | None
    """Lengths of question and text as the server counts them; None where it does not. Of a failure, what was counted
    all the same."""
    failure: str | None
    """The failure of the last attempt; None with a text."""
    tokens: tuple[SampledToken, ...] = ()
    """The text token by token, where alternatives were wanted and the server gives them."""


class ChatClient:
    """The servers of one model, with the limits, further attempts and failover of a judge."""

    def __init__(self, config: RemoteJudgeConfig) -> None:
        """Read the key; nothing is sent.

        Raises:
            JudgeUnavailable: The variable that should hold the key is not set, or holds no key.
        """
        self._config = config
        self._transport = open_transport(config, metrics=JudgeMetrics())
        self._model: str | None = config.model

    async def find_model(self) -> str:
        """Reach every server and return the name of the model they serve.

        Raises:
            JudgeUnavailable: A server is out of reach, or serves other models.
        """
        self._model = await find_model(self._transport.endpoints, self._config)
        return self._model

    async def chat(
        self,
        messages: Sequence[Mapping[str, object]],
        *,
        sampling: SamplingConfig,
        seed: int,
        num_alternatives: int = 0,
    ) -> ChatOutcome:
        """Send messages in the form of the protocol; ask for the likeliest tokens at every place too, if any.

        Raises:
            RuntimeError: ``find_model`` has to find out the model first.
        """
        if self._model is None:
            raise RuntimeError("await find_model() before chat(): judge.model=null leaves open what the servers serve")
        result = await self._transport.send(
            ChatRequest(
                messages=messages,
                model=self._model,
                temperature=sampling.temperature,
                top_p=sampling.top_p,
                max_tokens=sampling.max_tokens,
                seed=seed,
                schema=None,
                num_alternatives=num_alternatives,
            )
        )
        if isinstance(result, Failure):
            return ChatOutcome(
                text=None,
                finish_reason=None,
                num_prompt_tokens=result.prompt_tokens or None,
                num_tokens=result.completion_tokens or None,
                failure=result.detail,
            )
        return ChatOutcome(
            text=result.text,
            finish_reason="length" if result.is_cut else "stop",
            num_prompt_tokens=result.prompt_tokens if result.has_usage else None,
            num_tokens=result.completion_tokens if result.has_usage else None,
            failure=None,
            tokens=result.tokens,
        )

    async def close(self) -> None:
        """Close every connection."""
        await self._transport.close()
