"""Settings of ``arbiter benchmark`` and ``arbiter rank``: which answers are compared, how, and who judges them."""

from typing import Literal

from pydantic import Field

from conf.base import Section
from conf.data import PairWording, VideoConfig
from conf.reward_terms import StrengthModel


class BenchmarkConfig(Section):
    """How a reward benchmark is asked. Votes and sampling are those of ``evaluation``, the model is ``model.path``."""

    answerer: Literal["engines", "endpoint"]
    """Who judges. engines: the model of ``model.path`` on engines of this run; endpoint: the server that the section
    ``judge`` names (``judge=remote``)."""
    media_folder: str | None
    """Folder the names of pictures and videos are joined to; null: the folder of the benchmark's file."""
    split: Literal["official", "legacy"]
    """Division of VL-RewardBench into categories. official: the benchmark's own, 183/749/318; legacy: that of
    R1-Reward's script, 484/448/318."""
    orders: Literal["both", "random", "as_given"]
    """Order of the two answers. both: each pair is asked twice; random: once, in an order seed and pair decide;
    as_given: once, as in the file, where the better answer mostly stands first."""
    prompt: PairWording
    """Wording of the question."""
    video: VideoConfig
    """How much of a video is shown; ``arbiter score`` and ``arbiter compare`` read it too."""


class RankConfig(Section):
    """How several answers to a question are ranked. Who judges, wording and media are those of ``benchmark``."""

    num_opponents: int | None = Field(ge=2)
    """Other answers that each is compared with, drawn from ``run.seed``, give or take one; null: all."""
    model: StrengthModel
    """How verdicts become strengths. bradley_terry (logistic), thurstone (normal): a tie is half a win for each;
    davidson: logistic, with a chance of ties that is fitted too."""
