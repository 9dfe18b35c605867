"""Did the completion use the tags the prompt asks for?"""

from collections.abc import Sequence

from conf.reward_terms import FormatTermConfig
from rewards.score_line import has_released_format, read_score_line
from rewards.tags import matches_format
from rollout.types import Prompt, RolloutGroup


class FormatTerm:
    """1.0 for a completion of the configured shape, else 0.0.

    Shapes are those of ``rewards.tags.matches_format``, and the score line of Refine-IQA (``rewards.score_line``), a
    score outside the scale included.
    """

    def __init__(self, config: FormatTermConfig) -> None:
        """Keep the shape to check for."""
        self._mode = config.mode

    async def score(self, groups: Sequence[RolloutGroup]) -> list[list[float | None]]:
        """Return 1.0 or 0.0 per completion; never abstains."""
        return [[float(self._matches(c.text, prompt=g.prompt)) for c in g.completions] for g in groups]

    def _matches(self, text: str, *, prompt: Prompt) -> bool:
        if self._mode == "refine_iqa":
            return has_released_format(text)
        if self._mode == "score_line":
            line = read_score_line(text, scale=prompt.opinion.scale, wants_thinking=prompt.wants_thinking)
            return line.score is not None
        return matches_format(text, mode=self._mode)
