"""How good a judge is the policy? Completions on a test split in, a report and a table out.

    groups -> parse -> mean score per picture -> agreement with the opinions, spread, failures

A picture whose completions hold no score stays out of every correlation and is counted; it is given no
score in place of the missing one. A correlation is only as good as ``num_without_score`` is small.
"""

import logging
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass

import numpy as np

from evaluation.metrics import Agreement, agreement, agreement_by, mean_agreement
from rewards.spread import score_spread
from rewards.tags import STATUSES, OutOfRange, ParsedAnswer, Status, check_scale, counted_score, parse_group
from rollout.types import RolloutGroup, Scale

logger = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True, slots=True)
class PictureRow:
    """One picture's label and verdict."""

    prompt_id: str
    source: str
    content_id: str
    opinion: float
    score: float | None
    """Mean of the scores that count; None when no completion holds one."""
    scores: tuple[float | None, ...]
    """In completion order."""
    statuses: tuple[Status, ...]
    """In completion order."""


@dataclass(frozen=True, kw_only=True, slots=True)
class EvaluationReport:
    """What one evaluation found. Rates are shares of completions."""

    num_prompts: int
    num_completions: int
    num_without_score: int
    """Pictures left out of every correlation because no completion holds a score."""
    num_by_status: Mapping[Status, int]
    """Completions by parser status, every status named."""
    format_rate: float
    """Share with exactly one think block and one answer block, or the answer block alone where the prompt asks
    for no thinking (``rewards.tags.ParsedAnswer.has_format``)."""
    truncated_rate: float
    agreement: Agreement
    """Over all pictures with a score."""
    by_source: Mapping[str, Agreement]
    content_mean: Agreement
    """Mean of the agreement inside each content; None where no content has two different pictures."""
    score_mean: float | None
    """Over pictures with a score."""
    spread_within: float | None
    """Mean standard deviation among one picture's scores; None with one completion per picture."""
    spread_across: float | None
    """Standard deviation among the pictures' scores; None below two pictures with a score."""
    collapsed: bool
    """Alarm: the pictures' scores hardly differ. False when too few pictures have a score to tell."""
    pictures: tuple[PictureRow, ...]

    @property
    def num_unparsed(self) -> int:
        """Completions without a score."""
        return self.num_by_status["no_tag"] + self.num_by_status["no_number"]

    @property
    def srcc(self) -> float | None:
        """Spearman's rank correlation over all pictures with a score."""
        return self.agreement.srcc

    @property
    def plcc(self) -> float | None:
        """Pearson's correlation over all pictures with a score."""
        return self.agreement.plcc

    @property
    def krcc(self) -> float | None:
        """Kendall's tau-b over all pictures with a score."""
        return self.agreement.krcc

    @property
    def rmse(self) -> float | None:
        """Root mean squared error over all pictures with a score."""
        return self.agreement.rmse

    def to_dict(self) -> dict[str, object]:
        """Plain values for JSON; undefined numbers are None."""
        return asdict(self)

    def metrics(self) -> dict[str, float]:
        """Journal values as ``evaluation/thing/statistic``; undefined ones have no key."""
        values = {
            "evaluation/agreement/srcc": self.srcc,
            "evaluation/agreement/plcc": self.plcc,
            "evaluation/agreement/krcc": self.krcc,
            "evaluation/agreement/rmse": self.rmse,
            "evaluation/format/fraction": self.format_rate,
            "evaluation/truncated/fraction": self.truncated_rate,
            "evaluation/unparsed/fraction": self.num_unparsed / self.num_completions,
            "evaluation/out_of_range/fraction": self.num_by_status["out_of_range"] / self.num_completions,
            "evaluation/score/mean": self.score_mean,
            "evaluation/spread/within": self.spread_within,
            "evaluation/spread/across": self.spread_across,
            "evaluation/collapsed/alarm": float(self.collapsed),
        }
        return {name: value for name, value in values.items() if value is not None}


def evaluate(
    groups: Sequence[RolloutGroup], *, scale: Scale, min_spread: float, out_of_range: OutOfRange
) -> EvaluationReport:
    """Judge the judge; ``min_spread`` is the share of ``scale`` below which it counts as collapsed.

    ``out_of_range`` says whether a score outside ``scale`` enters a picture's mean; it is counted either way.

    Raises:
        ValueError: There is no completion, or a label is on another scale.
    """
    check_scale(groups, scale=scale)
    answers = [parse_group(group) for group in groups]
    parsed = [answer for row in answers for answer in row]
    if not parsed:
        raise ValueError(f"an evaluation needs completions, got {len(groups)} groups without any")
    pictures = tuple(
        _picture(group, row, out_of_range=out_of_range) for group, row in zip(groups, answers, strict=True)
    )
    scored = [picture for picture in pictures if picture.score is not None]
    scores_N = np.array([picture.score for picture in scored], dtype=np.float64)
    opinions_N = np.array([picture.opinion for picture in scored], dtype=np.float64)
    by_content = agreement_by([f"{p.source}/{p.content_id}" for p in scored], scores_N=scores_N, opinions_N=opinions_N)
    spread = score_spread([[s for s in picture.scores if s is not None] for picture in pictures])
    least_spread = min_spread * (scale.maximum - scale.minimum)
    report = EvaluationReport(
        num_prompts=len(groups),
        num_completions=len(parsed),
        num_without_score=len(pictures) - len(scored),
        num_by_status={status: sum(answer.status == status for answer in parsed) for status in STATUSES},
        format_rate=sum(answer.has_format for answer in parsed) / len(parsed),
        truncated_rate=sum(c.is_truncated for group in groups for c in group.completions) / len(parsed),
        agreement=agreement(scores_N, opinions_N=opinions_N),
        by_source=agreement_by([p.source for p in scored], scores_N=scores_N, opinions_N=opinions_N),
        content_mean=mean_agreement(by_content),
        score_mean=float(scores_N.mean()) if scored else None,
        spread_within=spread.within,
        spread_across=spread.across,
        collapsed=spread.across is not None and spread.across < least_spread,
        pictures=pictures,
    )
    if report.collapsed:
        logger.warning("judge collapsed spread_across=%.4f least=%.4f", spread.across, least_spread)
    return report


def one_line(report: EvaluationReport) -> str:
    """An evaluation in one line; "-" where a number is undefined."""
    alarm = "  ALARM: scores hardly differ between pictures, the judge has collapsed" if report.collapsed else ""
    return (
        f"SRCC {_decimals(report.srcc, num_digits=3)} PLCC {_decimals(report.plcc, num_digits=3)} "
        f"format {100 * report.format_rate:.1f} % unparsed {report.num_unparsed}/{report.num_completions} "
        f"spread {_decimals(report.spread_across, num_digits=3)}{alarm}"
    )


def format_table(evaluations: Mapping[str, Mapping[str, float]]) -> str:
    """A fixed-width table for a terminal, one row per named ``EvaluationReport.metrics()``; "-" where undefined.

    ``unparsed`` is the share of completions without a score, ``spread`` the deviation across pictures in
    units of the scale.
    """
    header = ("", "SRCC", "PLCC", "format %", "unparsed %", "spread")
    rows = [header, *(_table_row(name, values) for name, values in evaluations.items())]
    widths = [max(len(row[column]) for row in rows) for column in range(len(header))]
    lines = ["  ".join([row[0].ljust(widths[0]), *map(str.rjust, row[1:], widths[1:])]) for row in rows]
    lines.insert(1, "-" * len(lines[0]))
    if any(values["evaluation/collapsed/alarm"] for values in evaluations.values()):
        lines.append("! the scores hardly differ between pictures: the judge has collapsed")
    return "\n".join(line.rstrip() for line in lines)


def _table_row(name: str, values: Mapping[str, float]) -> tuple[str, ...]:
    mark = "!" if values["evaluation/collapsed/alarm"] else ""
    return (
        name,
        _decimals(values.get("evaluation/agreement/srcc"), num_digits=3),
        _decimals(values.get("evaluation/agreement/plcc"), num_digits=3),
        _decimals(100 * values["evaluation/format/fraction"], num_digits=1),
        _decimals(100 * values["evaluation/unparsed/fraction"], num_digits=1),
        mark + _decimals(values.get("evaluation/spread/across"), num_digits=2),
    )


def _decimals(value: float | None, *, num_digits: int) -> str:
    return "-" if value is None else f"{value:.{num_digits}f}"


def _picture(group: RolloutGroup, answers: Sequence[ParsedAnswer], *, out_of_range: OutOfRange) -> PictureRow:
    prompt = group.prompt
    scores = tuple(counted_score(answer, out_of_range=out_of_range) for answer in answers)
    return PictureRow(
        prompt_id=prompt.prompt_id,
        source=prompt.source,
        content_id=prompt.content_id,
        opinion=prompt.opinion.score,
        score=_mean_score([score for score in scores if score is not None]),
        scores=scores,
        statuses=tuple(answer.status for answer in answers),
    )


def _mean_score(scores: Sequence[float]) -> float | None:
    # Rounded so that equal means tie: in the last bit 2.9+3.1 differs from 3.0+3.0, and ranks would see it.
    return round(math.fsum(scores) / len(scores), 9) if scores else None
