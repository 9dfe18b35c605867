"""Rankings of a file's tasks as figures, as text for a terminal and as Markdown."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass

from evaluation.benchmarks.ranking import RankedAnswer, Ranking
from evaluation.benchmarks.ranking_tasks import RankingTask
from evaluation.intervals import Estimate, mean_share
from evaluation.tables import aligned, markdown, percent, percent_interval

MOST_SHOWN = 20
"""Tasks a terminal gets to see; files hold all."""
_LONGEST_QUOTE = 48

TableRow = tuple[str, ...]
Table = Callable[[Sequence[TableRow]], list[str]]


@dataclass(frozen=True, kw_only=True, slots=True)
class RankingReport:
    """A judge on the tasks of one file; intervals hold 95 %, clustered by task."""

    tasks: tuple[RankingTask, ...]
    rankings: tuple[Ranking, ...]
    """One per task, in their order."""
    same_winner: Estimate | None
    """Share of votes in opposite orders that name the same answer; None without any in both orders."""
    first_share: Estimate | None
    """Share of choices for the answer shown first, one half without a bias: every pair is asked in both orders."""

    @property
    def num_requests(self) -> int:
        """Votes asked for."""
        return sum(one.num_requests for one in self.rankings)

    @property
    def num_failed(self) -> int:
        """Requests without an answer."""
        return sum(one.num_failed for one in self.rankings)

    def to_dict(self) -> dict[str, object]:
        """Every figure that is of no single task, as plain values for JSON; undefined numbers are None."""
        return {
            "num_tasks": len(self.tasks),
            "num_answers": sum(len(task.responses) for task in self.tasks),
            "num_unranked": sum(len(one.unranked) for one in self.rankings),
            "num_requests": self.num_requests,
            "num_failed": self.num_failed,
            "num_unparsed": sum(one.num_unparsed for one in self.rankings),
            "num_truncated": sum(one.num_truncated for one in self.rankings),
            "same_winner": None if self.same_winner is None else asdict(self.same_winner),
            "first_share": None if self.first_share is None else asdict(self.first_share),
            "num_cycles": sum(one.structure.num_cycles for one in self.rankings),
            "num_triples": sum(one.structure.num_triples for one in self.rankings),
        }


def summarise_rankings(tasks: Sequence[RankingTask], rankings: Sequence[Ranking]) -> RankingReport:
    """The figures of all tasks together."""
    same = [(won, one.task_id) for one in rankings for won in _flags(one.num_agreed, one.num_disagreed)]
    first = [(won, one.task_id) for one in rankings for won in _flags(one.num_first, one.num_second)]
    return RankingReport(
        tasks=tuple(tasks),
        rankings=tuple(rankings),
        same_winner=mean_share(same) if same else None,
        first_share=mean_share(first) if first else None,
    )


def ranking_rows(report: RankingReport) -> Iterator[dict[str, object]]:
    """One row per task: its fields as they were, and under ``ranking`` what came of it."""
    for task, ranking in zip(report.tasks, report.rankings, strict=True):
        yield {**task.fields, "ranking": ranking.to_dict()}


def ranking_text(report: RankingReport) -> str:
    """For a terminal: the first tasks, and the figures of all."""
    sections = [*_task_sections(report, aligned, most=MOST_SHOWN), _summary(report, aligned)]
    return "\n\n".join("\n".join([title, *lines]) for title, lines in sections)


def ranking_markdown(report: RankingReport) -> str:
    """For a page: every task."""
    sections = [_summary(report, markdown), *_task_sections(report, markdown, most=len(report.tasks))]
    return "\n\n".join("\n".join([f"## {title}", "", *lines]) for title, lines in sections) + "\n"


def _task_sections(report: RankingReport, table: Table, *, most: int) -> Iterator[tuple[str, list[str]]]:
    for task, ranking in list(zip(report.tasks, report.rankings, strict=True))[:most]:
        yield f"{task.task_id}: {_quoted(task.question)}", _task_lines(task, ranking, table)
    if len(report.tasks) > most:
        yield f"... and {len(report.tasks) - most} more tasks, which report.md shows", []


def _task_lines(task: RankingTask, ranking: Ranking, table: Table) -> list[str]:
    rows = [_answer_row(task, answer, has_sets=ranking.num_sets > 1) for answer in ranking.answers]
    header = ("", "strength", "error", "ahead of next", "error", "won %")
    shown = [*table([header, *rows]), ""] if rows else []
    return [*shown, *(f"- {remark}" for remark in _remarks(ranking))]


def _remarks(ranking: Ranking) -> Iterator[str]:
    graph = ranking.structure
    yield (
        f"ties {percent(graph.tie_fraction)} %, cycles {graph.num_cycles} of {graph.num_triples} decided triples, "
        f"opposite orders: {ranking.num_agreed} agreed, {ranking.num_disagreed} disagreed"
    )
    if not ranking.is_bounded:
        yield "some won or lost all against the others: how far they are ahead or behind is the prior's word"
    if ranking.num_sets > 1:
        yield f"the verdicts link the answers in {ranking.num_sets} separate sets, which cannot be compared"
    if ranking.unranked:
        numbers = ", ".join(str(index + 1) for index in ranking.unranked)
        yield f"no verdict on answers {numbers}, which have no place"
    if ranking.num_failed or ranking.num_unparsed:
        yield f"{ranking.num_failed} requests failed, {ranking.num_unparsed} answers hold no choice"


def _answer_row(task: RankingTask, answer: RankedAnswer, *, has_sets: bool) -> TableRow:
    place = f"{answer.linked_set}/{answer.place}" if has_sets else str(answer.place)
    return (
        f"{place}. answer {answer.index + 1}: {_quoted(task.responses[answer.index])}",
        f"{answer.strength:+.2f}",
        f"{answer.standard_error:.2f}",
        "" if answer.lead is None else f"{answer.lead:+.2f}",
        "" if answer.lead_error is None else f"{answer.lead_error:.2f}",
        percent(answer.win_rate),
    )


def _summary(report: RankingReport, table: Table) -> tuple[str, list[str]]:
    figures = report.to_dict()
    rows = [
        ("", "value"),
        ("tasks", str(len(report.tasks))),
        ("answers", str(figures["num_answers"])),
        ("without any verdict", str(figures["num_unranked"])),
        ("same winner in both orders, %", percent_interval(report.same_winner)),
        ("answer shown first chosen, %", percent_interval(report.first_share)),
        ("cycles among decided triples", f"{figures['num_cycles']} of {figures['num_triples']}"),
        ("requests", str(report.num_requests)),
        ("failed", str(report.num_failed)),
        ("without a choice", str(figures["num_unparsed"])),
        ("cut by the token limit", str(figures["num_truncated"])),
    ]
    return "All tasks", table(rows)


def _quoted(text: str) -> str:
    """The beginning of a text, in one line."""
    line = " ".join(text.split())
    return line if len(line) <= _LONGEST_QUOTE else f"{line[:_LONGEST_QUOTE].rstrip()}..."


def _flags(num_yes: int, num_no: int) -> list[float]:
    return [1.0] * num_yes + [0.0] * num_no
