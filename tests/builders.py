"""Small, complete values for tests: prompts, completions, groups."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from rewards.tags import parse_group
from rewards.types import Reward, ScoredGroup
from rollout.types import (
    Check,
    Choice,
    Completion,
    Defect,
    DefectTask,
    Finding,
    FinishReason,
    Media,
    Message,
    Opinion,
    Preference,
    Prompt,
    RolloutGroup,
    Scale,
)

ONE_TO_FIVE = Scale(minimum=1.0, maximum=5.0)


def make_prompt(
    prompt_id: str = "picture-0",
    *,
    opinion: float = 3.0,
    scale: Scale = ONE_TO_FIVE,
    source: str = "photographs",
    content_id: str = "scene-0",
    media: Media | None = None,
) -> Prompt:
    """A scoring question, without a picture unless one is given."""
    question = "How good is this picture?"
    content = (question,) if media is None else (media, question)
    return Prompt(
        prompt_id=prompt_id,
        messages=(Message(role="user", content=content),),
        reference=Opinion(score=opinion, scale=scale),
        source=source,
        content_id=content_id,
    )


def make_pair_prompt(prompt_id: str = "pair-0/2", *, better: Choice = 2, source: str = "pairs") -> Prompt:
    """A pairwise question about no picture."""
    responses = ("strong blur", "strong haze")
    question = "Which defect has this picture?"
    text = f"{question}\nResponse 1: {responses[0]}\nResponse 2: {responses[1]}"
    return Prompt(
        prompt_id=prompt_id,
        messages=(Message(role="user", content=(text,)),),
        reference=Preference(
            better=better, pair_id=prompt_id.partition("/")[0], question=question, responses=responses
        ),
        reference_answers=(make_choice(better),),
        source=source,
        content_id="scene-0",
    )


STRONG_BLUR = Finding(kind="blur", severity="strong", region="top left", box=(14.0, 0.0, 56.0, 28.0))
"""All there is to find; a question asks for part of it."""
FIELDS_ASKED_FOR: dict[DefectTask, tuple[str, ...]] = {
    "type": ("kind",),
    "severity": ("severity",),
    "type_and_severity": ("kind", "severity"),
    "region": ("region",),
    "area": ("box",),
}


def make_defect_prompt(
    prompt_id: str = "photograph-0/type",
    *,
    task: DefectTask = "type",
    found: Finding = STRONG_BLUR,
    source: str = "defects",
    shows_reference: bool = False,
) -> Prompt:
    """A question about the defect of no picture, whose name is the part of the id before the slash."""
    unasked = {"kind", "severity", "region", "box"} - set(FIELDS_ASKED_FOR[task])
    return Prompt(
        prompt_id=prompt_id,
        messages=(Message(role="user", content=("What is wrong with this picture?",)),),
        reference=Defect(
            task=task,
            finding=replace(found, **dict.fromkeys(unasked)),
            picture_id=prompt_id.partition("/")[0],
            candidates=("top", "top left", "centre", "right")
            if task == "region"
            else ("haze", "blur", "tint", "noise"),
            severities=("mild", "clear", "strong", "extreme"),
            shows_reference=shows_reference,
        ),
        source=source,
        content_id="scene-0",
    )


def make_check_prompt(
    prompt_id: str = "photograph-0/blur_none", *, is_yes: bool = True, source: str = "checks"
) -> Prompt:
    """A yes/no question about no picture, whose name is the part of the id before the slash and whose question's the
    part behind it."""
    picture_id, _, question_id = prompt_id.partition("/")
    return Prompt(
        prompt_id=prompt_id,
        messages=(Message(role="user", content=("Is this picture free of blur? Answer yes or no.",)),),
        reference=Check(question_id=question_id, is_yes=is_yes, picture_id=picture_id),
        source=source,
        content_id="scene-0",
        wants_thinking=False,
    )


def make_choice(answer: Choice | str, *, favoured: Choice | None = None) -> str:
    """A well-formed completion text that reasons for ``favoured`` (normally the answer) and answers ``answer``."""
    return f"<think>Response {favoured or answer} is better.</think><answer>{answer}</answer>"


def make_answer(score: float | str) -> str:
    """A well-formed completion text that answers ``score``."""
    return f"<think>sharp enough</think><answer>{score}</answer>"


def make_completion(
    text: str,
    *,
    num_tokens: int | None = None,
    finish_reason: FinishReason = "stop",
    policy_version: int = 0,
) -> Completion:
    """A completion with one token per byte of ``text`` (or ``num_tokens``), each at -1 nat."""
    size = len(text.encode()) if num_tokens is None else num_tokens
    return Completion(
        text=text,
        token_ids=np.arange(size, dtype=np.int32),
        logprobs=np.full(size, -1.0, dtype=np.float32),
        finish_reason=finish_reason,
        policy_version=policy_version,
    )


def make_group(texts: Sequence[str], *, prompt: Prompt | None = None) -> RolloutGroup:
    """One completion per text, all to the same prompt."""
    return RolloutGroup(
        prompt=make_prompt() if prompt is None else prompt,
        completions=tuple(make_completion(text) for text in texts),
        prompt_token_ids=np.arange(4, dtype=np.int32),
    )


def make_scored_group(totals: Sequence[float | None], *, group: RolloutGroup | None = None) -> ScoredGroup:
    """A group whose completions earned ``totals`` from a single term called "term"."""
    members = make_group([make_answer(3) for _ in totals]) if group is None else group
    return ScoredGroup(
        group=members,
        rewards=tuple(Reward(total=total, parts={"term": total}) for total in totals),
        answers=parse_group(members),
    )
