"""The check before a run: can every server be reached, does it serve the model, is its reply a verdict?

Each way to fail ends in one ``JudgeUnavailable`` that names the server, what was expected, what came and what to do.
"""

import asyncio
import logging
from collections.abc import Sequence
from dataclasses import dataclass

from conf.errors import did_you_mean
from conf.judge import RemoteJudgeConfig
from judge_client.endpoint import ChatRequest, Endpoint, Failure, Reply, question_request
from judge_client.errors import JudgeUnavailable
from judge_client.limits import FIRST_WAIT_S
from judge_client.prompt import build_prompt
from judge_client.types import ConsistencyQuestion

logger = logging.getLogger(__name__)

CHECK_LIMIT_S = 25.0
"""A run that cannot have a judge is told so within half a minute."""
_LONGEST_LISTING = 10
_KNOWN = ConsistencyQuestion(
    question="Which response describes the picture better, 1 or 2?",
    reasoning="The picture is blurred. Response 2 says so, response 1 does not.\nResponse 2 is better.",
    answer="2",
    completion=(
        "<think>The picture is blurred. Response 2 says so, response 1 does not.\n"
        "Response 2 is better.</think><answer>2</answer>"
    ),
    task="choice",
)


@dataclass(frozen=True, kw_only=True, slots=True)
class Served:
    """What the servers were found to offer."""

    model: str
    is_structured: bool
    """Whether they follow a JSON schema."""


async def check_endpoints(endpoints: Sequence[Endpoint], config: RemoteJudgeConfig, *, limit_s: float) -> Served:
    """What all servers offer alike, found out within ``limit_s``.

    Raises:
        JudgeUnavailable: A server is out of reach, refuses, serves other models or gives no verdict.
    """
    found = await asyncio.gather(
        *(_check_in_time(endpoint, config, limit_s=limit_s) for endpoint in endpoints), return_exceptions=True
    )
    served = [result for result in found if isinstance(result, Served)]
    for failure in found:
        if isinstance(failure, BaseException):
            raise failure
    return Served(
        model=_the_only([each.model for each in served]), is_structured=all(each.is_structured for each in served)
    )


async def find_model(endpoints: Sequence[Endpoint], config: RemoteJudgeConfig) -> str:
    """The model that all servers serve alike, without a question.

    Raises:
        JudgeUnavailable: A server is out of reach, or serves other models.
    """
    listed = await asyncio.gather(*(endpoint.list_models(timeout_s=config.timeout_s) for endpoint in endpoints))
    return _the_only([_choose_model(one, names, config) for one, names in zip(endpoints, listed, strict=True)])


def _the_only(models: Sequence[str]) -> str:
    names = sorted(set(models))
    if len(names) > 1:
        raise JudgeUnavailable(
            f"judge: expected the same model behind every server, got {', '.join(names)}; set judge.model, or remove "
            "servers from judge.base_urls"
        )
    return names[0]


async def _check_in_time(endpoint: Endpoint, config: RemoteJudgeConfig, *, limit_s: float) -> Served:
    try:
        async with asyncio.timeout(limit_s):
            return await _check(endpoint, config)
    except TimeoutError:
        raise JudgeUnavailable(
            f"judge at {endpoint.url}: expected a verdict within {limit_s:g} s, got none; wait until the server "
            "has loaded its model, or use a faster one"
        ) from None


async def _check(endpoint: Endpoint, config: RemoteJudgeConfig) -> Served:
    model = _choose_model(endpoint, await endpoint.list_models(timeout_s=config.timeout_s), config)
    if config.structured != "never":
        complaint = await _complaint(endpoint, config, model=model, is_structured=True)
        if complaint is None:
            return Served(model=model, is_structured=True)
        if config.structured == "always":
            raise JudgeUnavailable(complaint)
        logger.info("judge is asked for plain text, no schema: %s", complaint)
    complaint = await _complaint(endpoint, config, model=model, is_structured=False)
    if complaint is not None:
        raise JudgeUnavailable(complaint)
    return Served(model=model, is_structured=False)


def _choose_model(endpoint: Endpoint, listed: tuple[str, ...] | Failure, config: RemoteJudgeConfig) -> str:
    if isinstance(listed, Failure):
        # Some gateways offer no list; the question that follows tells whether the named model is there.
        if config.model is not None and listed.status in (404, 405, 501):
            return config.model
        raise JudgeUnavailable(_explained(listed))
    names = ", ".join(listed[:_LONGEST_LISTING]) + (", ..." if len(listed) > _LONGEST_LISTING else "")
    if config.model is None:
        if len(listed) == 1:
            return listed[0]
        raise JudgeUnavailable(
            f"judge at {endpoint.url}: expected one served model, got {len(listed)}: {names}; name one in judge.model"
        )
    if config.model not in listed:
        near = did_you_mean(config.model, listed)
        raise JudgeUnavailable(
            f"judge at {endpoint.url}: expected the model {config.model}, got a server of {names or 'no model'}"
            f"{near or '; correct judge.model'}"
        )
    return config.model


async def _complaint(endpoint: Endpoint, config: RemoteJudgeConfig, *, model: str, is_structured: bool) -> str | None:
    """Why the question of the check got no verdict; None when it did."""
    prompt = build_prompt(_KNOWN, style=config.template, is_structured=is_structured)
    request = question_request(prompt, model=model, config=config, seed=None)
    result = await _send(endpoint, request, max_attempts=config.max_attempts)
    if isinstance(result, Failure):
        return _explained(result)
    outcome = prompt.read(result.text)
    if outcome is None:
        advice = ", or set judge.structured=always" if config.structured == "never" else ""
        return (
            f"judge at {endpoint.url}: expected {prompt.expected} as the reply, got {result.text[:200]!r}; use a model "
            f"that follows instructions, raise judge.max_tokens if it reasons first{advice}"
        )
    if outcome != "consistent":
        logger.warning("judge calls a consistent answer %s url=%s model=%s", outcome, endpoint.url, model)
    return None


async def _send(endpoint: Endpoint, request: ChatRequest, *, max_attempts: int) -> Reply | Failure:
    """Ask this very server, again where a failure may pass; unlike the run, which would ask another one."""
    result = await endpoint.complete(request)
    for _ in range(max_attempts - 1):
        if isinstance(result, Reply) or not result.may_pass:
            break
        await asyncio.sleep(max(result.retry_after_s or 0.0, FIRST_WAIT_S))
        result = await endpoint.complete(request)
    return result


def _explained(failure: Failure) -> str:
    advice = {
        401: "export the right key in the variable that judge.api_key_variable names",
        403: "use a key that may ask this model, in the variable that judge.api_key_variable names",
        404: "correct judge.base_urls, which usually end in /v1, or judge.model",
    }.get(failure.status or 0)
    by_cause = {
        "connection": "start the server, or correct judge.base_urls",
        "timeout": "wait until the server has loaded its model, or raise judge.timeout_s",
        "rate_limited": "lower judge.requests_per_second or judge.max_concurrent",
        "http_error": "look into the server's log",
    }.get(failure.cause)
    default = "correct judge.base_urls or the request settings under judge"
    return f"judge at {failure.detail}; expected an OpenAI-compatible server: {advice or by_cause or default}"
