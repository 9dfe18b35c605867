"""How good a judge is the policy? Completions on a test split in, a report and a table out.

    groups -> parse -> mean score per picture -> agreement with the opinions, spread, failures
                                                 pooled, by content, by test set, with intervals

A picture whose completions hold no score stays out of every correlation and is counted; it is given no
score in place of the missing one. A correlation is only as good as ``num_without_score`` is small.
"Picture" stands for videos too.
"""

import logging
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from evaluation.intervals import Estimate
from evaluation.metrics import (
    MEASURES,
    Agreement,
    LogisticFit,
    Measure,
    agreement,
    agreement_by,
    fit_logistic,
    intervals,
    mean_agreement,
)
from evaluation.tables import aligned, decimals
from rewards.spread import score_spread
from rewards.tags import STATUSES, OutOfRange, ParsedAnswer, Status, check_scale, counted_score, parse_group
from rollout.types import Media, Prompt, RolloutGroup, Scale

logger = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True, slots=True)
class PictureRow:
    """One picture's label and verdict."""

    prompt_id: str
    path: str | None
    """Its file, or the folder of a video's frames; None when it was made on the fly."""
    source: str
    content_id: str
    opinion: float
    score: float | None
    """Mean of the scores that count; None when no completion holds one."""
    scores: tuple[float | None, ...]
    """In completion order."""
    statuses: tuple[Status, ...]
    """In completion order."""
    reasonings: tuple[str | None, ...]
    """Texts of the think blocks, in completion order; None without one."""

    @property
    def status(self) -> Status:
        """The best that a completion came to: "ok", else "out_of_range", else what the first one is."""
        for status in ("ok", "out_of_range"):
            if status in self.statuses:
                return status
        return self.statuses[0]

    @property
    def content(self) -> str:
        """The scene, told apart from equal names in another source."""
        return f"{self.source}/{self.content_id}"


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
    out_of_range: OutOfRange
    """Whether scores outside the scale entered a picture's mean."""
    agreement: Agreement
    """Over all pictures with a score, contents and sources pooled."""
    intervals: Mapping[Measure, Estimate]
    """95 % intervals of the pooled measures, resampled by content; those without one have no key."""
    logistic: LogisticFit
    """The curve behind ``agreement.plcc_logistic``."""
    by_source: Mapping[str, Agreement]
    source_mean: Agreement
    """Unweighted mean over sources: what papers print as the average over test sets."""
    num_contents: int
    """Contents with a score."""
    content_mean: Agreement
    """Unweighted mean of the agreement inside each content, for labels that are on a scale of their own in each."""
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

    @property
    def has_several_of_a_content(self) -> bool:
        """Whether the mean over contents says anything that the pooled figures do not."""
        return 1 < self.num_contents < self.agreement.num_pictures

    def to_dict(self) -> dict[str, object]:
        """Plain values for JSON; undefined numbers are None."""
        return asdict(self)

    def metrics(self) -> dict[str, float]:
        """Journal values as ``evaluation/thing/statistic``; undefined ones have no key."""
        values = {
            **_figures("agreement", self.agreement),
            **_ends(self.intervals),
            **(_figures("content_mean", self.content_mean) if self.has_several_of_a_content else {}),
            **(_figures("source_mean", self.source_mean) if len(self.by_source) > 1 else {}),
            "evaluation/format/fraction": self.format_rate,
            "evaluation/truncated/fraction": self.truncated_rate,
            "evaluation/unparsed/fraction": self.num_unparsed / self.num_completions,
            "evaluation/out_of_range/fraction": self.num_by_status["out_of_range"] / self.num_completions,
            "evaluation/without_score/fraction": self.num_without_score / self.num_prompts,
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
    contents = [picture.content for picture in scored]
    by_source = agreement_by([p.source for p in scored], scores_N=scores_N, opinions_N=opinions_N)
    spread = score_spread([[s for s in picture.scores if s is not None] for picture in pictures])
    least_spread = min_spread * (scale.maximum - scale.minimum)
    report = EvaluationReport(
        num_prompts=len(groups),
        num_completions=len(parsed),
        num_without_score=len(pictures) - len(scored),
        num_by_status={status: sum(answer.status == status for answer in parsed) for status in STATUSES},
        format_rate=sum(answer.has_format for answer in parsed) / len(parsed),
        truncated_rate=sum(c.is_truncated for group in groups for c in group.completions) / len(parsed),
        out_of_range=out_of_range,
        agreement=agreement(scores_N, opinions_N=opinions_N),
        intervals=intervals(scores_N, opinions_N=opinions_N, content_ids=contents),
        logistic=fit_logistic(scores_N, opinions_N=opinions_N),
        by_source=by_source,
        source_mean=mean_agreement(by_source),
        num_contents=len(set(contents)),
        content_mean=mean_agreement(agreement_by(contents, scores_N=scores_N, opinions_N=opinions_N)),
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
        f"SRCC {_with_interval(report.srcc, report.intervals.get('srcc'))} PLCC {decimals(report.plcc, num_digits=3)} "
        f"({decimals(report.agreement.plcc_logistic, num_digits=3)} after a logistic fit) "
        f"KRCC {decimals(report.krcc, num_digits=3)} RMSE {decimals(report.rmse, num_digits=2)} "
        f"format {100 * report.format_rate:.1f} % unparsed {report.num_unparsed}/{report.num_completions} "
        f"without score {report.num_without_score}/{report.num_prompts} "
        f"spread {decimals(report.spread_across, num_digits=3)}{alarm}"
    )


def format_table(evaluations: Mapping[str, Mapping[str, float]]) -> str:
    """A fixed-width table for a terminal, one row per named ``EvaluationReport.metrics()``; "-" where undefined.

    ``unparsed`` is the share of completions without a score, RMSE and ``spread``, the deviation across pictures, are in
    units of the scale.
    """
    header = ("", "SRCC", "95 %", "PLCC", "KRCC", "RMSE", "format %", "unparsed %", "spread")
    lines = aligned([header, *(_table_row(name, values) for name, values in evaluations.items())])
    if any(values["evaluation/collapsed/alarm"] for values in evaluations.values()):
        lines.append("! the scores hardly differ between pictures: the judge has collapsed")
    return "\n".join(lines)


def _table_row(name: str, values: Mapping[str, float]) -> tuple[str, ...]:
    mark = "!" if values["evaluation/collapsed/alarm"] else ""
    low, high = (values.get(f"evaluation/agreement/srcc_{end}") for end in ("low", "high"))
    return (
        name,
        decimals(values.get("evaluation/agreement/srcc"), num_digits=3),
        "-" if low is None or high is None else f"{low:.2f} .. {high:.2f}",
        decimals(values.get("evaluation/agreement/plcc"), num_digits=3),
        decimals(values.get("evaluation/agreement/krcc"), num_digits=3),
        decimals(values.get("evaluation/agreement/rmse"), num_digits=2),
        decimals(100 * values["evaluation/format/fraction"], num_digits=1),
        decimals(100 * values["evaluation/unparsed/fraction"], num_digits=1),
        mark + decimals(values.get("evaluation/spread/across"), num_digits=2),
    )


def _with_interval(value: float | None, estimate: Estimate | None) -> str:
    ends = "" if estimate is None else f" [{estimate.low:.2f}, {estimate.high:.2f}]"
    return decimals(value, num_digits=3) + ends


def _figures(thing: str, measured: Agreement) -> dict[str, float | None]:
    return {f"evaluation/{thing}/{measure}": measured.value(measure) for measure in MEASURES}


def _ends(estimates: Mapping[Measure, Estimate]) -> dict[str, float | None]:
    ends = {f"{measure}_low": one.low for measure, one in estimates.items()}
    ends |= {f"{measure}_high": one.high for measure, one in estimates.items()}
    return {f"evaluation/agreement/{name}": end for name, end in ends.items()}


def _picture(group: RolloutGroup, answers: Sequence[ParsedAnswer], *, out_of_range: OutOfRange) -> PictureRow:
    prompt = group.prompt
    scores = tuple(counted_score(answer, out_of_range=out_of_range) for answer in answers)
    return PictureRow(
        prompt_id=prompt.prompt_id,
        path=_path(prompt),
        source=prompt.source,
        content_id=prompt.content_id,
        opinion=prompt.opinion.score,
        score=_mean_score([score for score in scores if score is not None]),
        scores=scores,
        statuses=tuple(answer.status for answer in answers),
        reasonings=tuple(answer.think for answer in answers),
    )


def _path(prompt: Prompt) -> str | None:
    shown: Media | None = next(prompt.media(), None)
    if shown is None:
        return None
    return str(Path(shown.frames[0]).parent) if shown.frames else shown.path


def _mean_score(scores: Sequence[float]) -> float | None:
    # Rounded so that equal means tie: in the last bit 2.9+3.1 differs from 3.0+3.0, and ranks would see it.
    return round(math.fsum(scores) / len(scores), 9) if scores else None
