"""How estimates stand among journal values: ``evaluation/thing/value`` with its ``low`` and its ``high``."""

from collections.abc import Mapping

from evaluation.intervals import Estimate


def journal_values(thing: str, estimate: Estimate | None, *, statistic: str = "value") -> dict[str, float]:
    """Keys and values of an estimate; none where it is undefined."""
    if estimate is None:
        return {}
    return dict(zip(_keys(thing, statistic), (estimate.value, estimate.low, estimate.high), strict=True))


def journal_estimate(values: Mapping[str, float], thing: str, *, statistic: str = "value") -> Estimate | None:
    """The estimate that ``journal_values`` wrote; None where it was undefined."""
    keys = _keys(thing, statistic)
    if keys[0] not in values:
        return None
    value, low, high = (values[key] for key in keys)
    return Estimate(value=value, low=low, high=high)


def _keys(thing: str, statistic: str) -> tuple[str, str, str]:
    return f"evaluation/{thing}/{statistic}", f"evaluation/{thing}/low", f"evaluation/{thing}/high"
