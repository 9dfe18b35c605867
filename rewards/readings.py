"""The numbers that the completions of a group mean to a reward term.

"all" are those of the one parser (``rewards.tags``), and "in_range" those of them that lie on the scale. "released" is
how the code of VisualQuality-R1 and Aes-R1 reads a completion while training: the first number of the last answer
block, or of the whole text without a block, and an integer from 1 to 5 drawn at random, whatever the scale, where
there is no number:

======================================  ========  ==============
completion                              all       released
======================================  ========  ==============
``<answer>-1.2</answer>``               -1.2      -1.2
``<answer>.5</answer>``                 0.5       5.0
``<answer>4/5</answer>``                none      4.0
``<answer>1,5</answer>``                none      1.0
``<answer>Quality 2: 3.7</answer>``     none      2.0
``28 mm lens, about 4.2``               none      28.0
``<answer></answer>``                   none      1, 2, 3, 4 or 5
======================================  ========  ==============

The published draw differs from run to run; here it is a hash of prompt, text and how often the text occurred before
in the group, so that a run repeats. Statuses, metrics and evaluation follow the one parser whatever a term does.
"""

import hashlib
import math
import re
from collections import Counter
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from rewards.tags import OutOfRange, counted_score, parse_group
from rollout.types import RolloutGroup

Scores = Literal["all", "in_range", "released"]

_BLOCK = re.compile(r"<answer>(.*?)</answer>", re.DOTALL)
_FIRST_NUMBER = re.compile(r"-?\d+(?:\.\d+)?")
_NUM_DRAWN = 5


def read_scores(group: RolloutGroup, *, scores: Scores) -> NDArray[np.float64]:
    """A number per completion, ``[K]``; NaN where there is none that counts."""
    if scores == "released":
        return np.array(_released_scores(group), dtype=np.float64)
    out_of_range: OutOfRange = "drop" if scores == "in_range" else "keep"
    counted = [counted_score(answer, out_of_range=out_of_range) for answer in parse_group(group)]
    return np.array([np.nan if score is None else score for score in counted], dtype=np.float64)


def _released_scores(group: RolloutGroup) -> list[float]:
    occurred = Counter[str]()
    scores: list[float] = []
    for completion in group.completions:
        number = _first_number(completion.text)
        scores.append(_drawn(group.prompt.prompt_id, completion.text, occurred) if number is None else number)
        occurred[completion.text] += 1
    return scores


def _first_number(text: str) -> float | None:
    blocks = _BLOCK.findall(text)
    found = _FIRST_NUMBER.search(blocks[-1] if blocks else text)
    number = None if found is None else float(found.group())
    return number if number is not None and math.isfinite(number) else None


def _drawn(prompt_id: str, text: str, occurred: Counter[str]) -> float:
    seed = hashlib.sha256(f"{prompt_id}\0{occurred[text]}\0{text}".encode()).digest()
    return 1.0 + int.from_bytes(seed[:8]) % _NUM_DRAWN
