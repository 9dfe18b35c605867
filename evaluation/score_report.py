"""A scoring evaluation for people: every figure as text and as Markdown, and a row for each picture."""

from collections.abc import Callable, Iterator, Sequence

from evaluation.judge import EvaluationReport, PictureRow
from evaluation.metrics import MEASURE_NAMES, MEASURES, Agreement, Measure
from evaluation.tables import aligned, decimals, markdown, percent

Row = tuple[str, ...]
Section = tuple[str, list[str]]


def report_text(report: EvaluationReport) -> str:
    """For a terminal."""
    return "\n\n".join("\n".join([title, *lines]) for title, lines in _sections(report, aligned))


def report_markdown(report: EvaluationReport, *, title: str, scatter: str | None) -> str:
    """For a page; ``scatter`` names the file of the plot beside it."""
    plot = [] if scatter is None else [f"![judge's score against opinion]({scatter})"]
    sections = ("\n".join([f"## {name}", "", *lines]) for name, lines in _sections(report, markdown))
    return "\n\n".join([f"# {title}", *plot, *sections]) + "\n"


def picture_rows(report: EvaluationReport) -> Iterator[dict[str, object]]:
    """One object per picture; with several completions each of them is listed too."""
    for picture in report.pictures:
        row: dict[str, object] = {
            "path": picture.path,
            "id": picture.prompt_id,
            "source": picture.source,
            "content": picture.content_id,
            "label": picture.opinion,
            "score": picture.score,
            "status": picture.status,
            "reasoning": picture.reasonings[0],
        }
        yield row | ({"completions": _completions(picture)} if len(picture.scores) > 1 else {})


def _completions(picture: PictureRow) -> list[dict[str, object]]:
    each = zip(picture.scores, picture.statuses, picture.reasonings, strict=True)
    return [{"score": score, "status": status, "reasoning": reasoning} for score, status, reasoning in each]


def _sections(report: EvaluationReport, table: Callable[[Sequence[Row]], list[str]]) -> Iterator[Section]:
    notes = [f"- {name}, {note}" for name, measured in _rows(report).items() for note in _notes(measured)]
    title = f"Agreement with the opinions [95 % interval, resampled over {report.num_contents} contents]"
    yield title, [*table(_agreement_table(report)), *(["", *notes] if notes else [])]
    yield "Answers", table(_answer_table(report))
    yield "Scores", table(_score_table(report))


def _rows(report: EvaluationReport) -> dict[str, Agreement]:
    """The whole, the means that say more than it, and the sources where there are several."""
    rows = {"pooled": report.agreement}
    if report.has_several_of_a_content:
        rows[f"mean of {report.num_contents} contents"] = report.content_mean
    if len(report.by_source) > 1:
        rows |= {f"mean of {len(report.by_source)} data sets": report.source_mean, **report.by_source}
    return rows


def _notes(measured: Agreement) -> Iterator[str]:
    """Why something is undefined; once for measures that share the reason."""
    by_reason: dict[str, list[str]] = {}
    for measure, why in measured.notes.items():
        by_reason.setdefault(why, []).append(MEASURE_NAMES[measure])
    yield from (f"{', '.join(names)}: {why}" for why, names in by_reason.items())


def _agreement_table(report: EvaluationReport) -> list[Row]:
    header = ("", "pictures", *(MEASURE_NAMES[measure] for measure in MEASURES))
    rows = [
        (name, str(measured.num_pictures), *(_cell(report, measured, measure) for measure in MEASURES))
        for name, measured in _rows(report).items()
    ]
    return [header, *rows]


def _cell(report: EvaluationReport, measured: Agreement, measure: Measure) -> str:
    value = decimals(measured.value(measure), num_digits=3)
    interval = report.intervals.get(measure)
    if measured is not report.agreement or interval is None:
        return value
    return f"{value} [{interval.low:.2f}, {interval.high:.2f}]"


def _answer_table(report: EvaluationReport) -> list[Row]:
    outside = "count" if report.out_of_range == "keep" else "are left out of their picture's mean"
    treated = {"ok": "count", "out_of_range": outside}
    counts = [
        (f"completions: {status}", str(num), treated.get(status, "are left out of their picture's mean"))
        for status, num in report.num_by_status.items()
        if num or status in treated
    ]
    without = ("pictures without a score", f"{report.num_without_score} of {report.num_prompts}", "are in no figure")
    return [
        ("", "number", "what became of them"),
        *counts,
        without,
        ("completions of the right format, %", percent(report.format_rate), ""),
        ("completions cut by the token limit, %", percent(report.truncated_rate), ""),
    ]


def _score_table(report: EvaluationReport) -> list[Row]:
    return [
        ("", "value"),
        ("mean score", decimals(report.score_mean, num_digits=3)),
        ("deviation among one picture's scores", decimals(report.spread_within, num_digits=3)),
        ("deviation among pictures", decimals(report.spread_across, num_digits=3) + (" !" if report.collapsed else "")),
    ]
