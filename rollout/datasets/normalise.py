"""Labels moved linearly from the range they were given in to another scale; their spread shrinks alike."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from rollout.datasets.label_rows import LabelRow
from rollout.types import Scale


@dataclass(frozen=True, kw_only=True, slots=True)
class LinearMap:
    """From ``given`` to ``target``, which is best at its maximum."""

    given: Scale
    target: Scale
    higher_is_better: bool
    """False for difference scores (DMOS), which are turned round."""

    def label(self, label: float) -> float:
        """The label on the target scale; one outside the given range comes to its nearest end."""
        low, high = self.given.minimum, self.given.maximum
        share = (label - low) / (high - low) if self.higher_is_better else (high - label) / (high - low)
        moved = share * (self.target.maximum - self.target.minimum) + self.target.minimum
        return min(max(moved, self.target.minimum), self.target.maximum)

    def std(self, std: float | None) -> float | None:
        """The standard deviation on the target scale."""
        if std is None:
            return None
        return std * (self.target.maximum - self.target.minimum) / (self.given.maximum - self.given.minimum)

    def row(self, row: LabelRow) -> LabelRow:
        """The row with both moved; a question of its own is left out, because it may name the old numbers."""
        return replace(row, label=self.label(row.label), std=self.std(row.std), scale=self.target, question=None)


def observed_range(rows: Sequence[LabelRow]) -> Scale:
    """From the lowest to the highest label.

    Raises:
        ValueError: All labels are equal, or there are none.
    """
    labels = [row.label for row in rows]
    if not labels or min(labels) == max(labels):
        raise ValueError(f"{len(labels)} labels without two different ones have no range; declare one")
    return Scale(minimum=min(labels), maximum=max(labels))
