"""Settings of the reward terms and of how they become one number."""

from typing import Annotated, Literal

from pydantic import Field

from conf.base import Section


class TermConfig(Section):
    """One reward term's weight and options."""

    weight: float
    """Factor in the weighted sum."""


class FormatTermConfig(TermConfig):
    """1 for a completion in the answer format of ``data.prompt``, else 0."""

    kind: Literal["format"]
    mode: Literal["strict", "tolerant", "number", "answer"]
    """One think block, then one answer block: strict: the published regular expression; tolerant: outer white
    space allowed, no stray or repeated tags; number: tolerant, and the answer must be a number. For a
    ``data.prompt`` without thinking: answer: one answer block with a number, and nothing else."""


class OpinionTermConfig(TermConfig):
    """How near the score is to the mean opinion score: ``exp(-0.5 (error / sigma)^2)``."""

    kind: Literal["opinion"]
    sigma_fraction: float = Field(gt=0, le=1)
    """Sigma as a share of the declared scale's range."""


class RankingTermConfig(TermConfig):
    """RL2R: does the score rank the picture rightly among the others of the step (arXiv 2505.14460)?"""

    kind: Literal["ranking"]
    form: Literal["released", "paper"]
    """released: 1e-6 inside both fidelity roots; paper: none."""
    ties: Literal["half", "one"]
    """Label of two pictures with equal opinion scores."""
    out_of_range: Literal["keep", "drop"]
    """keep: a score outside the declared scale is compared like any other (published); drop: it counts as unparsed, so
    that one absurd number does not decide a picture's mean."""


TermUnion = Annotated[FormatTermConfig | OpinionTermConfig | RankingTermConfig, Field(discriminator="kind")]


class RewardsConfig(Section):
    """Which terms make the reward."""

    terms: dict[str, TermUnion] = Field(min_length=1)
    """Terms by name; the reward is their weighted sum, and a term that abstains drops out."""
