"""Answers into scores: a file of rows that tell all, and a table with a column per dimension and question."""

import csv
import json
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from evaluation.checklist.rows import AnsweredItem
from rewards.checklist.scoring import ItemScore, ScoreScale, Unusable, score_answers
from rewards.checklist.weights import Weights
from rollout.checklist.questions import Checklist

SCORES_FILE, TABLE_FILE = "scores.jsonl", "scores.csv"
SCALES: tuple[ScoreScale, ...] = ("paper", "signed", "mean", "share")


@dataclass(frozen=True, kw_only=True, slots=True)
class ScoreRule:
    """How answers become scores."""

    checklist: Checklist
    weights: Weights
    unusable: Unusable
    scale: ScoreScale

    def score(self, item: AnsweredItem) -> ItemScore:
        """The score of one item.

        Raises:
            ValueError: An answer is to no question of the checklist.
        """
        try:
            return score_answers(item.answers, checklist=self.checklist, weights=self.weights, unusable=self.unusable)
        except ValueError as error:
            raise ValueError(f"{item.place}: {error}") from error


def write_scores(items: Iterable[AnsweredItem], *, rule: ScoreRule, folder: Path) -> Counter[str]:
    """Write rows and table, one item at a time; how many have a score, and how many have none.

    Both files are there whole or as they were before.
    """
    counts: Counter[str] = Counter(scored=0, unscored=0)
    rows, table = folder / SCORES_FILE, folder / TABLE_FILE
    with (
        _scratch(rows).open("w", encoding="utf-8", errors="surrogateescape") as lines,
        _scratch(table).open("w", encoding="utf-8", errors="surrogateescape", newline="") as cells,
    ):
        writer = csv.DictWriter(cells, columns(rule.checklist))
        writer.writeheader()
        for item in items:
            score = rule.score(item)
            counts["unscored" if score.on(rule.scale) is None else "scored"] += 1
            lines.write(json.dumps(row_of(item, score, scale=rule.scale), ensure_ascii=False, allow_nan=False) + "\n")
            writer.writerow(cells_of(item, score, scale=rule.scale))
    for path in (rows, table):
        _scratch(path).replace(path)
    return counts


def row_of(item: AnsweredItem, score: ItemScore, *, scale: ScoreScale) -> Mapping[str, object]:
    """Everything about one score."""
    return {
        "id": item.item_id,
        "path": item.path,
        "prompt": item.prompt,
        "score": score.on(scale),
        "scale": scale,
        **score.to_dict(),
    }


def columns(checklist: Checklist) -> list[str]:
    """Of the table: scores, dimensions and what each question adds, on the paper's scale."""
    dimensions = [f"dimension {one.name}" for one in checklist.dimensions]
    questions = [f"question {one}" for one in checklist.ids]
    return ["id", "path", "score", *SCALES, "counted", "closed", "unusable", *dimensions, *questions]


def cells_of(item: AnsweredItem, score: ItemScore, *, scale: ScoreScale) -> Mapping[str, object]:
    """A row of the table; empty where there is no number."""
    return {
        "id": item.item_id,
        "path": item.path,
        "score": score.on(scale),
        **{one: score.on(one) for one in SCALES},
        "counted": score.num_counted,
        "closed": score.num_closed,
        "unusable": score.num_unusable,
        **{f"dimension {name}": part.score for name, part in score.dimensions.items()},
        **{f"question {one.question_id}": one.paper for one in score.contributions},
    }


def compared(first: tuple[str, ItemScore], second: tuple[str, ItemScore], *, scale: ScoreScale) -> Iterator[str]:
    """Two items next to each other: totals, dimensions, the questions that tell them apart, and which is better."""
    (name, one), (other_name, other) = first, second
    yield f"{'':<24} {'A':>10} {'B':>10} {'A - B':>10}"
    for label, value, other_value in (
        (scale, one.on(scale), other.on(scale)),
        *((label, part.score, other.dimensions[label].score) for label, part in one.dimensions.items()),
    ):
        numbers = (value, other_value, _difference(value, other_value))
        yield f"{label:<24} " + " ".join(f"{_number(number):>10}" for number in numbers)
    apart = [
        (difference, mine.question_id)
        for mine, theirs in zip(one.contributions, other.contributions, strict=True)
        if (difference := _difference(mine.paper, theirs.paper))
    ]
    for difference, question in sorted(apart, key=lambda pair: -abs(pair[0])):
        yield f"  {question:<22} {difference:+32.4f}"
    gap = _difference(one.on(scale), other.on(scale))
    if gap is None:
        without = [label for label, score in (first, second) if score.on(scale) is None]
        yield f"cannot be compared, no score: {', '.join(without)}"
    elif gap == 0:
        yield "the same score"
    else:
        yield f"{name if gap > 0 else other_name} is better by {abs(gap):.4f}"


def _difference(one: float | None, other: float | None) -> float | None:
    return None if one is None or other is None else one - other


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.4f}"


def _scratch(path: Path) -> Path:
    return path.with_name(f"{path.name}.new")
