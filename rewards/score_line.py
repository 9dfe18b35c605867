"""Refine-IQA's answer, ``<answer>Score: d.dd</answer>``, as its code reads it, and read strictly.

What the released code does with a completion, and what the strict reading makes of it on the scale 1..5:

===============================================  ==============  ================================
completion (``T`` is ``<think>t</think>``)       released        strict
===============================================  ==============  ================================
``T<answer>Score: 4.32</answer>``                4.32            ok
``T <answer>Score:4.32</answer>``                4.32            ok
white space before ``T``                         format only     ok
``T<answer>Score: 9.99</answer>``                9.99            out_of_range
``T<answer>Score: 4.4</answer>``                 no score        wrong_decimals
``T<answer>4.40</answer>``                       no score        no_score_line
``T<answer>Score: 2.10</answer>`` and 4.10       4.10            several_answers
``T<answer>Score: 4.32</answer> done``           4.32            outside_text
``ok T<answer>Score: 4.32</answer>``             format only     outside_text
an empty think block, or none                    no score        outside_text
no complete answer block                         no score        no_answer
===============================================  ==============  ================================

"Format only": the released format reward looks for the expression anywhere, the answer reward at the start alone.
"""

import re
from dataclasses import dataclass
from typing import Literal

from rewards.tags import answer_blocks, parse
from rollout.types import Scale

LineStatus = Literal[
    "ok", "no_answer", "several_answers", "no_score_line", "wrong_decimals", "out_of_range", "outside_text"
]

_RELEASED_ANSWER = r"<answer>\s*Score:\s*(\d{1}\.\d{2})\s*</answer>"
_RELEASED_LAST = re.compile(_RELEASED_ANSWER)
_RELEASED_WHOLE = re.compile(rf"<think>.+?</think>\s*{_RELEASED_ANSWER}", re.DOTALL)
_LINE = re.compile(r"\s*Score:\s*([+-]?[0-9.]+)\s*")
_TWO_DECIMALS = re.compile(r"[+-]?[0-9]{1,6}\.[0-9]{2}")


@dataclass(frozen=True, kw_only=True, slots=True)
class ScoreLine:
    """What the strict reading makes of a completion."""

    score: float | None
    """The score, in range or not; None for every status but "ok" and "out_of_range"."""
    status: LineStatus


def has_released_format(text: str) -> bool:
    """Whether the released format reward is 1."""
    return _RELEASED_WHOLE.search(text) is not None


def released_score(text: str) -> float | None:
    """The number the released answer reward compares with the label; None where it gives 0 at once."""
    if _RELEASED_WHOLE.match(text) is None:
        return None
    return float(_RELEASED_LAST.findall(text)[-1])


def read_score_line(text: str, *, scale: Scale, wants_thinking: bool) -> ScoreLine:
    """Read a completion that is one think block with text in it (where wanted), one answer block, and nothing else."""
    answers = answer_blocks(text)
    if len(answers) != 1:
        return ScoreLine(score=None, status="several_answers" if answers else "no_answer")
    line = _LINE.fullmatch(answers[0])
    if line is None:
        return ScoreLine(score=None, status="no_score_line")
    if _TWO_DECIMALS.fullmatch(line.group(1)) is None:
        return ScoreLine(score=None, status="wrong_decimals")
    parsed = parse(text, scale=scale, wants_thinking=wants_thinking)
    if not parsed.has_format or (wants_thinking and not (parsed.think or "").strip()):
        return ScoreLine(score=None, status="outside_text")
    score = float(line.group(1))
    return ScoreLine(score=score, status="ok" if score in scale else "out_of_range")
