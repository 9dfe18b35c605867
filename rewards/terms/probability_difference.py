"""Refine-IQA's reward for thinking: does it make the true score likelier than no thinking does? (arXiv 2508.03763)

    completion "...Score: 4.32..." --its score replaced by the true 4.40--> P(4.40 | what was thought)   )
    the same picture, no thinking: "<answer>Score: 4.40</answer>" --------> P(4.40 | nothing)            ) difference

The published trainer samples completions without thinking only to replace their score by the true one, after which
they are all the same text; so that text is scored once, and nothing is sampled for it.
"""

import math
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from conf.reward_terms import ProbabilityDifferenceTermConfig
from rewards.types import Noted, Score, TokenForcer
from rollout.datasets.questions import ask
from rollout.types import Prompt, RolloutGroup
from rollout.wordings import SCORE, look_up
from rollout.worker_types import ForcedToken

Digits = Literal["tenths", "weighted"]


@dataclass(frozen=True, kw_only=True, slots=True)
class _Place:
    """Where the true score is put."""

    prompt: Prompt
    before: str
    true: str
    """The true score, such as "4.40"."""


_LAST_LINE = re.compile(r"(.*<answer>\s*Score:\s*)\d\.\d{2}\s*</answer>", re.DOTALL)
_PLACES = (0, 2, 3)
"""Where the digits of "4.40" stand."""
_WEIGHTS: Mapping[str, NDArray[np.float64]] = {
    "tenths": np.array([0.0, 1.0, 0.0]),
    "weighted": np.array([4.0, 2.0, 1.0]) / 7.0,
}
"""Of units, tenths and hundredths, by ``digits``."""


def probability_difference(
    thinking_D: NDArray[np.float64], not_thinking_D: NDArray[np.float64], *, digits: Digits
) -> float:
    """``clip(sum_d w_d (P_d - Q_d), 0, 1)`` of the true digits' probabilities with and without thinking."""
    return float(np.clip(_WEIGHTS[digits] @ (thinking_D - not_thinking_D), 0.0, 1.0))


class ProbabilityDifferenceTerm:
    """How much likelier a completion's thinking makes the true score, 0 where it does not.

    A completion without a line ``Score: d.dd`` in its last answer, where the true score could be put, earns 0 with the
    note "no_score_line". Probabilities are those of the engines' weights at the time of asking.
    """

    def __init__(self, config: ProbabilityDifferenceTermConfig, *, forcer: TokenForcer) -> None:
        """Look up the question without thinking.

        Raises:
            ValueError: It asks for thinking, or for an answer of another form.
        """
        wording = look_up(config.no_thinking_prompt)
        if wording.wants_thinking or "Score:" not in wording.answer:
            raise ValueError(
                f'no_thinking_prompt={config.no_thinking_prompt} must ask for an answer "Score: d.dd" without '
                "thinking, such as refine_iqa_no_thinking"
            )
        self._wording, self._before = config.no_thinking_prompt, wording.answer.partition(SCORE)[0]
        self._digits: Digits = config.digits
        self._forcer = forcer

    async def score(self, groups: Sequence[RolloutGroup]) -> list[list[Score]]:
        """Return a difference in 0..1 per completion; never abstains.

        Raises:
            ValueError: A true score has more digits than one before and two after the point.
        """
        asked = [list(self._places(group)) for group in groups]
        tokens = [one for places in asked for place in places for one in self._forced(place)]
        known = iter(await self._forcer.forced_logprobs(tokens))
        return [self._differences([self._probabilities(place, known) for place in places]) for places in asked]

    def _places(self, group: RolloutGroup) -> Iterator[_Place | None]:
        """Where the true score is put: into the answer without thinking, then into each completion that has room."""
        true = _written(group.prompt)
        plain = _without_thinking(group.prompt, wording=self._wording)
        yield _Place(prompt=plain, before=self._before, true=true)
        for completion in group.completions:
            line = _LAST_LINE.match(completion.text)
            yield None if line is None else _Place(prompt=group.prompt, before=line.group(1), true=true)

    def _forced(self, place: _Place | None) -> Iterator[ForcedToken]:
        """The digits that count, each after the true ones before it."""
        for at, weight in zip(_PLACES, _WEIGHTS[self._digits], strict=True):
            if place is not None and weight:
                yield ForcedToken(prompt=place.prompt, before=place.before + place.true[:at], token=place.true[at])

    def _probabilities(self, place: _Place | None, known: Iterator[float]) -> NDArray[np.float64] | None:
        """``[D]``, of the digits that count; the others are 0."""
        if place is None:
            return None
        return np.array([math.exp(next(known)) if weight else 0.0 for weight in _WEIGHTS[self._digits]])

    def _differences(self, probabilities: Sequence[NDArray[np.float64] | None]) -> list[Score]:
        """The first is that without thinking."""
        without, *thinking = probabilities
        assert without is not None, "a group always asks once without thinking"
        return [
            Noted(score=0.0, note="no_score_line")
            if one is None
            else probability_difference(one, without, digits=self._digits)
            for one in thinking
        ]


def _without_thinking(prompt: Prompt, *, wording: str) -> Prompt:
    (shown,) = prompt.media()
    return Prompt(
        prompt_id=f"{prompt.prompt_id}/no_thinking",
        messages=ask(wording, picture=shown, scale=prompt.opinion.scale),
        reference=prompt.reference,
        source=prompt.source,
        content_id=prompt.content_id,
        wants_thinking=False,
    )


def _written(prompt: Prompt) -> str:
    """The true score as an answer holds it: 5.0 is "5.00", 0.999 is "1.00"."""
    written = f"{prompt.opinion.score:.2f}"
    if not re.fullmatch(r"\d\.\d{2}", written):
        raise ValueError(
            f"prompt {prompt.prompt_id!r}: the true score {written} is not of the form d.dd, which the probability "
            "difference compares; use a data.scale within 0 to 9.99"
        )
    return written
