"""Settings of ``arbiter score`` and ``arbiter compare``: what a finished judge is asked, and how its answer is read."""

from typing import Literal, Self

from pydantic import Field, model_validator

from conf.base import Section
from conf.data import ScaleConfig, Wording


class ScoreConfig(Section):
    """How pictures and videos are scored. Sampling is that of ``evaluation``; the judge is ``model.path``, or a server
    that ``judge=remote`` names."""

    prompt: Wording
    """Wording of the question (docs/prompts.md), or a text file of your own, whose name ends in .txt."""
    scale: ScaleConfig
    """Range of the scores; fills in the numbers of the question and says what is out of range."""
    answer: Literal["numeric", "expectation", "expectation_tenths"]
    """numeric: the number answered; expectation: the mean of the scale's integers, weighed by how likely each was to
    begin it; expectation_tenths: likewise of the numbers with one decimal (docs/scoring.md)."""
    num_samples: int = Field(ge=1)
    """Answers to each picture, of which mean and spread are given; more than one needs a temperature above 0."""
    repetition_penalty: float = Field(gt=0, le=2)
    """Tokens that occurred before become less likely by this factor. Many Qwen2.5-VL checkpoints have 1.05 in their
    generation_config, which is not applied by itself; 1: none."""
    window: int = Field(ge=1)
    """Pictures handed to the engines at a time, and written down together; two windows are in memory at once."""

    @model_validator(mode="after")
    def _one_digit_holds_the_integer_part(self) -> Self:
        if self.answer != "numeric" and not (self.scale.minimum >= 0 and self.scale.maximum < 10):
            raise ValueError(
                f"answer={self.answer} weighs the one digit before the point, so scale must lie within 0 and 9.99, got "
                f"{self.scale.minimum:g} to {self.scale.maximum:g}; use answer=numeric"
            )
        return self
