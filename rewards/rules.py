"""How the parts of a group's rewards become one number per completion."""

from collections.abc import Mapping, Sequence

Parts = Mapping[str, float | None]


def weighted_sum(parts: Sequence[Parts], *, weights: Mapping[str, float]) -> list[float | None]:
    """Weighted sum of one group's parts, per completion; None where there is nothing comparable.

    Rewards only mean something beside those of the same group, so the group decides what an abstention
    means:

    * a term that abstains on the *whole* group drops out of that group, and the others decide;
    * a term that abstains on *some* completions leaves those without a total. Summing what is left would
      score the missing part 0, a wrong label that also shifts the mean of the siblings.

    When every term abstains on the whole group, every total is None.
    """
    if not parts:
        return []
    answering = [name for name in parts[0] if any(part[name] is not None for part in parts)]
    return [_total(part, names=answering, weights=weights) for part in parts]


def _total(part: Parts, *, names: Sequence[str], weights: Mapping[str, float]) -> float | None:
    values = {name: value for name in names if (value := part[name]) is not None}
    if not values or len(values) < len(names):
        return None
    return sum(weights[name] * value for name, value in values.items())
