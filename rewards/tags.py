"""Text of a completion -> what it thought, and what it answered: a score, a choice or a finding.

The one parser: rewards, evaluation and the command line that judges a folder all read scores here, so a
picture gets the same score wherever it is judged. What counts as a score, answer by answer, on the
scale 1..5:

=====================================  ============  =======  ==========================================
completion                             status        score    why
=====================================  ============  =======  ==========================================
``<answer>3.5</answer>``               ok            3.5      one decimal number
``<answer> 4\\n</answer>``              ok            4.0      outer white space means nothing
``<answer>+4.5</answer>``              ok            4.5      a sign is part of a number
``<answer>Score: 4.32</answer>``       ok            4.32     Refine-IQA's prompts have it announced
``<answer>2</answer><answer>3</answer>``  ok         3.0      the last complete block is the answer
``<answer>-1.2</answer>``              out_of_range  -1.2     the sign is kept, never dropped
``<answer>.5</answer>``                out_of_range  0.5      a leading dot is one half, never "5"
``<answer>0.20</answer>``              out_of_range  0.2      kept beside the status, never clipped
``<answer>4/5</answer>``               no_number     None     a fraction is not read as "4"
``<answer>1,5</answer>``               no_number     None     a comma may mean decimals or thousands
``<answer>5.</answer>``                no_number     None     a dot needs digits behind it
``<answer>4e0</answer>``               no_number     None     no exponents, "inf" or "nan"
``<answer>1234567</answer>``           no_number     None     more than six digits before the dot
``<answer>Quality 2: 3.7</answer>``    no_number     None     text around a number makes it ambiguous
``<answer>4.2 out of 5</answer>``      no_number     None     likewise
``<answer></answer>``                  no_number     None     an empty answer
``28 mm lens, about 4.2``              no_tag        None     numbers outside the tags are prose
``<answer>3.5``                        no_tag        None     a cut answer may be a cut number
=====================================  ============  =======  ==========================================

A choice between two answers is stricter still, because hedging must not pay: one complete block that holds ``1``
or ``2``, outer white space aside. ``Response 2``, ``2.0``, ``1 or 2`` and two blocks that differ are ``no_choice``.

Answers about a picture's defect are read by ``rewards.findings``; blocks that say different things are no answer here
either.

Answers to yes/no questions have no tags: the whole text is the word, as ``rewards.checklist.answers`` reads it, and
anything else is ``no_yes_or_no``.

No status ever comes with a default or a random answer. Tags are case-sensitive.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, get_args

from rewards.checklist.answers import yes_or_no
from rewards.findings import read_finding
from rollout.types import Check, Choice, Defect, Finding, Opinion, Preference, Prompt, RolloutGroup, Scale

OutOfRange = Literal["keep", "drop"]
Status = Literal["ok", "no_tag", "no_number", "no_choice", "no_candidate", "no_box", "no_yes_or_no", "out_of_range"]
STATUSES: tuple[Status, ...] = get_args(Status)
_SCORE_STATUSES: tuple[Status, ...] = ("ok", "no_tag", "no_number", "out_of_range")
_CHOICE_STATUSES: tuple[Status, ...] = ("ok", "no_tag", "no_choice")
_WORD_STATUSES: tuple[Status, ...] = ("ok", "no_tag", "no_candidate")
_BOX_STATUSES: tuple[Status, ...] = ("ok", "no_tag", "no_box")
_CHECK_STATUSES: tuple[Status, ...] = ("ok", "no_yes_or_no")

FormatMode = Literal["strict", "tolerant", "number", "choice", "r1_reward", "answer"]

_TAG = r"</?(?:think|answer)>"
_PUBLISHED_SHAPE = re.compile(r"<think>.*?</think>\s*<answer>.*?</answer>", re.DOTALL)
_R1_REWARD_SHAPE = re.compile(r"<think>.*?</think><answer>.*?</answer>", re.DOTALL)
_ANSWER_BLOCK = rf"\s*<answer>(?:(?!{_TAG}).)*</answer>\s*"
_ANSWER_ALONE = re.compile(_ANSWER_BLOCK, re.DOTALL)
_THINK_THEN_ANSWER = re.compile(rf"\s*<think>(?:(?!{_TAG}).)*</think>{_ANSWER_BLOCK}", re.DOTALL)
# A block starts at the opening tag nearest to its end, so that prose which merely mentions the tag
# ("I will put it in <answer> tags") does not swallow the real answer.
_ANSWER = re.compile(r"<answer>((?:(?!<answer>).)*?)</answer>", re.DOTALL)
_THINK = re.compile(r"<think>(.*?)</think>", re.DOTALL)
_CHOICES: dict[str, Choice] = {"1": 1, "2": 2}
# Six digits before the dot hold every scale in use and keep a runaway literal from overflowing a variance.
_NUMBER = re.compile(r"(?:Score:\s*)?([+-]?(?:[0-9]{1,6}(?:\.[0-9]+)?|\.[0-9]+))")


@dataclass(frozen=True, kw_only=True, slots=True)
class ParsedAnswer:
    """What one completion says."""

    think: str | None
    """Text of the first think block; None without one."""
    answer: str | None
    """Text of the last complete answer block, white space included; None without one. Of a yes/no question, the
    word."""
    score: float | None
    """The number answered, also when it lies outside the scale; None when there is none, and for choices."""
    choice: Choice | None
    """The answer chosen; None when there is none, and for scores."""
    status: Status
    has_format: bool
    """Whether the whole text is one think block and then one answer block (mode "tolerant"), or one answer
    block alone when the question asks for no thinking."""
    finding: Finding | None = None
    """What is said about a defect; None when it cannot be read, and for the other tasks."""
    is_yes: bool | None = None
    """What is answered to a yes/no question; None when it is neither, and for the other tasks."""


def parse(text: str, *, scale: Scale, wants_thinking: bool = True) -> ParsedAnswer:
    """Read a completion by the table above; ``scale`` (ends included) decides what is out of range."""
    think = _THINK.search(text)
    answers = _ANSWER.findall(text)
    answer: str | None = answers[-1] if answers else None
    score = None if answer is None else read_number(answer)
    return ParsedAnswer(
        think=think.group(1) if think else None,
        answer=answer,
        score=score,
        choice=None,
        status=_status(answer, score, scale),
        has_format=_has_shape(text, wants_thinking=wants_thinking),
    )


def parse_choice(text: str, *, wants_thinking: bool = True) -> ParsedAnswer:
    """Read a completion that should choose the first or the second answer."""
    think = _THINK.search(text)
    answers = {answer.strip() for answer in _ANSWER.findall(text)}
    choice = _CHOICES.get(next(iter(answers))) if len(answers) == 1 else None
    return ParsedAnswer(
        think=think.group(1) if think else None,
        answer=_ANSWER.findall(text)[-1] if answers else None,
        score=None,
        choice=choice,
        status="no_tag" if not answers else "no_choice" if choice is None else "ok",
        has_format=_has_shape(text, wants_thinking=wants_thinking),
    )


def parse_finding(text: str, *, defect: Defect, wants_thinking: bool = True) -> ParsedAnswer:
    """Read a completion that should answer a question about a defect."""
    think = _THINK.search(text)
    answers = _ANSWER.findall(text)
    findings = {read_finding(answer, defect=defect) for answer in answers}
    finding = findings.pop() if len(findings) == 1 else None
    unread: Status = "no_box" if defect.task == "area" else "no_candidate"
    return ParsedAnswer(
        think=think.group(1) if think else None,
        answer=answers[-1] if answers else None,
        score=None,
        choice=None,
        status="no_tag" if not answers else unread if finding is None else "ok",
        has_format=_has_shape(text, wants_thinking=wants_thinking),
        finding=finding,
    )


def parse_check(text: str) -> ParsedAnswer:
    """Read a completion that should be yes or no and nothing else."""
    is_yes = yes_or_no(text)
    return ParsedAnswer(
        think=None,
        answer=None if is_yes is None else text,
        score=None,
        choice=None,
        status="no_yes_or_no" if is_yes is None else "ok",
        has_format=is_yes is not None,
        is_yes=is_yes,
    )


def counted_score(answer: ParsedAnswer, *, out_of_range: OutOfRange) -> float | None:
    """The score that may enter a mean: None when there is none, or when it left the scale and is to be dropped."""
    return None if out_of_range == "drop" and answer.status == "out_of_range" else answer.score


def possible_statuses(prompt: Prompt) -> tuple[Status, ...]:
    """What an answer to this prompt's task can be."""
    if isinstance(prompt.reference, Opinion):
        return _SCORE_STATUSES
    if isinstance(prompt.reference, Preference):
        return _CHOICE_STATUSES
    if isinstance(prompt.reference, Check):
        return _CHECK_STATUSES
    return _BOX_STATUSES if prompt.defect.task == "area" else _WORD_STATUSES


def parse_group(group: RolloutGroup) -> tuple[ParsedAnswer, ...]:
    """Every completion of a group, in order, read as its prompt's task asks."""
    return tuple(parse_answer(completion.text, prompt=group.prompt) for completion in group.completions)


def parse_answer(text: str, *, prompt: Prompt) -> ParsedAnswer:
    """Read one completion of ``prompt``."""
    reference = prompt.reference
    if isinstance(reference, Opinion):
        return parse(text, scale=reference.scale, wants_thinking=prompt.wants_thinking)
    if isinstance(reference, Preference):
        return parse_choice(text, wants_thinking=prompt.wants_thinking)
    if isinstance(reference, Check):
        return parse_check(text)
    return parse_finding(text, defect=prompt.defect, wants_thinking=prompt.wants_thinking)


def check_scale(groups: Sequence[RolloutGroup], *, scale: Scale | None) -> None:
    """Refuse opinion scores on another scale than the declared one; None declares that there are no such labels.

    Raises:
        ValueError: Names the first such prompt.
    """
    for group in groups:
        label = group.prompt.reference
        if isinstance(label, Opinion) and label.scale != scale:
            raise ValueError(
                f"prompt {group.prompt.prompt_id!r} of {group.prompt.source!r} has a label on "
                f"{label.scale}, the run declares {scale}; map its labels to that scale"
            )


def read_number(text: str) -> float | None:
    """The decimal number that ``text`` is, outer white space and "Score:" before it aside; None for anything else."""
    number = _NUMBER.fullmatch(text.strip())
    return None if number is None else float(number.group(1))


def answer_blocks(text: str) -> list[str]:
    """What stands in the complete answer blocks of a completion, in order."""
    return _ANSWER.findall(text)


def matches_format(text: str, *, mode: FormatMode) -> bool:
    """Whether a completion has the shape the mode asks for.

    strict: the published expression, which allows no outer white space but lets repeated or nested tags
    through. tolerant: outer white space allowed, exactly one think block, then exactly one answer block,
    and no tag anywhere else. number: tolerant, and the answer is a number (in range or not). choice: tolerant, and
    the answer is 1 or 2. r1_reward: R1-Reward's published expression, outer white space aside: nothing between the
    blocks, and one opening tag of each kind, whatever else stands inside. answer, for prompts that ask for no
    thinking: exactly one answer block that holds a number, and nothing beside it.
    """
    if mode == "strict":
        return _PUBLISHED_SHAPE.fullmatch(text) is not None
    if mode == "r1_reward":
        has_one_of_each = text.count("<think>") == text.count("<answer>") == 1
        return has_one_of_each and _R1_REWARD_SHAPE.fullmatch(text.strip()) is not None
    if not _has_shape(text, wants_thinking=mode != "answer"):
        return False
    answer = _ANSWER.findall(text)[-1]
    if mode == "choice":
        return answer.strip() in _CHOICES
    return mode == "tolerant" or read_number(answer) is not None


def _has_shape(text: str, *, wants_thinking: bool) -> bool:
    shape = _THINK_THEN_ANSWER if wants_thinking else _ANSWER_ALONE
    return shape.fullmatch(text) is not None


def _status(answer: str | None, score: float | None, scale: Scale) -> Status:
    if answer is None:
        return "no_tag"
    if score is None:
        return "no_number"
    return "ok" if score in scale else "out_of_range"
