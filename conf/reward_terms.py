"""Settings of the reward terms and of how they become one number."""

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from conf.base import Section

StrengthModel = Literal["bradley_terry", "davidson", "thurstone"]
"""How verdicts on pairs become strengths (``rewards.comparisons.strengths``)."""


class TermConfig(Section):
    """One reward term's weight and options."""

    weight: float
    """Factor in the total (``rewards.rule``)."""


class FormatTermConfig(TermConfig):
    """1 for a completion in the answer format of ``data.prompt``, else 0."""

    kind: Literal["format"]
    mode: Literal["strict", "tolerant", "number", "choice", "r1_reward", "answer"]
    """One think block, then one answer block: strict: the published regular expression of VisualQuality-R1; tolerant:
    outer white space allowed, no stray or repeated tags; number: tolerant, and the answer must be a number; choice:
    tolerant, and the answer must be 1 or 2; r1_reward: the published expression of R1-Reward, nothing between the
    blocks. For a ``data.prompt`` without thinking: answer: one answer block with a number, and nothing else."""


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


class ChoiceTermConfig(TermConfig):
    """1 for the right one of two answers, else 0."""

    kind: Literal["choice"]
    mode: Literal["strict", "lenient"]
    """strict: one answer block that holds 1 or 2; lenient: what the released grader of R1-Reward accepts, "1 or 2" and
    untagged prose included."""


class ConsistencyTermConfig(TermConfig):
    """Does the answer say what the reasoning says? Asks the judge of the run."""

    kind: Literal["consistency"]
    mode: Literal["signed", "binary"]
    """Worth of a yes and a no: signed: 1 and -1 (released); binary: 1 and 0 (paper)."""


class ComparisonTermConfig(TermConfig):
    """How often a completion would win against its siblings, or against reference answers, in 0..1. Asks the judge of
    the run about pairs."""

    kind: Literal["comparison"]
    against: Literal["group", "references"]
    """group: a completion is compared with its siblings; references: with the reference answers of its prompt, each in
    both orders: two questions per distinct completion and reference."""
    plan: Literal["ring", "round_robin"]
    """Pairs asked about in a group of n: ring: n; round_robin: n (n - 1) / 2."""
    model: StrengthModel
    """How verdicts become strengths. bradley_terry (logistic), thurstone (normal): a tie is half a win for each;
    davidson: logistic, with a chance of ties that is fitted too."""


class OverlongTermConfig(TermConfig):
    """DAPO's soft penalty: 0 down to -1 over the last ``cache_tokens`` before ``max_tokens`` (arXiv 2503.14476)."""

    kind: Literal["overlong"]
    max_tokens: int = Field(ge=1)
    """Length in tokens from which the penalty is whole; normally ``rollout.sampling.max_tokens``."""
    cache_tokens: int = Field(ge=1)
    """Length of the slope in tokens."""

    @model_validator(mode="after")
    def _slope_starts_above_zero(self) -> Self:
        if self.cache_tokens > self.max_tokens:
            raise ValueError(f"cache_tokens={self.cache_tokens} must not exceed max_tokens={self.max_tokens}")
        return self


class CustomTermConfig(TermConfig):
    """A function of yours: a rollout group in, one finite number or None per completion out (docs/rewards.md)."""

    kind: Literal["custom"]
    path: str = Field(pattern=r"^.+\.py:[A-Za-z_][A-Za-z0-9_]*$")
    """FILE.py:FUNCTION; a relative file is looked for in the folder the run was started in."""


class RemoteTermConfig(TermConfig):
    """A reward endpoint: ``{"query": [...], "prompts": [...]}`` is posted, ``{"rewards": [...]}`` comes back."""

    kind: Literal["remote"]
    url: str = Field(pattern=r"^https?://[^/@]+(/.*)?$")
    """Whole address, path included."""
    timeout_s: float = Field(gt=0)
    """Longest wait for one reply, in seconds."""


TermUnion = Annotated[
    FormatTermConfig
    | OpinionTermConfig
    | RankingTermConfig
    | ChoiceTermConfig
    | ConsistencyTermConfig
    | ComparisonTermConfig
    | OverlongTermConfig
    | CustomTermConfig
    | RemoteTermConfig,
    Field(discriminator="kind"),
]


class WeightedSumConfig(Section):
    """The total is the weighted sum of the terms."""

    kind: Literal["weighted_sum"]
    abstention: Literal["completion", "group"]
    """When a term abstains on some completions of a group: completion: those have no total and take no part in the
    group; group: the term drops out of the group, whose other terms decide. Never counted as 0."""


class R1RewardRuleConfig(Section):
    """``w_format F + w_choice A (1 + w_consistency C)``, further terms added by weight (arXiv 2505.02835)."""

    kind: Literal["r1_reward"]
    abstention: Literal["completion", "group", "neutral"]
    """When C is missing for some right answers of a group: completion: those have no total; group: the factor drops out
    of the group, so that siblings are compared on equal terms; neutral: C = 0 (released). C does not matter for wrong
    answers. Other terms: as for weighted_sum, where neutral stands for completion."""


RuleUnion = Annotated[WeightedSumConfig | R1RewardRuleConfig, Field(discriminator="kind")]


class RewardsConfig(Section):
    """Which terms make the reward, and how."""

    rule: RuleUnion
    """How the terms become one number."""
    terms: dict[str, TermUnion] = Field(min_length=1)
    """Terms by name."""

    @model_validator(mode="after")
    def _the_rule_finds_its_factors(self) -> Self:
        missing = {"choice", "consistency"} - set(self.terms)
        if self.rule.kind == "r1_reward" and missing:
            raise ValueError(
                f"rule.kind=r1_reward multiplies the terms named choice and consistency, but terms holds "
                f"{', '.join(sorted(self.terms))}; add the missing one or use rule.kind=weighted_sum"
            )
        return self

    @model_validator(mode="after")
    def _neutral_is_no_verdict(self) -> Self:
        consistency = self.terms.get("consistency")
        is_binary = isinstance(consistency, ConsistencyTermConfig) and consistency.mode == "binary"
        if self.rule.abstention == "neutral" and is_binary:
            raise ValueError(
                "rule.abstention=neutral counts a missing verdict as 0, which terms.consistency.mode=binary means as "
                "inconsistent; use mode=signed, or rule.abstention=group"
            )
        return self
