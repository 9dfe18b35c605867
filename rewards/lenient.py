"""The verdicts of R1-Reward's released grader on "1" and "2", without the two libraries it asks.

The first answer block is graded, or the whole text without one; its last free-standing number counts, a quotient of
two integers being a number. A number is free-standing between white space or at an end of the text; punctuation may
follow it, and ``\\boxed{...}`` may surround it. What follows for the label "2":

==============================================================================  =======
answer                                                                          verdict
==============================================================================  =======
``2``, `` 2 ``, ``2.0``, ``2.``, ``\\boxed{2}``, ``Response 2``                   right
``1 or 2``, ``1, 2``, ``4/2``                                                   right
``1/2``, ``two``, ``Neither``, nothing                                          wrong
first block 2, second block 1                                                   right
no block: ``Final: 2``, ``Response 1 is better than Response 2``                right
``<answer>2`` never closed, ``<ANSWER>2</ANSWER>``                              wrong
==============================================================================  =======

The published grader counts any error of its own as right; here it is raised.
"""

import re

from rollout.types import Choice

_FIRST_ANSWER = re.compile(r"<answer>(.*?)</answer>", re.DOTALL)
_BOXED = re.compile(r"\\boxed\{([^{}]*)\}")
_FREE_NUMBER = re.compile(r"(?<!\S)([+-]?[0-9]{1,6}(?:\.[0-9]*)?)(?:/([0-9]{1,6}))?(?=[.,;:!?]*(?:\s|$))")


def grade_leniently(text: str, *, better: Choice) -> bool:
    """Whether the released grader takes a completion for the right choice.

    Raises:
        ZeroDivisionError: The answer is a number divided by 0.
    """
    found = _FIRST_ANSWER.search(text)
    graded = text if found is None else found.group(1)
    numbers = _FREE_NUMBER.findall(_BOXED.sub(r" \1 ", graded))
    if not numbers:
        return False
    numerator, denominator = numbers[-1]
    return float(numerator) / float(denominator or 1) == better
