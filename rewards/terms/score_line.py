"""Refine-IQA's answer reward: does the completion end in ``Score: d.dd``, near enough to the mean opinion score?"""

from collections.abc import Sequence

import numpy as np

from conf.reward_terms import ScoreLineTermConfig
from rewards.score_line import read_score_line, released_score
from rewards.terms.threshold import is_within
from rewards.types import Noted, Score
from rollout.types import Prompt, RolloutGroup


class ScoreLineTerm:
    """1.0 for an answer within the threshold, else 0.0.

    Read strictly, every completion that is something else than thinking and one score line on the scale earns 0.0 with
    the name of what it is as a note. As released, an error that floating point carries past the threshold earns 0.0.
    """

    def __init__(self, config: ScoreLineTermConfig) -> None:
        """Keep the mode and the threshold's share of the scale."""
        self._is_strict, self._full_fraction = config.mode == "strict", config.full_fraction

    async def score(self, groups: Sequence[RolloutGroup]) -> list[list[Score]]:
        """Return 1.0 or 0.0 per completion; never abstains."""
        score_one = self._strict if self._is_strict else self._released
        return [[score_one(c.text, prompt=group.prompt) for c in group.completions] for group in groups]

    def _strict(self, text: str, *, prompt: Prompt) -> Score:
        label = prompt.opinion
        line = read_score_line(text, scale=label.scale, wants_thinking=prompt.wants_thinking)
        if line.status != "ok" or line.score is None:
            return Noted(score=0.0, note=line.status)
        error = np.array(abs(line.score - label.score))
        return float(is_within(error, threshold=self._threshold(prompt)))

    def _released(self, text: str, *, prompt: Prompt) -> Score:
        score = released_score(text)
        return float(score is not None and abs(score - prompt.opinion.score) <= self._threshold(prompt))

    def _threshold(self, prompt: Prompt) -> float:
        scale = prompt.opinion.scale
        return self._full_fraction * (scale.maximum - scale.minimum)
