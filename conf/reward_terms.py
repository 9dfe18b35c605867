"""Settings of the reward terms and of how they become one number."""

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from conf.base import Section
from conf.data import Wording

StrengthModel = Literal["bradley_terry", "davidson", "thurstone"]
"""How verdicts on pairs become strengths (``rewards.comparisons.strengths``)."""


class TermConfig(Section):
    """One reward term's weight and options."""

    weight: float
    """Factor in the total (``rewards.rule``)."""


class FormatTermConfig(TermConfig):
    """1 for a completion in the answer format of ``data.prompt``, else 0."""

    kind: Literal["format"]
    mode: Literal["strict", "tolerant", "number", "choice", "r1_reward", "answer", "score_line", "refine_iqa"]
    """One think block, then one answer block: strict: the published regular expression of VisualQuality-R1; tolerant:
    outer white space allowed, no stray or repeated tags; number: tolerant, and the answer must be a number; choice:
    tolerant, and the answer must be 1 or 2; r1_reward: the published expression of R1-Reward, nothing between the
    blocks; score_line: tolerant, something thought, and the answer is "Score: " and a number of two decimals;
    refine_iqa: the published expression of Refine-IQA, anywhere in the text. For a ``data.prompt`` without thinking:
    answer: one answer block with a number, and nothing else."""


class OpinionTermConfig(TermConfig):
    """How near the score is to the mean opinion score: ``exp(-0.5 (error / sigma)^2)``."""

    kind: Literal["opinion"]
    form: Literal["released", "paper"]
    """released: as Aes-R1's code does, plus 1e-5, rounded to four decimals, and with the scores it reads (those of
    ``scores=released``); paper: neither, and the parser's scores."""
    sigma_fraction: float = Field(gt=0, le=1)
    """Sigma as a share of the declared scale's range."""


class ThresholdTermConfig(TermConfig):
    """Is the score near enough to the mean opinion score? 1, 1/2 or 0."""

    kind: Literal["threshold"]
    mode: Literal["inclusive", "released"]
    """Whether an error of exactly the size of a bound earns what is within it. inclusive: it does, floating point
    forgiven; released: as Aes-R1's code does, it does not, floating point decides, and the scores are those it reads
    (those of ``scores=released``)."""
    full_fraction: float = Field(gt=0, le=1)
    """Largest error that earns 1, as a share of the declared scale's range."""
    half_fraction: float | None = Field(gt=0, le=1)
    """Largest error that earns 1/2, likewise; null: nothing earns 1/2."""

    @model_validator(mode="after")
    def _half_lies_beyond_full(self) -> Self:
        if self.half_fraction is not None and self.half_fraction <= self.full_fraction:
            raise ValueError(
                f"half_fraction={self.half_fraction} must be above full_fraction={self.full_fraction}; "
                "null pays nothing beyond full_fraction"
            )
        return self


class ScoreLineTermConfig(TermConfig):
    """Refine-IQA's answer reward: 1 for ``Score: d.dd`` near enough to the mean opinion score, else 0."""

    kind: Literal["score_line"]
    mode: Literal["strict", "released"]
    """strict: the whole completion is thinking and one such answer on the scale, and everything else has a name that is
    counted; released: the published expression at the start of the completion, the last answer counting."""
    full_fraction: float = Field(gt=0, le=1)
    """Largest error that earns 1, as a share of the declared scale's range; an error of exactly this size does."""


class ProbabilityDifferenceTermConfig(TermConfig):
    """Refine-IQA's reward for thinking: by how much it makes the true score likelier, in 0..1 (arXiv 2508.03763)."""

    kind: Literal["probability_difference"]
    digits: Literal["tenths", "weighted"]
    """Whose probabilities. tenths: that digit's alone, as the released code has it; weighted: all three digits', a
    digit counting twice as much as the one after it."""
    no_thinking_prompt: Wording
    """The question that the true score is compared under: the same picture, no thinking."""


class RankingTermConfig(TermConfig):
    """RL2R: does the score rank the picture rightly among the others of the step (arXiv 2505.14460)?"""

    kind: Literal["ranking"]
    comparison: Literal["mean", "probability_average", "fixed_variance"]
    """How likely a score is to beat another picture. mean: by its distance to the other's mean score, over both
    spreads (equation 1); probability_average: averaged over the other's scores one by one (equation 7);
    fixed_variance: the same with all variances 1, in units of the scores (Thurstone's case V)."""
    form: Literal["released", "rounded", "paper"]
    """released: 1e-6 inside both fidelity roots, as VisualQuality-R1's code has it; rounded: the same to four decimals,
    as Aes-R1's does; paper: none."""
    ties: Literal["half", "one"]
    """Label of two pictures with equal opinion scores: half (VisualQuality-R1), or one for both (Aes-R1), which pays
    either of them for being above the other."""
    partners: Literal["same_source", "any_source"]
    """Which pictures a picture is compared with: those of its own data set, or all."""
    chunk_size: int | None = Field(ge=2)
    """Compare only within runs of this many pictures, in the order of the step's prompts; published runs compare the 8
    of each device. null: the whole step."""
    scores: Literal["all", "in_range", "released"]
    """Which scores are compared. all: what the parser reads, outside the scale too (published); in_range: those outside
    count as unparsed, so that one absurd number does not decide a picture's mean; released: as both papers'
    code reads them, the first number of the last answer block or else of the whole text, and an integer drawn from 1
    to 5 where there is none."""


class ChoiceTermConfig(TermConfig):
    """1 for the right one of two answers, else 0."""

    kind: Literal["choice"]
    mode: Literal["strict", "lenient"]
    """strict: one answer block that holds 1 or 2; lenient: what the released grader of R1-Reward accepts, "1 or 2" and
    untagged prose included."""


class PerceptionTermConfig(TermConfig):
    """How much of an answer about a picture's defect is right, in 0..1: type, severity, region, or area by overlap."""

    kind: Literal["perception"]
    severity: Literal["graded", "exact"]
    """Worth of a severity 0, 1, 2 and more steps off: graded: 1, 0.6, 0.2 and 0; exact: 1 and 0."""


class CheckTermConfig(TermConfig):
    """1 for the right answer to a yes/no question, else 0."""

    kind: Literal["check"]


class CalibrationTermConfig(TermConfig):
    """Brier's score of the probability of yes, as a reward of sampled answers: its mean over them is 1 - (p - y)^2, and
    p is drawn to the share of yes among like pictures, not beyond it. Asks the policy for p."""

    kind: Literal["calibration"]


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
    | ThresholdTermConfig
    | ScoreLineTermConfig
    | ChoiceTermConfig
    | PerceptionTermConfig
    | CheckTermConfig
    | CalibrationTermConfig
    | ProbabilityDifferenceTermConfig
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


class RefineIqaRuleConfig(Section):
    """Refine-IQA's total: the weighted sum, where the term named probability_difference counts only for completions on
    which the terms named format and answer are both 1 (arXiv 2508.03763)."""

    kind: Literal["refine_iqa"]
    abstention: Literal["completion", "group"]
    """As for weighted_sum; the probability difference does not matter where it does not count."""


RuleUnion = Annotated[WeightedSumConfig | R1RewardRuleConfig | RefineIqaRuleConfig, Field(discriminator="kind")]

_FACTORS = {
    "r1_reward": frozenset({"choice", "consistency"}),
    "refine_iqa": frozenset({"format", "answer", "probability_difference"}),
}
"""Names of the terms a rule multiplies."""


class RewardsConfig(Section):
    """Which terms make the reward, and how."""

    rule: RuleUnion
    """How the terms become one number."""
    terms: dict[str, TermUnion] = Field(min_length=1)
    """Terms by name."""

    @model_validator(mode="after")
    def _the_rule_finds_its_factors(self) -> Self:
        factors = _FACTORS.get(self.rule.kind, frozenset())
        if factors - set(self.terms):
            *others, last = sorted(factors)
            raise ValueError(
                f"rule.kind={self.rule.kind} multiplies the terms named {', '.join(others)} and {last}, but terms "
                f"holds {', '.join(sorted(self.terms))}; add the missing one or use rule.kind=weighted_sum"
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
