"""Do graded answers agree with each other? A yes to a strict question and a no to a milder one do not.

    answers of an item --readings--> the graded questions of each sub-dimension, strictest first --> contradictions

Counted twice: by item and sub-dimension, which is consistent without a contradiction, and by pair of its questions. The
paper calls its share "within a sub-dimension" and does not say which it is.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations

from evaluation.tables import aligned, percent
from rewards.checklist.answers import Answer
from rewards.checklist.readings import Reading, read_answers
from rollout.checklist.questions import Checklist


@dataclass(frozen=True, kw_only=True, slots=True)
class Consistency:
    """Of one sub-dimension, one dimension or all, over all items."""

    num_checked: int
    """Items, by sub-dimension, with two usable answers at least."""
    num_consistent: int
    num_pairs: int
    """Pairs of usable answers to a stricter and a milder question."""
    num_contradictions: int

    @property
    def share(self) -> float | None:
        """Of the sub-dimensions checked, those without a contradiction; None without any."""
        return self.num_consistent / self.num_checked if self.num_checked else None

    @property
    def pair_share(self) -> float | None:
        """Of the pairs, those without; None without any."""
        return 1.0 - self.num_contradictions / self.num_pairs if self.num_pairs else None

    def __add__(self, other: "Consistency") -> "Consistency":
        return Consistency(
            num_checked=self.num_checked + other.num_checked,
            num_consistent=self.num_consistent + other.num_consistent,
            num_pairs=self.num_pairs + other.num_pairs,
            num_contradictions=self.num_contradictions + other.num_contradictions,
        )


_NONE = Consistency(num_checked=0, num_consistent=0, num_pairs=0, num_contradictions=0)


class ConsistencyCount:
    """Counts item by item."""

    def __init__(self, checklist: Checklist, *, applies_gates: bool = True) -> None:
        self._checklist, self._applies_gates = checklist, applies_gates
        self.by_sub_dimension: dict[str, Consistency] = {
            f"{dimension.name}.{sub.name}": _NONE
            for dimension in checklist.dimensions
            for sub in dimension.sub_dimensions
            if sub.is_graded and len(sub.questions) > 1
        }

    def add(self, answers: Mapping[str, Answer]) -> None:
        """Count one item. Closed questions and unusable answers contradict nothing; soft ones count by the likelier
        word."""
        by_sub: dict[str, list[Reading]] = {name: [] for name in self.by_sub_dimension}
        for one in read_answers(answers, checklist=self._checklist, applies_gates=self._applies_gates):
            if one.placed.sub_dimension in by_sub and one.p_yes is not None:
                by_sub[one.placed.sub_dimension].append(one)
        for name, readings in by_sub.items():
            self.by_sub_dimension[name] += _checked([one for one in readings if one.p_yes != 0.5])

    @property
    def by_dimension(self) -> dict[str, Consistency]:
        """Sums over sub-dimensions."""
        found: dict[str, Consistency] = {}
        for name, count in self.by_sub_dimension.items():
            dimension = name.partition(".")[0]
            found[dimension] = found.get(dimension, _NONE) + count
        return found

    @property
    def total(self) -> Consistency:
        """Over everything."""
        return sum(self.by_sub_dimension.values(), _NONE)


def format_consistency(count: ConsistencyCount) -> str:
    """A table by dimension for a terminal."""
    header = ("dimension", "consistent %", "checked", "by pair %", "pairs")
    rows = [*count.by_dimension.items(), ("all", count.total)]
    return "\n".join(aligned([header, *(_row(name, one) for name, one in rows)]))


def _checked(readings: Sequence[Reading]) -> Consistency:
    is_yes = [one.p_yes is not None and one.p_yes > 0.5 for one in readings]
    pairs = list(combinations(is_yes, 2))
    num_contradictions = sum(strict and not mild for strict, mild in pairs)
    return Consistency(
        num_checked=int(bool(pairs)),
        num_consistent=int(bool(pairs) and not num_contradictions),
        num_pairs=len(pairs),
        num_contradictions=num_contradictions,
    )


def _row(name: str, one: Consistency) -> tuple[str, ...]:
    return (name, percent(one.share), f"{one.num_checked}", percent(one.pair_share), f"{one.num_pairs}")
