"""Rows of text as a table, for a terminal or for Markdown; and how an estimate is written in one."""

from collections.abc import Sequence

from evaluation.intervals import Estimate


def aligned(rows: Sequence[Sequence[str]]) -> list[str]:
    """Lines of equal columns, the first row being the header; the first column stands left, the others right."""
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    lines = ["  ".join([row[0].ljust(widths[0]), *map(str.rjust, row[1:], widths[1:])]) for row in rows]
    rule = "-" * len(lines[0])
    return [lines[0].rstrip(), rule, *(line.rstrip() for line in lines[1:])]


def markdown(rows: Sequence[Sequence[str]]) -> list[str]:
    """The same rows as a Markdown table."""
    header, *body = [f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in row)} |" for row in rows]
    return [header, f"|---|{'---:|' * (len(rows[0]) - 1)}", *body]


def decimals(value: float | None, *, num_digits: int) -> str:
    """A number, or "-" where it is undefined."""
    return "-" if value is None else f"{value:.{num_digits}f}"


def percent(value: float | None) -> str:
    """A share in per cent, without the sign."""
    return "-" if value is None else f"{100 * value:.1f}"


def percent_interval(estimate: Estimate | None) -> str:
    """A share in per cent with its interval."""
    if estimate is None:
        return "-"
    return f"{100 * estimate.value:.1f} [{100 * estimate.low:.1f}, {100 * estimate.high:.1f}]"


def points(estimate: Estimate | None) -> str:
    """Percentage points with sign and interval."""
    return "-" if estimate is None else f"{estimate.value:+.1f} [{estimate.low:+.1f}, {estimate.high:+.1f}]"
