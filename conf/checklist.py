"""Settings of ``arbiter checklist``: which questions are asked, how answers are read, and what is made of them."""

from typing import Literal, Self

from pydantic import Field, model_validator

from conf.base import Section
from conf.data import FrameRule, check_wording


class ChecklistPairsConfig(Section):
    """Which pairs are kept for preference optimisation."""

    level: Literal["dimension", "sub_dimension", "question", "total"]
    """Where the better item may not be worse; total: nowhere in particular, which is plain DPO."""
    min_gap: float = Field(ge=0)
    """Least difference of the scores R, in the weights' units; VisionReward's are 0.6, 0.5, 0.4 and 0.8 by level."""
    max_per_prompt: int | None = Field(ge=1)
    """Pairs of the largest gaps kept of each prompt; null: all."""


class ChecklistConfig(Section):
    """A checklist of yes/no questions. The judge is ``model.path``, or a server that ``judge=remote`` names."""

    questions: str
    """A checklist that comes with Arbiter (image, video), a YAML file, or one of VisionReward's .txt files."""
    weights: str | None
    """File of weights, as ``arbiter checklist fit`` writes it, or VisionReward's beside its questions; null: all
    alike."""
    prompt: str | None
    """Text that everything asked about was made from; lists may tell one for each row. Without any, questions that
    quote it are left out."""
    wording: str
    """How a question is put, ``[[question]]`` standing for it; the picture or video comes before it."""
    frames: FrameRule
    """Which frames of a video are shown. spread: from the first to the last, evenly, further apart in one too long for
    ``benchmark.video.max_frames``; clock: the nearest to each tick of ``benchmark.video.fps``, and what lies behind the
    last is not shown, but counted (VisionReward's rule, at 1 per second and 24)."""
    min_mass: float = Field(ge=0, le=1)
    """Least probability of yes and no together for an answer to count as one; 0: the likelier word, however
    unlikely."""
    window: int = Field(ge=1)
    """Pictures or videos handed to the engines at a time, and written down together; two windows are in memory at
    once."""
    unusable: Literal["no_score", "leave_out"]
    """What an answer that is neither yes nor no means: no score, or a score of the other questions."""
    scale: Literal["paper", "signed", "mean", "share"]
    """The scale of the column ``score``, of comparisons and of rewards (docs/checklists.md)."""
    pairs: ChecklistPairsConfig

    @model_validator(mode="after")
    def _the_wording_holds_the_question_once(self) -> Self:
        check_wording(self.wording, called="wording")
        return self
