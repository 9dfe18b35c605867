"""A benchmark report as text for a terminal and as Markdown: the same tables in the same order."""

from collections.abc import Callable, Iterator, Sequence

from evaluation.benchmarks.load import known_benchmark
from evaluation.benchmarks.published import CAVEATS, ORDER_CAVEAT, PUBLISHED, Figures
from evaluation.benchmarks.summary import Accuracy, BenchmarkReport, Scores
from evaluation.tables import aligned, markdown, percent, percent_interval, points

Row = tuple[str, ...]


def report_text(report: BenchmarkReport) -> str:
    """For a terminal."""
    return "\n\n".join("\n".join([title, *lines]) for title, lines in _sections(report, aligned))


def report_markdown(report: BenchmarkReport) -> str:
    """For a page."""
    return "\n\n".join("\n".join([f"## {title}", "", *lines]) for title, lines in _sections(report, markdown)) + "\n"


def _sections(report: BenchmarkReport, table: Callable[[Sequence[Row]], list[str]]) -> Iterator[tuple[str, list[str]]]:
    yield f"{report.benchmark}: accuracy, % [95 % interval]", table(_accuracy_table(report))
    yield "Positions", table(_position_table(report))
    if report.num_votes > 1:
        yield "Votes, % (mean over every draw of k; a tie is half)", table(_vote_table(report))
    yield "Answers", table(_count_table(report))
    name = known_benchmark(report.benchmark)
    caveats = [f"- {caveat}" for caveat in (ORDER_CAVEAT, *CAVEATS[name])]
    yield "Beside published figures, %", [*table(_published_table(report, PUBLISHED[name])), "", *caveats]


def _accuracy_table(report: BenchmarkReport) -> list[Row]:
    single = _named(report.single)
    voted = {} if report.voted is None else _named(report.voted)
    header = ("", "pairs", "ids", "accuracy", f"vote@{report.num_votes}", "Acc+", "both orders")
    voted_macro = None if report.voted is None else report.voted.macro
    macro = ("macro", "", "", percent_interval(report.single.macro), percent_interval(voted_macro), "", "")
    overall, *divided = (_accuracy_row(name, one, voted.get(name)) for name, one in single.items())
    return [header, overall, macro, *divided]


def _named(scores: Scores) -> dict[str, Accuracy]:
    halves = {f"  {name}": one for name, one in scores.by_subcategory.items()}
    return {"overall": scores.overall, **scores.by_category, **halves}


def _accuracy_row(name: str, single: Accuracy, voted: Accuracy | None) -> Row:
    return (
        name,
        str(single.num_pairs),
        str(single.num_ids),
        percent_interval(single.accuracy),
        percent_interval(None if voted is None else voted.accuracy),
        percent_interval(single.all_right),
        percent_interval(single.both_orders),
    )


def _position_table(report: BenchmarkReport) -> list[Row]:
    rows: list[Row] = [
        ("", "value"),
        ("accuracy, better answer first", percent_interval(report.better_first)),
        ("accuracy, better answer second", percent_interval(report.better_second)),
        ("bias towards the first, points", points(report.position_bias)),
    ]
    if report.swap is not None:
        num_complete = report.swap.num_complete
        rows += [
            ("same winner in both orders", f"{percent(report.swap.consistency)} % of {num_complete}"),
            ("first answer twice", f"{report.swap.num_both_first} of {num_complete}"),
            ("second answer twice", f"{report.swap.num_both_second} of {num_complete}"),
        ]
    return rows


def _vote_table(report: BenchmarkReport) -> list[Row]:
    return [
        ("k", "vote@k", "any@k", "tied"),
        *(
            (
                str(point.num_votes),
                percent(point.vote_right),
                percent(point.any_right),
                percent(point.num_tied / point.num_items),
            )
            for point in report.curve
        ),
    ]


def _count_table(report: BenchmarkReport) -> list[Row]:
    return [
        ("", "count"),
        ("requests", str(report.num_requests)),
        ("not made yet (never right)", str(report.num_missing)),
        ("failed (never right)", str(report.num_failed)),
        ("without a choice (never right)", str(report.num_unparsed)),
        ("cut by the token limit", str(report.num_truncated)),
        ("of the right format, %", percent(report.format_rate)),
        ("tokens, mean", "-" if report.mean_tokens is None else f"{report.mean_tokens:.0f}"),
    ]


def _published_table(report: BenchmarkReport, published: Sequence[Figures]) -> list[Row]:
    """Ours first; categories and Acc+ only where published ones are comparable."""
    ours = [_ours("this judge", report.single)]
    if report.voted is not None:
        ours.append(_ours(f"this judge, vote@{report.num_votes}", report.voted))
    if report.better_first is not None:
        ours.append(Figures(judge="this judge, better answer first", overall=100 * report.better_first.value))
    categories = tuple(dict.fromkeys(name for one in published for name in one.by_category or ()))
    has_all_right = any(one.all_right is not None for one in published)
    header = ("", "overall", *(["Acc+"] if has_all_right else []), *categories)
    rows = (_figures_row(one, categories, has_all_right=has_all_right) for one in (*ours, *published))
    return [header, *rows]


def _ours(name: str, scores: Scores) -> Figures:
    return Figures(
        judge=name,
        overall=100 * scores.overall.accuracy.value,
        all_right=100 * scores.overall.all_right.value,
        by_category={category: 100 * one.accuracy.value for category, one in scores.by_category.items()},
    )


def _figures_row(one: Figures, categories: Sequence[str], *, has_all_right: bool) -> Row:
    plus = [_decimals(one.all_right)] if has_all_right else []
    figures = one.by_category or {}
    return (one.judge, _decimals(one.overall), *plus, *(_decimals(figures.get(name)) for name in categories))


def _decimals(value: float | None) -> str:
    return "-" if value is None else f"{round(value, 2):g}"
