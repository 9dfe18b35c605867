"""Does a text give a score away that its writer was told?

It does when it speaks of a score that was given, hidden or provided, or when it names the score. Named is

* any number, in digits or as a decimal in words ("three point five", "three and a half", "point eight"), and
* a whole number in words where it rates: before "out of", "percent" or "on a scale", and before "stars" or "points" at
  the end of a clause; as all there is of a sentence ("Four."); after a word of rating at the end of a clause ("I would
  give it a four overall"); or after an article at the end of a clause ("a solid four").

A whole number in words anywhere else counts things or points at them ("one of the windows", "the two figures", "a
memorable one") and gives nothing away; neither does a number that is not the score. A number is the score if it equals
it rounded to none, one or two decimals, or its share of the scale in per cent rounded to none or one: halves up and to
even (within 1e-9 of a half), and as the writer was shown it.
"""

import re
from decimal import ROUND_HALF_EVEN, ROUND_HALF_UP, Decimal

from rollout.types import Opinion

_TELLTALE = re.compile(
    r"hidden|secret|private(?:ly)? (?:score|rating|information)|"
    r"\b(?:given|provided|assigned|stated|known|told|target)\b[^.]{0,20}\b(?:score|rating)|"
    r"\b(?:score|rating)s?\b[^.]{0,20}\b(?:given|provided|assigned|told)\b|as instructed|instructions",
    re.IGNORECASE,
)
_IN_DIGITS = re.compile(r"\d+(?:[.,]\d+)?")

_DIGITS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
_TEENS = (
    "ten", "eleven", "twelve", "thirteen", "fourteen", "fifteen", "sixteen", "seventeen", "eighteen", "nineteen",
)  # fmt: skip
_TENS = ("twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety")
_VALUES = {
    **{word: value for value, word in enumerate((*_DIGITS, *_TEENS))},
    **{word: 10 * value for value, word in enumerate(_TENS, start=2)},
    **dict.fromkeys(("oh", "nought"), 0),
}
_PARTS = {"half": Decimal("0.5"), "quarter": Decimal("0.25"), "quarters": Decimal("0.75")}

_GAP = r"[\s-]+"
_DIGIT = f"(?:{'|'.join((*_DIGITS, 'oh', 'nought'))})"
_WHOLE = (
    rf"(?:(?:one|a){_GAP}hundred|(?:{'|'.join(_TENS)})(?:{_GAP}(?:{'|'.join(_DIGITS[1:])}))?|"
    rf"{'|'.join((*_TEENS, *_DIGITS, 'nought'))})"
)
_DECIMAL = re.compile(
    rf"\b(?:(?P<whole>{_WHOLE}|\d+){_GAP})?(?:point|dot){_GAP}"
    rf"(?P<decimals>\d+|{_DIGIT}(?:{_GAP}{_DIGIT})+|{_WHOLE}|{_DIGIT})\b",
    re.IGNORECASE,
)
_MIXED = re.compile(
    rf"\b(?P<whole>{_WHOLE}|\d+){_GAP}and{_GAP}(?:an?{_GAP}|one{_GAP}|three{_GAP})?(?P<part>half|quarters?)\b",
    re.IGNORECASE,
)

_STOP = r"\s*(?:[.,;:!?)\"'”’—–]|$)"
_END = rf"(?={_STOP})"
_CLAUSE_END = (
    rf"(?={_STOP}|\s+(?:overall|to me|for me|in all|in total|at best|at most|because|since|but|for its|given)\b)"
)
_RATING_WORD = (
    r"(?:scor(?:e|es|ed|ing)|rat(?:e|es|ed|ing)|mark|grad(?:e|es|ed)|verdict|giv(?:e|es|ing)|gave|earn(?:s|ed)?|"
    r"deserv(?:e|es|ed|ing)|merit(?:s|ed)?|warrant(?:s|ed)?|worth|award(?:s|ed)?|lands?|settles?)"
)
_FILLER = (
    r"(?:it|this|the|image|picture|photo|photograph|video|a|an|of|at|on|is|as|be|would|about|around|roughly|nearly|"
    r"almost|just|only|solid|strong|weak|full|clear|perfect|near|close|to)"
)
_RATED = tuple(
    re.compile(pattern, re.IGNORECASE)
    for pattern in (
        rf"\b(?P<whole>{_WHOLE}){_GAP}(?:out{_GAP}of|per\s*cent|on{_GAP}(?:a|the|this)\b[^.]*\bscale)\b",
        rf"\b(?P<whole>{_WHOLE})(?:-star\b|{_GAP}(?:stars?|points?){_CLAUSE_END})",
        rf"(?:^|[.:;!?])\s*[\"'“‘(]?(?P<whole>{_WHOLE}){_END}(?!\s*,)",
        rf"\b{_RATING_WORD}[\s:]+(?:{_FILLER}\s+)*(?P<whole>{_WHOLE}){_CLAUSE_END}",
        # "One" after an article is a pronoun: "a memorable one".
        rf"\ban?\s+(?:\w+\s+)?(?!one\b)(?P<whole>{_WHOLE}){_CLAUSE_END}",
    )
)


def gives_score_away(text: str, *, opinion: Opinion) -> bool:
    """Whether a text names the score, or says that there was one."""
    return _TELLTALE.search(text) is not None or not _numbers(text).isdisjoint(_telling(opinion))


def _telling(opinion: Opinion) -> set[Decimal]:
    """Numbers that are the score."""
    low, high = (Decimal(repr(end)) for end in (opinion.scale.minimum, opinion.scale.maximum))
    score = Decimal(repr(opinion.score))
    per_cent = 100 * (score - low) / (high - low)
    return {
        *(number for places in (0, 1, 2) for number in _rounded(score, places=places)),
        *(number for places in (0, 1) for number in _rounded(per_cent, places=places)),
        *(Decimal(f"{opinion.score:.{places}f}") for places in (0, 1, 2)),
    }


def _rounded(number: Decimal, *, places: int) -> set[Decimal]:
    exact = number.quantize(Decimal("1e-9"))  # 3.4449999999999998 is a half that floating point has lost
    step = Decimal(1).scaleb(-places)
    return {exact.quantize(step, rounding=rule) for rule in (ROUND_HALF_UP, ROUND_HALF_EVEN)}


def _numbers(text: str) -> set[Decimal]:
    """Numbers that are in digits, or that can only be meant as a rating."""
    found = {Decimal(number.replace(",", ".")) for number in _IN_DIGITS.findall(text)}
    found |= {_decimal(one["whole"], one["decimals"]) for one in _DECIMAL.finditer(text) if not _is_place(one)}
    found |= {_value(one["whole"]) + _PARTS[one["part"].lower()] for one in _MIXED.finditer(text)}
    return found | {Decimal(_value(one["whole"])) for pattern in _RATED for one in pattern.finditer(text)}


def _is_place(found: re.Match[str]) -> bool:
    """Whether it is "the focal point one notices"."""
    return found["whole"] is None and found["decimals"].lower() == "one"


def _decimal(whole: str | None, decimals: str) -> Decimal:
    words = re.split(_GAP, decimals.lower())
    is_spelled = len(words) > 1 and all(_VALUES.get(word, 10) < 10 for word in words)
    digits = "".join(str(_VALUES[word]) for word in words) if is_spelled else str(_value(decimals))
    return Decimal(f"{0 if whole is None else _value(whole)}.{decimals if decimals.isdigit() else digits}")


def _value(whole: str) -> int:
    """Of a whole number in words or digits."""
    if whole.isdigit():
        return int(whole)
    words = re.split(_GAP, whole.lower())
    return 100 if "hundred" in words else sum(_VALUES[word] for word in words)
