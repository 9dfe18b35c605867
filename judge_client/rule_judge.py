"""A judge made of rules: the same prompt always gets the same verdict, and no model is asked.

    prompt --read_prompt--> blocks --conclusion--> what the reasoning and the answer say --> label

A conclusion is the last sentence that says which response is better, in the words of ``_FOR`` and ``_AGAINST``, or
the last score that is stated. A sentence that praises both responses, or one and the other, is no conclusion: such
reasoning agrees with no answer.
"""

import re
from collections.abc import Mapping
from typing import Literal

from judge_client.prompt import read_prompt
from judge_client.types import Outcome

Side = Literal["first", "second"]
Conclusion = Side | float

_NAMES: Mapping[str, Side] = {
    "1": "first", "one": "first", "a": "first", "first": "first",
    "2": "second", "two": "second", "b": "second", "second": "second",
}  # fmt: skip
_NOUN = r"(?:response|answer|candidate|option|description|choice)"
_MENTION = re.compile(
    rf"\b{_NOUN}\s+#?(1|2|one|two|a|b)\b|\b{_NOUN}\s+is\s+#?(1|2|one|two)\b"
    rf"|\bthe\s+(first|second)\b|\b(first|second)\s+(?:{_NOUN}|one)\b"
)
_FOR = re.compile(
    r"\b(?:better|best|right|correct|fits?|prefer(?:red|able)?|superior|wins?|(?:more|most) accurate"
    r"|is\s+#?(?:1|2|one|two))\b"
)
_AGAINST = re.compile(r"\b(?:worse|worst|wrong|incorrect|inferior|loses?|less accurate)\b")
_UNSURE = re.compile(r"\b(?:not|neither|no|never|both|equal|equally|same|tie|cannot|unclear|or)\b|n't\b")
_BARE = re.compile(r"\s*(?:it is|it's|the answer is)?\s*([12])\s*")
_SENTENCE_END = re.compile(r"[;!?\n]|\.(?!\d)")
_CLAUSE_END = re.compile(r",|\bbut\b|\bwhile\b|\bwhereas\b|\band\b|\bso\b|\bbecause\b|\bsince\b")
_SCORE = re.compile(r"\b(?:score|scores|rating|rate|rated|grade|overall)\b[^.;!?\n\d]*?([+-]?\d+(?:\.\d+)?)(?!\d|\.\d)")


def judge_prompt(text: str, *, is_wrong: bool = False) -> str:
    """The label the rules give to a prompt, or with ``is_wrong`` another one.

    Consistency: reasoning and answer come to the same conclusion. Comparison: the candidate whose own reasoning and
    answer agree wins over one whose do not; otherwise a tie.

    Raises:
        ValueError: The text is no prompt of ours.
    """
    template, blocks = read_prompt(text)
    if "judged_answer" in blocks:
        agrees = _agree(blocks["judged_reasoning"], blocks["judged_answer"])
        outcome: Outcome = "consistent" if agrees else "inconsistent"
    else:
        outcome = _compare(_candidate_agrees(blocks["candidate_a"]), _candidate_agrees(blocks["candidate_b"]))
    return next(label for label, meaning in template.labels.items() if (meaning == outcome) is not is_wrong)


def conclusion(text: str) -> Conclusion | None:
    """What a text concludes: a side, a score, or nothing that is clear."""
    for sentence in reversed(_SENTENCE_END.split(text.lower())):
        sides = [side for clause in _clauses(sentence) if (side := _favoured(clause))]
        if sides:
            return sides[0] if len({*sides}) == 1 and sides[0] != "unclear" else None
        if scores := _SCORE.findall(sentence):
            return float(scores[-1])
    return None


def _agree(reasoning: str, answer: str) -> bool:
    stated, concluded = _answer_of(answer), conclusion(reasoning)
    if isinstance(stated, float) and isinstance(concluded, float):
        # "a score of about 4" announces 3.7: compare to the decimals the reasoning gives.
        decimals = len(_SCORE.findall(reasoning.lower())[-1].partition(".")[2])
        return round(abs(stated - concluded), 6) <= 0.5 * 10.0**-decimals
    return stated is not None and stated == concluded


def _answer_of(answer: str) -> Conclusion | None:
    """An answer is a conclusion, a bare 1 or 2, or the name of one response."""
    if bare := _BARE.fullmatch(answer.lower()):
        return _NAMES[bare.group(1)]
    if (stated := conclusion(answer)) is not None:
        return stated
    mentioned = _mentions(answer.lower())
    return mentioned[0] if len(mentioned) == 1 else None


def _clauses(sentence: str) -> list[str]:
    """Parts of a sentence; one that names no response goes on about the response before it."""
    parts: list[str] = []
    for part in _CLAUSE_END.split(sentence):
        if parts and _mentions(parts[-1]) and not _mentions(part):
            parts[-1] += f" {part}"
        else:
            parts.append(part)
    return parts


def _favoured(clause: str) -> Side | Literal["unclear"] | None:
    """The side a clause speaks for; None when it judges nothing."""
    praise, blame = _FOR.search(clause), _AGAINST.search(clause)
    if not praise and not blame:
        return None
    # "better than the second" is about what stands before "than".
    subject = _mentions(clause.partition(" than ")[0])
    if not subject and not _UNSURE.search(clause):
        return None
    if len({*subject}) != 1 or (praise and blame) or _UNSURE.search(clause):
        return "unclear"
    return subject[0] if praise else _other(subject[0])


def _mentions(text: str) -> list[Side]:
    return [_NAMES[next(filter(None, found.groups()))] for found in _MENTION.finditer(text)]


def _other(side: Side) -> Side:
    return "second" if side == "first" else "first"


def _candidate_agrees(completion: str) -> bool:
    reasoning, _, rest = completion.partition("<answer>")
    return _agree(reasoning, rest.partition("</answer>")[0])


def _compare(first_agrees: bool, second_agrees: bool) -> Outcome:  # noqa: FBT001 - the two sides of one question
    if first_agrees == second_agrees:
        return "tie"
    return "first" if first_agrees else "second"
